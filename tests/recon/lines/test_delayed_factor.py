"""Several delayed windows count the randoms several times: images must not know how many."""

from __future__ import annotations

import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from hw.messages.imager import CoincidenceBatch, RunBegin
from hw.messages.sort_settings import SortSettings
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from oracles.reconstruction import simulated_records
from recon.core.scanner_tables import ReconSystem
from recon.imager.pet_run import PetLiveRun
from recon.lines.randoms import CrystalRandoms, fan_counts
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import reconstruct
from recon.offline.run_data import RunData

BENCH = ReconSystem.of(load_scanner("bench2"))


@pytest.fixture(scope="module")
def prompts() -> np.ndarray:
    spread = np.random.default_rng(0).normal(0, 3, (160_000, 3))
    return simulated_records(BENCH.scanner, BENCH.geometry, spread, rate_Hz=1e4)[:1000]


def delayeds(copies: int) -> np.ndarray:
    """Return ``copies`` times the same 320 delayeds, as that many windows would find on average.

    Every crystal is in five of them: how much noise is taken out of the fan sums does depend on the
    number of windows.
    """
    records = np.zeros(320, dtype=COINCIDENCE)
    rng = np.random.default_rng(1)
    records["crystal_a"] = np.tile(np.arange(64), 5)
    records["crystal_b"] = 64 + np.concatenate([rng.permutation(64) for _ in range(5)])
    return np.tile(records, copies)


@pytest.mark.parametrize("factor", [1, 2, 8])
def test_the_background_is_the_randoms_rate_whatever_the_factor(factor: int) -> None:
    fans = fan_counts(delayeds(factor), BENCH.scanner.n_crystals)
    made = CrystalRandoms.of_delayeds(fans, BENCH, duration_s=5.0, delayed_factor=factor)
    assert made.total_per_s == pytest.approx(320 / 5.0, rel=1e-5)


def test_an_offline_image_is_the_same_with_eight_windows(prompts: np.ndarray) -> None:
    one, eight, forgotten = (
        reconstruct(
            RunData.of_records(
                prompts, delayeds(copies), scanner=BENCH.scanner, delayed_factor=factor
            ),
            ReconOptions(iterations=1, subsets=2),
        ).image
        for copies, factor in ((1, 1), (8, 8), (8, 1))
    )
    np.testing.assert_allclose(eight, one, rtol=1e-5, atol=1e-6 * one.max())
    assert np.abs(forgotten - one).max() > 0.01 * one.max()


def live_image(prompts: np.ndarray, settings: SortSettings) -> np.ndarray:
    """Return the live image of one batch in a run with these settings."""
    sensitivity = np.full(BENCH.grid.shape, 0.01, np.float32)
    imager = LiveImager(CrystalLines(BENCH), sensitivity, clock=lambda: 0.0, capacity=10_000)
    begin = RunBegin(
        run="r", folder="", scanner_toml=scanner_to_toml_text("bench2"), settings=settings
    )
    run = PetLiveRun(begin, imager, clock=lambda: 0.0)
    randoms = delayeds(settings.delayed_factor)
    batch = CoincidenceBatch(
        run="r", sequence=0, prompts=len(prompts), delayeds=len(randoms), prompts_before=0,
        delayeds_before=0, watermark_ps=10**11, event_wall_ns=0,
    )  # fmt: skip
    run.take(batch, [prompts.tobytes(), randoms.tobytes()])
    image = run.image(budget_s=0.01)
    imager.close()
    assert image is not None
    assert image.corrections["randoms"]
    return image.array()


def test_a_live_image_is_the_same_with_eight_windows(prompts: np.ndarray) -> None:
    plain = SortSettings(lld_keV=350, uld_keV=650, window_ps=5000, delay_ps=500_000)
    many = SortSettings(
        lld_keV=350, uld_keV=650, window_ps=5000, delay_ps=500_000, delay_windows=4,
        delay_sides="two",
    )  # fmt: skip
    one, eight = live_image(prompts, plain), live_image(prompts, many)
    np.testing.assert_allclose(eight, one, rtol=1e-5, atol=1e-6 * one.max())
