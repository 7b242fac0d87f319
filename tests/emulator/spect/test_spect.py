"""What cameras see of a source: against every photon followed, textbooks and published figures."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from emulator.config import EmulationError, EmulatorConfig
from emulator.engines.emulation import Emulation
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from emulator.engines.spect_engine import SpectEngine
from emulator.object.phantom import Phantom
from emulator.physics.materials import mu_per_mm
from emulator.slices import PERIOD_S
from emulator.spect.gantry_motion import load_spect_motion, poses_at
from emulator.spect.septa_library import septa_matter
from emulator.spect.sight_of_camera import PENETRATED, SEPTAL, new_spect_scratch
from emulator.trials import cameras as spect_trials
from emulator.trials.bare_collimator import CROSSED, energies_behind
from emulator.trials.cameras import (
    CameraEvents,
    counts_per_photon,
    gaussian_fwhm_mm,
    half_maximum_mm,
    ideal_camera,
    line_spread_mm,
    see,
    source_before,
    triple_window,
)
from hw.scanner.description import Scanner
from hw.scanner.preset_file import load_scanner
from hw.wire.protocol import FRAME_PERIOD_PS
from oracles.analog_cameras import (
    SEEN_COLUMNS,
    SEEN_KEV,
    SEEN_KIND,
    SEEN_SCATTERS,
    SEEN_U,
    follow_all,
)
from oracles.angle_words import angles_deg
from oracles.collimator_openings import hole_area_mm2, open_share

LEHR, MELP, CZT = "gamma_head_lehr", "gamma_head_melp", "czt_cardiac"
TC_KEV = 140.511
LIBRARY_ERROR = 0.03
"""Of what septa scatter: σ of the records of nodes, and their interpolation."""
replaced = msgspec.structs.replace


def open_head(hole: str) -> Scanner:
    """A head whose holes are so wide and short that some per cent of all photons are seen."""
    base = load_scanner(LEHR)
    assert base.collimator is not None
    wide = replaced(
        base.collimator, hole=hole, hole_mm=9.0, septum_mm=0.8, length_mm=12.0, gap_mm=2.0
    )
    module = replaced(base.module, width_mm=120.0, height_mm=120.0)
    ring = replaced(base.ring, inradius_mm=100.0)
    return replaced(base, ring=ring, module=module, collimator=wide)


def bone_and_water() -> Phantom:
    """Return two places with activity in a block of water with bone below and air on a side."""
    shape = (16, 16, 16)
    mu = np.full(shape, mu_per_mm("water"), np.float32)
    material = np.zeros(shape, np.uint8)
    material[:, :, :4], mu[:, :, :4] = 1, mu_per_mm("skull")
    mu[:, :3] = 0
    activity = np.zeros(shape, np.float32)
    activity[9, 8, 7], activity[6, 9, 8] = 1, 2
    low = (-60.0, -60.0, -60.0)
    materials = ("water", "skull")
    return Phantom("block", activity, mu, (8.0,) * 3, low, material=material, materials=materials)


def camera(monkeypatch: Any, scanner: Scanner, phantom: Phantom, nuclide: str) -> Instrument:
    monkeypatch.setattr(spect_trials, "load_scanner", lambda name: scanner)
    return ideal_camera(LEHR, nuclide, phantom)


@pytest.mark.parametrize("hole", ["hexagonal", "square"])
def test_photons_seen_are_those_seen_when_every_photon_is_followed(
    hole: str, monkeypatch: Any
) -> None:
    scanner = open_head(hole)
    instrument = camera(monkeypatch, scanner, bone_and_water(), "Tc-99m")
    forced = see(instrument, events=25_000, activity_Bq=3e6)
    photons = 800_000
    all_seen = np.empty((photons, SEEN_COLUMNS))
    assert instrument.spect is not None
    pose = poses_at(scanner, np.zeros(1), np.empty(0))[0]
    scratch, lead = new_spect_scratch(), septa_matter("Pb", TC_KEV)
    found = follow_all(instrument.spect, lead, pose, TC_KEV, photons, 7, scratch, all_seen)
    analog = all_seen[:found]
    analog = analog[analog[:, SEEN_KEV] > 45]
    energy = forced.energy_keV > 45
    by_septa = (forced.how & SEPTAL) > 0
    for order in range(5):
        for septal in (False, True):
            a = np.minimum(analog[:, SEEN_SCATTERS], 4) == order
            a &= (analog[:, SEEN_KIND] != CROSSED) == septal
            f = (np.minimum(forced.scatters, 4) == order) & energy & (by_septa == septal)
            here, there = f.sum() / forced.photons, a.sum() / photons
            error = math.hypot(math.sqrt(a.sum()) / photons, math.sqrt(f.sum()) / forced.photons)
            assert abs(here - there) < 4 * error + septal * LIBRARY_ERROR * there
            where = analog[a, SEEN_U].mean(), forced.u_mm[f].mean()
            spread = 40 * math.hypot(a.sum() ** -0.5, f.sum() ** -0.5)
            assert abs(where[0] - where[1]) < 4 * spread


def septal_by_energy(energy_keV: np.ndarray) -> np.ndarray:
    """Count from the trigger's upper end, about lead's X-rays, between, and in the window."""
    return np.histogram(energy_keV, bins=[45.0, 95.0, 126.46, 154.56])[0]


@pytest.mark.evidence
def test_what_septa_scatter_is_that_of_photons_followed_in_the_lead() -> None:
    """Within 4 σ and the library's own error: total, lead's K X-rays, and the energy window."""
    instrument = ideal_camera(LEHR, "Tc-99m", source_before(LEHR, 100.0))
    live = see(instrument, events=60_000)
    deposits, kind, emitted = energies_behind(instrument, TC_KEV, photons=12_000_000)
    blur = np.random.default_rng(1).normal(size=len(deposits))
    read_out = deposits + instrument.response.energy_sigma * np.sqrt(deposits) * blur
    for septal in (False, True):
        here = septal_by_energy(live.energy_keV[((live.how & SEPTAL) > 0) == septal])
        there = septal_by_energy(read_out[(kind != CROSSED) == septal])
        error = np.hypot(np.sqrt(here) / live.photons, np.sqrt(there) / emitted)
        error += septal * LIBRARY_ERROR * there / emitted
        assert (abs(here / live.photons - there / emitted) < 4 * error).all()
    assert (here > 100).sum() >= 2  # there is something to compare


def test_counts_of_slices_are_poisson() -> None:
    """Variance over mean is 1 to within 4 σ; energies and places are as of independent photons."""
    config = EmulatorConfig(scanner=LEHR, nuclide="Tc-99m", phantom="cylinder", trigger_keV=40.0)
    engine = SpectEngine(prepare(config), activity_Bq=1e8, seed=3)
    counts = np.array([len(engine.make_slice(k).hits) for k in range(400)])
    assert abs(counts.var() / counts.mean() - 1) < 4 * math.sqrt(2 / len(counts))
    assert engine.exceeded == 0


def test_slices_depend_on_seed_and_number_only() -> None:
    instrument = prepare(EmulatorConfig(scanner=LEHR, nuclide="Tc-99m", phantom="point"))
    one, other = (SpectEngine(instrument, activity_Bq=3e8, seed=5) for _ in range(2))
    ahead = [one.make_slice(k) for k in range(4)]
    behind = [other.make_slice(k) for k in reversed(range(4))][::-1]
    for a, b in zip(ahead, behind, strict=True):
        assert np.array_equal(a.hits, b.hits) and np.array_equal(a.tally, b.tally)
    assert not np.array_equal(ahead[0].hits, ahead[1].hits)


# Against textbooks


@pytest.mark.parametrize(
    ("preset", "energy_keV"),
    [(LEHR, TC_KEV), pytest.param(MELP, 208.366, marks=pytest.mark.evidence)],
)
def test_unscattered_counts_are_angers_geometric_efficiency_times_the_crystals(
    preset: str, energy_keV: float
) -> None:
    """open · hole area / (4π L²) is exceeded by what comes through septa: by less than L_eff has.

    L_eff = L − 2/µ (H. O. Anger, Instrumentation in Nuclear Medicine 1 (1967) 485).
    """
    nuclide = "Tc-99m" if preset == LEHR else "Lu-177"
    instrument = ideal_camera(preset, nuclide, source_before(preset, 100.0))
    seen = see(instrument, events=25_000)
    collimator = instrument.scanner.collimator
    assert collimator is not None and instrument.spect is not None
    head, septa = instrument.spect.head, instrument.spect.collimator
    table = np.arange(len(septa.mu_per_mm))
    crystal = 1 - math.exp(-9.5 * float(np.interp(energy_keV, table, head.mu_per_mm)))
    cover = math.exp(-0.3048 * float(np.interp(energy_keV, table, septa.cover_per_mm)))
    short = 2 / float(np.interp(energy_keV, table, septa.mu_per_mm))
    open_mm2 = open_share(collimator) * hole_area_mm2(collimator) / (4 * math.pi)
    of_line = (np.abs(seen.emitted_keV - energy_keV) < 1) & ((seen.how & SEPTAL) == 0)
    lines = {"Tc-99m": 1.0, "Lu-177": 0.11 / (seen.photons / seen.decays)}
    counts = of_line.sum() / (seen.photons * lines[nuclide])
    least = open_mm2 / collimator.length_mm**2 * crystal * cover
    most = open_mm2 / (collimator.length_mm - short) ** 2 * crystal * cover
    assert 0.97 * least < counts < 1.03 * most
    assert 0.0 < (seen.how[of_line] & PENETRATED).mean() < 0.2


@pytest.mark.parametrize("distance_mm", [50.0, 150.0])
def test_resolution_falls_with_distance_as_holes_have_it(distance_mm: float) -> None:
    """R = √((d·(L_eff + b)/L_eff)² + R_i²): b from the collimator to the crystal's depth."""
    place = line_spread_mm(LEHR, "Tc-99m", TC_KEV, distance_mm=distance_mm, events=60_000)
    effective = 24.05 - 2 / 2.69
    hole = 1.11 * (effective + distance_mm + 0.3 + 2.9) / effective
    assert gaussian_fwhm_mm(place) == pytest.approx(math.hypot(hole, 3.6), rel=0.05)


