"""A viewer's SUV and times of written DICOM PET files, against what they were written from.

The viewer is the oracle ``oracles.dicom_suv``. Truth: an SUV per voxel, and when what was measured.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.physics.nuclides import load_nuclide
from oracles import dicom_suv as viewer
from recon.core.decay import decay_factor
from recon.core.frame_times import FrameTime
from recon.core.frames import TimeSelection, frame_selections
from recon.core.grid import ImageGrid
from recon.exchange.images.dicom_pet import write_dicom_pet
from recon.exchange.scan_facts import ScanFacts
from recon.offline.gating import GateSignal, gated_frames
from recon.offline.image_series import FrameImage

GRID = ImageGrid((6, 5, 4), (2.0, 2.5, 3.0))
START = dt.datetime(2026, 11, 21, 10, 0, tzinfo=dt.UTC)
HALF_LIFE_S = load_nuclide("O-15").half_life_s
INJECTED_S, DOSE_BQ, WEIGHT_KG = -90.0, 3e8, 62.0
DURATION_S = 300.0
SUV = np.random.default_rng(4).uniform(0.1, 8.0, GRID.shape)
REFERENCES = {
    "injection": INJECTED_S, "run's start": 0.0, "between": -31.5, "long before": -4000.0,
    "in the run": 100.0, "after it": 400.0,
}  # fmt: skip
"""s after the run's start."""

FRAMES = {
    "static": ((0.0, DURATION_S),),
    "late": ((60.0, 240.0),),
    "dynamic": ((0.0, 10.0), (10.0, 40.0), (40.0, 240.0)),
}


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def apart_s(one: dt.datetime, other: dt.datetime) -> float:
    return abs((one - other).total_seconds())


def about(reference_s: float, **more: Any) -> dict[str, Any]:
    return {
        "run": "test-1", "created": START.isoformat(), "unit": "Bq/mL", "nuclide": "O-15",
        "algorithm": "list-mode OSEM, 4 iterations x 8 subsets, resolution of the detectors",
        "corrections": {"decay": True, "attenuation": True},
        "decay_reference_s": reference_s, "weight_kg": WEIGHT_KG,
        "administered_activity_Bq": DOSE_BQ, "administered_at": at(INJECTED_S).isoformat(), **more,
    }  # fmt: skip


def timed(selections: list[TimeSelection], reference_s: float) -> list[FrameTime]:
    """Return the frames as the reconstruction does."""
    return [
        FrameImage(one, np.zeros(1, np.float32), {"prompts": 1}).time(
            decay_factor(one, HALF_LIFE_S, reference_s), HALF_LIFE_S
        )
        for one in selections
    ]


def written(folder: Path, selections: list[TimeSelection], reference_s: float, **more: Any) -> Any:
    """Write the truth as an image in Bq/mL at the reference; return its series."""
    left_Bq = DOSE_BQ * 2.0 ** (-(reference_s - INJECTED_S) / HALF_LIFE_S)
    values = SUV if more.get("unit") == "SUV" else SUV * left_Bq / (1000 * WEIGHT_KG)
    image = np.stack([values] * len(selections), -1).astype(np.float32)
    frames = timed(selections, reference_s)
    write_dicom_pet(folder / "pet", image, GRID, frames, about(reference_s, **more))
    return viewer.series_in(folder / "pet")


