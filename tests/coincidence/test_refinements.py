"""Non-linearity, time walk and depth corrections equal their formulas, in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coincidence.calibration import Calibration, CalibrationError
from coincidence.events import SINGLE
from coincidence.select import Selector, window_table
from hw.messages.sort_settings import SortSettings

MODULE_OF = np.zeros(5, dtype=np.uint16)
ALL = SortSettings(lld_keV=0, uld_keV=6553.5, window_ps=1, delay_ps=0)


def some_calibration(seed: int) -> Calibration:
    rng = np.random.default_rng(seed)
    return Calibration(
        rng.uniform(0.5, 2, 5).astype(np.float32),
        rng.integers(-1000, 1000, 5).astype(np.int32),
        curvature=rng.uniform(-0.2, 0.2, 5).astype(np.float32),
        walk_ps=rng.uniform(-300, 300, 5).astype(np.float32),
        doi_gain=rng.uniform(0.9, 1.1, 8).astype(np.float32),
        doi_ps=rng.uniform(-50, 50, 8).astype(np.float32),
    )


def corrected(singles: np.ndarray, c: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Return (energy in keV, time in ps) by the formulas of docs/coincidence.md."""
    i, d = singles["crystal"], singles["doi"]
    e = singles["energy"] / 10 * c.gain[i].astype(float) * c.doi_gain[d].astype(float)
    energy = np.maximum(e * (1 + c.curvature[i].astype(float) * (e / 511 - 1)), 0)
    walk = c.walk_ps[i] * (np.sqrt(511 / np.clip(energy, 25, 6553.5)) - 1)
    return energy, singles["time_ps"] - c.skew_ps[i] - (c.doi_ps[d] + walk)


@given(st.integers(0, 1000))
def test_corrections_equal_the_formulas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    singles = np.zeros(50, dtype=SINGLE)
    singles["time_ps"] = rng.integers(0, 10**12, 50)
    singles["crystal"], singles["doi"] = rng.integers(0, 5, 50), rng.integers(0, 8, 50)
    singles["energy"] = rng.integers(0, 16384, 50)
    calibration = some_calibration(seed)
    out = Selector(calibration, window_table(ALL, 1), MODULE_OF).select(singles)
    energy, time_ps = corrected(singles, calibration)
    np.testing.assert_allclose(out["energy"], np.minimum(energy * 10, 65535), atol=0.51)
    np.testing.assert_allclose(out["time_ps"] - time_ps, 0, atol=0.51)
    earliest = (singles["time_ps"] - out["time_ps"]).max()
    assert earliest <= calibration.margin_ps, "the watermark must wait for what moves earlier"


def test_a_photon_of_511_keV_needs_neither_curvature_nor_walk() -> None:
    singles = np.zeros(5, dtype=SINGLE)
    singles["energy"], singles["crystal"], singles["time_ps"] = 5110, np.arange(5), 1000
    bent = Calibration(
        np.ones(5, np.float32), np.zeros(5, np.int32),
        curvature=np.full(5, 0.3, np.float32), walk_ps=np.full(5, 500, np.float32),
    )  # fmt: skip
    out = Selector(bent, window_table(ALL, 1), MODULE_OF).select(singles)
    assert out["energy"].tolist() == [5110] * 5
    assert out["time_ps"].tolist() == [1000] * 5


@pytest.mark.parametrize("name", ["curvature", "walk_ps", "doi_gain", "doi_ps"])
def test_an_absurd_value_is_refused_by_name(name: str) -> None:
    values = np.ones(8 if name.startswith("doi") else 5, np.float32)
    values[3] = np.nan
    with pytest.raises(CalibrationError, match=rf"{name} of .* 3 is nan"):
        Calibration(np.ones(5, np.float32), np.zeros(5, np.int32), **{name: values})
