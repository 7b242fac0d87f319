"""From a mis-calibrated emulator, whose truth is known, each calibration recovers the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coincidence.calibration import Calibration, no_calibration
from daq.calibration.coincidence_pairs import PAIR, expected_tof_ps, pairs_of_run
from daq.calibration.energy_fit import LineSpectra, calibrate_lines
from daq.calibration.energy_spectra import BINS, spectra_of_run
from daq.calibration.photopeaks import GRID_511, fit_peaks
from daq.calibration.skew_fit import calibrate_skew
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import Status
from hw.scanner.geometry import build_geometry
from rigs.calibration_runs import BENCH, BenchRun, synthetic_pairs

CENTRES_keV = GRID_511.centres_keV


def test_gains_of_the_emulated_bench_are_found(measured: BenchRun) -> None:
    found = calibrate_lines(
        [LineSpectra(GRID_511, spectra_of_run(measured.folder, [GRID_511])[0])], BENCH
    )
    assert np.mean(found.status == Status.FITTED) > 0.98
    error = (found.gain * measured.gain - 1)[found.status == Status.FITTED]
    # some 4600 counts a crystal: rms 0.24 % (seeds 3 and 4), so ±1 %, which is promised, is 4 σ
    assert np.abs(error).max() < 0.01
    assert np.sqrt(np.mean(error**2)) < 0.004


def known_gain(measured: BenchRun) -> Calibration:
    return replace(no_calibration(BENCH.n_crystals), gain=(1 / measured.gain).astype(np.float32))


def test_skews_of_the_emulated_bench_are_found(measured: BenchRun) -> None:
    pairs = pairs_of_run(measured.folder, calibration=known_gain(measured))
    found = calibrate_skew(pairs, BENCH, source="cylinder")
    truth = measured.skew_ps - measured.skew_ps.mean()
    fitted = found.status == Status.FITTED
    error = (found.skew_ps - truth)[fitted]
    # 400 ps FWHM are 170 ps; with the counts of a crystal that is the statistical floor
    per_crystal = 2 * found.used / BENCH.n_crystals
    assert fitted.mean() > 0.9
    assert np.std(error) < 2.5 * found.sigma_ps / np.sqrt(per_crystal)
    assert found.residual_after.std() < found.residual_before.std()


def test_two_million_coincidences_give_ten_ps_although_a_fifth_is_random() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(0.0, 200.0, BENCH.n_crystals)
    pairs = synthetic_pairs(BENCH, truth, n=400_000, ctr_fwhm_ps=400.0, seed=4, randoms=0.2)
    found = calibrate_skew(pairs, BENCH)
    # a fifth of 2 M for speed, so the promised 10 ps rms must be met with room
    assert np.std(found.skew_ps - truth) < 4.0
    assert abs(found.skew_ps.mean()) < 1e-6
    assert found.sigma_ps == pytest.approx(400 / 2.3548, rel=0.1)


def test_a_source_beside_the_centre_is_no_skew_where_its_place_is_given() -> None:
    geometry = build_geometry(BENCH)
    pairs = np.zeros(1, dtype=PAIR)
    pairs["crystal_a"], pairs["crystal_b"] = 27, 64 + 27
    a, b = (geometry.crystal_front_mm[c].astype(float) for c in (27, 91))
    place = a + 0.25 * (b - a)  # nearer to a: its photon is first, Δt > 0
    found = expected_tof_ps(pairs, geometry, source="point", position_mm=tuple(place))
    # the effective depth of bin 0 is the same on both sides; the foot moves with the place
    assert found[0] == pytest.approx(2 * 0.25 * np.linalg.norm(b - a) / 0.299792458, rel=0.01)
    assert expected_tof_ps(pairs, geometry, source="point")[0] == pytest.approx(0.0, abs=15.0)


def test_a_crystal_without_counts_gets_its_modules_value_and_is_marked() -> None:
    truth = np.random.default_rng(2).normal(0.0, 100.0, BENCH.n_crystals)
    pairs = synthetic_pairs(BENCH, truth, n=60_000, ctr_fwhm_ps=300.0, seed=5, randoms=0.0)
    found = calibrate_skew(pairs[pairs["crystal_a"] != 7], BENCH)
    assert found.status[7] == Status.MODULE
    assert np.count_nonzero(found.status != Status.FITTED) == 1
    assert found.skew_ps[7] == pytest.approx(np.median(np.delete(found.skew_ps[:64], 7)))


def peak_spectra(rng: np.random.Generator, peak_keV: np.ndarray, counts: float) -> np.ndarray:
    """Draw spectra: Gaussian photopeaks of 12 % FWHM on a flat continuum up to 400 keV."""
    sigma = 0.12 * peak_keV[:, None] / 2.3548
    shape = np.exp(-0.5 * ((CENTRES_keV - peak_keV[:, None]) / sigma) ** 2)
    shape /= shape.sum(axis=1, keepdims=True)
    continuum = np.where(CENTRES_keV < 0.78 * peak_keV[:, None], 0.01, 0.0)
    return rng.poisson(counts * (shape + continuum)).astype(np.uint32)


@pytest.mark.parametrize("counts", [1000, 100_000])
def test_the_peak_fit_is_unbiased_and_its_error_is_the_scatter(counts: int) -> None:
    truth = np.linspace(420.0, 620.0, 200)
    found = fit_peaks(peak_spectra(np.random.default_rng(7), truth, counts))
    pull = (found.peak_keV - truth) / found.error_keV
    assert found.good.mean() > 0.99
    assert abs((found.peak_keV / truth - 1).mean()) < 0.002
    if counts == 1000:  # with more, the model's shape and not the counts is the limit
        assert 0.7 < pull.std() < 1.4


def test_empty_and_thin_crystals_are_pooled_over_their_module() -> None:
    rng = np.random.default_rng(8)
    spectra = peak_spectra(rng, np.full(BENCH.n_crystals, 480.0), 3000)
    spectra[3] = 0
    spectra[70] = peak_spectra(rng, np.full(1, 480.0), 8)[0]
    found = calibrate_lines([LineSpectra(GRID_511, spectra)], BENCH)
    assert set(np.flatnonzero(found.status == Status.MODULE)) == {3, 70}
    np.testing.assert_allclose(found.gain[[3, 70]], 511 / 480, rtol=0.005)


def test_a_run_without_a_peak_is_refused() -> None:
    with pytest.raises(CalibrationSetError, match=r"no 511 keV photopeak.*measure longer"):
        calibrate_lines(
            [LineSpectra(GRID_511, np.zeros((BENCH.n_crystals, BINS), np.uint32))], BENCH
        )


def test_too_few_coincidences_are_refused() -> None:
    with pytest.raises(CalibrationSetError, match="at least 30"):
        calibrate_skew(np.zeros(0, dtype=PAIR), BENCH)


def test_the_bench_run_is_not_touched_by_being_calibrated(measured: BenchRun) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in Path(measured.folder).iterdir()}
    spectra_of_run(measured.folder, [GRID_511])
    pairs_of_run(measured.folder, most=10)
    after = {path.name: path.stat().st_mtime_ns for path in Path(measured.folder).iterdir()}
    assert before == after
