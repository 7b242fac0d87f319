"""What waits to be sorted: in memory within a bound, beyond it read from the raw log again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from daq.errors import LogError
from daq.folder.raw_log import RawLogWriter
from daq.path.frame_check import CheckedFrames, FrameChecker, joined, recorded_frames
from daq.service.backlog import Backlog
from rigs.frames_factory import RUN_TAG, sent_run


def batches() -> list[CheckedFrames]:
    """Return the frames of a run, checked in batches of 7."""
    frames = sent_run(n_modules=2, crystals_per_module=64).frames
    checker = FrameChecker(n_modules=2, run_tag=RUN_TAG)
    return [checker.check(frames[k : k + 7]) for k in range(0, len(frames), 7)]


def same(one: CheckedFrames, other: CheckedFrames) -> bool:
    return (
        one.payload == other.payload
        and np.array_equal(one.headers, other.headers)
        and np.array_equal(one.word_starts, other.word_starts)
    )


def test_recorded_frames_are_what_was_checked() -> None:
    for checked in batches():
        assert len(checked)
        assert same(recorded_frames(checked.payload), checked)
    assert len(recorded_frames(b"")) == 0


def test_two_batches_joined_are_as_if_checked_together() -> None:
    first, second, *_ = batches()
    assert same(joined(first, second), recorded_frames(first.payload + second.payload))


@pytest.mark.parametrize("most_bytes", [0, 3000, 1 << 30])
def test_batches_come_back_in_order_from_memory_or_disk(tmp_path: Path, most_bytes: int) -> None:
    log = RawLogWriter(tmp_path / "raw.tmraw", {})
    backlog, made = Backlog(log.file, most_bytes=most_bytes), batches()
    for number, checked in enumerate(made):
        place = log.append(checked.payload, frames=len(checked))
        backlog.add(checked, place, newest_ps=number)
    assert len(backlog) == len(made)
    assert backlog.bytes == sum(len(one.payload) for one in made)
    assert (backlog.unloaded == 0) == (most_bytes == 1 << 30)
    assert backlog.newest_ps == len(made) - 1
    for checked in made:
        assert same(backlog.take(), checked)
    assert not backlog
    assert (backlog.bytes, backlog.unloaded) == (0, 0)


def test_memory_is_used_again_once_it_is_free(tmp_path: Path) -> None:
    log = RawLogWriter(tmp_path / "raw.tmraw", {})
    first, second, *_ = batches()
    backlog = Backlog(log.file, most_bytes=len(first.payload))
    for _ in range(2):
        backlog.add(first, log.append(first.payload, frames=len(first)), 0)
        backlog.add(second, log.append(second.payload, frames=len(second)), 0)
        assert backlog.unloaded == 1
        assert same(backlog.take(), first)
        assert same(backlog.take(), second)


def test_a_log_that_was_spoilt_meanwhile_is_an_error_in_words(tmp_path: Path) -> None:
    path = tmp_path / "raw.tmraw"
    log, checked = RawLogWriter(path, {}), batches()[0]
    backlog = Backlog(log.file, most_bytes=0)
    place = log.append(checked.payload, frames=len(checked))
    backlog.add(checked, place, 0)
    with path.open("r+b") as file:
        file.seek(place.position + 50)
        file.write(b"\xff\x00\xff")
    with pytest.raises(LogError, match="damaged"):
        backlog.take()
