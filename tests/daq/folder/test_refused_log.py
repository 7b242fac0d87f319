"""What is refused is kept with its verdict and its place, within bounds, and ends nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daq.folder import refused_log
from daq.folder.refused_log import BURST_BYTES, REFUSED, RefusedFrames, RefusedReader
from daq.folder.run_config import RunConfig
from daq.path.frame_check import Refused, Verdict
from daq.replay.sort_again import verify
from daq.service.run import Run
from rigs.frames_factory import ModuleSender, sent_run, single_words

HEAD = {"run": "x"}


def refused(size: int = 100, *, verdict: Verdict = Verdict.BAD_CRC, place: int = 7) -> Refused:
    return Refused(b"a" * size, verdict, place=place, before=place - 2)


def test_frames_come_back_with_their_records(tmp_path: Path) -> None:
    log = RefusedFrames(tmp_path / "r.tmraw", HEAD)
    log.keep([refused(0), refused(3, verdict=Verdict.OUT_OF_STEP, place=9)], 5)
    log.keep([refused(70)], 6)
    log.close()
    reader = RefusedReader(tmp_path / "r.tmraw")
    found = list(reader)
    assert [len(frame) for _, frame in found] == [0, 3, 70]
    assert found[1][0].item() == (5, 7, 9, 3, Verdict.OUT_OF_STEP)
    assert reader.end == {"refused_kept": 3, "refused_not_kept": {}}


def test_there_is_no_file_where_nothing_was_refused(tmp_path: Path) -> None:
    log = RefusedFrames(tmp_path / "r.tmraw", HEAD)
    log.keep([], 5)
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_beyond_the_bounds_is_counted_by_verdict(tmp_path: Path) -> None:
    size = BURST_BYTES // 4 - REFUSED.itemsize
    log = RefusedFrames(tmp_path / "r.tmraw", HEAD, most_bytes=BURST_BYTES + 1000)
    log.keep([refused(size)] * 6, 10**9)
    assert (log.kept, log.not_kept) == (4, {"bad_crc": 2})
    log.keep([refused(100), refused(900, verdict=Verdict.DUPLICATE)], 3 * 10**9)
    assert (log.kept, log.not_kept) == (5, {"bad_crc": 2, "duplicate": 1})
    log.close()


def test_a_log_that_cannot_be_written_is_told_and_counts(tmp_path: Path) -> None:
    log = RefusedFrames(tmp_path / "none" / "r.tmraw", HEAD)
    for _ in range(2):
        log.keep([refused()], 5)
    log.close()
    assert (log.kept, log.not_kept) == (0, {"bad_crc": 2})
    assert "only counted" in log.error


@pytest.fixture
def run(tmp_path: Path, make_config: Callable[..., RunConfig]) -> Run:
    return Run(make_config(name="x", run_tag=sent().report.run_tag), tmp_path)


def sent():
    return sent_run(n_modules=2, crystals_per_module=64, periods=20)


def test_a_run_keeps_what_it_refuses_and_sorts_again_to_the_same_bits(run: Run) -> None:
    frames = sent().frames
    stray = ModuleSender(1).frame(single_words([1]), frame_id=10**6, sequence=7)
    frames[14:14] = [frames[3], stray, frames[5][:-1]]
    run.process(frames[:15])
    run.process(frames[15:])
    run.finish()
    found = list(RefusedReader(run.folder / refused_log.FILE_NAME))
    assert {int(record["place"]): Verdict(record["verdict"]) for record, _ in found} == {
        14: Verdict.DUPLICATE,
        15: Verdict.OUT_OF_STEP,
        16: Verdict.BAD_LENGTH,
    }
    assert [int(record["before"]) for record, _ in found] == [14, 14, 14]
    summary = run.write_summary()
    assert (summary["refused_kept"], summary["refused_not_kept"]) == (3, {})
    assert verify(run.folder).identical
    np.testing.assert_array_equal(run.pipeline.links["lost"], 0)
