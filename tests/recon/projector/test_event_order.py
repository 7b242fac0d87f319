"""The order of lines: a permutation that brings together what runs together."""

from __future__ import annotations

import numpy as np
import pytest

from oracles.reconstruction import random_lines
from recon.core.events import Lors
from recon.core.grid import ImageGrid
from recon.projector.event_order import FEWEST_SORTED, order_for_cache
from recon.projector.operator import Projector

GRID = ImageGrid((20, 24, 12), (2.0, 1.5, 3.0))


@pytest.mark.parametrize("count", [0, 1, FEWEST_SORTED - 1, FEWEST_SORTED, 30_000])
def test_order_is_a_permutation(count: int) -> None:
    order = order_for_cache(random_lines(count))
    assert np.array_equal(np.sort(order), np.arange(count))


def test_neighbours_in_order_run_together() -> None:
    lors = random_lines(30_000)
    ordered = lors.take(order_for_cache(lors))

    def turn(one: Lors) -> float:
        """Mean angle between neighbours' transaxial directions, rad."""
        along = one.end - one.start
        angle = np.arctan2(along[:, 1], along[:, 0]).astype(np.float64)
        step = np.diff(angle) % np.pi
        return float(np.minimum(step, np.pi - step).mean())

    assert turn(ordered) < 0.1 * turn(lors)


def test_turning_a_line_round_keeps_its_place() -> None:
    lors = random_lines(5000)
    turned = Lors(lors.end, lors.start, -lors.offset_mm)
    same = order_for_cache(lors) == order_for_cache(turned)
    assert same.mean() > 0.9  # rounding moves a few into the next level


def test_lines_that_are_not_finite_have_some_place() -> None:
    lors = random_lines(5000)
    lors.start[::7] = np.nan
    lors.end[::11] = np.inf
    assert np.array_equal(np.sort(order_for_cache(lors)), np.arange(5000))


def test_results_come_back_in_the_order_of_the_list() -> None:
    """A batch large enough to be sorted inside gives what its lines give one by one."""
    lors = random_lines(4 * FEWEST_SORTED)
    image = np.random.default_rng(1).random(GRID.shape, dtype=np.float32)
    whole = Projector(GRID).forward(image, lors)
    few = np.arange(0, len(lors), 97)
    assert np.array_equal(Projector(GRID).forward(image, lors.take(few)), whole[few])
