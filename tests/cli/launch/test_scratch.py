"""What killed launchers leave in the folder for temporary files is removed by the next one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from daq.cli.launch.scratch import SCRATCH, new_scratch


def test_folders_of_launchers_that_are_gone_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.run([sys.executable, "-c", ""], check=True)
    assert gone.returncode == 0
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as living:
        kept = [f"{SCRATCH}{living.pid}-abc", f"{SCRATCH}word-abc", "tomoshibi-0", SCRATCH]
        for name in (*kept, f"{SCRATCH}999999999-abc"):
            (tmp_path / name / "logs").mkdir(parents=True)
        (tmp_path / f"{SCRATCH}999999998-link").symlink_to(tmp_path / "tomoshibi-0")
        own = new_scratch()
        living.communicate(b"")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*kept, own.name, f"{SCRATCH}999999998-link"}
    assert (tmp_path / "tomoshibi-0" / "logs").is_dir()


def test_a_number_that_another_process_has_now_keeps_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as living:
        (tmp_path / f"{SCRATCH}{living.pid}-abc").mkdir()
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: 4e9)  # begun later
        new_scratch()
        living.communicate(b"")
    assert not (tmp_path / f"{SCRATCH}{living.pid}-abc").exists()
