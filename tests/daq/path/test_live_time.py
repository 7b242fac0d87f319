"""Rates divided by live time are the true ones, whatever was lost on the way; exact on frames made
for it, and the same for any batching."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daq.folder.run_config import RunConfig, default_settings
from daq.service.run import Run
from hw.scanner.preset_file import load_scanner
from hw.wire.protocol import FRAME_PERIOD_PS, FRAME_PERIOD_TICKS
from rigs.frames_factory import ModuleSender, single_words

MakeConfig = Callable[..., RunConfig]
PERIOD_S = FRAME_PERIOD_PS * 1e-12
BENCH = load_scanner("bench2")


def pair_frames(
    periods: int, *, seed: int, pairs: int = 200, extra: int = 300
) -> list[list[bytes]]:
    """Return frames of both modules by period: Poisson singles, some of them true pairs."""
    rng, senders = np.random.default_rng(seed), [ModuleSender(0), ModuleSender(1)]
    found = []
    for period in range(periods):
        shared = rng.integers(0, FRAME_PERIOD_TICKS, rng.poisson(pairs))
        frames = []
        for sender in senders:
            own = rng.integers(0, FRAME_PERIOD_TICKS, rng.poisson(extra))
            words = single_words(np.concatenate((shared, own)))
            frames.append(sender.frame(words, last=period == periods - 1))
        found.append(frames)
    return found


def processed(config: RunConfig, root: Path, batches: list[list[bytes]]) -> Run:
    run = Run(config, root)
    for frames in batches:
        run.process(frames)
    run.finish()
    return run


def test_a_run_without_a_fault_was_live_all_the_time(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    live = processed(make_config(), tmp_path, pair_frames(10, seed=1)).summary()["live_time"]
    seconds = round(10 * PERIOD_S, 6)
    assert live == {
        "detector_s": seconds,
        "mean_pair_fraction": 1.0,
        "module_s": [seconds, seconds],
        "dead_s": [0.0, 0.0],
        "lost_s": [0.0, 0.0],
        "stalled_s": [0.0, 0.0],
        "pair_s": [[0.0, seconds], [seconds, 0.0]],
    }


def test_dropped_frames_lower_the_live_time_and_no_corrected_rate(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    """Module 0 loses a fifth of its frames, module 1 a half: exact times, rates within 3σ."""
    rng, whole = np.random.default_rng(4), pair_frames(200, seed=2)
    kept = rng.random((200, 2)) < [0.8, 0.5]
    kept[-1] = True
    batches = [
        [frame for frame, keep in zip(frames, row, strict=True) if keep]
        for frames, row in zip(whole, kept, strict=True)
    ]
    run = processed(make_config(stall_s=60), tmp_path, batches)
    live, summary = run.takers.statistics.live_time, run.summary()
    np.testing.assert_allclose(live.module_s, kept.sum(axis=0) * PERIOD_S)
    np.testing.assert_allclose(live.lost_s, (~kept).sum(axis=0) * PERIOD_S)
    np.testing.assert_allclose(live.pair_s[0, 1], kept.all(axis=1).sum() * PERIOD_S)
    assert live.stalled_s.tolist() == [0, 0]
    singles_rate = run.pipeline.selector.accepted / live.module_s
    sigma = np.sqrt(run.pipeline.selector.accepted) / live.module_s
    np.testing.assert_array_less(np.abs(singles_rate - 500 / PERIOD_S), 3 * sigma)
    trues = summary["prompts"] - summary["randoms"]["estimate_singles"]
    pairs_rate = trues / live.pair_s[0, 1]
    assert abs(pairs_rate - 200 / PERIOD_S) < 3 * math.sqrt(summary["prompts"]) / live.pair_s[0, 1]
    assert trues / summary["detector_time_s"] < 0.5 * pairs_rate


def test_a_module_that_stalls_and_comes_back_was_dead_in_between(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    """Silent for 60 periods with a bound of 20: while it holds the others back its time counts
    too, and so does the one frame that came late because the others had gone on."""
    whole = pair_frames(120, seed=3)
    batches = [frames if not 30 <= k < 90 else frames[:1] for k, frames in enumerate(whole)]
    run = processed(make_config(stall_s=20 * PERIOD_S), tmp_path, batches)
    live, books = run.takers.statistics.live_time, run.books()
    assert books.frames()["module_stalls"] == 1
    late = books.frames()["late"]
    np.testing.assert_allclose(live.module_s, np.array([120, 60 - late]) * PERIOD_S)
    np.testing.assert_allclose(live.pair_s[0, 1], (60 - late) * PERIOD_S)
    np.testing.assert_allclose((live.stalled_s + live.lost_s)[1], (60 + late) * PERIOD_S)
    assert live.stalled_s[1] > 0.9 * 60 * PERIOD_S
    accepted = run.pipeline.selector.accepted
    rate = accepted / live.module_s
    np.testing.assert_array_less(np.abs(rate * PERIOD_S - 500), 3 * np.sqrt(accepted) / 60)


@pytest.mark.parametrize("seed", [1, 2])
def test_any_batching_of_a_bad_link_gives_the_same_live_times(
    tmp_path: Path, make_config: MakeConfig, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    frames = [frame for frames in pair_frames(60, seed=seed) for frame in frames]
    frames = [frame for frame in frames if rng.random() > 0.2]
    late = np.argsort(np.arange(len(frames)) + rng.exponential(3, len(frames)))
    frames = [frames[k] for k in late]
    cuts = np.sort(rng.integers(0, len(frames), 9))
    config = make_config(stall_s=3.5 * PERIOD_S)
    pieces = [frames[i:j] for i, j in zip([0, *cuts], [*cuts, len(frames)], strict=True)]
    live = [
        processed(config, tmp_path / str(k), batches).takers.statistics.live_time
        for k, batches in enumerate([pieces, [frames], [[frame] for frame in frames]])
    ]
    assert live[0].lost_s.min() > 0
    for other in live[1:]:
        for name in ("module_s", "pair_s", "dead_s", "lost_s", "stalled_s"):
            np.testing.assert_array_equal(getattr(live[0], name), getattr(other, name))


def test_a_run_cut_off_counts_up_to_its_newest_frame(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    batches = pair_frames(8, seed=1)[:5]
    run = processed(make_config(), tmp_path, [*batches, pair_frames(8, seed=1)[5][:1]])
    live = run.takers.statistics.live_time
    np.testing.assert_allclose(live.module_s, np.array([6, 5]) * PERIOD_S)
    assert live.detector_s == pytest.approx(6 * PERIOD_S)


def test_events_lost_in_a_modules_queue_lower_its_live_time(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    sender = ModuleSender(0)
    words = single_words(np.arange(75))
    other = ModuleSender(1)
    run = processed(
        make_config(settings=default_settings(BENCH)),
        tmp_path,
        [[sender.frame(words, lost_events=25), other.frame(words)]],
    )
    assert run.summary()["live_time"]["module_s"] == [
        round(0.75 * PERIOD_S, 6), round(PERIOD_S, 6)
    ]  # fmt: skip
    assert run.summary()["live_time"]["lost_s"] == [round(0.25 * PERIOD_S, 6), 0.0]
