"""A log is brought to the disk beside the recording, and what fails is told."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from daq.folder.appended_file import AppendedFile
from daq.service.disk_sync import DiskSync
from rigs.acquisition_process import wait_until


@pytest.fixture
def log(tmp_path: Path) -> AppendedFile:
    file = AppendedFile(tmp_path / "log")
    file.append(b"head")
    return file


def test_what_is_written_is_on_the_disk_soon(log: AppendedFile) -> None:
    sync = DiskSync(log, every_s=0.01)
    for _ in range(3):
        log.append(bytes(1000))
        wait_until(lambda: sync.synced_bytes == log.size, "the sync")
    log.append(b"last")
    sync.close()
    assert sync.synced_bytes == 3008
    assert not sync.error


def test_a_slow_disk_delays_nobody_and_what_it_lost_stays_in_doubt(
    log: AppendedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, called = threading.Event(), threading.Event()
    failures = [OSError(errno.EIO, "Input/output error")]

    def slow(number: int) -> None:
        called.set()
        assert go_on.wait(20)
        if failures:
            raise failures.pop()

    monkeypatch.setattr(os, "fdatasync", slow)
    sync = DiskSync(log, every_s=0.01)
    assert called.wait(20)
    log.append(b" and more")
    assert (sync.synced_bytes, sync.error) == (0, "")
    go_on.set()
    wait_until(lambda: bool(sync.error), "the failure")
    assert "not safe on the disk beyond 0 bytes: Input/output error" in sync.error
    sync.close()
    assert sync.synced_bytes == 0  # a disk that lost something does not say so twice
    assert sync.error


def test_nothing_new_costs_no_sync(log: AppendedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [0]
    real = os.fdatasync

    def counted(number: int) -> None:
        calls[0] += 1
        real(number)

    monkeypatch.setattr(os, "fdatasync", counted)
    sync = DiskSync(log, every_s=0.001)
    wait_until(lambda: sync.synced_bytes == 4, "the first")
    for _ in range(20):
        threading.Event().wait(0.002)
    sync.close()
    assert calls == [1]


def test_what_lies_beside_is_brought_there_too(log: AppendedFile) -> None:
    sync, times = DiskSync(log, every_s=0.001), [0]

    def count() -> None:
        times[0] += 1
        raise OSError(errno.EIO, "Input/output error")

    sync.beside = count
    wait_until(lambda: times[0] > 2, "three times, whatever it raises")
    sync.close()
    assert not sync.error
