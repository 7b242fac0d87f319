"""Dead-time curves through data frames: recorded rates follow theory, live time undoes them.

A Poisson stream of rate n is thinned by the textbook's two models with dead time θ per module
(G. F. Knoll, Radiation Detection and Measurement, 4th ed., ch. 4 VII):

    non-paralysable  m = n / (1 + n·θ)        paralysable  m = n · exp(−n·θ)

The dead time itself is measured here as a module would, as the union of its dead intervals.
"""

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

DEAD_NS = 1_000.0
UNIT_NS = 5.0
PERIOD_NS = FRAME_PERIOD_PS / 1000
TICK_NS = PERIOD_NS / FRAME_PERIOD_TICKS
PERIODS = 100
BENCH = load_scanner("bench2")
MakeConfig = Callable[..., RunConfig]


def thinned(arrivals_ns: np.ndarray, model: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (recorded times, end of the dead interval of every arrival that began or prolonged
    one); one arrival after the other, as a circuit does."""
    recorded, ends, dead_until = [], np.empty(len(arrivals_ns)), -math.inf
    for k, t in enumerate(arrivals_ns):
        if t >= dead_until:
            recorded.append(t)
            dead_until = t + DEAD_NS
        elif model == "paralysable":
            dead_until = t + DEAD_NS
        ends[k] = dead_until
    return np.array(recorded), ends


def dead_units(arrivals_ns: np.ndarray, ends_ns: np.ndarray) -> np.ndarray:
    """Return the dead time of each period in units of 5 ns: the union of [arrival, end)."""
    begins = np.maximum(arrivals_ns, np.r_[-np.inf, ends_ns[:-1]])
    edges = np.arange(PERIODS + 1)[:, None] * PERIOD_NS
    inside = np.minimum(ends_ns, edges[1:]) - np.maximum(begins, edges[:-1])
    return np.round(np.maximum(inside, 0).sum(axis=1) / UNIT_NS).astype(np.int64)


def frames_of(module: int, rate: float, model: str, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    span_ns = PERIODS * PERIOD_NS
    arrivals = np.sort(rng.uniform(0, span_ns, rng.poisson(rate * span_ns * 1e-9)))
    recorded, ends = thinned(arrivals, model)
    dead, sender = dead_units(arrivals, ends), ModuleSender(module)
    period = (recorded // PERIOD_NS).astype(np.int64)
    frames = []
    for k in range(PERIODS):
        ticks = ((recorded[period == k] - k * PERIOD_NS) / TICK_NS).astype(np.int64)
        words = single_words(np.minimum(ticks, FRAME_PERIOD_TICKS - 1))
        frames.append(sender.frame(words, last=k == PERIODS - 1, dead_time=int(dead[k])))
    return frames


@pytest.mark.parametrize("model", ["non-paralysable", "paralysable"])
@pytest.mark.parametrize("load", [0.1, 0.5, 1.0])
def test_recorded_rates_follow_theory_and_live_time_gives_the_true_rate(
    tmp_path: Path, make_config: MakeConfig, model: str, load: float
) -> None:
    """Within 1 %: 0.52 s at n·θ = 0.1 to 1 are 0.1 to 1 million arrivals, 3σ below 0.95 %."""
    true_rate = load / (DEAD_NS * 1e-9)
    settings = default_settings(BENCH, window_ps=200_000, delay_ps=5_000_000)
    run = Run(make_config(settings=settings), tmp_path)
    modules = [frames_of(m, true_rate, model, seed=m + int(10 * load)) for m in range(2)]
    for frames in zip(*modules, strict=True):
        run.process(list(frames))
    run.finish()
    live, seconds = run.takers.statistics.live_time, PERIODS * PERIOD_NS * 1e-9
    factor = 1 / (1 + load) if model == "non-paralysable" else math.exp(-load)
    counts = run.pipeline.selector.accepted
    assert counts.sum() / (2 * seconds * true_rate) == pytest.approx(factor, rel=0.01)
    corrected = counts.sum() / live.module_s.sum()
    assert corrected == pytest.approx(true_rate, rel=0.01)
    np.testing.assert_allclose(live.module_s / seconds, factor, rtol=0.01)
    # Pairs of independent modules: their live time is the product of the fractions.
    summary = run.summary()
    randoms = summary["prompts"] / live.pair_s[0, 1]
    expected = 2 * settings.window_ps * 1e-12 * true_rate**2
    assert randoms == pytest.approx(expected, rel=4 / math.sqrt(summary["prompts"]))
    assert abs(summary["randoms"]["ratio"] - 1) < 3 * summary["randoms"]["ratio_sigma"]
