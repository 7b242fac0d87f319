"""What motion means for µ map, scatter's tails and MLAA."""

from __future__ import annotations

import numpy as np
import pytest

from hw.scanner.geometry import build_geometry
from oracles.reconstruction import simulated_records
from recon.lines.model import LineModel
from recon.offline.motion import MotionError, MovingLineModel, PoseStream
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import Extras, Reconstruction, reconstruct
from recon.offline.run_data import RunData
from recon.scatter.estimate import estimate_scatter
from rigs.coarse_brain import coarse_brain, grid_of

RADIUS_MM, MU = 55.0, 0.0096
SHIFT_MM = np.array([30.0, -24.0, 12.0])
PLAN = ReconOptions(iterations=3, subsets=4, scatter="none", block_efficiency=False)
AWAY = PoseStream(np.array([[0, *SHIFT_MM, 0, 0, 0], [10, *SHIFT_MM, 0, 0, 0]], float))
"""The object stays, but away from where the poses are all zero."""


SCANNER = coarse_brain()
GRID = grid_of(SCANNER)


def ball(place: np.ndarray, radius_mm: float = RADIUS_MM) -> np.ndarray:
    return np.asarray(
        sum((a - b) ** 2 for a, b in zip(GRID.axes_mm(), place, strict=True)) < radius_mm**2
    )


def in_ball(rng: np.random.Generator, count: int) -> np.ndarray:
    points = rng.uniform(-RADIUS_MM, RADIUS_MM, (count, 3))
    return points[np.linalg.norm(points, axis=1) < RADIUS_MM]


def seen_from(points: np.ndarray, centre: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the prompts of points in an attenuating ball around ``centre``."""

    def survival(place: np.ndarray, direction: np.ndarray) -> np.ndarray:
        away = place - centre
        along = (away * direction).sum(1)
        return np.exp(-2 * MU * np.sqrt(along**2 - (away**2).sum(1) + RADIUS_MM**2))

    return simulated_records(SCANNER, build_geometry(SCANNER), points, seed=seed, survival=survival)


@pytest.fixture(scope="module")
def away() -> RunData:
    """A ball that was away all the time; its µ map was taken in the pose of all zeros."""
    records = seen_from(in_ball(np.random.default_rng(0), 900_000) + SHIFT_MM, SHIFT_MM)
    mu = np.where(ball(np.zeros(3)), np.float32(MU), np.float32(0))
    return RunData.of_records(records, scanner=SCANNER, duration_s=10.0, mu_map=mu)


def level(made: Reconstruction, place: np.ndarray) -> float:
    return float(made.image[ball(place, 40.0)].mean())


def test_the_mu_map_goes_with_the_image_to_the_reference_pose(away: RunData) -> None:
    at_zero = reconstruct(away, PLAN, Extras(poses=AWAY))
    there = PoseStream(AWAY.rows, AWAY.pose(5.0))
    at_reference = reconstruct(away, PLAN, Extras(poses=there))
    how = at_reference.corrections.of("attenuation").how
    assert "moved to the reference pose" in how
    assert "moved" not in at_zero.corrections.of("attenuation").how
    expected = level(at_zero, np.zeros(3))
    assert level(at_reference, SHIFT_MM) == pytest.approx(expected, rel=0.03)
    as_it_is = ReconOptions(**{**PLAN.__dict__, "mu_pose": "reference"})
    wrong = reconstruct(away, as_it_is, Extras(poses=there))
    assert level(wrong, SHIFT_MM) < 0.95 * expected
    assert "taken in the reference pose" in wrong.corrections.of("attenuation").how


def test_mlaa_of_a_moving_object_is_refused(away: RunData) -> None:
    with pytest.raises(MotionError, match="at rest"):
        reconstruct(away, ReconOptions(attenuation="mlaa"), Extras(poses=AWAY))


def test_lines_are_tails_by_where_the_object_was() -> None:
    """A ball without scatter moves by 60 mm: its own prompts are no tails."""
    rng = np.random.default_rng(1)
    rows = np.array([[0, -30, 0, 0, 0, 0, 0], [5, -30, 0, 0, 0, 0, 0],
                     [5, 30, 0, 0, 0, 0, 0], [10, 30, 0, 0, 0, 0, 0]], float)  # fmt: skip
    parts = []
    for number, x in enumerate((-30.0, 30.0)):
        found = seen_from(in_ball(rng, 60_000) + (place := np.array([x, 0, 0])), place, seed=number)
        found["time_ps"] = np.sort(rng.integers(0, int(5e12), len(found))) + number * int(5e12)
        parts.append(found)
    records = np.concatenate(parts)
    mu = np.where(ball(np.zeros(3)), np.float32(MU), np.float32(0))
    data = RunData.of_records(records, scanner=SCANNER, duration_s=10.0)
    system = data.system(block_efficiency=False)
    activity = np.where(mu > 0, np.float32(1000), np.float32(0))
    tails = {}
    for name, model in {
        "still": LineModel(system), "moving": MovingLineModel(system, poses=PoseStream(rows)),
    }.items():  # fmt: skip
        found = estimate_scatter(model, activity, mu, [records], duration_s=10.0)
        tails[name] = found.about["tail_prompts"]
    assert tails["still"] > 0.02 * len(records)
    assert tails["moving"] < 0.001 * len(records)
