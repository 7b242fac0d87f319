"""The projector with its lines fixed, as parallelproj has it: A(x) and A.adjoint(y)."""

from __future__ import annotations

import numpy as np
import pytest

from oracles.reconstruction import dense_matrix, random_lines
from recon import EventList, ImageGrid, Projector
from recon.core.tof import TofModel

GRID = ImageGrid((20, 24, 12), (2.0, 1.5, 3.0))


@pytest.mark.parametrize("tof", [None, TofModel(sigma_mm=8.0, bin_mm=2.0)])
def test_adjoint_identity_holds(tof: TofModel | None) -> None:
    lines, rng = random_lines(20_000), np.random.default_rng(3)
    A = Projector(GRID, tof=tof).along(lines)
    x, y = (rng.random(shape, dtype=np.float32) for shape in (A.in_shape, A.out_shape))
    left, right = np.vdot(A(x).astype("f8"), y), np.vdot(x.astype("f8"), A.adjoint(y))
    assert left == pytest.approx(right, rel=1e-6)


def test_operator_is_the_matrix_of_chords() -> None:
    grid = ImageGrid((6, 5, 4), (4.0, 5.0, 6.0))
    lines = random_lines(60, radius_mm=25.0, z_mm=14.0)
    x = np.random.default_rng(2).random(grid.shape, dtype=np.float32)
    A = Projector(grid).along(lines)
    assert np.allclose(A(x), dense_matrix(grid, lines) @ x.reshape(-1), rtol=1e-5, atol=1e-4)


def test_events_are_taken_by_their_lines() -> None:
    lines = random_lines(100)
    projector = Projector(GRID)
    x = np.ones(GRID.shape, np.float32)
    of_events = projector.along(EventList.plain(lines))
    assert of_events.out_shape == (100,)
    assert np.array_equal(of_events(x), projector.along(lines)(x))
