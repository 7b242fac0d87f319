"""Activity outside the field of view or the µ map is found and told, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from oracles.reconstruction import simulated_records
from recon.offline import scatter_step
from recon.offline.options import ReconOptions
from recon.offline.outside import Beside, beside_note
from recon.offline.reconstruction import Reconstruction, reconstruct
from recon.offline.run_data import RunData
from rigs.coarse_brain import coarse_brain, grid_of

pytestmark = pytest.mark.timeout(300)

MU = 0.0096
HEAD_MM, ARM_MM, ARM_AT = 50.0, 20.0, np.array([0.0, 85.0])


def rods(arm: bool, *, draws: int) -> np.ndarray:
    """Prompts of a rod in the middle and, with ``arm``, one beside it, without their matter."""
    rng = np.random.default_rng(3)
    points = [_rod(rng, HEAD_MM, np.zeros(2), draws)]
    if arm:
        points.append(_rod(rng, ARM_MM, ARM_AT, round(draws * (ARM_MM / HEAD_MM) ** 2)))
    both = rng.permutation(np.concatenate(points))
    scanner = coarse_brain()
    return simulated_records(scanner, build_geometry(scanner), both)


def _rod(rng: np.random.Generator, radius_mm: float, at: np.ndarray, draws: int) -> np.ndarray:
    points = rng.uniform([-radius_mm, -radius_mm, -60], [radius_mm, radius_mm, 60], (draws, 3))
    points = points[np.hypot(points[:, 0], points[:, 1]) < radius_mm]
    return points + np.array([*at, 0.0])


def head_map(scanner: Scanner) -> np.ndarray:
    grid = grid_of(scanner)
    x, y, z = grid.axes_mm()
    inside = (np.hypot(x, y) < HEAD_MM) & (np.abs(z) < 60)
    return np.where(inside, np.float32(MU), np.float32(0))


def made(records: np.ndarray, scanner: Scanner, **options: object) -> Reconstruction:
    data = RunData.of_records(records, scanner=scanner, duration_s=10.0, mu_map=head_map(scanner))
    plan = {"iterations": 3, "subsets": 4, "scatter": "none", "block_efficiency": False}
    return reconstruct(data, ReconOptions(**(plan | options)))  # type: ignore[arg-type]


@pytest.mark.parametrize("draws", [20_000, 300_000])
def test_an_arm_beside_the_map_is_told_with_its_share_and_place(draws: int) -> None:
    notes = " ".join(made(rods(True, draws=draws), coarse_brain()).metadata["notes"])
    assert "outside the µ map" in notes
    share = float(notes.split(" % of the activity")[0].split()[-1])
    # 16 % of the head's emissions; the head alone is raised by the map, by 1.5 to 2.5
    assert 4 < share < 14
    place = [float(word) for word in notes.split("around ")[1].split(" mm")[0].split(", ")]
    np.testing.assert_allclose(place, [*ARM_AT, 0], atol=8)


@pytest.mark.parametrize("draws", [20_000, 300_000])
def test_a_map_that_holds_everything_is_not_spoken_of(draws: int) -> None:
    notes = " ".join(made(rods(False, draws=draws), coarse_brain()).metadata["notes"])
    assert "outside" not in notes


def test_what_is_cut_off_is_told_as_a_share_of_the_counts() -> None:
    part = made(rods(True, draws=200_000), coarse_brain(), fov_mm=(120.0, 120.0, 156.0))
    notes = " ".join(part.metadata["notes"])
    share = float(notes.split(" % of the counts")[0].split()[-1])
    whole = made(rods(True, draws=200_000), coarse_brain(), attenuation="none")
    assert "% of the counts" not in " ".join(whole.metadata["notes"])
    assert 8 < share < 20  # the arm's, 14 % of the emissions


def test_prompts_beside_the_field_are_told_and_a_larger_grid_takes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scatter_step, "ROUNDS", 1)  # there is none to find in these records
    records = rods(True, draws=300_000)
    small = coarse_brain((22, 22, 26))  # 132 mm: the arm, 65 to 105 mm from the axis, is beside it
    told = made(records, small, scatter="sss").metadata["notes"]
    beside = [one for one in told if "beside the field of view" in one]
    assert beside and "--over-mm" in beside[0]
    assert int(beside[0].split(" prompts")[0]) > 0.005 * len(records)
    wide = made(records, small, scatter="sss", over_mm=50.0)
    assert not [one for one in wide.metadata["notes"] if "beside the field" in one]
    edge, wider = (float(one.image[:, 20:, 13].max()) for one in (made(records, small), wide))
    assert wider < 0.7 * edge


def test_few_prompts_beside_the_field_are_no_news() -> None:
    assert beside_note(Beside(100.0, 70.0), 1e6) == ""
    assert beside_note(Beside(1e5, 9.9e4), 1e6) == ""
    assert "explain 50000" in beside_note(Beside(1e5, 5e4), 1e6)