@pytest.mark.evidence
def test_thicker_septa_are_crossed_less(monkeypatch: Any) -> None:
    base = load_scanner(LEHR)
    assert base.collimator is not None
    crossed = []
    for septum in (0.16, 0.4):
        collimator = replaced(base.collimator, septum_mm=septum)
        scanner = replaced(base, collimator=collimator)
        instrument = camera(monkeypatch, scanner, source_before(LEHR, 100.0), "Lu-177")
        seen = see(instrument, events=4000, activity_Bq=1e8)
        crossed.append(float((seen.how & PENETRATED).mean()))
    assert crossed[0] > 1.5 * crossed[1]


# Against published figures and Monte Carlo (ANCHORS of the project's plan)


@pytest.mark.parametrize(
    ("preset", "nuclide", "energy_keV", "counts", "fwhm_mm"),
    [
        (LEHR, "Tc-99m", TC_KEV, 1.054e-4, 6.97),
        pytest.param(MELP, "Lu-177", 208.366, 1.175e-4, 11.1, marks=pytest.mark.evidence),
        pytest.param(MELP, "Lu-177", 112.95, 1.797e-4, 10.65, marks=pytest.mark.evidence),
    ],
)
def test_sensitivity_and_resolution_at_10_cm_are_those_of_gate(
    preset: str, nuclide: str, energy_keV: float, counts: float, fwhm_mm: float
) -> None:
    """Within 3 %: GATE's figures have three to four digits and no error is given with them."""
    found, error = counts_per_photon(preset, nuclide, energy_keV, events=40_000)
    assert found == pytest.approx(counts, abs=0.03 * counts + 2 * error)
    place = line_spread_mm(preset, nuclide, energy_keV, events=60_000)
    assert gaussian_fwhm_mm(place) == pytest.approx(fwhm_mm, rel=0.05)
    assert half_maximum_mm(place) == pytest.approx(fwhm_mm, rel=0.08)


