"""Randoms of lines from fan sums: totals, skewed crystals, few counts, GATE's truth."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from coincidence.events import COINCIDENCE, END_OF_TIME_PS, SINGLE
from coincidence.sorter import CoincidenceSorter
from hw.messages.sort_settings import SortSettings
from hw.scanner.preset_file import load_scanner
from recon.core.scanner_tables import ReconSystem
from recon.lines.crystal_products import LineArrayError
from recon.lines.model import LineModel
from recon.lines.randoms import CrystalRandoms, fan_counts, shrink

GATE = Path(os.environ.get("TOMOSHIBI_REFERENCE_DATA", "")) / "gate"
SYSTEM = ReconSystem.of(load_scanner("tof_brain"))
N, EACH = SYSTEM.scanner.n_crystals, SYSTEM.scanner.crystals_per_module


def skewed_singles(seed: int = 0) -> np.ndarray:
    """Singles rates that differ by module, by place in the block and by crystal."""
    rng = np.random.default_rng(seed)
    place = 1.0 + 0.4 * np.cos(np.arange(EACH))
    rate = rng.uniform(0.5, 1.5, 48)[:, None] * place * rng.lognormal(0.0, 0.3, (48, EACH))
    return rate.reshape(-1)


def delayeds_of(rate: np.ndarray, total: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Draw delayeds of each crystal pair's expectation; return fan sums and the expected fans."""
    rng = np.random.default_rng(seed)
    expected_fan, fan = np.zeros(N), np.zeros(N)
    module = rate.reshape(48, EACH).sum(axis=1)
    pair = np.triu(np.outer(module, module) * SYSTEM.allowed, 1)
    pair *= total / pair.sum()
    share = rate.reshape(48, EACH) / module[:, None]
    for a, b in np.argwhere(pair > 0):
        drawn = rng.poisson(pair[a, b])
        for side in (a, b):
            here = slice(side * EACH, (side + 1) * EACH)
            fan[here] += rng.multinomial(drawn, share[side])
            expected_fan[here] += pair[a, b] * share[side]
    return fan, expected_fan


def fans_of(randoms: CrystalRandoms) -> np.ndarray:
    """Σ_b r_ab of each crystal, by the pair table, per second."""
    module = randoms.lines.crystal.reshape(48, EACH).sum(axis=1, dtype=np.float64)
    seen = SYSTEM.allowed.astype(float) @ module
    return randoms.lines.crystal * np.repeat(seen, EACH)


def rms(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.average((found / truth - 1) ** 2, weights=truth)))


def test_many_delayeds_give_each_crystal_its_own() -> None:
    rate = skewed_singles()
    fans, truth = delayeds_of(rate, 2_000_000)
    made = CrystalRandoms.of_delayeds(fans, SYSTEM, duration_s=10.0, delayed_factor=2)
    # 580 counts a crystal: 4.2 % of Poisson noise
    assert rms(fans_of(made) * 20.0, truth) < 0.05
    assert made.own_share > 0.9
    assert made.total_per_s == pytest.approx(fans.sum() / 2 / 20.0, rel=1e-5)


def test_few_delayeds_share_the_block() -> None:
    rate = np.repeat(np.linspace(0.5, 1.5, 48), EACH)
    fans, truth = delayeds_of(rate, 4_000)
    made = CrystalRandoms.of_delayeds(fans, SYSTEM, duration_s=1.0, delayed_factor=1)
    assert made.own_share < 0.05
    assert rms(fans, truth) > 0.9  # one count a crystal
    assert rms(fans_of(made), truth) < 0.12  # 167 counts a module: 8 %


def test_singles_tell_the_shape_within_a_module() -> None:
    rate = skewed_singles()
    fans, truth = delayeds_of(rate, 4_000)
    singles = np.random.default_rng(3).poisson(rate * 1000)
    options = {"duration_s": 1.0, "delayed_factor": 1}
    blind = CrystalRandoms.of_delayeds(fans, SYSTEM, **options)
    made = CrystalRandoms.of_delayeds(fans, SYSTEM, crystal_singles=singles, **options)
    assert rms(fans_of(made), truth) < 0.12 < 0.25 < rms(fans_of(blind), truth)