@pytest.mark.parametrize("unit", ["Bq/mL", "SUV"])
@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("kind", FRAMES)
def test_a_viewers_suv_is_right_for_every_decay_reference(
    tmp_path: Path, kind: str, name: str, unit: str
) -> None:
    selections, _ = frame_selections(FRAMES[kind], duration_s=DURATION_S)
    (series,) = written(tmp_path, selections, REFERENCES[name], unit=unit)
    assert series[0].DecayCorrection == ("ADMIN" if name == "injection" else "START")
    truth = SUV[::-1, ::-1, :].transpose(2, 1, 0)
    for number in range(len(selections)):
        found = viewer.suv(series[4 * number : 4 * number + 4])
        np.testing.assert_allclose(found, truth, atol=SUV.max() / 65535, rtol=2e-5)
    # 1 µs in the times
    assert len({viewer.moment(made, "Series") for made in series}) == 1


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("kind", FRAMES)
def test_times_say_when_it_was_measured_and_what_decay_is_corrected_to(
    tmp_path: Path, kind: str, name: str
) -> None:
    selections, _ = frame_selections(FRAMES[kind], duration_s=DURATION_S)
    (series,) = written(tmp_path, selections, REFERENCES[name])
    for number, (start_s, end_s) in enumerate(FRAMES[kind]):
        made = series[4 * number]
        first, last = viewer.acquired(made)
        assert apart_s(first, at(start_s)) < 1e-5 and apart_s(last, at(end_s)) < 1e-3
        # the activity at that moment is its mean over the frame
        times = np.linspace(start_s, end_s, 200001)
        mean = np.trapezoid(2.0 ** (-times / HALF_LIFE_S), times) / (end_s - start_s)
        assert apart_s(viewer.mean_moment(made), at(-HALF_LIFE_S * np.log2(mean))) < 1e-3
        administered = made.DecayCorrection == "ADMIN"
        meant = at(INJECTED_S) if administered else viewer.scan_moment(made)
        assert apart_s(viewer.corrected_to(made), meant) < 1e-3
        assert str(meant)[:19] in made.ImageComments


def test_values_stay_as_they_are_unless_the_reference_is_after_the_first_acquisition(
    tmp_path: Path,
) -> None:
    whole, _ = frame_selections((), duration_s=DURATION_S)
    for name, reference_s in REFERENCES.items():
        (series,) = written(tmp_path, whole, reference_s)
        left_Bq = DOSE_BQ * 2.0 ** (-(min(reference_s, 0.0) - INJECTED_S) / HALF_LIFE_S)
        largest = SUV.max() * left_Bq / (1000 * WEIGHT_KG)
        assert viewer.values(series).max() == pytest.approx(largest, rel=2e-5), name


# --- gates ------------------------------------------------------------------------------------

TRIGGERS_S = np.cumsum([1.25, *np.random.default_rng(8).uniform(0.7, 0.95, 330), 3.0, 0.8, 0.8])
GATES = 4


def gated(signal: GateSignal, frames: tuple[tuple[float, float], ...] = ()) -> list[TimeSelection]:
    selections, _ = frame_selections(frames, duration_s=DURATION_S)
    return gated_frames(selections, signal.gates(GATES, duration_s=DURATION_S), signal)


def test_time_slots_are_told_from_the_r_wave_and_hold_all_their_counts(tmp_path: Path) -> None:
    signal = GateSignal("trigger", TRIGGERS_S, np.zeros(0), "cardiac")
    selections = gated(signal)
    (series,) = written(tmp_path, selections, 0.0)
    assert len(series) == GATES * GRID.shape[2]
    whole = np.diff(TRIGGERS_S)
    regular = (whole > 0.5 * np.median(whole)) & (whole < 2 * np.median(whole))
    in_run = regular & (TRIGGERS_S[1:] <= DURATION_S)
    mean_s = whole[in_run].mean()
    for number, selection in enumerate(selections):
        made = series[GRID.shape[2] * number]
        assert list(made.SeriesType) == ["GATED", "IMAGE"] and made.NumberOfRRIntervals == 1
        assert (made.NumberOfTimeSlots, made.NumberOfSlices) == (GATES, GRID.shape[2])
        assert "NumberOfTimeSlices" not in made
        assert float(made.TriggerTime) == pytest.approx(1000 * mean_s * number / GATES, abs=0.01)
        assert float(made.FrameTime) == pytest.approx(1000 * mean_s / GATES, abs=0.01)
        assert made.NominalInterval == round(1000 * mean_s)
        # the slot's time in all beats is the gate's time in the run, but for the cut last beat
        assert float(made.FrameTime) * made.IntervalsAcquired == pytest.approx(
            1000 * selection.duration_s, abs=1000
        )
        assert made.BeatRejectionFlag == "Y" and made.IntervalsRejected == 1  # of 3 s
        assert made.LowRRValue == round(500 * np.median(whole))
        assert made.HighRRValue == round(2000 * np.median(whole))
        first, last = viewer.acquired(made)
        assert (first, last) == (at(0.0), at(DURATION_S))  # the same for all slots: C.8.9.4.1.4
        counts_s = selection.intervals_s.mean(axis=1)
        assert all(first <= at(float(t)) <= last for t in counts_s)
        weights = 2.0 ** (-counts_s / HALF_LIFE_S)
        mean = np.average(weights, weights=np.diff(selection.intervals_s, axis=1)[:, 0])
        assert apart_s(viewer.mean_moment(made), at(-HALF_LIFE_S * np.log2(mean))) < 1e-2
        assert apart_s(viewer.corrected_to(made), at(0.0)) < 1e-2
        slot = series[GRID.shape[2] * number : GRID.shape[2] * (number + 1)]
        np.testing.assert_allclose(viewer.suv(slot).max(), SUV.max(), rtol=1e-4)


