"""The simulation against formulae and against a Monte Carlo of a tiny scanner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from hw.physics.compton import energy_after, klein_nishina, total_cross_section
from hw.scanner.geometry import mean_interaction_depth_mm
from hw.scanner.preset_file import load_scanner
from oracles.scatter import single_scatter
from recon.core.mu_map import MuMapError
from recon.core.scanner_tables import ReconSystem
from recon.scatter import (
    EnergyWindow,
    ScatterError,
    ScatterOptions,
    ScatterRate,
    ScatterStopped,
    SingleScatter,
)

HALF_MM = np.array([12.0, 12.0, 12.0])
MU = 0.02  # twice water: attenuation and scatter both matter in 24 mm
FINE = ScatterOptions(spacing_mm=2.0, per_side=4, cell_mm=1.0)


@pytest.fixture(scope="module")
def system() -> ReconSystem:
    return ReconSystem.of(load_scanner("bench2"))


def box(system: ReconSystem, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    x, y, z = system.grid.axes_mm()
    inside = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])
    return np.asarray(inside & (z > low[2]) & (z < high[2]), dtype=np.float32)


def test_klein_nishina_integrates_to_the_total_cross_section() -> None:
    cosine = np.linspace(-1, 1, 20001)
    for energy in (170.0, 300.0, 511.0):
        whole = 2 * np.pi * np.trapezoid(klein_nishina(cosine, energy), cosine)
        assert whole == pytest.approx(float(total_cross_section(energy)), rel=1e-6)
    # NIST's Klein-Nishina value at 511 keV: 0.2867 barn per electron
    assert float(total_cross_section(510.999)) == pytest.approx(0.2867e-22, rel=1e-3)


def test_energy_follows_from_angle_and_back() -> None:
    assert float(energy_after(-1.0)) == pytest.approx(510.99895 / 3)
    assert float(energy_after(0.0)) == pytest.approx(510.99895 / 2)


def test_rate_and_time_of_flight_agree_with_a_monte_carlo(system: ReconSystem) -> None:
    scanner = system.scanner
    low, high = np.array([2.0, -6.0, -10.0]), np.array([10.0, 6.0, 10.0])  # off the centre: TOF
    source = box(system, low, high)
    activity = np.asarray(source * (1e6 / source.sum()), dtype=np.float32)
    mu = box(system, -HALF_MM, HALF_MM) * np.float32(MU)
    single = replace(FINE, chains=0)  # the Monte Carlo's photons scatter once
    simulation = SingleScatter(system, mu, EnergyWindow.of(scanner), options=single)
    table = simulation.table(activity)
    depth = mean_interaction_depth_mm(scanner.module.thickness_mm)
    found = single_scatter(
        half_mm=HALF_MM, mu_per_mm=MU, source_mm=np.stack([low, high]), activity_Bq=1e6,
        face_half_mm=scanner.module.width_mm / 2, inradius_mm=scanner.ring.inradius_mm,
        depth_mm=depth, histories=150_000, rng=np.random.default_rng(3),
    )  # fmt: skip
    energy, cos_plain, cos_scattered = found.energy_keV.T
    response, thickness = simulation.response, scanner.module.thickness_mm
    crystal = response.attenuation_per_mm
    seen = found.rate * -np.expm1(-crystal(510.99895) * thickness / cos_plain)
    seen *= -np.expm1(-crystal(energy) * thickness / cos_scattered)
    seen *= response.recorded_share(energy)
    # 3 %: the Monte Carlo's own error is 0.6 %, the grid's box and the samples' the rest
    assert ScatterRate(system, table).total_per_s == pytest.approx(seen.sum(), rel=0.03)
    tof = system.tof
    assert tof is not None
    by_offset = table.rates.sum(axis=(0, 1, 2), dtype=np.float64)
    place = (np.arange(len(by_offset)) - (len(by_offset) - 1) / 2) * table.bin_mm
    mean = np.average(found.offset_mm, weights=seen)
    mean_square = np.average((found.offset_mm - mean) ** 2, weights=seen) + tof.sigma_mm**2
    centre = np.average(place, weights=by_offset)
    assert centre == pytest.approx(mean, abs=0.3)  # of a blur of 25 mm
    assert abs(mean) > 3.0  # so that a wrong sign would show
    spread = np.average((place - centre) ** 2, weights=by_offset)
    assert np.sqrt(spread) == pytest.approx(np.sqrt(mean_square), rel=0.05)


def test_coarse_simulation_keeps_the_total(system: ReconSystem) -> None:
    mu = box(system, -HALF_MM, HALF_MM) * np.float32(MU)
    activity = box(system, -HALF_MM / 2, HALF_MM / 2)
    window = EnergyWindow.of(system.scanner)
    total = [
        ScatterRate(
            system, SingleScatter(system, mu, window, options=o).table(activity)
        ).total_per_s
        for o in (FINE, ScatterOptions(spacing_mm=6.0, per_side=2, cell_mm=4.0))
    ]
    assert total[1] == pytest.approx(total[0], rel=0.04)  # as few points as 27


def test_results_do_not_depend_on_threads(system: ReconSystem) -> None:
    mu = box(system, -HALF_MM, HALF_MM) * np.float32(MU)
    window = EnergyWindow.of(system.scanner)
    one, three = (SingleScatter(system, mu, window, threads=n).table(mu).rates for n in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_time_bins_of_a_line_add_up_to_its_rate(system: ReconSystem) -> None:
    mu = box(system, -HALF_MM, HALF_MM) * np.float32(MU)
    rate = ScatterRate(system, SingleScatter(system, mu, EnergyWindow.of(system.scanner)).table(mu))
    steps = np.arange(-2000, 2001, 25)  # the bins of a line, ps
    records = np.zeros(len(steps), dtype=COINCIDENCE)
    records["crystal_a"], records["crystal_b"], records["tof_ps"] = 9, 64 + 22, steps
    located = system.detection.locate(records, voxel_volume_mm3=1.0)
    whole = rate.of_lines(np.array([9]), np.array([64 + 22]))[0]
    assert rate.of_records(records, located).sum() == pytest.approx(whole, rel=2e-3)
    swapped = records.copy()
    swapped["crystal_a"], swapped["crystal_b"] = records["crystal_b"], records["crystal_a"]
    swapped["tof_ps"] *= -1
    np.testing.assert_allclose(
        rate.of_records(swapped, system.detection.locate(swapped, voxel_volume_mm3=1.0)),
        rate.of_records(records, located),
        rtol=1e-5,
    )


def test_damaged_records_get_no_scatter(system: ReconSystem) -> None:
    mu = box(system, -HALF_MM, HALF_MM) * np.float32(MU)
    rate = ScatterRate(system, SingleScatter(system, mu, EnergyWindow.of(system.scanner)).table(mu))
    records = np.zeros(3, dtype=COINCIDENCE)
    records["crystal_a"], records["crystal_b"] = [0, 0, 10**9], [64, 4_000_000_000, 2 * 10**9]
    records["tof_ps"][0] = 2**30
    located = system.detection.locate(records, voxel_volume_mm3=1.0)
    np.testing.assert_array_equal(rate.of_records(records, located), 0.0)


def test_what_cannot_be_simulated_is_refused(system: ReconSystem) -> None:
    window = EnergyWindow.of(system.scanner)
    mu = box(system, -HALF_MM, HALF_MM) * np.float32(MU)
    simulation = SingleScatter(system, mu, window)
    with pytest.raises(ScatterError, match="not finite"):
        simulation.table(np.where(mu > 0, np.float32("nan"), mu))
    with pytest.raises(ScatterError, match="≥ 0"):
        simulation.table(-mu)
    with pytest.raises(MuMapError, match="per mm"):
        SingleScatter(system, mu * 10, window)
    with pytest.raises(ScatterError, match="below 511 keV"):
        EnergyWindow(520.0, 650.0, 0.1)
    with pytest.raises(ScatterError, match="resolution"):
        EnergyWindow(400.0, 650.0, 0.0)
    with pytest.raises(ScatterError, match="spacing_mm"):
        ScatterOptions(spacing_mm=0.0)
    with pytest.raises(ScatterError, match="scale"):
        replace(ScatterRate(system, simulation.table(mu)), scale=float("nan"))
    with pytest.raises(ScatterStopped):
        SingleScatter(system, mu, window, stopped=lambda: True)