@pytest.mark.evidence
def test_triple_energy_window_recovers_the_primaries_of_a_source_in_water() -> None:
    recovered, error = triple_window(events=60_000)
    assert recovered == pytest.approx(1.03, abs=0.05 + 2 * error)


# Motion


@pytest.mark.parametrize(
    ("text", "time_s", "angle_deg"),
    [
        ("fixed:30", 1e4, 30.0),
        ("step:4x10s", 9.9, 0.0),
        ("step:4x10s", 17.5, 45.0),  # 90° at 6 °/s take 15 s
        ("step:4x10s", 25.1, 90.0),
        ("step:4x10s", 1e5, 270.0),
        ("turn:6deg/s", 10.0, 60.0),
        ("turn:6deg/s", 70.0, 300.0),
        ("", 5.0, 0.0),
    ],
)
def test_gantry_stands_where_its_setting_says(text: str, time_s: float, angle_deg: float) -> None:
    motion = load_spect_motion(text, load_scanner(LEHR))
    assert motion is not None
    assert motion.angles_deg(time_s) == pytest.approx(angle_deg)


def test_columns_that_turn_look_in_different_directions_within_their_range() -> None:
    scanner = load_scanner(CZT)
    motion = load_spect_motion("turn:30deg/s", scanner)
    assert motion is not None and scanner.motion is not None
    angles = np.array([motion.angles_deg(t) for t in np.arange(0, 20, 0.1)])
    assert angles.min() >= scanner.motion.least_deg and angles.max() <= scanner.motion.most_deg
    assert np.abs(np.diff(angles, axis=0)).max() == pytest.approx(3.0)
    assert (np.ptp(angles, axis=1) > 40).all() and (np.ptp(angles, axis=0) > 79).all()


