"""Trues lost to pile-up, against draws hit by hit."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.physics.constants import FWHM_PER_SIGMA
from hw.scanner.preset_file import load_scanner
from recon.core.scanner_tables import ReconSystem
from recon.lines.pile_up import kept_when_piled, pairs_not_piled_up, piled_share

SCANNER = load_scanner("caremibrain")
WINDOW = {"lld_keV": 350.0, "uld_keV": 650.0}


def spectrum(full: float = 0.7) -> np.ndarray:
    """Return a photopeak and an even Compton continuum up to 340 keV."""
    left = np.zeros(512)
    left[511] = full
    left[:341] = (1 - full) / 341
    return left


def drawn_counts(rng: np.random.Generator, *, piled: bool, n: int = 400_000) -> float:
    """Return the share of drawn hits that are read within the window."""
    hits = rng.choice(512, p=spectrum(), size=4 * n).astype(float)
    hits = hits[hits >= 40]
    first, second = hits[:n], hits[n : 2 * n]
    if piled:
        gap_ns = rng.uniform(0, SCANNER.response.integration_ns, n)
        whole = 1 - math.exp(-SCANNER.response.integration_ns / 40.0)
        first = (
            first
            + second * (1 - np.exp(-(SCANNER.response.integration_ns - gap_ns) / 40.0)) / whole
        )
    sigma = SCANNER.response.energy_fwhm_511 / FWHM_PER_SIGMA * 511 * np.sqrt(first / 511)
    read = rng.normal(first, sigma)
    return float(((read >= 350) & (read <= 650)).mean())


def test_what_a_second_hit_leaves_in_the_window_is_what_draws_leave() -> None:
    rng = np.random.default_rng(1)
    drawn = drawn_counts(rng, piled=True) / drawn_counts(rng, piled=False)
    found = kept_when_piled(SCANNER, spectrum(), **WINDOW)
    assert found == pytest.approx(drawn, abs=0.01)  # bins of 1 keV, 24 gaps
    assert 0.2 < found < 0.8


def test_a_window_that_holds_everything_loses_nothing() -> None:
    assert kept_when_piled(SCANNER, spectrum(), lld_keV=0, uld_keV=2000) == pytest.approx(1, 1e-3)
    assert kept_when_piled(SCANNER, np.zeros(512), **WINDOW) == 1.0


@pytest.mark.parametrize("model", ["non-paralysable", "paralysable"])
@given(rate_per_s=st.floats(1e2, 1e6))
def test_the_rate_is_found_from_the_dead_time(model: str, rate_per_s: float) -> None:
    response = msgspec.structs.replace(SCANNER.response, dead_time_model=model)
    scanner = msgspec.structs.replace(SCANNER, response=response)
    busy = rate_per_s * response.dead_time_ns * 1e-9
    dead = busy / (1 + busy) if model == "non-paralysable" else -math.expm1(-busy)
    expected = -math.expm1(-rate_per_s * response.integration_ns * 1e-9)
    assert piled_share(scanner, np.array([dead])) == pytest.approx(expected, rel=1e-9)


def test_a_scanner_without_dead_time_has_none() -> None:
    response = msgspec.structs.replace(SCANNER.response, dead_time_ns=0.0, integration_ns=0.0)
    scanner = msgspec.structs.replace(SCANNER, response=response)
    assert piled_share(scanner, np.array([0.1, 0.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("live", "lost"), [(0.95049, 0.01378), (0.96648, 0.00924)])
def test_pairs_lose_what_the_blocks_own_dead_times_tell(live: float, lost: float) -> None:
    """Two runs of 10 MBq (F-18, I-124): `reconstruct` found this from each module's dead time."""
    system = ReconSystem.of(SCANNER, energies_keV=(350.0, 650.0))
    kept = kept_when_piled(SCANNER, system.detection.efficiency.spectrum, **WINDOW)
    # the live share of the pairs in view stands for each module's: they differ by some per cent
    assert 1 - pairs_not_piled_up(SCANNER, live, kept) == pytest.approx(lost, rel=0.1)
    assert pairs_not_piled_up(SCANNER, 1.0, kept) == 1.0
