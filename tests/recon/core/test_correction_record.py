"""Corrections of an offline image: on, off or not possible, and what each does to the scale."""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from hw.messages.corrections import CORRECTIONS, PET_NAMES, CorrectionKind
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from oracles.reconstruction import simulated_records
from recon.core.asked import OptionsError
from recon.core.correction_record import CorrectionError
from recon.core.frames import TimeSelection
from recon.core.quantification import ActivityCalibration
from recon.offline.frame_counts import Tally
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import Extras, reconstruct
from recon.offline.run_data import RunData

SCANNER = load_scanner("bench2")
PLAN = ReconOptions(iterations=1, subsets=2, scatter="none")


@pytest.fixture(scope="module")
def ball() -> RunData:
    """A ball in the middle, 100 s."""
    spread = np.random.default_rng(0).normal(0, 3, (200_000, 3))
    prompts = simulated_records(SCANNER, build_geometry(SCANNER), spread)
    prompts["time_ps"] = np.linspace(0, 100e12, len(prompts), endpoint=False).astype(np.int64)
    return RunData.of_records(prompts, scanner=SCANNER, duration_s=100.0)


@pytest.mark.parametrize("kind", CORRECTIONS, ids=lambda kind: kind.name)
def test_every_correction_has_a_doer_that_exists(kind: CorrectionKind) -> None:
    doers = [doer for doer in (kind.offline, kind.live, kind.spect) if doer]
    assert doers
    for doer in doers:
        assert pkgutil.resolve_name(f"recon.{doer}")
    assert not kind.switch or kind.live
    assert not kind.without or hasattr(PLAN, kind.name)


def test_every_image_names_every_correction(ball: RunData) -> None:
    made = reconstruct(ball, PLAN)
    assert tuple(made.metadata["corrections"]) == PET_NAMES
    assert set(made.corrections.missing()) == {
        "attenuation", "randoms", "normalisation", "dead_time", "decay", "calibration",
    }  # fmt: skip
    switched = dict.fromkeys(
        ("decay", "dead_time", "randoms", "normalisation", "calibration"), False
    )
    off = replace(PLAN, attenuation="none", **switched)
    assert not reconstruct(ball, off).corrections.missing()


def test_half_the_live_time_doubles_the_activity(ball: RunData) -> None:
    live = np.full((2, 2), 50.0)
    made = reconstruct(replace(ball, pair_live_s=live, detector_s=100.0), PLAN)
    whole = reconstruct(ball, PLAN)
    np.testing.assert_allclose(made.image.sum(), 2 * whole.image.sum(), rtol=1e-4)
    nonsense = reconstruct(replace(ball, pair_live_s=4 * live, detector_s=100.0), PLAN)
    assert "must be of the same run" in nonsense.corrections.missing()["dead_time"]


def test_efficiencies_of_a_half_quadruple_the_activity(ball: RunData) -> None:
    half = np.full(SCANNER.n_crystals, 0.5, np.float32)
    made = reconstruct(replace(ball, efficiency=half), PLAN)
    np.testing.assert_allclose(made.image.sum(), 4 * reconstruct(ball, PLAN).image.sum(), rtol=1e-4)


def test_decayed_frames_agree_and_calibration_gives_becquerel(ball: RunData) -> None:
    """Events of an O-15 source drawn by its decay law; every frame gives the activity at 0."""
    rng = np.random.default_rng(5)
    spread = rng.normal(0, 3, (240_000, 3))
    prompts = simulated_records(SCANNER, build_geometry(SCANNER), spread)
    half_life_s, last_s = 122.24, 300.0
    decayed = 1 - 2 ** (-last_s / half_life_s)
    times = -np.log2(1 - np.sort(rng.random(len(prompts))) * decayed) * half_life_s
    prompts["time_ps"] = (times * 1e12).astype(np.int64)
    data = RunData.of_records(
        prompts, scanner=SCANNER, duration_s=last_s, labels={"nuclide": "O-15"}
    )
    factor = ActivityCalibration(factor=2.0, error=0.01, scanner="bench2")
    frames = ((0.0, 20.0), (20.0, 100.0), (100.0, 300.0))
    made = reconstruct(data, replace(PLAN, frames=frames), Extras(calibration=factor))
    totals = made.image.sum(axis=(0, 1, 2)) / 1000  # voxels of 1 µL
    assert made.metadata["unit"] == "Bq/mL"
    # the whole run's mean activity, brought back by hand; 3 %: 3,000 events in the least frame
    plain = reconstruct(data, replace(PLAN, decay=False)).image.sum() / 1000
    rate = np.log(2) / half_life_s
    at_start = plain * 2.0 / 0.99885 * rate * last_s / decayed  # β⁺ fraction of O-15
    np.testing.assert_allclose(totals, at_start, rtol=0.06)
    later = replace(PLAN, frames=frames, decay_reference_s=half_life_s)
    half = reconstruct(data, later, Extras(calibration=factor)).image
    np.testing.assert_allclose(half, made.image / 2, rtol=1e-4)