def test_every_frame_of_a_gated_scan_is_a_series_with_all_its_time_slots(tmp_path: Path) -> None:
    signal = GateSignal("trigger", TRIGGERS_S, np.zeros(0), "cardiac")
    frames = ((0.0, 60.0), (60.0, 240.0))
    all_series = written(tmp_path, gated(signal, frames), 0.0)
    assert len(all_series) == len(frames)
    for series, (start_s, end_s) in zip(all_series, frames, strict=True):
        assert [made.ImageIndex for made in series] == list(range(1, GATES * GRID.shape[2] + 1))
        assert {made.NumberOfTimeSlots for made in series} == {GATES}
        assert {viewer.acquired(made) for made in series} == {(at(start_s), at(end_s))}
        late_s = [float(made.TriggerTime) for made in series[:: GRID.shape[2]]]
        beat = late_s[1]
        assert late_s == pytest.approx([0.0, beat, 2 * beat, 3 * beat], abs=1e-3)
    assert len({made.StudyInstanceUID for series in all_series for made in series}) == 1
    # the 3 s without a beat, at 273.. s, are in no frame
    assert {made.IntervalsRejected for series in all_series for made in series} == {0}


@pytest.mark.parametrize("kind, source", [
    ("trigger", "respiratory"), ("trigger", "unknown"), ("phase", "respiratory"),
    ("amplitude", "respiratory"), ("amplitude", "cardiac"),
])  # fmt: skip
def test_gates_of_anything_but_r_waves_are_static_series(
    tmp_path: Path, kind: Any, source: Any
) -> None:
    times = np.arange(0.0, DURATION_S, 0.1)
    value = {"phase": (times / 4) % 1, "amplitude": np.sin(times)}
    signal = GateSignal(kind, *((TRIGGERS_S, np.zeros(0)) if kind == "trigger" else
                                (times, value[kind])), source)  # fmt: skip
    selections = gated(signal)
    all_series = written(tmp_path, selections, 0.0)
    assert len(all_series) == GATES
    for number, (series, selection) in enumerate(zip(all_series, selections, strict=True), 1):
        made = series[0]
        assert list(made.SeriesType) == ["STATIC", "IMAGE"] and len(series) == GRID.shape[2]
        assert not [name for name in ("NumberOfRRIntervals", "TriggerTime", "FrameTime",
                                      "NumberOfTimeSlots") if name in made]  # fmt: skip
        assert f"gate {number} of {GATES}" in made.SeriesDescription
        first, last = viewer.acquired(made)
        assert apart_s(first, at(selection.start_s)) < 1e-5
        assert apart_s(last, at(selection.end_s)) < 1e-3
        np.testing.assert_allclose(viewer.suv(series).max(), SUV.max(), rtol=1e-4)


