"""What the detector makes of photons: times, energies, positions, and the truth behind them."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from emulator.config import EmulatorConfig
from emulator.detector.response import TRIGGER_LATENCY_PS, response_tables
from emulator.engines.emulation import Emulation
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from hw.scanner.geometry import build_geometry, crystal_position_mm
from hw.scanner.preset_file import load_scanner
from oracles.emulation import ideal, point_at

CAREMIBRAIN = load_scanner("caremibrain")
CONFIG = EmulatorConfig(scanner="caremibrain", phantom="point", trigger_keV=75.0)
SHARP = {"time_sigma_ps": 0.0, "energy_sigma": 0.0, "position_sigma_mm": 0.0, "doi_sigma_mm": 0.0}


def hits_of(instrument: Instrument, *, activity_Bq: float = 4e6, slices: int = 4) -> np.ndarray:
    emulation = Emulation(instrument, activity_Bq=activity_Bq, seed=5)
    return np.concatenate([emulation.emulate_slice(k).hits for k in range(slices)])


def pair_differences(instrument: Instrument, module_a: int, module_b: int) -> np.ndarray:
    """Return t_b − t_a of hits in two modules within 3 ns, at a rate with hardly any randoms."""
    emulation = Emulation(instrument, activity_Bq=2e5, seed=5)
    found = []
    for k in range(300):
        hits = emulation.emulate_slice(k).hits
        a = hits["time_ps"][(hits["module"] == module_a) & (hits["energy"] > 4800)]
        b = hits["time_ps"][(hits["module"] == module_b) & (hits["energy"] > 4800)]
        difference = b[None, :] - a[:, None]
        found.append(difference[np.abs(difference) < 3000])
    return np.concatenate(found)


def test_source_50_mm_off_centre_shifts_time_of_flight_by_333_6_ps():
    instrument = ideal(CONFIG, point_at(50.0), **SHARP)
    # sectors 0 (+x, nearer) and 8 (−x) of the middle ring
    difference = pair_differences(instrument, 16, 24)
    assert len(difference) > 100
    assert np.median(difference) == pytest.approx(2 * 50 / 0.299792458, abs=10)


def test_central_source_has_no_time_of_flight_but_the_preset_resolution():
    difference = pair_differences(ideal(CONFIG), 16, 24)
    fwhm_ps = 2 * np.sqrt(2 * np.log(2)) * difference.std()
    assert difference.mean() == pytest.approx(0, abs=4 * 510 / np.sqrt(len(difference)))
    assert fwhm_ps == pytest.approx(1200, rel=0.12)


def test_time_stamp_is_decay_plus_flight_plus_the_common_latency():
    instrument = ideal(CONFIG, **SHARP)
    emulation = Emulation(instrument, activity_Bq=1e3, seed=2)
    hits = np.concatenate([emulation.emulate_slice(k).hits for k in range(60)])
    pairs = np.diff(np.sort(hits["time_ps"]))
    assert hits["time_ps"].min() >= TRIGGER_LATENCY_PS + 128 / 0.2998
    assert (pairs < 200).sum() > 5  # both photons of a central decay arrive within 150 ps


def test_photopeak_is_511_keV_with_the_preset_resolution():
    energy_keV = hits_of(ideal(CONFIG))["energy"] / 10.0
    peak = energy_keV[(energy_keV > 490) & (energy_keV < 650)]
    counts, edges = np.histogram(energy_keV, np.arange(380, 640, 4.0))
    centre = (edges[:-1] + edges[1:]) / 2
    top = np.polyfit(
        centre[counts > counts.max() / 2] - 511, np.log(counts[counts > counts.max() / 2]), 2
    )
    sigma = np.sqrt(-1 / (2 * top[0]))
    assert 511 - top[1] / (2 * top[0]) == pytest.approx(511, abs=3)
    assert 2.3548 * sigma / 511 == pytest.approx(0.15, rel=0.06)
    assert len(peak) > 5000


def test_energy_is_blurred_in_proportion_to_its_root():
    tables = response_tables(CAREMIBRAIN, serial="a", trigger_keV=100)
    fwhm_511 = 2.354820045 * tables.energy_sigma * np.sqrt(511)
    fwhm_128 = 2.354820045 * tables.energy_sigma * np.sqrt(511 / 4)
    assert fwhm_511 == pytest.approx(0.15 * 511)
    assert fwhm_128 == pytest.approx(fwhm_511 / 2)


def test_gain_and_skew_are_the_serial_numbers_truth_with_the_presets_spread():
    truth = prepare(CONFIG).response
    again = prepare(msgspec.structs.replace(CONFIG, seed=CONFIG.seed + 1)).response
    other = response_tables(CAREMIBRAIN, serial="b", trigger_keV=100)
    assert (truth.gain == again.gain).all()
    assert (truth.gain != other.gain).any()
    assert truth.gain.shape == (CAREMIBRAIN.n_crystals,)
    assert truth.gain.std() == pytest.approx(0.05, rel=0.2)
    assert truth.skew_ps.std() == pytest.approx(300, rel=0.2)


def test_gain_and_skew_truth_are_in_the_data():
    sharp = ideal(CONFIG, **SHARP)
    wrong = ideal(CONFIG, **SHARP)
    wrong.response.gain[:], wrong.response.skew_ps[:] = 1.1, 500.0
    plain, changed = hits_of(sharp, slices=1), hits_of(wrong, slices=1)
    peak = np.bincount(plain["energy"]).argmax()
    assert peak == 5110
    assert np.bincount(changed["energy"]).argmax() == 5621
    common = min(plain["time_ps"].min(), changed["time_ps"].min())
    assert changed["time_ps"].min() - common == pytest.approx(500, abs=1)


def test_no_trigger_below_the_digitizers_threshold():
    hits = hits_of(prepare(EmulatorConfig(phantom="point", trigger_keV=200.0)))
    assert hits["energy"].min() >= 2000


def test_positions_fill_every_virtual_crystal_and_depth_bin():
    hits = hits_of(ideal(CONFIG), slices=8)
    crystals = np.bincount(hits["crystal"], minlength=1024).reshape(32, 32)
    assert (crystals > 0).all()
    edge, inner = crystals[0].mean(), crystals[8:24, 8:24].mean()
    assert edge > 0.4 * inner  # reflected at the edge, neither lost nor piled up there
    assert edge < 1.3 * inner
    assert (np.bincount(hits["doi"], minlength=8) > 0).all()
    assert hits["doi"].max() == 7


def test_lines_of_response_pass_through_the_source():
    """From hits to positions and back, through both sides' independent geometry."""
    source = np.array([40.0, -25.0, 30.0])
    instrument = ideal(CONFIG, point_at(*source), **SHARP)
    geometry = build_geometry(CAREMIBRAIN)
    emulation = Emulation(instrument, activity_Bq=1e5, seed=5)
    distances = []
    for k in range(60):
        hits = emulation.emulate_slice(k).hits
        hits = np.sort(hits[hits["energy"] > 5100], order="time_ps")
        first = np.flatnonzero(np.diff(hits["time_ps"]) < 2000)
        crystal = hits["module"].astype(int) * 1024 + hits["crystal"]
        position = crystal_position_mm(geometry, crystal, hits["doi"]).astype(float)
        a, b = position[first], position[first + 1]
        across = np.cross(b - a, source - a)
        distances.append(np.linalg.norm(across, axis=1) / np.linalg.norm(b - a, axis=1))
    distance_mm = np.concatenate(distances)
    assert len(distance_mm) > 1000
    assert np.median(distance_mm) < 1.0  # half a virtual crystal, and 0.5° over 130 mm
