"""Books that do not close name the sum, by how much, and the modules."""

from __future__ import annotations

import msgspec
import pytest

from daq.folder.run_config import default_settings
from daq.path.books import Books, sent_by
from hw.messages.source import SourceReport
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from rigs.frames_factory import RUN_TAG, ModuleSender, SentRun, sent_run, single_words
from rigs.hashed_pipeline import HashedPipeline

BENCH = load_scanner("bench2")


def books_of(frames: list[bytes], report: SourceReport) -> Books:
    pipeline = HashedPipeline(
        BENCH, build_geometry(BENCH), default_settings(BENCH), run_tag=RUN_TAG
    )
    pipeline.sort(pipeline.check(frames))
    pipeline.finish()
    return Books(pipeline, sent_by([report], 2))


@pytest.fixture(scope="module")
def run() -> SentRun:
    return sent_run(n_modules=2, crystals_per_module=BENCH.crystals_per_module, periods=4)


def test_a_report_seven_too_high_is_named_with_its_module(run: SentRun) -> None:
    first, second = run.report.singles_emitted
    wrong = msgspec.structs.replace(run.report, singles_emitted=[first, second + 7])
    books = books_of(run.frames, wrong)
    assert not books.conserved()
    named = [words for words in books.open_sums() if "those its frames tell of" in words]
    assert named == [
        "singles that the source reports and those its frames tell of differ by 7 (module 1)"
    ]
    assert books_of(run.frames, run.report).open_sums() == []


def test_frames_sent_that_nobody_numbered_are_named(run: SentRun) -> None:
    first, second = run.report.frames_sent
    fewer = msgspec.structs.replace(run.report, frames_sent=[first - 2, second])
    words = books_of(run.frames, fewer).open_sums()
    assert any(w.startswith("frames sent, and received or lost differ by") for w in words)
    assert all("module 0" in w for w in words)


@pytest.mark.parametrize("told", ["always 0", "jumps by 5"])
def test_counters_of_events_that_disagree_with_the_numbers_do_not_pass_as_good(told: str) -> None:
    frames, sent, lost = [], 0, 3
    sender = ModuleSender(0)
    for k in range(8):
        before = 0 if told == "always 0" else sent + 5 * k
        frame = sender.frame(single_words(range(10)), events_before=before, last=k == 7)
        frames += [frame] * (k != lost)
        sent += 10
    frames += [f for m in [ModuleSender(1)] for f in (m.frame(), m.frame(last=True))]
    report = SourceReport(
        run_tag=RUN_TAG, singles_emitted=[sent, 0], frames_sent=[8, 2], dead_events=[0, 0]
    )
    books = books_of(frames, report)
    assert books.frames()["lost"] == 1
    assert books.frames()["miscounted"] >= 5
    assert any("(module 0)" in words and "singles" in words for words in books.open_sums())
