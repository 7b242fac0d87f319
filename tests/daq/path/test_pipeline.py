"""The event path of a run: any batching and a replay give the same bits; the books close."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coincidence import order, pairs, select
from coincidence.calibration import Calibration, CalibrationError, no_calibration
from daq.folder.listmode_log import ListmodeReader, ListmodeWriter
from daq.folder.raw_log import RawLogReader, RawLogWriter
from daq.folder.run_config import default_settings
from daq.path import decode, frame_check
from daq.path.books import Books, sent_by
from daq.path.pipeline import pairs_in_view
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from hw.wire.block_layout import BlockKind
from rigs.frames_factory import RUN_TAG, SentRun, sent_run
from rigs.hashed_pipeline import HashedPipeline

BENCH = load_scanner("bench2")
GEOMETRY = build_geometry(BENCH)
CRYSTALS = BENCH.crystals_per_module


def new_pipeline(**changes: object) -> HashedPipeline:
    settings = changes.pop("settings", default_settings(BENCH))
    return HashedPipeline(BENCH, GEOMETRY, settings, run_tag=RUN_TAG, **changes)  # type: ignore[arg-type]


def bench_run(**changes: int) -> SentRun:
    return sent_run(n_modules=2, crystals_per_module=CRYSTALS, **changes)


def process(
    pipeline: HashedPipeline, batches: list[list[bytes]], raw_log: RawLogWriter | None = None
) -> str:
    """Process all batches; record them first, as a run does, where there is a raw log."""
    for batch in batches:
        checked = pipeline.check(batch)
        if raw_log is not None and len(checked):
            raw_log.append(checked.payload, frames=len(checked))
        pipeline.sort(checked)
    pipeline.finish()
    return pipeline.pairs.hash()


@given(data=st.data(), seed=st.integers(0, 50))
@settings(max_examples=40)
def test_any_batching_gives_the_same_hash(data: st.DataObject, seed: int) -> None:
    run = bench_run(seed=seed)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(run.frames)), max_size=6)))
    batches = [run.frames[i:j] for i, j in pairwise([0, *cuts, len(run.frames)])]
    whole, parts = new_pipeline(), new_pipeline()
    assert process(parts, batches) == process(whole, [run.frames])
    assert whole.sorter.counts == parts.sorter.counts
    assert whole.sorter.counts.prompts > 100
    np.testing.assert_array_equal(whole.spectrum, parts.spectrum)
    np.testing.assert_array_equal(whole.pairs.timing, parts.pairs.timing)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_any_number_of_threads_gives_the_same_bits(threads: int) -> None:
    run = bench_run(periods=20, singles_per_frame=200)
    pipeline, together = new_pipeline(), new_pipeline()
    outputs = pipeline.stream(([frame] for frame in run.frames), threads=threads)
    parts = [(out.prompts, out.delayeds, out.accepted.copy()) for out in outputs]
    last = pipeline.finish()
    process(together, [run.frames])
    assert pipeline.pairs.hash() == together.pairs.hash()
    assert pipeline.sorter.counts == together.sorter.counts
    accepted = np.concatenate([*(part[2] for part in parts), last.accepted])
    assert (np.diff(accepted["time_ps"]) >= 0).all()
    assert len(accepted) == pipeline.accepted.sum()


def test_batching_does_not_matter_with_skews_either() -> None:
    run = bench_run(singles_per_frame=400)
    rng = np.random.default_rng(2)
    calibration = Calibration(
        rng.uniform(0.8, 1.2, BENCH.n_crystals).astype(np.float32),
        rng.integers(-3000, 3000, BENCH.n_crystals).astype(np.int32),
    )
    one_by_one = process(new_pipeline(calibration=calibration), [[f] for f in run.frames])
    assert one_by_one == process(new_pipeline(calibration=calibration), [run.frames])
    assert one_by_one != process(new_pipeline(), [run.frames])


def test_a_replay_of_the_raw_log_gives_what_was_written_live(tmp_path: Path) -> None:
    run = bench_run(periods=12)
    rng = np.random.default_rng(6)
    frames = [f for f in run.frames if rng.random() > 0.1]
    frames = [
        frames[k] for k in np.argsort(np.arange(len(frames)) + rng.exponential(2, len(frames)))
    ]
    frames += [frames[3], b"rubbish", run.frames[5][:-1]]
    raw = RawLogWriter(tmp_path / "raw", {"run_tag": RUN_TAG})
    listmode = ListmodeWriter(tmp_path / "list", {})
    live = new_pipeline(listmode=listmode)
    hash_live = process(live, [frames[k : k + 5] for k in range(0, len(frames), 5)], raw)
    raw.close({})
    listmode.close({})
    replay = new_pipeline()
    assert process(replay, list(RawLogReader(tmp_path / "raw"))) == hash_live
    reader = ListmodeReader(tmp_path / "list")
    assert reader.digest()[0] == hash_live
    assert len(reader.read_all(BlockKind.PROMPTS)) == live.sorter.counts.prompts > 0
    assert len(reader.read_all(BlockKind.DELAYEDS)) == live.sorter.counts.delayeds
    np.testing.assert_array_equal(replay.checker.links, live.checker.links)
    np.testing.assert_array_equal(replay.decoder.line, live.decoder.line)


@given(seed=st.integers(0, 500))
@settings(max_examples=40)
def test_the_books_close_whatever_happens_on_the_way(seed: int) -> None:
    run = bench_run(periods=15, singles_per_frame=30, seed=seed)
    rng = np.random.default_rng(seed)
    arriving = []
    for frame in run.frames:
        fate = rng.choice(["whole", "whole", "whole", "lost", "twice", "damaged"])
        damaged = frame[:40] + bytes([frame[40] ^ 1]) + frame[41:]
        arriving += {"whole": [frame], "lost": [], "twice": [frame] * 2}.get(fate, [damaged])
    order_ = np.argsort(np.arange(len(arriving)) + rng.exponential(2, len(arriving)))
    pipeline = new_pipeline(stall_ps=4 * 5_242_880_000)
    process(pipeline, [[arriving[k] for k in order_]])
    books = Books(pipeline, sent_by([run.report], 2))
    assert books.conserved()
    frames, singles = books.frames(), books.singles()
    assert frames["sent"] == len(run.frames) == frames["received"] + frames["lost"]
    assert singles["emitted"] == singles["received"] + singles["lost"]
    places = ("accepted", "out_of_window", "late", "invalid")
    assert singles["received"] == sum(singles[name] for name in places)
    assert pipeline.sorter.singles == singles["accepted"]
    assert pipeline.spectrum.sum() == singles["accepted"] + singles["out_of_window"]
    assert pipeline.pairs.timing.sum() == pipeline.sorter.counts.prompts
    assert pipeline.pairs.timing_delayed.sum() == pipeline.sorter.counts.delayeds
    for key in ("accepted", "late", "invalid"):
        assert singles[key] == sum(module[key] for module in books.per_module())


def test_books_do_not_close_without_the_sources_own_account() -> None:
    run = bench_run()
    pipeline = new_pipeline()
    process(pipeline, [run.frames])
    assert not Books(pipeline, None).conserved()
    assert Books(pipeline, None).frames()["sent"] == len(run.frames)
    assert Books(pipeline, sent_by([run.report], 2)).conserved()
    assert sent_by([run.report], 3) is None
    assert sent_by([], 2) is None


def test_books_do_not_close_while_singles_are_held() -> None:
    run = bench_run()
    pipeline = new_pipeline()
    pipeline.process(run.frames[:-1])
    assert pipeline.order.held > 0
    assert not Books(pipeline, sent_by([run.report], 2)).conserved()


@pytest.mark.parametrize("what", ["frames_sent", "singles_emitted"])
def test_books_do_not_close_where_more_came_than_was_sent(what: str) -> None:
    run = bench_run()
    pipeline = new_pipeline()
    process(pipeline, [run.frames])
    getattr(run.report, what)[1] -= 1
    assert not Books(pipeline, sent_by([run.report], 2)).conserved()


def test_the_tail_that_never_came_is_lost() -> None:
    run = bench_run(periods=5, singles_per_frame=40)
    pipeline = new_pipeline()
    process(pipeline, [run.frames[:-4]])
    books = Books(pipeline, sent_by([run.report], 2))
    assert (books.frames()["lost"], books.singles()["lost"]) == (4, 160)
    assert books.conserved()


def test_reports_of_several_sources_add_up() -> None:
    one = bench_run(periods=2, singles_per_frame=3).report
    both = sent_by([one, one], 2)
    assert both is not None
    assert both.frames.tolist() == [4, 4]
    assert both.singles.tolist() == [12, 12]


def test_a_calibration_for_another_scanner_is_refused() -> None:
    with pytest.raises(CalibrationError, match="another scanner"):
        new_pipeline(calibration=no_calibration(5))


def test_a_module_never_pairs_with_itself() -> None:
    for name in ("bench2", "caremibrain"):
        allowed = pairs_in_view(load_scanner(name), 0)
        assert not allowed.diagonal().any()
        assert (allowed == allowed.T).all()
        assert allowed.sum() == len(allowed) * (len(allowed) - 1)


def test_a_live_run_and_a_replay_compile_nothing_after_warming(tmp_path: Path) -> None:
    def signatures() -> dict[str, int]:
        modules = (order, pairs, select, decode, frame_check)
        return {
            f"{module.__name__}.{name}": len(thing.signatures)
            for module in modules
            for name, thing in vars(module).items()
            if hasattr(thing, "signatures")
        }

    warm = signatures()
    assert len(warm) >= 12
    raw = RawLogWriter(tmp_path / "raw", {})
    run = bench_run()
    process(new_pipeline(), [[], run.frames[:1], run.frames[1:], [b"bad", run.frames[0]]], raw)
    raw.close({})
    process(new_pipeline(), list(RawLogReader(tmp_path / "raw")))
    assert signatures() == warm
