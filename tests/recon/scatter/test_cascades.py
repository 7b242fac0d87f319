"""Prompt γ: rates of module pairs are a plain Monte Carlo's, and what is found adds up."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from hw.physics.cascades import PhotonPair
from hw.physics.nuclides import load_nuclide
from hw.scanner.preset_file import load_scanner
from recon.core.grid import ImageGrid
from recon.core.scanner_tables import ReconSystem
from recon.scatter import EnergyWindow, PromptGammas, ScatterError
from recon.scatter.cascades import by_energy
from recon.scatter.detector import BlockResponse
from recon.scatter.rate import ScatterRate
from recon.scatter.third_photon import lost_share, spoilt
from tests.oracles import cascades as oracle

ALONE_KEV = 510.9
"""For the code no annihilation photon: without another on the far side."""

BODY = oracle.Cylinder(radius_mm=60.0, half_mm=40.0, mu_per_mm=0.0096)
AIR = BODY._replace(mu_per_mm=1e-9)
SOURCES = [
    pytest.param(AIR, id="air", marks=pytest.mark.evidence),
    pytest.param(BODY, id="water"),
]


def reduced(name: str) -> ReconSystem:
    scanner = load_scanner(name)
    image = msgspec.structs.replace(scanner.image, shape=(36, 36, 24), voxel_mm=(4.0, 4.0, 4.0))
    return ReconSystem.of(msgspec.structs.replace(scanner, image=image))


@pytest.fixture(scope="module")
def system() -> ReconSystem:
    return reduced("caremibrain")


def painted(grid: ImageGrid) -> np.ndarray:
    x, y, z = grid.axes_mm()
    inside = (np.hypot(x, y) < BODY.radius_mm) & (np.abs(z) < BODY.half_mm)
    return np.asarray(inside, np.float32)


def of_modules(system: ReconSystem, rate: ScatterRate) -> np.ndarray:
    """Return counts per decay of each pair of modules."""
    whole = system.scanner.crystals_per_module
    return np.asarray(rate.table.rates[..., 0].mean(axis=(1, 2)) * float(whole) ** 2)


def sectors_apart(system: ReconSystem, rows: np.ndarray) -> np.ndarray:
    """Return by how many modules around the ring the two of each pair differ."""
    sectors = system.scanner.ring.modules_per_ring
    apart = np.abs(rows[:, 0] % sectors - rows[:, 1] % sectors)
    return np.asarray(np.minimum(apart, sectors - apart))


def blocks_of(system: ReconSystem, window: EnergyWindow) -> oracle.Blocks:
    response = BlockResponse.of(system.scanner, window)
    table, least, per_keV = by_energy(system, response)
    energies = least + np.arange(len(table)) / per_keV
    module = system.scanner.module
    return oracle.Blocks(
        system.geometry.module_centre_mm,
        system.detection.axes,
        (module.width_mm, module.height_mm, module.thickness_mm),
        lambda energy: np.asarray(response.attenuation_per_mm(energy)),
        lambda energy: np.interp(energy, energies, table[:, 0], left=0.0),
    )


@pytest.mark.parametrize("source", SOURCES)
def test_module_pairs_count_as_a_plain_monte_carlo_has_it(
    system: ReconSystem, source: oracle.Cylinder
) -> None:
    window, pair = EnergyWindow.of(system.scanner), PhotonPair(ALONE_KEV, 1274.53, 2.0)
    body = painted(system.grid)
    mu = body * np.float32(source.mu_per_mm)
    rate = PromptGammas.of(system, mu, window, [pair], chains=16_000).rate(body / body.sum())
    rows, per_decay = rate.table.samples.rows, of_modules(system, rate)
    seen = oracle.pairs(
        np.random.default_rng(5), pair.one_keV, pair.other_keV, 400_000, source,
        blocks_of(system, window),
    )  # fmt: skip
    expected = 2.0 * seen[rows[:, 0], rows[:, 1]]
    assert per_decay.sum() == pytest.approx(expected.sum(), rel=0.02)
    apart = sectors_apart(system, rows)
    for far in range(2, apart.max() + 1):
        here = apart == far
        assert per_decay[here].sum() == pytest.approx(expected[here].sum(), rel=0.06)


@pytest.mark.evidence
@pytest.mark.parametrize("source", SOURCES)
def test_a_gamma_spoils_the_annihilation_photon_that_it_meets_in_a_block(
    system: ReconSystem, source: oracle.Cylinder
) -> None:
    """What is lost with the other annihilation photon there, by plain Monte Carlo."""
    window, body = EnergyWindow.of(system.scanner), painted(system.grid)
    mu, gamma_keV = body * np.float32(source.mu_per_mm), 602.72
    with_third, alone = (
        PromptGammas.of(
            system, mu, window, [PhotonPair(energy, gamma_keV, 2.0)], chains=24_000
        ).rate(body / body.sum())
        for energy in (510.99895, ALONE_KEV)
    )  # fmt: skip
    rows = alone.table.samples.rows
    lost = of_modules(system, alone) - of_modules(system, with_third)
    blocks, response = blocks_of(system, window), BlockResponse.of(system.scanner, window)

    def loses(energy_keV: np.ndarray) -> np.ndarray:
        every = np.linspace(60.0, 620.0, 500)
        return np.interp(energy_keV, every, lost_share(response, every, blocks.counted(every)))

    interacts, counted = oracle.meetings(
        np.random.default_rng(7), gamma_keV, 150, 250, source, blocks, loses
    )
    for_any, for_counted = spoilt(response, float(loses(np.array([gamma_keV]))[0]))
    met = for_any * interacts + for_counted * counted
    expected = 2.0 * (met + met.T)[rows[:, 0], rows[:, 1]]
    assert lost.sum() == pytest.approx(expected.sum(), rel=0.08)
    apart = sectors_apart(system, rows)
    facing = apart >= 6
    assert lost[facing].sum() == pytest.approx(expected[facing].sum(), rel=0.1)
    assert lost[facing].sum() > 3.0 * lost[apart <= 3].sum()


def test_what_a_meeting_costs_follows_from_both_deposits_and_the_window(
    system: ReconSystem,
) -> None:
    """Photons that leave all their energy: 602 keV and 511 keV are both lost with the sum, 60 keV
    hardly move 511 keV, and 300 keV with 511 keV lose the one that counts."""
    response = BlockResponse.of(system.scanner, EnergyWindow.of(system.scanner))
    full = np.zeros_like(response.deposits)
    full[:, -1] = 1.0
    energy, counted = np.array([60.0, 300.0, 602.72]), np.array([0.0, 0.0, 0.9])
    lost = lost_share(replace(response, deposits=full), energy, counted)
    assert lost == pytest.approx([0.0, 1.0, 1.9], abs=0.05)
    for_any, for_counted = spoilt(replace(response, deposits=full), 1.9)
    assert for_any + for_counted == pytest.approx(1.0, abs=0.01)


def test_time_of_flight_spreads_the_same_rate_over_the_offsets() -> None:
    system = reduced("tof_brain")
    assert system.tof is not None
    window, body = EnergyWindow.of(system.scanner), painted(system.grid)
    pairs = [PhotonPair(510.99895, 602.72, 1.0)]
    rate = PromptGammas.of(system, body * np.float32(0.0096), window, pairs, chains=1600).rate(body)
    over = rate.table.rates[:, 0, 0].sum(axis=0)
    assert over.argmax() == pytest.approx(len(over) // 2, abs=1)
    places = (np.arange(len(over)) - len(over) // 2) * rate.table.bin_mm
    width = np.sqrt(np.average(places.astype(float) ** 2, weights=over))
    assert system.tof.sigma_mm < width < 60.0 + system.tof.sigma_mm  # the source is 120 mm across
    rng = np.random.default_rng(2)
    rows = rate.table.samples.rows
    row = rows[rng.integers(len(rows), size=200)]
    each = system.scanner.crystals_per_module
    a, b = (row * each + rng.integers(each, size=row.shape)).T
    alone = float(rate.of_lines(a, b).sum())
    assert alone == pytest.approx(200 * rate.total_per_s / (len(rows) * each**2), rel=0.3)


def test_a_nuclide_without_gamma_at_its_positrons_needs_none(system: ReconSystem) -> None:
    window = EnergyWindow.of(system.scanner)
    for name, needed in (("F-18", False), ("Zr-89", False), ("Cu-64", False), ("I-124", True)):
        assert bool(PromptGammas.pairs_of(system, window, load_nuclide(name))) is needed, name


def test_too_many_modules_are_refused(system: ReconSystem, monkeypatch) -> None:
    monkeypatch.setattr("recon.scatter.cascades.MOST_MODULES", 10)
    body = painted(system.grid)
    with pytest.raises(ScatterError, match="--no-prompt-gamma"):
        PromptGammas.of(system, body, EnergyWindow.of(system.scanner), [])