def test_addend_of_an_event_is_its_bin_of_the_window() -> None:
    made = CrystalRandoms.of_delayeds(np.ones(N), SYSTEM, duration_s=1.0, delayed_factor=1)
    records = np.zeros(2, COINCIDENCE)
    records["crystal_a"], records["crystal_b"] = 5, [8 * EACH, N + 7]
    model = LineModel(SYSTEM, [], [made])
    located = model.locate(records)
    rate = made.of_records(records, located)
    line = float(made.lines.of_lines(np.array([5]), np.array([8 * EACH]))[0])
    # 25 ps of a window of 2 · 2000 ps; a damaged record has none
    assert rate[0] == pytest.approx(line * 25 / 4000) and rate[1] == 0
    assert model.events(records).addend[0] == pytest.approx(rate[0] / located.gain[0])


def test_no_delayeds_are_no_randoms() -> None:
    made = CrystalRandoms.of_delayeds(np.zeros(N), SYSTEM, duration_s=1.0, delayed_factor=1)
    assert made.total_per_s == 0 and not made.lines.crystal.any()


def test_delayeds_of_pairs_that_may_not_be_give_finite_rates() -> None:
    """Both crystals in one module of bench2: no rates can have these fans; the total is kept."""
    bench = ReconSystem.of(load_scanner("bench2"))
    fans = np.concatenate([np.full(64, 10.0), np.full(64, 2.0)])
    made = CrystalRandoms.of_delayeds(fans, bench, duration_s=1.0, delayed_factor=1)
    assert made.total_per_s == pytest.approx(fans.sum() / 2, rel=1e-5)


def test_counts_of_another_scanner_are_refused() -> None:
    with pytest.raises(LineArrayError, match="another scanner"):
        CrystalRandoms.of_delayeds(np.ones(3), SYSTEM, duration_s=1.0, delayed_factor=1)


def test_shrinking_leaves_what_is_certain() -> None:
    counts = np.array([10_000.0, 20_000.0, 30_000.0])
    shrunk, own = shrink(counts, np.full(3, 20_000.0))
    assert np.allclose(shrunk, counts, rtol=1e-3) and own > 0.99


@pytest.mark.reference_data
@pytest.mark.skipif(not GATE.is_dir(), reason="TOMOSHIBI_REFERENCE_DATA has no GATE singles")
def test_randoms_of_gate_agree_with_truth() -> None:
    """2,677 pairs are random by truth; delayeds of two windows, both sides."""
    with np.load(GATE / "watercyl20cm_2MBq_200ms_singles.npz") as file:
        t_fs = np.round(file["t_ns"] * 1e6).astype(np.int64)
        order = np.argsort(t_fs, kind="stable")
        block = file["block"][order].astype(np.int64)
        singles = np.zeros(len(order), SINGLE)
        singles["time_ps"] = t_fs[order]
    care = ReconSystem.of(load_scanner("caremibrain"), min_sector_difference=0)
    each = care.scanner.crystals_per_module
    singles["crystal"] = block * each + np.arange(len(block)) % each
    settings = SortSettings(
        lld_keV=0, uld_keV=1, window_ps=5_000_000, delay_ps=500_000_000, min_sector_difference=0,
        delay_windows=2, delay_sides="two",
    )  # fmt: skip
    pairs = ~np.eye(48, dtype=bool)
    sorter = CoincidenceSorter(
        settings, module_of=care.geometry.crystal_module, allowed_pairs=pairs
    )
    delayeds = sorter.push(singles, int(END_OF_TIME_PS)).delayeds
    fans = fan_counts(delayeds, care.scanner.n_crystals)
    made = CrystalRandoms.of_delayeds(
        fans, care, duration_s=0.2, delayed_factor=settings.delayed_factor
    )
    sigma = np.sqrt(2677 + len(delayeds) / settings.delayed_factor**2)
    assert made.total_per_s * 0.2 == pytest.approx(2677, abs=3 * sigma)