def test_a_mixture_or_a_tracer_without_positrons_stays_uncalibrated(ball: RunData) -> None:
    factor = Extras(calibration=ActivityCalibration(factor=2.0, error=0.0, scanner="bench2"))
    for nuclide, words in (("Ga-68:0.3+Lu-177:0.7", "mixture"), ("Tc-99m", "no positrons")):
        made = reconstruct(replace(ball, labels={"nuclide": nuclide}), PLAN, factor)
        assert words in made.corrections.missing()["calibration"]
        assert "uncalibrated" in made.metadata["unit"]


def test_a_required_correction_that_is_missing_stops_before_the_work(ball: RunData) -> None:
    with pytest.raises(CorrectionError, match="randoms is required"):
        reconstruct(ball, replace(PLAN, require=("randoms",)))
    with pytest.raises(OptionsError, match="require = 'colour': must be one of sensitivity"):
        ReconOptions(require=("colour",))


def test_frames_scale_the_runs_randoms_by_their_delayeds() -> None:
    delayeds = np.zeros(3000, COINCIDENCE)
    delayeds["crystal_b"] = 64
    delayeds["time_ps"][:2000] = int(1e12)  # two thirds in the first fifth of the time
    delayeds["time_ps"][2000:] = int(5e12)
    prompts = np.zeros(10, COINCIDENCE)
    data = RunData.of_records(prompts, delayeds, scanner=SCANNER, duration_s=10.0)
    frames = [TimeSelection.frame(0, 2), TimeSelection.frame(2, 10)]
    tally = Tally.of(data, frames)
    scales = [tally.randoms_scale(part) for part in tally.parts]
    assert scales == pytest.approx([2 / 3 / 0.2, 1 / 3 / 0.8])
    assert 0.2 * scales[0] + 0.8 * scales[1] == pytest.approx(1)
    live = [tally.live_scale(part, 0.9) for part in tally.parts]
    assert live[0] < 1 < live[1]  # more singles, more dead time


def test_gates_of_a_breathing_source_part_it(tmp_path: Path) -> None:
    """A ball that jumps between two places every second is found in one place by each gate."""
    from recon.offline.gating import GateSignal

    rng = np.random.default_rng(2)
    geometry = build_geometry(SCANNER)
    parts = []
    for second in range(6):
        centre = np.array([0, 0, -5.0 if second % 2 else 5.0])
        found = simulated_records(SCANNER, geometry, centre + rng.normal(0, 1, (40_000, 3)))
        found["time_ps"] = int((second + 0.5) * 1e12)
        parts.append(found)
    data = RunData.of_records(np.concatenate(parts), scanner=SCANNER, duration_s=6.0)
    signal = GateSignal("trigger", np.array([0.0, 2, 4, 6]), np.zeros(0))
    made = reconstruct(data, PLAN, Extras(gate_signal=signal, gates=2))
    profile = made.image.sum(axis=(0, 1))
    place = (np.arange(32) - 15.5) * 1.0
    centres = (profile * place[:, None]).sum(axis=0) / profile.sum(axis=0)
    np.testing.assert_allclose(centres, [5, -5], atol=1.5)  # one iteration, lines of one direction
    assert [frame.gate for frame in made.frames] == [1, 2]
