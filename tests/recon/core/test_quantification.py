"""Decay, SUV, calibration and parametric maps against formulae worked out another way."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.integrate import quad

from hw.physics.nuclides import load_nuclide, nuclide_of
from recon.core.decay import decay_factor, mean_decay
from recon.core.frame_times import FrameTime
from recon.core.frames import TimeSelection
from recon.core.grid import ImageGrid
from recon.core.quantification import (
    ActivityCalibration,
    Patient,
    QuantificationError,
    Region,
    load_calibration,
    mean_in,
)
from recon.offline.parametric import (
    InputFunction,
    ParametricError,
    mean_map,
    patlak_maps,
    washout_maps,
)

HALF_LIFE_S = 122.24


@pytest.mark.parametrize("edges", [(0.0, 1e-3), (0.0, 60.0), (300.0, 2000.0)])
def test_decay_within_a_frame_is_the_mean_of_the_decay(edges: tuple[float, float]) -> None:
    numeric, _ = quad(lambda t: 2 ** (-t / HALF_LIFE_S), *edges)
    found = mean_decay(TimeSelection.frame(*edges), HALF_LIFE_S)
    assert found == pytest.approx(numeric / (edges[1] - edges[0]), rel=1e-9)


def test_decay_of_a_gate_is_the_mean_over_its_intervals() -> None:
    gate = TimeSelection("g", np.array([[0.0, 50.0], [100.0, 250.0]]), 1)
    parts = [mean_decay(TimeSelection.frame(*edges), HALF_LIFE_S) for edges in gate.intervals_s]
    mean = (50 * parts[0] + 150 * parts[1]) / 200
    assert mean_decay(gate, HALF_LIFE_S) == pytest.approx(mean)
    later = decay_factor(gate, HALF_LIFE_S, HALF_LIFE_S)
    assert later == pytest.approx(0.5 / mean)


def test_suv_is_one_where_everything_is_spread_evenly() -> None:
    """70 kg of 1 g/mL hold 250 MBq that were injected two half-lives ago."""
    half_life_s = load_nuclide("F-18").half_life_s
    patient = Patient(weight_kg=70, injected_Bq=250e6, injected_s=-2 * half_life_s)
    concentration = 250e6 / 4 / 70_000
    suv = patient.suv_per_Bq_per_mL(half_life_s, 0.0)
    assert suv is not None and concentration * suv == pytest.approx(1)


def test_without_a_weight_there_is_no_suv_but_what_was_injected() -> None:
    patient = Patient(weight_kg=None, injected_Bq=250e6, injected_s=-60.0)
    assert patient.suv_per_Bq_per_mL(6586.2, 0.0) is None
    assert patient.as_metadata(None) == {"administered_activity_Bq": 250e6, "injected_s": -60.0}


@pytest.mark.parametrize("weight, injected", [(0, 1e6), (70, 0), (float("nan"), 1e6), (1e9, 1e6)])
def test_a_patient_that_cannot_be_is_refused(weight: float, injected: float) -> None:
    with pytest.raises(QuantificationError):
        Patient(weight_kg=weight, injected_Bq=injected)


def test_a_mixture_or_unknown_nuclide_is_no_nuclide() -> None:
    assert nuclide_of({"nuclide": "F-18"})[0] == load_nuclide("F-18")
    for name, words in (("Ga-68:0.3+Lu-177:0.7", "mixture"), ("Xx-1", "unknown"), ("", "which")):
        found, why = nuclide_of({"nuclide": name})
        assert found is None and words in why


def test_a_factor_of_another_scanner_or_of_nonsense_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "activity.json"
    made = ActivityCalibration(factor=1.4, error=0.01, scanner="a", scanner_hash="1",
                               lld_keV=350, uld_keV=650, corrections={"scatter": True})  # fmt: skip
    path.write_bytes(msgspec.json.encode(made))
    found = load_calibration(path)
    assert found == made
    with pytest.raises(QuantificationError, match="this is b"):
        found.check(scanner="b", scanner_hash="1")
    assert "scatter on there and off here" in found.differences({"scatter": False}, 350, 650)
    assert "435" in " ".join(found.differences({"scatter": True}, 435, 650))
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(made, version=1)))
    with pytest.raises(QuantificationError, match="version 1, made with another detection model"):
        load_calibration(path)
    for text in ("{}", '{"factor": 1e9, "error": 0.1, "scanner": "a"}', "no"):
        path.write_text(text)
        with pytest.raises(QuantificationError):
            load_calibration(path)


def test_the_mean_in_a_cylinder_and_its_error() -> None:
    grid = ImageGrid((30, 30, 20), (2.0, 2.0, 2.0))
    rng = np.random.default_rng(0)
    image = rng.normal(5, 1, grid.shape).astype(np.float32)
    image[0], image[-1] = 1e6, 1e6  # outside
    found = mean_in(image, grid, Region(20, 30))
    assert found.mean == pytest.approx(5, abs=5 * 1 / np.sqrt(found.voxels))
    assert found.error == pytest.approx(0.2 / np.sqrt(found.voxels), rel=0.6)  # from 15 slices
    with pytest.raises(QuantificationError, match="no voxel"):
        mean_in(image, grid, Region(1, 1, (500, 0, 0)))


def frames_of(lengths: list[float]) -> list[FrameTime]:
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return [FrameTime(float(s), float(n)) for s, n in zip(starts, lengths, strict=True)]


def test_patlak_gives_back_slope_and_intercept_of_an_irreversible_tissue() -> None:
    times = np.linspace(0, 3600, 721)
    plasma = InputFunction(times, 1000 * np.exp(-times / 900) + 50)
    frames = frames_of([60.0] * 10 + [300.0] * 10)
    slope, intercept = 4e-4, 0.35
    curve = [
        quad(
            lambda t: (
                slope * (50 * t - 9e5 * np.expm1(-t / 900))
                + intercept * (1000 * np.exp(-t / 900) + 50)
            ),
            f.start_s,
            f.end_s,
        )[0]
        / f.duration_s
        for f in frames
    ]
    series = np.tile(np.array(curve, np.float32), (3, 2, 2, 1))
    ki, v = patlak_maps(series, frames, plasma, from_s=600)
    np.testing.assert_allclose(ki, slope, rtol=1e-3)  # the input is linear in steps of 5 s
    np.testing.assert_allclose(v, intercept, rtol=5e-3)


def test_washout_gives_back_the_rate_and_leaves_empty_voxels() -> None:
    frames = frames_of([30.0] * 12)
    middle = np.array([f.start_s + 15 for f in frames])
    series = np.zeros((2, 2, 2, 12), np.float32)
    series[0] = 200 * np.exp(-0.004 * middle)
    rate, start = washout_maps(series, frames)
    np.testing.assert_allclose(rate[0], 0.004, rtol=1e-4)
    np.testing.assert_allclose(start[0], 200, rtol=1e-4)
    assert not rate[1].any() and np.isfinite(start).all()


def test_the_mean_weights_frames_by_their_length_and_gates_are_refused() -> None:
    series = np.ones((2, 2, 2, 2), np.float32) * [1, 4]
    assert mean_map(series, frames_of([10, 20]))[0, 0, 0] == pytest.approx(3)
    with pytest.raises(ParametricError, match="gates"):
        washout_maps(series, [FrameTime(0, 5, gate=1), FrameTime(0, 5, gate=2)])
    with pytest.raises(ParametricError, match="2 are needed"):
        plasma = InputFunction(np.array([0.0, 1]), np.array([1.0, 1]))
        patlak_maps(series, frames_of([10, 20]), plasma, from_s=15)
