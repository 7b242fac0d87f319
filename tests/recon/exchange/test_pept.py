"""A positron camera's lines: read, played through the live imager, points where lines cross."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from daq.cli import main
from recon.core.grid import ImageGrid
from recon.exchange.errors import ExchangeError
from recon.exchange.listmode.pept import PeptList, point_sources, read_pept
from recon.live.pept_playback import play

POINTS = np.array([[140.0, 130.0, 75.0], [170.0, 190.0, 210.0]])
SEPARATION = 300.0
GRID = ImageGrid((67, 67, 60), (3.0, 3.0, 3.0))


def made(path: Path, count: int = 3000, *, separation: str = "300") -> Path:
    """Two points between screens of 200 × 200 mm, 1 mm blur, 15 % of lines from anywhere."""
    rng = np.random.default_rng(11)
    rows = ["Some laboratory", f"Separation= {separation}", "f(opt) : 1 2", ""]
    for k in range(count):
        while True:
            point = POINTS[k % 2] if rng.random() > 0.15 else rng.uniform(60, 240, 3)
            slope = rng.uniform(-0.6, 0.6, 2)
            low = point[:2] - slope * point[2]
            high = point[:2] + slope * (SEPARATION - point[2])
            if ((low > 55) & (low < 255) & (high > 55) & (high < 255)).all():
                break
        values = np.concatenate([low, high]) + rng.normal(0, 0.4, 4)
        rows.append("\t".join(f"{v:.1f}" for v in (0.2 * k, *values)))
    path.write_text("\n".join([*rows, "7"]))
    return path


def crossings(listed: PeptList, count: int) -> np.ndarray:
    """The points that lines pass nearest, by least squares alone: a crowded cell of planes first,
    then Σ (I − uuᵀ)(x − p) = 0 over the lines that come near."""
    start, end = (np.asarray(e, float) for e in (listed.lors.start, listed.lors.end))
    along = (end - start) / np.linalg.norm(end - start, axis=1, keepdims=True)
    across = np.eye(3) - along[:, :, None] * along[:, None, :]
    left, found = np.ones(len(start), bool), []
    for _ in range(count):
        best = (0, np.zeros(3))
        for share in np.linspace(0.1, 0.9, 33):
            place = (start + share * (end - start))[left]
            edges = [np.arange(-300, 301, 12.0)] * 2
            counts = np.histogram2d(place[:, 0], place[:, 1], bins=edges)[0]
            i, j = np.unravel_index(int(counts.argmax()), counts.shape)
            if counts.max() > best[0]:
                at = np.array([edges[0][i] + 6, edges[1][j] + 6, place[0, 2]])
                best = (counts.max(), at)
        point = best[1]
        for reach in (40.0, 25.0, 15.0, 10.0, 8.0, 8.0):
            offset = np.linalg.norm(np.einsum("nij,nj->ni", across, start - point), axis=1)
            near = left & (offset < reach)
            projected = np.einsum("nij,nj->i", across[near], start[near])
            point = np.linalg.solve(across[near].sum(0), projected)
        found.append(point)
        left &= np.linalg.norm(np.einsum("nij,nj->ni", across, start - point), axis=1) > 15
    return np.array(found)


def worst_distance(found: np.ndarray, expected: np.ndarray) -> float:
    pairs = np.linalg.norm(found[:, None] - expected[None], axis=2)
    return float(max(pairs.min(axis=0).max(), pairs.min(axis=1).max()))


def test_rows_become_lines_between_the_screens(tmp_path: Path) -> None:
    listed = read_pept(made(tmp_path / "a.csv", 40))
    assert len(listed) == 40 and listed.other_rows == 1 and listed.separation_mm == SEPARATION
    assert (listed.lors.start[:, 2] == -150).all() and (listed.lors.end[:, 2] == 150).all()
    assert listed.time_s[1] - listed.time_s[0] == pytest.approx(2e-4)
    middle = np.concatenate([listed.lors.start[:, :2], listed.lors.end[:, :2]])
    assert middle.max(axis=0) == pytest.approx(-middle.min(axis=0), abs=1e-3)


def test_steps_hold_every_line_once_in_order(tmp_path: Path) -> None:
    listed = read_pept(made(tmp_path / "a.csv", 500))
    parts = list(listed.parts(0.03))
    assert sum(len(events) for _, events in parts) == 500
    assert [end for end, _ in parts] == pytest.approx([0.03, 0.06, 0.09, 0.12])


def test_played_list_shows_two_points_where_they_are(tmp_path: Path) -> None:
    listed = read_pept(made(tmp_path / "a.csv"))
    ends = []
    image, last = play(
        listed, GRID, speed=0.0, step_s=0.2, threads=1,
        shown=lambda shown, late_s: ends.append(shown.detector_time_s),
    )  # fmt: skip
    assert ends == pytest.approx([0.2, 0.4, 0.6]) and last.fraction_used == 1.0
    found = point_sources(image, GRID, 2) + listed.origin_mm
    assert worst_distance(found, POINTS) < 2.0


def turning(path: Path, *, turns_per_min: float) -> Path:
    """A pair 173 mm apart that turns about an axis across the screens' middle, for 1.5 s."""
    rng = np.random.default_rng(3)
    rows = ["Separation= 600"]
    for k in range(6000):
        angle = 2 * np.pi * turns_per_min / 60 * 0.25e-3 * k + np.pi * (k % 2)
        point = np.array([300 + 86.5 * np.cos(angle), 300.0, 300 + 86.5 * np.sin(angle)])
        slope = rng.uniform(-0.6, 0.6, 2)
        ends = (*point[:2] - slope * point[2], *point[:2] + slope * (600 - point[2]))
        rows.append(" ".join(f"{v:.2f}" for v in (0.25 * k, *ends)))
    path.write_text("\n".join(rows))
    return path


