"""What a live image is corrected for: switched while the run goes on, told with its reason."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

import recon.live.corrections
import recon.live.scatter_job
from daq.folder.calibration_set import new_set, save_set
from hw.messages.imager import CoincidenceBatch, RunBegin, RunEnd
from hw.messages.live_settings import LiveSettings
from hw.messages.pictures import ImageMessage
from hw.messages.sort_settings import SortSettings
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from oracles.reconstruction import simulated_records
from recon.core.scanner_tables import ReconSystem
from recon.imager.pet_run import PetLiveRun
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from rigs.calibration_runs import as_version

BENCH = ReconSystem.of(load_scanner("bench2"))
SETTINGS = SortSettings(lld_keV=350, uld_keV=650, window_ps=5000, delay_ps=500_000)
BEGIN = RunBegin(
    run="one",
    folder="",
    scanner_toml=scanner_to_toml_text("bench2"),
    settings=SETTINGS,
    half_life_s=100.0,
    beta_plus_fraction=0.5,
)


@pytest.fixture(scope="module")
def records() -> np.ndarray:
    spread = np.random.default_rng(0).normal(0, 3, (160_000, 3))
    return simulated_records(BENCH.scanner, BENCH.geometry, spread, rate_Hz=1e4)[:2000]


class Played:
    """A run that is fed 500 prompts and 50 delayeds at a time."""

    def __init__(self, records: np.ndarray, **changes: object) -> None:
        sensitivity = np.full(BENCH.grid.shape, 0.01, np.float32)
        lines = CrystalLines(BENCH)
        self.imager = LiveImager(lines, sensitivity, clock=lambda: 0.0, capacity=10_000)
        self.begin = msgspec.structs.replace(BEGIN, **changes)
        self.run = PetLiveRun(self.begin, self.imager, clock=lambda: 0.0)
        self._records = records
        self._sequence = 0

    def image(self) -> ImageMessage:
        n = self._sequence
        batch = CoincidenceBatch(
            run="one", sequence=n, prompts=500, delayeds=50, prompts_before=500 * n,
            delayeds_before=50 * n, watermark_ps=(n + 1) * 10**11, event_wall_ns=0, live_share=0.8,
        )  # fmt: skip
        first = 500 * (n % 4)
        prompts = self._records[first : first + 500]
        self.run.take(batch, [prompts.tobytes(), prompts[:50].tobytes()])
        self._sequence += 1
        image = self.run.image(budget_s=0.01)
        assert image is not None
        return image

    def ask(self, **live: object) -> None:
        self.run.restate(msgspec.structs.replace(self.begin, live=LiveSettings(**live)))  # type: ignore[arg-type]

    def close(self) -> None:
        self.run.close()
        self.imager.close()


def mu_map(folder: Path) -> str:
    x, y, z = BENCH.grid.axes_mm()
    mu = np.where(np.hypot(x, y) + 0 * z < 12, np.float32(0.0096), np.float32(0))
    np.savez(folder / "mu.npz", mu_per_mm=mu, voxel_mm=np.array(BENCH.grid.voxel_mm))
    return str(folder / "mu.npz")


def test_what_needs_nothing_is_corrected_from_the_first_image(records: np.ndarray) -> None:
    played = Played(records)
    image = played.image()
    applied = {name for name, made in image.corrections.items() if made}
    assert applied == {"sensitivity", "randoms", "dead_time", "decay"}
    assert image.how["dead_time"] == "live share 0.800 of the pairs, less what piled up"
    assert image.how["attenuation"] == "the run has no µ map"
    assert image.how["scatter"] == "needs attenuation"
    played.close()


def test_dead_time_and_decay_raise_the_image_by_what_is_known(records: np.ndarray) -> None:
    levels = []
    for off in ((), ("dead_time",), ("dead_time", "decay")):
        played = Played(records, live=LiveSettings(off=off), half_life_s=0.1)
        levels.append(float(played.image().array().sum()))
        played.close()
    mean_decay = 0.5 / np.log(2)  # over one half-life; the books take the middle's, 2^-½
    # in a first step: a tenth are randoms, known per second of the clock and not yet of exposure
    assert levels[0] / levels[1] == pytest.approx(1 / 0.8, rel=0.01)
    assert levels[1] / levels[2] == pytest.approx(1 / mean_decay, rel=0.04)


def test_a_correction_is_switched_off_and_on_on_the_way(records: np.ndarray) -> None:
    played = Played(records)
    played.image()
    played.ask(off=("randoms", "decay"))
    image = played.image()
    assert not image.corrections["randoms"] and image.how["randoms"] == "switched off"
    assert not image.corrections["decay"]
    played.ask()
    assert played.image().corrections["randoms"]
    played.close()


@pytest.fixture
def activity(tmp_path: Path) -> str:
    """An activity calibration."""
    path = tmp_path / "activity.json"
    calibration = {
        "factor": 3.0, "error": 0.01, "scanner": "bench2",
        "format": "tomoshibi activity calibration",
    }  # fmt: skip
    path.write_bytes(msgspec.json.encode(calibration))
    return str(path)


@pytest.mark.parametrize(
    ("calibrated", "off", "told"),
    [(True, (), 2.5e-4), (False, (), 0.0), (True, ("decay",), 0.0)],
    ids=["in Bq/mL", "uncalibrated", "not corrected for decay"],
)
def test_suv_is_known_where_the_image_is_activity_as_of_the_start(
    records: np.ndarray, activity: str, calibrated: bool, off: tuple[str, ...], told: float
) -> None:
    live = LiveSettings(activity=activity if calibrated else "", off=off)
    played = Played(records, live=live)
    assert played.image().suv_per_unit == 0.0, "it was not announced yet"
    played.run.restate(msgspec.structs.replace(played.begin, suv_per_Bq_per_mL=2.5e-4))
    assert played.image().suv_per_unit == told
    played.close()


def test_with_an_activity_calibration_the_image_is_in_Bq_per_mL(
    records: np.ndarray, activity: str
) -> None:
    plain, scaled = Played(records), Played(records, live=LiveSettings(activity=activity))
    images = [plain.image(), scaled.image()]
    assert [image.unit for image in images] == ["emissions/s/mL, uncalibrated", "Bq/mL"]
    assert images[1].corrections["calibration"]
    ratio = images[1].array().sum() / images[0].array().sum()
    assert ratio == pytest.approx(3.0 / 0.5, rel=1e-5)
    frames = [image.frames[-1].array().sum() for image in images]
    assert frames[1] / frames[0] == pytest.approx(6.0, rel=1e-4)
    plain.close(), scaled.close()


def test_a_calibration_that_cannot_be_read_is_said(records: np.ndarray, tmp_path: Path) -> None:
    played = Played(records, live=LiveSettings(activity=str(tmp_path / "none.json")))
    image = played.image()
    assert image.unit.startswith("emissions") and "no activity calib" in image.how["calibration"]
    assert "calibration is not corrected" in played.run.report().message
    played.close()


def test_scatter_follows_attenuation_and_tells_of_when_it_is(
    records: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recon.live.scatter_job, "SCATTER_PROMPTS", 1000)
    monkeypatch.setattr(recon.live.scatter_job, "MOST_SIGMA", 10.0)
    played = Played(records, mu_map=mu_map(tmp_path))
    played.image()
    played.run.corrections.wait(120.0)
    image = played.image()
    assert image.corrections["attenuation"] and not image.corrections["scatter"]
    played.image()
    played.run.corrections.wait(120.0)
    image = played.image()
    assert image.corrections["scatter"] and "from the image at 0 s" in image.how["scatter"]
    assert np.isfinite(image.array()).all()
    played.ask(off=("scatter",))
    assert played.image().how["scatter"] == "switched off"
    played.close()


@pytest.mark.parametrize(("found", "rounds"), [(False, 4), (True, 2)])
def test_the_end_finds_scatter_in_as_many_rounds_as_offline_where_there_was_none(
    records: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: bool, rounds: int
) -> None:
    """From nothing, two rounds left ¹⁸F at 10 MBq with rings from 0.97 to 1.06."""
    monkeypatch.setattr(recon.live.scatter_job, "SCATTER_PROMPTS", 1000 if found else 10**9)
    monkeypatch.setattr(recon.live.scatter_job, "LAST_PROMPTS", 1000)
    monkeypatch.setattr(recon.live.scatter_job, "MOST_SIGMA", 10.0)
    played = Played(records, mu_map=mu_map(tmp_path))
    for _ in range(3):
        played.image()
        played.run.corrections.wait(120.0)
    assert played.image().corrections["scatter"] == found
    progress: list[float] = []
    played.run.corrections.conclude(240.0, lambda: False, progress.append)
    assert progress == [done / rounds for done in range(rounds)]
    played.close()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_last_image_of_few_prompts_has_scatter_and_one_that_was_stopped_does_not_claim_it(
    records: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    monkeypatch.setattr(recon.live.scatter_job, "LAST_PROMPTS", 1000)
    monkeypatch.setattr(recon.live.scatter_job, "MOST_SIGMA", 10.0)
    played = Played(records, mu_map=mu_map(tmp_path))
    for _ in range(3):
        image = played.image()
        played.run.corrections.wait(120.0)
    assert image.how["scatter"] == "waits for 200000 prompts"
    lines = played.imager.lines
    assert isinstance(lines, CrystalLines) and lines.scatter is None
    end = RunEnd(run="one", prompts=1500, delayeds=150)
    final = played.run.end(end, stopped=lambda: stopped and lines.scatter is not None)
    assert final is not None and lines.scatter is not None
    assert ("stopped" in final.note) == stopped
    assert final.corrections["scatter"] != stopped
    assert ("waits for" in final.how["scatter"]) == stopped
    played.close()


def test_scatter_that_is_not_known_well_enough_is_left_out_and_said(
    records: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recon.live.scatter_job, "SCATTER_PROMPTS", 1000)
    monkeypatch.setattr(recon.live.scatter_job, "MOST_SIGMA", 0.001)
    played = Played(records, mu_map=mu_map(tmp_path))
    for _ in range(3):
        image = played.image()
        played.run.corrections.wait(120.0)
    image = played.image()
    assert image.corrections["attenuation"] and not image.corrections["scatter"]
    assert "% only" in image.how["scatter"] and "more prompts" in image.how["scatter"]
    played.close()


def test_prompt_gamma_of_the_nuclide_come_with_the_scatter(
    records: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recon.live.scatter_job, "SCATTER_PROMPTS", 1000)
    monkeypatch.setattr(recon.live.scatter_job, "MOST_SIGMA", 10.0)
    played = Played(records, mu_map=mu_map(tmp_path), nuclide="I-124")
    assert "waits for scatter" in played.image().how["prompt_gamma"]
    for _ in range(3):
        played.run.corrections.wait(120.0)
        image = played.image()
    assert image.corrections["scatter"] and image.corrections["prompt_gamma"]
    assert "% of the prompts" in image.how["prompt_gamma"]
    played.ask(off=("prompt_gamma",))
    image = played.image()
    assert image.how["prompt_gamma"] == "switched off"
    assert not image.corrections["scatter"]  # it was found with them
    played.close()


def test_a_nuclide_without_prompt_gamma_needs_no_correction(records: np.ndarray) -> None:
    played = Played(records, nuclide="F-18")
    assert played.image().how["prompt_gamma"].startswith("not needed: F-18")
    played.close()


def test_where_no_head_is_found_the_contour_is_not_used_and_said(
    records: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recon.live.corrections, "CONTOUR_PROMPTS", 400)
    played = Played(records, live=LiveSettings(attenuation="contour"))
    assert "waits for 400 prompts" in played.image().how["attenuation"]
    played.image()  # looks for it in the background
    played.run.corrections.wait(60.0)
    image = played.image()
    assert not image.corrections["attenuation"]
    assert "attenuation is not corrected" in played.run.report().message
    played.close()


@pytest.mark.parametrize("version, status, words", [
    (2, 0, "no efficiencies"), (2, 1, "older detection model"), (3, 0, "no efficiencies"),
])  # fmt: skip
def test_a_set_without_a_normalisation_costs_no_attenuation(
    version: int, status: int, words: str, records: np.ndarray, tmp_path: Path
) -> None:
    """Sets that hold gains alone are the usual ones."""
    statuses = {"efficiency": np.full(BENCH.scanner.n_crystals, status)}
    made = new_set("a", BENCH.scanner, sources=(), statuses=statuses)
    save_set(as_version(made, version), tmp_path / "set.npz")
    played = Played(records, mu_map=mu_map(tmp_path), calibration=str(tmp_path / "set.npz"))
    played.run.corrections.wait(60.0)
    image = played.image()
    assert image.corrections["attenuation"] and not image.corrections["normalisation"]
    assert words in image.how["normalisation"]
    assert "normalisation is not corrected" in played.run.report().message
    played.close()


@pytest.mark.parametrize("fraction", [np.nan, np.inf, -1.0, 1e-300])
def test_a_nuclide_that_cannot_be_makes_no_unit(
    fraction: float, records: np.ndarray, tmp_path: Path
) -> None:
    live = LiveSettings(activity=str(tmp_path / "none.json"))
    played = Played(records, live=live, beta_plus_fraction=fraction, half_life_s=fraction)
    image = played.image()
    assert np.isfinite(image.array()).all() and "nuclide" in image.how["calibration"]
    assert not image.corrections["decay"]
    played.close()
