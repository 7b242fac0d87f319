"""The septa that a ray crosses, and the bound that aims photons: against points on the ray."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.spect.aiming import ENERGY_STEP_KEV, aim_tables
from emulator.spect.collimator import collimator_tables, septa_share
from hw.scanner.description import Scanner
from hw.scanner.preset_file import load_scanner
from oracles.collimator_openings import hole_area_mm2, open_share

LEHR = load_scanner("gamma_head_lehr")
CZT = load_scanner("czt_cardiac")
PRESETS = {"hexagonal": LEHR, "square": CZT}


def shares_by_points(scanner: Scanner, rays: np.ndarray, points: int = 4000) -> np.ndarray:
    """Return for each ray (u, v, du, dv) the share of its points that are in no hole."""
    collimator = scanner.collimator
    assert collimator is not None
    pitch = collimator.hole_mm + collimator.septum_mm
    part = (np.arange(points) + 0.5) / points
    place = rays[:, None, :2] + part[:, None] * rays[:, None, 2:]
    steps = np.arange(-40, 41)
    i, j = (n.ravel() for n in np.meshgrid(steps, steps))
    if collimator.hole == "hexagonal":
        centres = np.stack([pitch * (i + j / 2), pitch * math.sqrt(3) / 2 * j], axis=1)
        angles = np.radians([0, 60, 120])
    else:
        centres = pitch * (np.stack([i, j], axis=1) + 0.5)
        angles = np.radians([0, 90])
    normals = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    shares = []
    for ray in place:
        middle = np.hypot(*(centres[:, None] - ray.mean(axis=0)).transpose(2, 0, 1))[:, 0]
        near = centres[middle < np.hypot(*(ray[-1] - ray[0])) / 2 + 2 * pitch]
        apart = np.abs((ray[:, None, :] - near[None]) @ normals.T)
        shares.append(1 - (apart <= collimator.hole_mm / 2).all(axis=2).any(axis=1).mean())
    return np.array(shares)


@pytest.mark.parametrize("hole", PRESETS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_share_in_septa_is_that_of_the_points_on_the_ray(hole: str, data: Any) -> None:
    scanner = PRESETS[hole]
    place = st.floats(-20, 20, allow_subnormal=False)
    length = st.floats(-6, 6, allow_subnormal=False)
    ray = [data.draw(kind) for kind in (place, place, length, length)]
    tables = collimator_tables(scanner)
    expected = shares_by_points(scanner, np.array([ray]))[0]
    assert septa_share(*ray, 1.0, tables) == pytest.approx(expected, abs=3e-3)


@pytest.mark.parametrize("hole", PRESETS)
def test_rays_along_the_holes_pass_with_the_share_of_the_face_that_is_open(hole: str) -> None:
    scanner = PRESETS[hole]
    assert scanner.collimator is not None
    tables = collimator_tables(scanner)
    random = np.random.default_rng(1)
    shares = [septa_share(*random.uniform(-50, 50, 2), 0.0, 0.0, 1.0, tables) for _ in range(20000)]
    assert set(shares) == {0.0, 1.0}
    assert 1 - np.mean(shares) == pytest.approx(open_share(scanner.collimator), abs=0.01)


def test_a_long_oblique_ray_is_in_septa_as_much_as_the_face_is() -> None:
    tables = collimator_tables(LEHR)
    assert LEHR.collimator is not None
    random = np.random.default_rng(2)
    angles = random.uniform(0, 2 * np.pi, 2000)
    shares = [
        septa_share(u, v, 80 * math.cos(a), 80 * math.sin(a), 1.0, tables)
        for (u, v), a in zip(random.uniform(-9, 9, (2000, 2)), angles, strict=True)
    ]
    assert np.mean(shares) == pytest.approx(1 - open_share(LEHR.collimator), rel=0.01)


def test_square_holes_stand_before_the_pixels() -> None:
    tables = collimator_tables(CZT)
    for pixel in range(CZT.module.n_u):
        centre = (pixel + 0.5) * CZT.module.pitch_u_mm - CZT.module.width_mm / 2
        assert septa_share(centre, centre, 0.0, 0.0, 1.0, tables) == 0.0
        assert septa_share(centre + 1.14, 1.23, 0.0, 0.0, 1.0, tables) == 1.0


@pytest.mark.parametrize("preset", ["gamma_head_lehr", "gamma_head_melp", "czt_cardiac"])
def test_no_ray_gets_through_better_than_the_bound_it_is_aimed_by(preset: str) -> None:
    tables = collimator_tables(load_scanner(preset))
    aim = aim_tables(tables, most_keV=210.0, least_keV=30.0)
    random = np.random.default_rng(3)
    for energy in (45.0, 85.0, 140.5, 208.0):
        row = int(energy / ENERGY_STEP_KEV)
        mu = np.interp(energy, np.arange(len(tables.mu_per_mm)), tables.mu_per_mm)
        for _ in range(4000):
            tangent = random.uniform(0, 1.6) * random.uniform(0, 1) ** 2
            cosine = 1 / math.hypot(1, tangent)
            across, turn = tangent * tables.length_mm, random.uniform(0, 2 * np.pi)
            u, v = random.uniform(-9, 9, 2)
            along = across * math.cos(turn), across * math.sin(turn)
            share = septa_share(u, v, *along, 1.0, tables)
            passed = math.exp(-mu * share * tables.length_mm / cosine)
            at = int(np.searchsorted(-aim.cos_edge, -cosine, side="right")) - 1
            assert passed <= aim.bound[row, at] * (1 + 1e-9)


@pytest.mark.parametrize("hole", PRESETS)
def test_bound_is_no_more_than_twice_what_gets_through_a_lead_or_tungsten_hole(hole: str) -> None:
    """Aiming pays: ∫ bound dΩ against Anger's open area · hole area / length²."""
    scanner = PRESETS[hole]
    collimator = scanner.collimator
    assert collimator is not None
    aim = aim_tables(collimator_tables(scanner), most_keV=141.0, least_keV=30.0)
    geometric = open_share(collimator) * hole_area_mm2(collimator) / collimator.length_mm**2
    assert geometric < aim.whole_sr[35] < 12 * geometric


def test_denser_septa_let_less_through() -> None:
    assert LEHR.collimator is not None
    whole = []
    for septum in (0.10, 0.16, 0.30):
        thicker = msgspec.structs.replace(LEHR.collimator, septum_mm=septum)
        scanner = msgspec.structs.replace(LEHR, collimator=thicker)
        aim = aim_tables(collimator_tables(scanner), most_keV=365.0, least_keV=30.0)
        whole.append(aim.whole_sr[91])
    assert whole[0] > whole[1] > whole[2]
