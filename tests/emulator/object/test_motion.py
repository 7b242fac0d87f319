"""Motion of the object: poses, the photon's way between the frames, and what the scanner sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed
from scipy.spatial.transform import Rotation

from emulator.config import EmulationError, EmulatorConfig
from emulator.engines.emulation import Emulation
from emulator.engines.prepare import prepare
from emulator.object.catalogue import make_phantom
from emulator.object.motion import Breathing, HeadSteps, PoseTable, check_motion, load_motion
from emulator.object.pose import make_pose, to_object, to_scanner
from emulator.physics.photons import DX, DZ, PHOTON_SIZE, X, Z
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner

POINT = EmulatorConfig(phantom="point", activity_Bq=4e6)
HEADER = "t_s,x_mm,y_mm,z_mm,rx_deg,ry_deg,rz_deg\n"
amounts = st.tuples(*[st.floats(-200, 200)] * 3)
angles = st.tuples(*[st.floats(-180, 180)] * 3)


def poses(tmp_path, text: str) -> str:
    path = tmp_path / "poses.csv"
    path.write_text(HEADER + text, encoding="utf-8")
    return str(path)


@given(moved=amounts, turned=angles, at=amounts, angle=st.floats(0, 6.28))
def test_a_photon_comes_back_from_the_scanners_frame_as_it_was(moved, turned, at, angle):
    photon = np.zeros(PHOTON_SIZE)
    photon[X : Z + 1] = at
    photon[DX : DZ + 1] = np.cos(angle), 0.6 * np.sin(angle), 0.8 * np.sin(angle)
    before, pose = photon.copy(), make_pose(moved, turned)
    to_scanner(photon, pose)
    assert np.linalg.norm(photon[DX : DZ + 1]) == pytest.approx(1)
    to_object(photon, pose)
    assert photon == pytest.approx(before, abs=1e-9)


@given(moved=amounts, turned=angles, at=amounts)
def test_a_pose_turns_about_fixed_x_then_y_then_z_and_then_moves(moved, turned, at):
    photon = np.zeros(PHOTON_SIZE)
    photon[X : Z + 1] = at
    photon[DX] = 1.0
    to_scanner(photon, make_pose(moved, turned))
    rotation = Rotation.from_euler("xyz", turned, degrees=True)
    assert photon[X : Z + 1] == pytest.approx(rotation.apply(at) + moved, abs=1e-9)
    assert photon[DX : DZ + 1] == pytest.approx(rotation.apply([1, 0, 0]), abs=1e-12)


def test_table_is_linear_between_its_rows_held_at_the_ends_and_jumps():
    rows = [[0, 0, 0, 0, 0, 0, 0], [10, 4, 0, -2, 0, 0, 20], [10, 8, 0, 0, 0, 0, 0]]
    table = PoseTable(np.array(rows, np.float64))
    assert table.pose_of(5.0) == pytest.approx(make_pose((2, 0, -1), (0, 0, 10)))
    assert table.pose_of(-1.0) == pytest.approx(make_pose((0, 0, 0), (0, 0, 0)))
    for time_s in (10.0, 99.0):
        assert table.pose_of(time_s) == pytest.approx(make_pose((8, 0, 0), (0, 0, 0)))


def test_breathing_is_lujans_law_and_rests_exhaled():
    breathing = Breathing(period_s=5.0, amplitude_mm=12.0)
    times_s = np.arange(0, 50, 0.01)
    z = np.array([breathing.pose_of(t)[11] for t in times_s])
    lujan = -12.0 * np.cos(np.pi * times_s / 5.0 - np.pi / 2) ** 4
    assert z == pytest.approx(lujan, abs=1e-9)
    assert (z > -3.0).mean() == pytest.approx(0.5, abs=0.01)
    assert (z.min(), z.max()) == pytest.approx((-12, 0), abs=1e-3)


def test_head_lies_still_but_for_one_step_in_each_stretch():
    head = HeadSteps(seed=7, interval_s=60.0)
    times_s = np.arange(0, 6000, 1.0)
    taken = np.array([head.pose_of(t) for t in times_s])
    assert (taken[0] == make_pose((0, 0, 0), (0, 0, 0))).all()
    steps = (np.abs(np.diff(taken, axis=0)) > 0).any(axis=1).reshape(-1)
    assert steps.sum() == pytest.approx(100, abs=1)
    assert taken[:, 9:].std(axis=0) == pytest.approx([1.5] * 3, rel=0.35)
    assert np.abs(taken[:, 9:]).max() <= 3.0
    again = np.array([HeadSteps(seed=7).pose_of(t) for t in times_s[::100]])
    assert (again == taken[::100]).all()
    assert (HeadSteps(seed=8).pose_of(500.0) != head.pose_of(500.0)).any()


def centre_of_pairs_mm(motion: str, slice_index: int = 0) -> tuple[np.ndarray, float]:
    """Return the point nearest to all lines of response of a point source, and pairs seen.

    Least squares: Σ (1 − d·dᵀ)·(x − p) = 0 over lines through p along d.
    """
    instrument = prepare(changed(POINT, motion=motion))
    emulation = Emulation(instrument, activity_Bq=4e6, seed=5)
    hits = np.sort(emulation.emulate_slice(slice_index).hits, order="time_ps")
    hits = hits[hits["energy"] > 4500]
    first = np.flatnonzero(np.diff(hits["time_ps"]) < 1500)
    scanner = instrument.scanner
    geometry = build_geometry(scanner)
    crystal = hits["module"].astype(int) * scanner.crystals_per_module + hits["crystal"]
    depth = geometry.doi_depth_mm[hits["doi"]][:, None]
    place = geometry.crystal_front_mm[crystal] + geometry.crystal_normal[crystal] * depth
    a, b = place[first], place[first + 1]
    across = np.linalg.norm(a - b, axis=1) > 150
    a, d = a[across], (b - a)[across]
    d = d / np.linalg.norm(d, axis=1)[:, None]
    matrix = len(d) * np.eye(3) - np.einsum("ni,nj->ij", d, d)
    aimed = (a - d * (a * d).sum(axis=1)[:, None]).sum(axis=0)
    return np.linalg.solve(matrix, aimed), float(len(d))


def test_point_source_is_seen_where_its_pose_puts_it(tmp_path):
    """Lines scatter by ~2 mm (crystals, depth) and their mean by 2/√2000 mm; the few that scattered
    in the modules, or are random, pull it by some tenths of a mm more."""
    still, pairs = centre_of_pairs_mm("")
    assert pairs > 1500
    text = poses(tmp_path, "0,12,-7,20,0,0,0\n")
    moved, _ = centre_of_pairs_mm(text)
    assert moved - still == pytest.approx([12, -7, 20], abs=0.6)
    inhaled, _ = centre_of_pairs_mm("breathing:period_s=4,amplitude_mm=15", round(2 / 5.24288e-3))
    assert inhaled - still == pytest.approx([0, 0, -15], abs=0.6)


def test_turning_carries_an_object_beside_the_axis_around(tmp_path):
    """A water cylinder turned by 180° about x is the same cylinder: its counts do not change."""
    config = EmulatorConfig(phantom="cylinder", activity_Bq=4e6)
    counts = []
    for motion in ("", poses(tmp_path, "0,0,0,0,180,0,0\n")):
        emulation = Emulation(prepare(changed(config, motion=motion)), activity_Bq=4e6, seed=5)
        counts.append(sum(len(emulation.emulate_slice(k).hits) for k in range(4)))
    assert counts[0] == pytest.approx(counts[1], rel=6 / np.sqrt(counts[0]))


def test_matter_moves_with_the_activity(tmp_path):
    """Out of the field of view a water cylinder is seen less than in it, and what does return
    from the modules finds it where it is: the books close."""
    config = EmulatorConfig(phantom="cylinder", activity_Bq=4e6, lutetium=True)
    seen = []
    for text in ("0,0,0,0,0,0,0\n", "0,0,0,250,0,0,0\n"):
        instrument = prepare(changed(config, motion=poses(tmp_path, text)))
        emulation = Emulation(instrument, activity_Bq=4e6, seed=5)
        for k in range(2):
            emulation.digitize(emulation.emulate_slice(k), last=k == 1)
        truth = emulation.totals.truth()
        parts = ("below_trigger", "unread", "emitted", "dead", "piled_up", "lost", "off")
        assert truth["deposits"] + truth["noise"] == (
            sum(truth[part] for part in parts) + truth["after_end"]
        )
        seen.append((truth["deposits"] - truth["lutetium_decays"]) / truth["decays"])
    assert seen[1] < seen[0] / 3


def test_labels_tell_the_place_in_the_scanners_frame(tmp_path):
    instrument = prepare(
        changed(POINT, motion=poses(tmp_path, "0,30,0,0,0,0,90\n0,0,-25,5,0,0,0\n"))
    )
    emulation = Emulation(instrument, activity_Bq=4e6, seed=5, origins=True)
    labels = emulation.emulate_slice(0).labels
    centre = [float(np.median(labels[axis])) for axis in ("x_mm", "y_mm", "z_mm")]
    assert centre == pytest.approx([0, -25, 5], abs=0.3)


def test_rest_changes_no_byte(tmp_path):
    """A pose of zeros takes the way through both frames and yields the same hits."""
    hits = [
        Emulation(prepare(changed(POINT, motion=motion)), activity_Bq=4e6, seed=5)
        .emulate_slice(1)
        .hits.tobytes()
        for motion in ("", poses(tmp_path, "0,0,0,0,0,0,0\n"))
    ]
    assert hits[0] == hits[1]


@pytest.mark.parametrize(
    "text", ["0,60,0,0,0,0,0\n", "0,0,0,0,0,0,0\n9,0,-60,0,0,0,0\n", "0,0,0,0,90,0,0\n"]
)
def test_motion_out_of_the_bore_is_refused(tmp_path, text):
    """The cylinder (radius 100 mm, 150 mm long) in a bore of 128 mm: also when it lies across."""
    scanner = load_scanner("caremibrain")
    phantom = make_phantom("cylinder", scanner)
    motion = load_motion(poses(tmp_path, text))
    assert motion is not None
    if text.endswith("90,0,0\n"):
        reach = float(np.hypot(100, 75))
        assert reach < 128
        check_motion(motion, phantom, scanner)
        motion = load_motion(poses(tmp_path, "0,0,15,0,90,0,0\n"))
        assert motion is not None
    with pytest.raises(EmulationError, match=r"mm from the axis, the bore of .* ends at 128 mm"):
        check_motion(motion, phantom, scanner)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dancing", "cannot be read.*give breathing"),
        ("breathing:depth=3", "no option 'depth'; there are period_s, amplitude_mm"),
        ("breathing:period_s=0", "above 0"),
        ("head:rotation_deg=x", "above 0"),
    ],
)
def test_motions_that_do_not_exist_are_refused(text, told):
    with pytest.raises(EmulationError, match=told):
        load_motion(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0,0,0\n", "7 finite numbers"),
        ("1,0,0,0,0,0,0\n0,0,0,0,0,0,0\n", "line 3: time goes back"),
        ("0,0,0,inf,0,0,0\n", "line 2"),
        ("", "0 rows"),
    ],
)
def test_tables_that_cannot_be_are_refused(tmp_path, text, told):
    with pytest.raises(EmulationError, match=told):
        load_motion(poses(tmp_path, text))