@pytest.mark.parametrize(
    "text", ["fixed:400", "step:0x10s", "step:3x0s", "turn:9", "turn:0", "round", "fixed:nan"]
)
def test_impossible_motions_are_refused_by_name(text: str) -> None:
    with pytest.raises(EmulationError, match="gantry"):
        load_spect_motion(text, load_scanner(LEHR))


def test_turned_camera_sees_what_a_turned_object_shows() -> None:
    """A source beside the axis: the camera's u is that of its place in the turned frame."""
    ones = np.ones((1, 1, 1), np.float32)
    phantom = Phantom("beside", ones, 0 * ones, (0.1,) * 3, (40.0, 10.0, 5.0))
    for angle in (0.0, 90.0, 200.0):
        config = EmulatorConfig(
            scanner=LEHR, nuclide="Tc-99m", gantry=f"fixed:{angle}", activity_Bq=3e8
        )
        engine = SpectEngine(prepare(config, phantom=phantom), activity_Bq=3e8, seed=1)
        hits = np.concatenate([engine.make_slice(k).hits for k in range(20)])
        u = (hits["crystal"] % 64 + 0.5) * 4.0 - 128.0
        turn = math.radians(angle)
        assert np.median(u) == pytest.approx(-40 * math.sin(turn) + 10 * math.cos(turn), abs=2.5)


