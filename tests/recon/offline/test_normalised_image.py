"""Normalisation from event to image: a scanner of uneven crystals shows an even cylinder."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from hw.scanner.preset_file import load_scanner
from oracles.reconstruction import simulated_records
from recon.core.scanner_tables import ReconSystem
from recon.em.list_mode_osem import osem
from recon.em.sensitivity import SensitivityRatio, geometric_sensitivity, support_mask
from recon.lines.model import LineModel
from recon.lines.normalisation import Normalisation
from recon.projector.operator import Projector

RADIUS_MM, HALF_MM = 60.0, 50.0
POINTS = 300_000


def coarse() -> ReconSystem:
    scanner = load_scanner("tof_brain")
    image = msgspec.structs.replace(scanner.image, shape=(28, 28, 20), voxel_mm=(6.0, 6.0, 6.0))
    return ReconSystem.of(msgspec.structs.replace(scanner, image=image))


SYSTEM = coarse()


@pytest.fixture(scope="module")
def uneven() -> tuple[np.ndarray, Normalisation]:
    """Prompts of crystals of which those on one side count half, edges less, one module nothing;
    and their normalisation."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (POINTS, 3)) * [RADIUS_MM, RADIUS_MM, HALF_MM]
    points = points[np.hypot(points[:, 0], points[:, 1]) < RADIUS_MM]
    records = simulated_records(SYSTEM.scanner, SYSTEM.geometry, points)
    efficiency = rng.normal(1.0, 0.05, (3, 16, 144)).clip(0.5)
    efficiency[:, 1:4] *= 0.5
    efficiency[1, 9] = 0
    profile = np.full((12, 12), 1.0)
    profile[0] = profile[-1] = profile[:, 0] = profile[:, -1] = 0.8
    factor = (efficiency * profile.reshape(-1)).reshape(-1)
    factor /= factor.max()
    kept = rng.random(len(records)) < factor[records["crystal_a"]] * factor[records["crystal_b"]]
    made = Normalisation.of_set(
        efficiency.reshape(-1) / (efficiency * profile.reshape(-1)).max(),
        profile.reshape(-1), [], SYSTEM.scanner,
    )  # fmt: skip
    return records[kept], made


def sectors(image: np.ndarray) -> np.ndarray:
    """Mean of the image in eight sectors between 20 and 50 mm."""
    x, y, _ = SYSTEM.grid.axes_mm()
    radius, angle = np.hypot(x, y)[..., 0], np.arctan2(y, x)[..., 0] % (2 * np.pi)
    middle = image[:, :, 4:16].mean(axis=2)
    inside = (radius > 20) & (radius < 50)
    which = np.floor(angle / (np.pi / 4)).astype(int)
    return np.array([middle[inside & (which == k)].mean() for k in range(8)])


def test_uneven_crystals_show_an_even_cylinder(uneven: tuple[np.ndarray, Normalisation]) -> None:
    """Some 10,000 prompts, 3 % of noise a sector. The level is that of the emissions; without
    normalisation what the crystals miss is missing in the image."""
    records, normalisation = uneven
    geometric = geometric_sensitivity(SYSTEM, samples=300_000)
    ratio = SensitivityRatio(SYSTEM, samples=300_000)
    projector = Projector(SYSTEM.grid, tof=SYSTEM.tof)
    images = []
    for factors in ([], [normalisation]):
        sensitivity = geometric * ratio.of(factors)
        mask = support_mask(sensitivity, SYSTEM.grid)
        events = LineModel(SYSTEM, list(factors)).events(records)
        images.append(osem(projector, events, sensitivity, mask, iterations=3, subsets=4).image)
    without, corrected = (sectors(image) for image in images)
    true = POINTS * 6.0**3 / (8 * RADIUS_MM**2 * HALF_MM)  # emissions in a voxel
    assert without.mean() < 0.6 * true
    assert corrected.std() / corrected.mean() < 0.07
    assert corrected.mean() == pytest.approx(true, rel=0.04)
