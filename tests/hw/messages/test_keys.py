"""Keys: made once, kept from others, revoked at once."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from hw.messages.endpoints import EndpointError, Endpoints
from hw.messages.keys import KeyFileError, KeyRing, given_key, read_key_file, write_key_file


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_users_own_keys_are_made_once_and_nobody_else_reads_them(ring: KeyRing) -> None:
    assert not ring.exists
    own = ring.own()
    assert own.role == "service"
    assert own.server.encode() == ring.pair()[0]
    assert KeyRing(ring.folder).own() == own
    assert mode(ring.folder) == 0o700
    assert {mode(path) for path in ring.folder.iterdir()} == {0o600}


def test_processes_that_begin_together_get_the_same_keys(ring: KeyRing) -> None:
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(KeyRing(ring.folder).own())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(one == found[0] for one in found)
    assert len(ring.clients()) == 1


def test_a_system_keeps_public_keys_alone(ring: KeyRing) -> None:
    made = ring.make("anna", "operate")
    texts = [path.read_text() for path in ring.folder.iterdir()]
    assert any(made.public in text for text in texts)
    assert not any(made.secret in text for text in texts)
    known = ring.known(made.public)
    assert known is not None
    assert (known.name, known.role) == ("anna", "operate")


def test_a_revoked_key_is_unknown_at_once(ring: KeyRing) -> None:
    made = ring.make("anna", "observe")
    other = KeyRing(ring.folder)
    assert other.known(made.public) is not None
    assert ring.revoke("anna").revoked
    assert other.known(made.public) is None
    assert ring.make("anna", "observe").public != made.public  # the name is free again
    with pytest.raises(KeyFileError, match=r"no valid key 'berta' to revoke; valid are: .*anna"):
        ring.revoke("berta")


@pytest.mark.parametrize("name", ["", "a b", "../x", "ä", "x" * 65, "a\n", "own-x"])
def test_a_name_is_plain(ring: KeyRing, name: str) -> None:
    with pytest.raises(KeyFileError, match="letters, digits"):
        ring.make(name, "observe")


def test_a_name_is_given_once(ring: KeyRing) -> None:
    ring.make("anna", "observe")
    with pytest.raises(KeyFileError, match="there is a key 'anna'"):
        ring.make("anna", "service")


def test_a_key_that_others_may_read_is_refused(
    ring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, made = tmp_path / "anna.json", ring.make("anna", "operate")
    write_key_file(path, made)
    assert mode(path) == 0o600
    monkeypatch.setenv("TOMOSHIBI_KEY_FILE", str(path))
    assert given_key() == made
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match=f"others may read it.*chmod 600 {path}"):
        given_key()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"name": "x", "role": "root", "public": "", "secret": "", "server": ""}',
     '{"name": "x", "role": "service", "public": "a", "secret": "b", "server": "c"}'],
)  # fmt: skip
def test_what_is_no_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "k.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=r"no key file|damaged"):
        read_key_file(path)


def test_a_keys_folder_that_others_may_enter_is_refused(ring: KeyRing) -> None:
    ring.folder.mkdir()
    ring.folder.chmod(0o755)
    with pytest.raises(KeyFileError, match="chmod 700"):
        ring.own()


def test_other_machines_are_allowed_with_keys_alone(
    ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOMOSHIBI_KEYS", str(ring.folder))
    monkeypatch.delenv("TOMOSHIBI_KEY_FILE", raising=False)
    ring.own()  # this user's own key, which is made without being asked for, opens no network
    with pytest.raises(EndpointError, match="without a key"):
        Endpoints("tcp://scanner.example.org:7100")
    ring.make("anna", "operate")
    for base in ("tcp://scanner.example.org:7100", "tcp://0.0.0.0:7100", "tcp://[fe80::1]:7100"):
        assert Endpoints(base).of("source") == base.replace("7100", "7101")
    assert json.loads((ring.folder / "clients.json").read_text())["version"] == 1
