"""Motion: lines follow the emulator's own poses, and a moving source comes back to where it was."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from oracles.reconstruction import simulated_records
from recon.core.csv_tables import TableError
from recon.core.event_location import Detection
from recon.core.frames import TimeSelection
from recon.core.grid import ImageGrid
from recon.offline.motion import MotionError, PoseStream, moved_image
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import Extras, reconstruct
from recon.offline.run_data import RunData

STEPS = np.array([
    [0, 0, 0, 0, 0, 0, 0],
    [1, 0, 0, 0, 0, 0, 0],
    [1, 7, -4, 5, 4, -6, 15],
    [2, 7, -4, 5, 4, -6, 15],
    [4, -5, 3, -8, -3, 5, -20],
], dtype=float)  # fmt: skip


def coarse() -> Scanner:
    scanner = load_scanner("caremibrain")
    image = msgspec.structs.replace(scanner.image, shape=(30, 30, 24), voxel_mm=(6.0, 6.0, 6.0))
    return msgspec.structs.replace(scanner, image=image)


def rotation(rx: float, ry: float, rz: float) -> np.ndarray:
    """Return R = R_z·R_y·R_x, multiplied out by numpy."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians([rx, ry, rz])), np.sin(np.radians([rx, ry, rz]))
    x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return z @ y @ x


def test_poses_are_linear_between_rows_and_step_at_two_of_one_time() -> None:
    stream = PoseStream(STEPS)
    for time_s, six in (
        (-1, STEPS[0, 1:]), (0.999999, STEPS[1, 1:]), (1.0, STEPS[2, 1:]),
        (3.0, (STEPS[3, 1:] + STEPS[4, 1:]) / 2), (99, STEPS[4, 1:]),
    ):  # fmt: skip
        pose = stream.pose(time_s)
        np.testing.assert_allclose(pose[9:], six[:3], atol=1e-12)
        np.testing.assert_allclose(pose[:9].reshape(3, 3), rotation(*six[3:]), atol=1e-12)


@pytest.mark.parametrize("reference_s", [None, 1.5])
def test_a_point_of_the_object_stays_where_it_was(reference_s: float | None) -> None:
    """Lines through a point that moves with the poses all pass the place it has at reference."""
    scanner = coarse()
    geometry = build_geometry(scanner)
    point = np.array([21.0, -13.0, 9.0])
    stream = PoseStream(STEPS)
    if reference_s is not None:
        stream = PoseStream(STEPS, stream.pose(reference_s))
    times = np.linspace(0, 5, 400)
    for time_s in times[::57]:
        pose = stream.pose(time_s)
        there = pose[:9].reshape(3, 3) @ point + pose[9:]
        records = simulated_records(scanner, geometry, np.tile(there, (60, 1)))
        records["time_ps"] = int(time_s * 1e12)
        located = Detection.of(scanner, geometry).locate(records, voxel_volume_mm3=1.0)
        before = _distance(located.lors, there)
        stream.move(records, located)
        pose = stream.reference
        kept = pose[:9].reshape(3, 3) @ point + pose[9:]
        np.testing.assert_allclose(_distance(located.lors, kept), before, atol=1e-3)


def _distance(lors: object, point: np.ndarray) -> np.ndarray:
    start, along = lors.start - point, lors.end - lors.start  # type: ignore[attr-defined]
    return np.linalg.norm(np.cross(start, along), axis=1) / np.linalg.norm(along, axis=1)


def test_an_image_moved_by_a_pose_is_found_where_the_pose_takes_it() -> None:
    grid = ImageGrid((20, 18, 16), (2.0, 3.0, 4.0))
    ramp = sum(k * axis for k, axis in zip((1.0, -2.0, 0.5), grid.axes_mm(), strict=True))
    turn, shift = rotation(3, -5, 8), np.array([2.0, -1.0, 3.0])
    moved = moved_image(ramp.astype(np.float32), grid, np.concatenate([turn.ravel(), shift]))
    inner = (slice(6, -6), slice(6, -6), slice(6, -6))
    centres = np.stack(np.broadcast_arrays(*grid.axes_mm()), axis=-1) @ turn.T + shift
    expected = centres @ np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(moved[inner], expected[inner], atol=1e-3)