def test_a_moving_object_is_seen_where_it_is_and_labels_tell_it_in_the_scanners_frame(
    tmp_path: Any,
) -> None:
    motion = tmp_path / "motion.csv"
    motion.write_text("t_s,x_mm,y_mm,z_mm,rx_deg,ry_deg,rz_deg\n0,0,20,-30,0,0,90\n")
    ones = np.ones((1, 1, 1), np.float32)
    phantom = Phantom("beside", ones, 0 * ones, (0.1,) * 3, (40.0, 10.0, 5.0))
    config = EmulatorConfig(scanner=LEHR, nuclide="Tc-99m", motion=str(motion))
    engine = SpectEngine(prepare(config, phantom=phantom), activity_Bq=3e8, seed=1, labelled=True)
    made = [engine.make_slice(k) for k in range(20)]
    crystal = np.concatenate([slice_.hits["crystal"] for slice_ in made]).astype(np.int64)
    u, v = (crystal % 64 + 0.5) * 4 - 128, (crystal // 64 + 0.5) * 4 - 128
    assert np.median(u) == pytest.approx(40.0 + 20.0, abs=2.5)  # y of (−10, 40) turned, then moved
    assert np.median(v) == pytest.approx(5.0 - 30.0, abs=2.5)
    for axis, place in (("x_mm", -10.0), ("y_mm", 60.0), ("z_mm", -25.0)):
        labels = np.concatenate([slice_.labels[axis] for slice_ in made])
        assert labels == pytest.approx(place, abs=0.06)


def test_frames_begin_with_the_angle_of_each_column() -> None:
    config = EmulatorConfig(scanner=CZT, nuclide="Tc-99m", phantom="point", gantry="turn:30deg/s")
    instrument = prepare(config)
    emulation = Emulation(instrument, activity_Bq=1e7, seed=1)
    assert instrument.spect_motion is not None
    for index in range(3):
        frames = emulation.digitize(emulation.emulate_slice(index))
        first = np.array([np.frombuffer(frame, "<u8")[8] for frame in frames])
        told = instrument.spect_motion.angles_deg(index * PERIOD_S)
        assert angles_deg(first) == pytest.approx(told, abs=0.0006)
        counts = [int(np.frombuffer(frame, "<u4")[5]) for frame in frames]
        sizes = [len(frame) // 8 - 8 for frame in frames]
        assert counts == sizes


def test_totals_close_and_decays_are_those_of_the_activity() -> None:
    config = EmulatorConfig(scanner=LEHR, nuclide="Tc-99m", phantom="cylinder", trigger_keV=40.0)
    emulation = Emulation(prepare(config), activity_Bq=2e8, seed=2)
    for index in range(40):
        emulation.digitize(emulation.emulate_slice(index), last=index == 39)
    truth = emulation.totals.truth()
    ends = ("below_trigger", "unread", "emitted", "dead", "piled_up", "lost", "off", "after_end")
    assert truth["deposits"] == sum(truth[end] for end in ends)
    expected = 2e8 * 40 * FRAME_PERIOD_PS * 1e-12
    assert abs(truth["decays"] - expected) < 5 * math.sqrt(expected)


# Refusals


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scanner": LEHR, "nuclide": "Lu-177"}, "208.4 keV.*choose gamma_head_melp"),
        ({"scanner": LEHR, "nuclide": "I-131"}, "364.5 keV.*gamma_head_he"),
        ({"scanner": LEHR, "nuclide": "F-18"}, "511 keV.*no preset's collimator.*any-collimator"),
        ({"scanner": LEHR, "lutetium": True, "nuclide": "Tc-99m"}, "lutetium"),
        ({"scanner": "caremibrain", "gantry": "fixed:0"}, "PET scanner without collimators"),
        ({"scanner": "caremibrain", "any_collimator": True}, "gamma_head_lehr"),
    ],
)
def test_what_a_scanner_cannot_do_is_refused_with_the_remedy(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(EmulationError, match=words):
        prepare(EmulatorConfig(phantom="point", **changes))


@pytest.mark.parametrize(
    ("preset", "nuclide"),
    [
        (LEHR, "Tc-99m"),
        (MELP, "Lu-177"),
        (CZT, "Tc-99m"),
        *(
            pytest.param(*longer, marks=pytest.mark.evidence)
            for longer in [
                (MELP, "At-211"),
                (LEHR, "At-211"),
                ("gamma_head_he", "I-131"),
                (MELP, "Tc-99m:0.5+Lu-177:0.5"),
            ]
        ),
    ],
)
def test_collimators_stand_before_the_nuclides_they_are_made_for(preset: str, nuclide: str) -> None:
    config = EmulatorConfig(scanner=preset, nuclide=nuclide, phantom="point", trigger_keV=40.0)
    engine = SpectEngine(prepare(config), activity_Bq=3e7, seed=1)
    assert sum(len(engine.make_slice(k).hits) for k in range(8)) > 20


def test_annihilation_photons_come_through_a_collimator_that_is_not_made_for_them() -> None:
    instrument = ideal_camera(MELP, "F-18", source_before(MELP, 100.0))
    seen = see(instrument, events=2000, activity_Bq=1e7)
    assert isinstance(seen, CameraEvents)
    assert ((seen.how & (PENETRATED | SEPTAL)) > 0).mean() > 0.95
    assert (seen.how & PENETRATED).mean() > 0.4
    assert ((seen.energy_keV > 470) & (seen.energy_keV < 550)).mean() > 0.1


def test_a_phantom_that_reaches_into_the_collimator_is_refused() -> None:
    scanner = load_scanner(LEHR)
    near = replaced(scanner, ring=replaced(scanner.ring, inradius_mm=100.0))
    from emulator.object.catalogue import make_phantom
    from emulator.object.phantom import PhantomError

    with pytest.raises(PhantomError, match="bore"):
        make_phantom("cylinder", near)
