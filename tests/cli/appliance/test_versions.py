"""Versions side by side: at any moment, one whole version is in force."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daq.cli.appliance.versions import Unconfirmed, Versions
from daq.cli.common import CommandError
from rigs.appliance.trial_service import ROOT


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    """Three whole versions, of which the first is in force."""
    found = Versions(tmp_path)
    for name in ("one", "two", "three"):
        found.place(name).mkdir()
        found.finish(name)
    found.put_in_force("one", previous="")
    return found


def test_what_was_not_finished_is_never_put_in_force(versions):
    versions.place("half").mkdir()
    with pytest.raises(CommandError, match=r"half in .* is not whole"):
        versions.put_in_force("half", previous="one")
    assert versions.current == "one"


@pytest.mark.parametrize("name", ["", ".", "..", "../one", "a/b", "current", "previous", "-x"])
def test_a_name_leads_nowhere_else(versions, name):
    with pytest.raises(CommandError, match="no name of a version"):
        versions.place(name)
    assert not versions.is_whole(name) or name in ("current", "previous")


def test_of_the_others_none_is_kept_but_the_way_back(versions):
    versions.put_in_force("two", previous="one")
    assert versions.forget_others() == ["three"]
    assert (versions.current, versions.previous) == ("two", "one")


def test_before_a_change_is_confirmed_its_way_back_is_kept(versions):
    versions.note(Unconfirmed("two", "one", "three"))
    versions.put_in_force("two", previous="two")
    assert versions.forget_others() == []


def test_only_one_changes_something_at_a_time(versions):
    other = Versions(versions.folder)
    with versions.locked(), pytest.raises(CommandError, match="right now"), other.locked():
        pass
    with other.locked():
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"to": 1}', "null"])
def test_a_damaged_note_is_told_with_what_to_do(versions, text):
    (versions.folder / "unconfirmed.json").write_text(text)
    with pytest.raises(CommandError, match=r"unconfirmed\.json.*remove it"):
        versions.unconfirmed()


CHANGE = """
import os, signal, sys
from pathlib import Path
from daq.cli.appliance.versions import Unconfirmed, Versions

versions, left = Versions(Path(sys.argv[1])), int(sys.argv[2])

def look(event, arguments):
    global left
    if event in ("os.rename", "os.symlink", "os.remove", "open"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

versions.note, versions.put_in_force, versions.confirm  # what is loaded late is loaded now
sys.addaudithook(look)
versions.note(Unconfirmed("two", "one", "three"))
versions.put_in_force("two", previous="one")
versions.confirm()
"""


def test_killed_at_any_call_to_the_system_one_whole_version_is_in_force(versions):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    seen = set()
    for call in range(1, 200):
        versions.put_in_force("one", previous="three")
        versions.confirm()
        argv = [sys.executable, "-c", CHANGE, str(versions.folder), str(call)]
        status = subprocess.run(argv, env=env, timeout=60, check=False).returncode
        assert status in (0, -signal.SIGKILL)
        assert versions.current in ("one", "two")
        seen.add((versions.current, versions.unconfirmed() is not None))
        if status == 0:
            break
        if versions.current == "two":  # without a note of it nobody would know
            assert call == 1 or versions.unconfirmed() is not None or versions.previous == "one"
            assert versions.previous == "one"
    assert status == 0
    assert seen == {("one", False), ("one", True), ("two", True), ("two", False)}
