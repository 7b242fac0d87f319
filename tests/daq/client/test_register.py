"""The register of running systems believes the process that wrote a file, and no other."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from daq.client.register import describe_self, registered, running_systems
from hw.private_place import PlaceError, runtime_folder


@pytest.fixture(autouse=True)
def _own_runtime_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def ourselves():
    return describe_self("ipc:///tmp/x", runs=Path("runs"), scanner="bench2", by="demo")


def test_a_system_is_listed_while_it_runs_and_not_after():
    with registered(ourselves()):
        assert running_systems() == [ourselves()]
        file = runtime_folder() / "systems" / f"{os.getpid()}.json"
        assert file.parent.stat().st_mode & 0o777 == 0o700
    assert running_systems() == []
    assert not file.exists()


@pytest.mark.parametrize("changes", [{"started": 7}, {"pid": 2**22 + 1}])
def test_a_process_number_that_was_given_away_again_is_not_believed(changes):
    stale = msgspec.structs.replace(ourselves(), **changes)
    with registered(stale):
        file = runtime_folder() / "systems" / f"{stale.pid}.json"
        assert file.exists()
        assert running_systems() == []
        assert not file.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"pid": "x"}', b"\xff" * 100_000])
def test_a_file_that_is_none_of_ours_is_removed(content):
    with registered(ourselves()):
        strange = runtime_folder() / "systems" / "1.json"
        strange.write_bytes(content)
        assert running_systems() == [ourselves()]
        assert not strange.exists()


def test_a_folder_that_others_may_enter_is_refused():
    runtime_folder().mkdir(mode=0o755)
    runtime_folder().chmod(0o755)
    with pytest.raises(PlaceError, match="chmod 700"):
        running_systems()