def test_sampled_poses_share_the_time_out() -> None:
    poses, share = PoseStream(STEPS[:4]).sampled(TimeSelection.frame(0, 2))
    assert len(poses) == 2 and share.tolist() == [0.5, 0.5]


def test_a_moving_source_becomes_a_point_of_the_right_activity() -> None:
    """Two balls on a body that moves by up to 10 mm and 20°: corrected, they are as if at rest."""
    scanner = coarse()
    geometry = build_geometry(scanner)
    rng = np.random.default_rng(3)
    balls = np.array([[45.0, 3, 3], [-33.0, 27, 15]])  # in voxels' middles: regions are symmetric
    points = balls[rng.integers(0, 2, 240_000)] + rng.normal(0, 2.0, (240_000, 3))
    times = np.sort(rng.uniform(0, 4, len(points)))
    stream = PoseStream(STEPS)
    parts = []
    for number, chosen in enumerate(np.array_split(np.arange(len(points)), 80)):
        pose = stream.pose(float(times[chosen].mean()))
        there = points[chosen] @ pose[:9].reshape(3, 3).T + pose[9:]
        found = simulated_records(scanner, geometry, there, seed=number)
        found["time_ps"] = int(times[chosen].mean() * 1e12)
        parts.append(found)
    moving = np.concatenate(parts)
    still = simulated_records(scanner, geometry, points)
    plan = ReconOptions(iterations=3, subsets=4, scatter="none")
    data = RunData.of_records(moving, scanner=scanner, duration_s=4.0)
    rest = reconstruct(RunData.of_records(still, scanner=scanner, duration_s=4.0), plan)
    smeared = reconstruct(data, plan)
    made = reconstruct(data, plan, Extras(poses=stream))
    assert made.corrections.of("motion").applied
    grid = ImageGrid(scanner.image.shape, scanner.image.voxel_mm)
    for ball in balls:
        near = sum((a - b) ** 2 for a, b in zip(grid.axes_mm(), ball, strict=True)) < 12.0**2
        total = made.image[near].sum() / rest.image[near].sum()
        assert total == pytest.approx(1, abs=0.04)  # 1 % of noise
        assert smeared.image[near].sum() < 0.85 * rest.image[near].sum()
        centre = [np.average(np.broadcast_to(axis, near.shape)[near], weights=made.image[near])
                  for axis in grid.axes_mm()]  # fmt: skip
        np.testing.assert_allclose(centre, ball, atol=0.1)  # six draws: within 0.03


NAMES = "t_s,x_mm,y_mm,z_mm,rx_deg,ry_deg,rz_deg\n"


@pytest.mark.parametrize(
    "text, error, words",
    [
        ("t_s,x_mm\n0,1\n", TableError, "no column y_mm"),
        (NAMES + "1,0,0,0,0,0,0\n0,0,0,0,0,0,0\n", MotionError, "not decrease"),
        (NAMES + "1,0,0,0,0,0,far\n", TableError, "row 2"),
    ],
)
def test_a_pose_file_of_nonsense_is_refused(
    text: str, error: type[Exception], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "poses.csv"
    path.write_text(text)
    with pytest.raises(error, match=words):
        PoseStream.load(path)


@pytest.mark.parametrize("shift_mm, gap_s", [(0.0, 0.0), (5.0, 30.0)])
def test_a_gap_is_told_where_the_object_moved_in_it(shift_mm: float, gap_s: float) -> None:
    rows = np.zeros((40, 7))
    rows[:, 0] = np.arange(40) * 0.1
    rows[20:, 0] += 30.0 - 0.1
    rows[20:, 1] = shift_mm
    assert PoseStream(rows).gap_s() == pytest.approx(gap_s)
    assert PoseStream(rows[::30]).gap_s() == 0.0  # two poses: that is how they come
    assert PoseStream(rows[:1]).gap_s() == 0.0
