"""`tomoshibi keys`: a key for another machine, from making it to revoking it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from daq.cli import main
from hw.messages.keys import read_key_file


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOMOSHIBI_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("TOMOSHIBI_KEY_FILE", raising=False)


def test_a_key_is_made_listed_and_revoked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ward.key"
    make = ["keys", "make", "ward", "--role", "observe", "--output", str(path), "--json"]
    assert main(make) == 0
    told = json.loads(capsys.readouterr().out)
    key = read_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (key.name, key.role, key.public) == ("ward", "observe", told["public"])
    assert key.secret not in json.dumps(told)
    assert main(["keys", "list"]) == 0
    out = capsys.readouterr().out
    assert "ward " in out
    assert "observe" in out
    assert main(["keys", "revoke", "ward"]) == 0
    assert main(["keys", "list", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out.splitlines()[-1])["keys"][-1]["revoked"]
    assert main(["keys", "revoke", "ward"]) == 1
    assert "no valid key 'ward'" in capsys.readouterr().err


def test_a_key_never_overwrites_a_file_nor_is_left_valid_without_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").touch()
    for output in (tmp_path / "there", tmp_path / "there" / "below"):
        assert main(["keys", "make", "x", "--role", "operate", "--output", str(output)]) == 1
    capsys.readouterr()
    assert main(["keys", "list", "--json"]) == 0
    keys = json.loads(capsys.readouterr().out)["keys"]
    assert all(key["revoked"] for key in keys if key["name"] == "x")


def test_a_key_file_that_others_may_read_is_refused_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.key"
    assert main(["keys", "make", "x", "--role", "observe", "--output", str(path)]) == 0
    path.chmod(0o644)
    with pytest.raises(SystemExit):
        main(["doctor", "--endpoint", "tcp://127.0.0.1:7100", "--keys", str(path)])
    assert "others may read it" in capsys.readouterr().err
