"""σ told of OSEM's regions and voxels is what repeated measurements show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oracles.drawn_phantom import GRID, MASK, SENSITIVITY, TOF, drawn
from oracles.noise_ratios import region_ratios, voxel_ratio
from recon.core.display_filter import gaussian
from recon.core.noise_parts import ONE_OF, PART_EVENTS, fraction_of
from recon.em.list_mode_osem import OsemResult, osem
from recon.em.penalised import RelativeDifference
from recon.projector.operator import Projector

EVENTS, REPEATS, TOLD = 60_000, 30, 8


def repeated(**options: Any) -> list[OsemResult]:
    """Return repeats; the first few with parts."""
    projector = Projector(GRID, tof=TOF)
    made = [
        osem(
            projector, drawn(EVENTS, seed), SENSITIVITY, MASK, parts=8 if seed < TOLD else 0,
            **options,
        )
        for seed in range(REPEATS)
    ]  # fmt: skip
    projector.close()
    return made


@pytest.fixture(scope="module")
def repeats() -> list[OsemResult]:
    return repeated()


@pytest.mark.parametrize("fwhm_mm", [pytest.param(0.0, marks=pytest.mark.evidence), 6.0])
def test_sigma_of_regions_and_voxels_is_what_repeats_show(
    repeats: list[OsemResult], fwhm_mm: float
) -> None:
    def shown(image: np.ndarray) -> np.ndarray:
        return gaussian(image, GRID, fwhm_mm=fwhm_mm)

    images = [shown(one.image) for one in repeats]
    told = [one.parts.filtered(shown) for one in repeats if one.parts is not None]
    assert len(told) == TOLD
    ratios = region_ratios(images, told)
    assert all(0.8 < ratio < 1.25 for ratio in ratios.values()), ratios
    noise = [parts.relative(image) for parts, image in zip(told, images, strict=False)]
    assert voxel_ratio(images, noise) == pytest.approx(1.0, abs=0.2)


@pytest.mark.evidence
def test_sigma_is_right_where_a_prior_smooths_great_differences_less() -> None:
    """Parts of an eighth of the events, which a prior smooths less, told 1.15 to 1.44."""
    made = repeated(prior=RelativeDifference(beta=0.04), iterations=8)
    told = [one.parts for one in made if one.parts is not None]
    ratios = region_ratios([one.image for one in made], told)
    assert all(0.8 < ratio < 1.25 for ratio in ratios.values()), ratios


def test_parts_leave_the_image_as_it_is(repeats: list[OsemResult]) -> None:
    projector = Projector(GRID, tof=TOF)
    alone = osem(projector, drawn(EVENTS, 0), SENSITIVITY, MASK)
    projector.close()
    assert alone.parts is None
    assert np.array_equal(alone.image, repeats[0].image)


def test_a_part_has_no_more_events_than_are_worth_their_time() -> None:
    assert fraction_of(60_000) == ONE_OF
    assert fraction_of(40 * PART_EVENTS) == 40
