"""Gain and non-linearity from several lines: the truth comes back, what cannot be is refused."""

from __future__ import annotations

import numpy as np
import pytest

from daq.calibration.energy_fit import LineSpectra, calibrate_lines, parse_line
from daq.calibration.energy_spectra import BINS, line_grid
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import Status
from rigs.calibration_runs import BENCH

N = BENCH.n_crystals


def read_out_keV(energy_keV: np.ndarray, gain: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Return what a crystal reads out: the correction solved as a quadratic equation, exactly.

    k/511·e² + (1 − k)·e − E = 0, raw = e/gain.
    """
    a, b = curvature / 511.0, 1 - curvature
    straight = np.abs(a) < 1e-12
    root = (-b + np.sqrt(b * b + 4 * a * energy_keV)) / np.where(straight, 1.0, 2 * a)
    return np.where(straight, energy_keV / b, root) / gain


def spectra_of_line(
    line_keV: float, gain: np.ndarray, curvature: np.ndarray, *, counts: int, seed: int
) -> LineSpectra:
    """Draw each crystal's photons of a line, 12 % FWHM at 511 keV, over a flat continuum."""
    rng, grid = np.random.default_rng(seed), line_grid(line_keV)
    spectra = np.zeros((len(gain), BINS), np.uint32)
    sigma_keV = 0.12 * np.sqrt(511.0 * line_keV) / 2.3548
    for crystal in range(len(gain)):
        peak = rng.normal(line_keV, sigma_keV, counts)
        below = rng.uniform(0.5 * line_keV, 0.7 * line_keV, counts // 4)
        energy = np.concatenate([peak, below])
        raw = read_out_keV(energy, gain[crystal], curvature[crystal])
        spectra[crystal] = np.histogram(raw, bins=grid.edges_keV)[0]
    return LineSpectra(grid, spectra)


def truth(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(1.0, 0.05, N).clip(0.85, 1.15), rng.normal(0.05, 0.02, N)


def test_two_lines_give_gain_and_curvature_together() -> None:
    gain, curvature = truth(1)
    lines = [spectra_of_line(e, gain, curvature, counts=4000, seed=2) for e in (511.0, 140.5)]
    found = calibrate_lines(lines, BENCH)
    assert (found.status == Status.FITTED).all()
    assert (found.curvature_status == Status.FITTED).all()
    # 0.08 % and 0.16 % of the lines: σ of the curvature ≈ 0.0018/0.73
    assert np.std(found.curvature - curvature) < 0.005
    assert abs(np.mean(found.curvature - curvature)) < 0.002
    assert np.abs(found.gain / gain - 1).max() < 0.01


def test_the_order_of_the_lines_does_not_matter_to_what_is_found() -> None:
    gain, curvature = truth(3)
    lines = [spectra_of_line(e, gain, curvature, counts=1500, seed=4) for e in (511.0, 208.4)]
    found, other = calibrate_lines(lines, BENCH), calibrate_lines(lines[::-1], BENCH)
    np.testing.assert_allclose(found.gain, other.gain, rtol=2e-4)
    np.testing.assert_allclose(found.curvature, other.curvature, atol=2e-3)


@pytest.mark.parametrize("line_keV", [140.511, 208.366, 1274.5])
def test_one_other_line_gives_the_gain(line_keV: float) -> None:
    gain = truth(5)[0].clip(0.95, 1.05)
    line = spectra_of_line(line_keV, gain, np.zeros(N), counts=15_000, seed=6)
    found = calibrate_lines([line], BENCH)
    assert np.abs(found.gain / gain - 1).max() < 0.01
    assert (found.curvature_status == Status.NOT_CALIBRATED).all()


def test_one_line_respects_a_curvature_that_is_known() -> None:
    gain, curvature = truth(7)
    line = spectra_of_line(140.5, gain, curvature, counts=15_000, seed=8)
    found = calibrate_lines([line], BENCH, curvature=curvature)
    assert np.abs(found.gain / gain - 1).max() < 0.01


def test_a_crystal_that_lacks_a_line_takes_its_modules_curvature_and_keeps_its_gain() -> None:
    gain, _ = truth(9)
    curvature = np.full(N, 0.08)
    lines = [spectra_of_line(e, gain, curvature, counts=3000, seed=10) for e in (511.0, 140.5)]
    lines[1].spectra[5] = 0
    found = calibrate_lines(lines, BENCH)
    assert found.curvature_status[5] == Status.MODULE
    assert found.status[5] == Status.FITTED
    assert found.curvature[5] == pytest.approx(0.08, abs=0.01)
    assert found.gain[5] == pytest.approx(gain[5], rel=0.005)


def test_a_line_that_is_not_in_the_run_is_refused() -> None:
    gain = np.ones(N)
    line = spectra_of_line(511.0, gain, np.zeros(N), counts=500, seed=11)
    wrong = LineSpectra(line_grid(1274.5), np.zeros((N, BINS), np.uint32))
    with pytest.raises(CalibrationSetError, match=r"no 1274\.5 keV photopeak between 823 and 1796"):
        calibrate_lines([line, wrong], BENCH)


@pytest.mark.parametrize("line_keV", [20.0, 1500.0, float("nan")])
def test_lines_outside_the_range_are_refused(line_keV: float) -> None:
    with pytest.raises(CalibrationSetError, match="lines from 50 to 1300 keV"):
        line_grid(line_keV)


def test_lines_too_alike_are_refused() -> None:
    lines = [LineSpectra(line_grid(e), np.zeros((N, BINS), np.uint32)) for e in (511.0, 500.0)]
    with pytest.raises(CalibrationSetError, match=r"500 and 511 keV.*factor of at least 1\.1"):
        calibrate_lines(lines, BENCH)


@pytest.mark.parametrize(
    ("text", "energy_keV"),
    [("511", 511.0), ("140.5", 140.5), ("F-18", 511.0), ("Tc-99m", 140.511),
     ("Lu-177", 208.366), ("Lu-177:113", 112.95)],
)  # fmt: skip
def test_a_line_is_named_by_energy_or_nuclide(text: str, energy_keV: float) -> None:
    assert parse_line(text) == energy_keV


@pytest.mark.parametrize("text", ["Xx-1", "", "Lu-177:300", "Lu-177:x"])
def test_a_line_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(CalibrationSetError, match="line"):
        parse_line(text)


def test_saturated_words_are_in_no_spectrum() -> None:
    table = line_grid(1274.5).table()
    assert table[16382] >= 0
    assert (table[16383:] == -1).all()
    assert line_grid(511.0).table()[[1999, 2000, 2049, 2050, 8399, 8400]].tolist() == [
        -1, 0, 0, 1, 127, -1,
    ]  # fmt: skip
