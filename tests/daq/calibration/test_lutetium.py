"""Gains from the crystals' own ¹⁷⁶Lu: from drawn decays, and from the emulator's."""

from __future__ import annotations

import numpy as np
import pytest

from daq.calibration.energy_spectra import BINS, accumulate_spectra, new_spectra
from daq.calibration.lutetium_fit import LOG_GRID, calibrate_lutetium
from daq.calibration.lutetium_spectra import (
    ENERGY_keV,
    STEP_keV,
    parts,
)
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import Status
from emulator.config import EmulatorConfig
from hw.physics.lutetium import ENDPOINT_KEV, beta_spectrum
from hw.scanner.preset_file import load_scanner
from rigs.calibration_runs import BENCH, singles_of

N = BENCH.n_crystals
TRIGGER_keV = 100.0


def drawn_decays(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw the energies that n decays leave in a block: each γ is stopped wholly, leaves part of
    its energy or escapes; one in ten singles is a γ of another block."""
    ticks = np.arange(1.0, ENDPOINT_KEV)
    shape = beta_spectrum(ticks)
    energy = rng.choice(ticks, n, p=shape / shape.sum()) + rng.uniform(-0.5, 0.5, n)
    other = rng.random(n) < 0.1
    energy[other] = rng.choice([201.8, 306.8], other.sum())
    for gamma_keV, whole, part in ((88.3, 0.9, 0.0), (201.8, 0.5, 0.15), (306.8, 0.35, 0.2)):
        fate = rng.random(n)
        edge = gamma_keV * 2 * gamma_keV / (511 + 2 * gamma_keV)
        given = np.where(fate < whole, gamma_keV, 0.0)
        given = np.where((fate >= whole) & (fate < whole + part), rng.uniform(0, edge, n), given)
        energy += np.where(other, 0.0, given)
    return energy + rng.normal(size=n) * 0.12 * np.sqrt(511 * energy) / 2.3548


def drawn_spectra(
    gain: np.ndarray, *, counts: int, seed: int, curvature: np.ndarray | None = None
) -> np.ndarray:
    """Draw what each crystal reads out; to first order, e = E·(1 − curvature·(E/511 − 1))."""
    rng = np.random.default_rng(seed)
    spectra = np.zeros((len(gain), BINS), np.uint32)
    bend = np.zeros(len(gain)) if curvature is None else curvature
    for crystal, value in enumerate(gain):
        energy = drawn_decays(rng, counts)
        raw = energy * (1 - bend[crystal] * (energy / 511 - 1)) / value
        spectra[crystal] = np.histogram(raw[raw > TRIGGER_keV], bins=LOG_GRID.edges_keV)[0]
    return spectra


@pytest.fixture(scope="module")
def gain() -> np.ndarray:
    return np.random.default_rng(1).normal(1.0, 0.05, N).clip(0.85, 1.15) * 1.1


@pytest.fixture(scope="module")
def spectra(gain: np.ndarray) -> np.ndarray:
    return drawn_spectra(gain, counts=6000, seed=2)


def test_drawn_decays_give_the_gains_and_the_scale(spectra: np.ndarray, gain: np.ndarray) -> None:
    found = calibrate_lutetium(spectra, BENCH)
    ratio = np.log(found.gain / gain)
    assert (found.status == Status.FITTED).all()
    assert abs(ratio.mean()) < 0.01
    assert ratio.std() < 0.01
    assert np.abs(ratio).max() < 0.03


def test_a_curvature_that_is_known_is_allowed_for(gain: np.ndarray) -> None:
    curvature = np.zeros(N)
    bent = np.random.default_rng(5).choice(N, 12, replace=False)
    curvature[bent] = 0.06
    spectra = drawn_spectra(gain, counts=12_000, seed=4, curvature=curvature)
    ratio = np.log(calibrate_lutetium(spectra, BENCH, curvature=curvature).gain / gain)
    assert abs(ratio[bent].mean() - np.delete(ratio, bent).mean()) < 0.005


def test_a_crystal_with_few_counts_takes_its_modules_gain(spectra: np.ndarray) -> None:
    few = spectra.copy()
    few[10] = 0
    found = calibrate_lutetium(few, BENCH)
    assert found.status[10] == Status.MODULE
    assert found.gain[10] == pytest.approx(np.delete(found.gain[:64], 10).mean(), rel=0.01)


def test_a_photopeak_is_not_taken_for_the_background() -> None:
    rng = np.random.default_rng(3)
    spectra = np.stack(
        [np.histogram(rng.normal(511, 26, 3000), bins=LOG_GRID.edges_keV)[0] for _ in range(N)]
    ).astype(np.uint32)
    with pytest.raises(CalibrationSetError, match="not that of ¹⁷⁶Lu alone"):
        calibrate_lutetium(spectra, BENCH)


def test_too_few_singles_are_refused() -> None:
    with pytest.raises(CalibrationSetError, match="at least 20000 are needed"):
        calibrate_lutetium(np.zeros((N, BINS), np.uint32), BENCH)


def test_the_parts_keep_the_energies_of_what_they_add_up() -> None:
    """The mean of β + γ is the mean of β plus the γ: to half a step, and with a blur of mean 0."""
    rows = parts(0.05)
    mean = rows @ ENERGY_keV
    beta = float((beta_spectrum(ENERGY_keV) * ENERGY_keV).sum() / beta_spectrum(ENERGY_keV).sum())
    assert beta == pytest.approx(182.0, abs=2.0)  # published: 182 keV
    assert mean[0] == pytest.approx(beta, abs=STEP_keV)
    whole = [mean[0] + e for e in (88.34, 201.83, 306.78, 88.34 + 201.83 + 306.78)]
    for wanted in whole:
        assert np.abs(mean - wanted).min() < STEP_keV


def test_the_emulators_background_gives_every_modules_gain() -> None:
    config = EmulatorConfig(
        scanner="tof_brain", phantom="point", activity_Bq=1.0, lutetium=True, seed=4
    )
    scanner = load_scanner("tof_brain")
    found = new_spectra(scanner.n_crystals)
    table = LOG_GRID.table()
    instrument, batches = singles_of(config, periods=400)
    for singles in batches:
        accumulate_spectra(singles, table, found)
    result = calibrate_lutetium(found, scanner)
    error = np.log(result.gain * instrument.response.gain).reshape(scanner.n_modules, -1)
    assert (result.status == Status.MODULE).mean() > 0.9  # 160 counts a crystal are too few
    assert np.abs(error.mean(axis=1)).max() < 0.015
    assert abs(error.mean()) < 0.01