def test_a_heartbeats_phase_is_told_from_where_it_falls_back(tmp_path: Path) -> None:
    times = np.arange(0.0, DURATION_S, 0.01)
    signal = GateSignal("phase", times, ((times + 0.3) / 0.9) % 1, "cardiac")
    (series,) = written(tmp_path, gated(signal), 0.0)
    late_ms = [float(made.TriggerTime) for made in series[:: GRID.shape[2]]]
    assert late_ms == pytest.approx([0, 225, 450, 675], abs=10)  # one sample
    assert series[0].NominalInterval == pytest.approx(900, abs=1)
    assert series[0].BeatRejectionFlag == "N" and "LowRRValue" not in series[0]


# --- patient ----------------------------------------------------------------------------------

LYING = {
    # position: where the ceiling and +z are in the patient, from PS3.3 C.7.3.1.1.2
    "HFS": ("front", "head"), "HFP": ("back", "head"), "HFDR": ("left", "head"),
    "HFDL": ("right", "head"), "FFS": ("front", "feet"), "FFP": ("back", "feet"),
    "FFDR": ("left", "feet"), "FFDL": ("right", "feet"),
}  # fmt: skip
LPS = {"left": (1, 0, 0), "right": (-1, 0, 0), "back": (0, 1, 0), "front": (0, -1, 0),
       "head": (0, 0, 1), "feet": (0, 0, -1)}  # fmt: skip


@pytest.mark.parametrize("position", [*LYING, "unknown"])
def test_voxels_lie_where_the_patients_position_puts_them(tmp_path: Path, position: str) -> None:
    whole, _ = frame_selections((), duration_s=DURATION_S)
    (series,) = written(tmp_path, whole, 0.0, patient_position=position)
    up, along = (np.array(LPS[word]) for word in LYING.get(position, ("front", "head")))
    axes = np.stack([np.cross(up, along), up, along])  # the scanner's x, y, z: right-handed
    found = np.full(GRID.shape, np.nan)
    for made, plane in zip(series, viewer.suv(series), strict=True):
        for row in range(made.Rows):
            for column in range(made.Columns):
                ours_mm = axes @ viewer.place_mm(made, row, column)
                index = np.rint((ours_mm - GRID.origin_mm) / GRID.voxel_mm).astype(int)
                found[tuple(index)] = plane[row, column]
    np.testing.assert_allclose(found, SUV, atol=SUV.max() / 65535, rtol=2e-5)
    made = series[0]
    assert "PatientPosition" not in made  # C.7.3.1: not beside the patient orientation codes
    lies, gantry = made.PatientOrientationCodeSequence, made.PatientGantryRelationshipCodeSequence
    if position == "unknown":
        assert not lies and not gantry and "position not known" in made.ImageComments
        return
    assert gantry[0].CodeMeaning == ("headfirst" if position[0] == "H" else "feet-first")
    how = {"S": "supine", "P": "prone", "DR": "right lateral", "DL": "left lateral"}[position[2:]]
    assert how in lies[0].PatientOrientationModifierCodeSequence[0].CodeMeaning


def test_the_patients_motion_is_not_the_gantrys(tmp_path: Path) -> None:
    whole, _ = frame_selections((), duration_s=DURATION_S)
    said = {"decay": True, "attenuation": True, "motion": True}
    (series,) = written(tmp_path, whole, 0.0, corrections=said)
    assert "PMOT" in series[0].CorrectedImage and "MOTN" not in series[0].CorrectedImage


def test_runs_of_equal_name_and_content_are_two_studies_by_their_own_uids() -> None:
    one, other = (
        ScanFacts.of(about(0.0, hash="ab", study_uid=uid)) for uid in ("2.25.1", "2.25.2")
    )
    assert (one.study_uid, other.study_uid) == ("2.25.1", "2.25.2")
    assert one.uid("series") != other.uid("series")
    assert one.frame_of_reference_uid != other.frame_of_reference_uid