@pytest.mark.parametrize(("turns_per_min", "length_s"), [(42.0, None), (0.0, None), (42.0, 0.03)])
def test_points_of_sources_that_move_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], turns_per_min: float, length_s: float | None
) -> None:
    path = turning(tmp_path / "a.csv", turns_per_min=turns_per_min)
    part = ["--length", str(length_s)] if length_s else []
    words = ["import", "pept", str(path), "--output", str(tmp_path / "out"), "--voxel-mm", "9"]
    failed = main([*words, *part, "--json"])
    said = capsys.readouterr()
    if turns_per_min and not length_s:
        assert failed == 1 and "the sources move" in said.err and "points_mm" not in said.out
        return
    first, second = json.loads(said.out.splitlines()[-1])["points_mm"]
    apart_mm = float(np.linalg.norm(np.subtract(first, second)))
    assert failed == 0 and apart_mm == pytest.approx(173, abs=9)  # a voxel


def test_list_keeps_its_own_time(tmp_path: Path) -> None:
    """With a clock of our own: 0.6 s of list at twice its speed end after 0.3 s, none early."""
    listed = read_pept(made(tmp_path / "a.csv", 3000))
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    play(listed, ImageGrid((20, 20, 20), (9.0, 9.0, 9.0)), speed=2.0, step_s=0.2, threads=1,
         clock=lambda: now[0], sleep=sleep)  # fmt: skip
    assert slept == pytest.approx([0.1, 0.1, 0.1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 3 4 5\n", "Separation"),
        ("Separation= 600\n\nno rows\n", "0 rows"),
        ("Separation= 600\n\n1 2 3 nan 5\n", "finite"),
    ],
)
def test_texts_that_are_no_list_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ExchangeError, match=words):
        read_pept(tmp_path / "a.csv")


@pytest.mark.reference_data
def test_measured_particles_lie_where_their_lines_cross(reference_data: Path) -> None:
    """Two static 1 mm ¹⁸F particles, Birmingham: within 2 mm of a least-squares crossing."""
    path = reference_data / "pept" / "sample_2p_static.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    listed = read_pept(path)
    assert len(listed) == 30_026 and listed.separation_mm == 712
    grid = listed.grid(6.0)
    image, last = play(listed, grid, speed=0.0, step_s=0.15)
    assert last.fraction_used == 1.0
    assert worst_distance(point_sources(image, grid, 2), crossings(listed, 2)) < 2.0
