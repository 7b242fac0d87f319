"""Photons in object and detector: attenuation laws, geometry against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from emulator.detector.crystal_tracking import (
    ABSORBED,
    DEPOSIT_KEV,
    DEPOSIT_PATH,
    DEPOSIT_SIZE,
    DEPOSIT_U,
    DEPOSIT_W,
    GONE,
    LEFT,
    detector_tables,
    find_module,
    track_crystal,
)
from emulator.object.phantom import Phantom
from emulator.object.photon_tracking import object_tables, track_object
from emulator.physics.materials import MaterialError, cross_sections
from emulator.physics.photons import DX, DY, DZ, ENERGY, PATH, PHOTON_SIZE, X, Y, Z
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from oracles.emulation import random_state

PHOTONS = 20_000


def slab(mu_per_mm: np.ndarray) -> Phantom:
    """Return layers of 5 mm along x, wide in y and z."""
    mu = np.broadcast_to(mu_per_mm[:, None, None], (len(mu_per_mm), 8, 8)).astype(np.float32)
    first = -(len(mu_per_mm) - 1) / 2 * 5
    return Phantom("slab", np.ones_like(mu), mu, (5.0, 50.0, 50.0), (first, -175.0, -175.0))


def transmission(phantom: Phantom, energy_keV: float) -> float:
    """Return the share of a pencil beam along x that comes out as it went in."""
    tables, state, photon = object_tables(phantom), random_state(21), np.zeros(PHOTON_SIZE)
    through = 0
    for _ in range(PHOTONS):
        photon[:] = 0
        photon[X], photon[DX], photon[ENERGY] = -100.0, 1.0, energy_keV
        through += track_object(state, photon, tables) and photon[ENERGY] == energy_keV
    return through / PHOTONS


@pytest.mark.parametrize(
    ("energy_keV", "mu_per_mm"),
    [(511.0, 0.00958), (200.0, 0.01356)],  # NIST XCOM, water, without coherent scatter
)
def test_narrow_beam_through_water_is_attenuated_by_the_book(energy_keV, mu_per_mm):
    water = slab(np.full(20, cross_sections("water").mu_per_mm[511]))
    expected = np.exp(-mu_per_mm * 100)
    error = np.sqrt(expected * (1 - expected) / PHOTONS)
    assert transmission(water, energy_keV) == pytest.approx(expected, abs=3 * error)


def test_narrow_beam_through_layers_sees_the_sum_of_their_mu():
    layers = np.array([0.0, 0.01, 0.0146, 0.0, 0.005, 0.01, 0.0146, 0.0])
    expected = np.exp(-5 * layers.sum())
    error = np.sqrt(expected * (1 - expected) / PHOTONS)
    # µ is kept in 1/250 of the largest: the rounding is below a third of this error
    assert transmission(slab(layers), 511.0) == pytest.approx(expected, abs=4 * error)


def test_air_lets_every_photon_through_unchanged():
    assert transmission(slab(np.zeros(4)), 511.0) == 1.0


def test_lyso_attenuates_half_as_the_books_say():
    """12 mm attenuation length is the data sheet's; coherent scatter is in it, not in ours."""
    lyso = cross_sections("LYSO")
    assert 1 / lyso.mu_per_mm[511] == pytest.approx(12.5, abs=0.6)
    assert lyso.photo_fraction[511] == pytest.approx(0.33, abs=0.02)


def test_unknown_material_is_refused_with_the_known_ones():
    with pytest.raises(MaterialError, match=r"'plutonium'.*LYSO"):
        cross_sections("plutonium")


def nearest_module_slowly(origin: np.ndarray, direction: np.ndarray, scanner, geometry):
    """Try every module's box by the slab method in its own frame."""
    half = np.array([scanner.module.width_mm, scanner.module.height_mm]) / 2
    low = np.array([-half[0], -half[1], 0.0])
    high = np.array([half[0], half[1], scanner.module.thickness_mm])
    relative = origin - geometry.module_centre_mm
    position = np.einsum("mij,mj->mi", geometry.module_axes, relative)
    slope = geometry.module_axes @ direction
    a, b = (low - position) / slope, (high - position) / slope
    enter, leave = np.minimum(a, b).max(axis=1), np.maximum(a, b).min(axis=1)
    distance = np.where((enter >= 0) & (enter < leave), enter, np.inf)
    return distance.min(), int(distance.argmin()) if np.isfinite(distance).any() else -1


