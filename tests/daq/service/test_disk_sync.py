"""A log is brought to the disk beside the recording, and what fails is told."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from daq.service.disk_sync import DiskSync
from rigs.acquisition_process import wait_until


def test_what_is_written_is_on_the_disk_soon(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"head")
    sync = DiskSync(path, every_s=0.01)
    for _ in range(3):
        with path.open("ab") as file:
            file.write(bytes(1000))
        wait_until(lambda: sync.synced_bytes == path.stat().st_size, "the sync")
    with path.open("ab") as file:
        file.write(b"last")
    sync.close()
    assert sync.synced_bytes == 3008
    assert not sync.error


def test_a_slow_disk_delays_nobody_and_a_failing_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, go_on, called = tmp_path / "log", threading.Event(), threading.Event()
    path.write_bytes(b"head")
    failures = [OSError(errno.EIO, "Input/output error")]

    def slow(number: int) -> None:
        called.set()
        assert go_on.wait(20)
        if failures:
            raise failures.pop()

    monkeypatch.setattr(os, "fdatasync", slow)
    sync = DiskSync(path, every_s=0.01)
    assert called.wait(20)
    path.write_bytes(b"head and more")
    assert (sync.synced_bytes, sync.error) == (0, "")
    go_on.set()
    wait_until(lambda: sync.synced_bytes == 13, "the second try")
    assert not sync.error
    assert not failures
    sync.close()


def test_nothing_new_costs_no_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, calls = tmp_path / "log", [0]
    path.write_bytes(b"head")
    real = os.fdatasync

    def counted(number: int) -> None:
        calls[0] += 1
        real(number)

    monkeypatch.setattr(os, "fdatasync", counted)
    sync = DiskSync(path, every_s=0.001)
    wait_until(lambda: sync.synced_bytes == 4, "the first")
    for _ in range(20):
        threading.Event().wait(0.002)
    sync.close()
    assert calls == [1]