@pytest.mark.parametrize("name", ["caremibrain", "tof_brain", "bench2"])
@pytest.mark.parametrize("spread_mm", [5.0, 60.0, 300.0])
def test_found_module_is_the_first_box_on_the_ray(name, spread_mm):
    scanner = load_scanner(name)
    geometry, tables = build_geometry(scanner), detector_tables(scanner)
    random = np.random.default_rng(5)
    photon = np.zeros(PHOTON_SIZE)
    hits = 0
    for _ in range(2000):
        origin = random.normal(size=3) * spread_mm
        radius = np.hypot(origin[0], origin[1])
        inner = scanner.ring.inradius_mm if abs(origin[2]) < scanner.axial_mm / 2 else 1e9
        if radius > inner - 1 and radius < scanner.ring.inradius_mm + 60:
            continue  # could start inside a box
        direction = random.normal(size=3)
        direction /= np.linalg.norm(direction)
        photon[X : Z + 1], photon[DX : DZ + 1] = origin, direction
        distance, ring, sector = find_module(photon, tables)
        expected_mm, expected = nearest_module_slowly(origin, direction, scanner, geometry)
        if expected < 0:
            assert ring == -1
            continue
        hits += 1
        assert ring * scanner.ring.modules_per_ring + sector == expected
        assert distance == pytest.approx(expected_mm, abs=1e-6)
    assert hits > 3


def normal_incidence(scanner_name: str, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shoot photons at the middle of module 0's face; return fates, deposits, energies left."""
    tables = detector_tables(load_scanner(scanner_name))
    state, deposit, photon = random_state(31), np.zeros(DEPOSIT_SIZE), np.zeros(PHOTON_SIZE)
    fates, deposits, left = [], [], []
    for _ in range(count):
        photon[:] = 0
        photon[X], photon[Z] = tables.inradius_mm, tables.ring_z_mm[0]
        photon[DX], photon[ENERGY] = 1.0, 510.99895
        fates.append(track_crystal(state, photon, 0, 0, tables, deposit))
        deposits.append(deposit.copy())
        left.append(photon[ENERGY] if fates[-1] != ABSORBED else 0.0)
    return np.array(fates), np.array(deposits), np.array(left)


def test_interacting_share_at_normal_incidence_is_one_minus_exp_mu_t():
    fates, deposits, _ = normal_incidence("caremibrain", PHOTONS)
    mu, thickness_mm = cross_sections("LYSO").mu_per_mm[511], 15.0
    expected = 1 - np.exp(-mu * thickness_mm)
    share = (deposits[:, DEPOSIT_KEV] > 0).mean()
    assert share == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / PHOTONS))
    first = deposits[deposits[:, DEPOSIT_KEV] > 0, DEPOSIT_PATH]
    mean = 1 / mu - thickness_mm / np.expm1(mu * thickness_mm)
    assert first.mean() == pytest.approx(mean, abs=4 * first.std() / np.sqrt(len(first)))
    assert set(fates) == {ABSORBED, LEFT, GONE}


@pytest.mark.parametrize("name", ["caremibrain", "tof_brain"])
def test_energy_left_and_energy_deposited_make_511_keV(name):
    _, deposits, left = normal_incidence(name, 3000)
    assert np.allclose(deposits[:, DEPOSIT_KEV] + left, 510.99895)
    assert (np.abs(deposits[:, DEPOSIT_U]) <= 25.0).all()
    assert (deposits[:, DEPOSIT_W] <= 15.0).all()


def test_photon_that_leaves_stands_outside_its_module_on_its_own_path():
    scanner = load_scanner("caremibrain")
    tables, state = detector_tables(scanner), random_state(41)
    deposit, photon = np.zeros(DEPOSIT_SIZE), np.zeros(PHOTON_SIZE)
    left = 0
    for _ in range(4000):
        photon[:] = 0
        photon[X], photon[Z], photon[DX], photon[ENERGY] = 128.0, -52.0, 1.0, 510.99895
        if track_crystal(state, photon, 0, 0, tables, deposit) != LEFT:
            continue
        left += 1
        u, v, w = photon[Y], photon[Z] + 52.0, photon[X] - 128.0
        assert max(abs(u) - 25, abs(v) - 25, -w, w - 15) > 0
        assert np.linalg.norm(photon[DX : DZ + 1]) == pytest.approx(1, abs=1e-9)
        assert photon[PATH] > 0
        distance, ring, sector = find_module(photon, tables)
        assert (ring, sector) != (0, 0) or distance > 1.0
        assert abs(photon[DY]) <= 1
    assert left > 50
