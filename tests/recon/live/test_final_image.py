"""The last image of a run is offline OSEM of all its events, or says why it is not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from hw.messages.live_settings import LiveSettings, TimeWindow
from hw.physics.nuclides import nuclide_of
from hw.scanner.preset_file import load_scanner
from oracles.reconstruction import simulated_records
from recon.core.grid import ImageGrid
from recon.core.resolution import GaussianResolution, Resolution
from recon.core.scanner_tables import ReconSystem
from recon.em.list_mode_osem import osem
from recon.em.penalised import RelativeDifference
from recon.em.sensitivity import support_mask
from recon.lines.model import LineModel
from recon.live import spool as live_spool
from recon.live.final_image import FinalChoice, finish
from recon.live.final_resolution import final_resolution
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from recon.live.spool import EventSpool
from recon.projector.operator import Projector


def coarse_brain() -> ReconSystem:
    """The brain scanner with few voxels, for a bench has too few counts in the time."""
    scanner = load_scanner("caremibrain")
    image = msgspec.structs.replace(scanner.image, shape=(18, 18, 14), voxel_mm=(10.0, 10.0, 10.0))
    return ReconSystem.of(msgspec.structs.replace(scanner, image=image))


SYSTEM = coarse_brain()
EVENTS, CAPACITY, FRAME = 20_000, 4000, 1000
NOTHING = np.empty(0, COINCIDENCE)
SENSITIVITY = np.full(SYSTEM.grid.shape, 0.01, np.float32)


@pytest.fixture(scope="module")
def records() -> np.ndarray:
    spread = np.random.default_rng(4).normal(0, 25, (130_000, 3))
    found = simulated_records(SYSTEM.scanner, SYSTEM.geometry, spread, rate_Hz=1e4)
    return found[:EVENTS]


def played(records: np.ndarray, spool: EventSpool | None, window: str = "grow") -> LiveImager:
    """Return an imager with a ring of a fifth of the events that has seen them all."""
    now = [0.0]

    def clock() -> float:  # so that projecting costs no time, but waiting for it would
        return now[0]

    lines = CrystalLines(SYSTEM)
    imager = LiveImager(lines, SENSITIVITY, clock=clock, capacity=CAPACITY)
    imager.restart(window=LiveSettings(window=window).time_window, spool=spool)
    for first in range(0, len(records), FRAME):
        part = records[first : first + FRAME]
        until_ps = int(part["time_ps"][-1])
        imager.receive(part, NOTHING, watermark_ps=until_ps)
        imager.update(budget_s=0.01)
    return imager


def offline(
    records: np.ndarray, seconds: float, resolution: Resolution | None = None
) -> np.ndarray:
    mask = support_mask(SENSITIVITY, SYSTEM.grid)
    events, exposure = LineModel(SYSTEM).events(records), SENSITIVITY * np.float32(seconds)
    return osem(Projector(SYSTEM.grid), events, exposure, mask, resolution=resolution).image


def nrmse(image: np.ndarray, reference: np.ndarray) -> float:
    inside = reference > 0.1 * reference.max()
    error = np.sqrt(np.mean((image[inside] - reference[inside]) ** 2))
    return float(error / reference[inside].mean())


def test_a_long_runs_last_image_is_offline_osem(records: np.ndarray, tmp_path: Path) -> None:
    spool = EventSpool(NOTHING, folder=tmp_path)
    imager = played(records, spool)
    assert len(spool) == len(records) - CAPACITY and imager.memory.complete
    told: list[float] = []
    live = imager.estimate
    shown = finish(imager, within_s=90.0, progress=told.append)
    reference = offline(records, imager.seconds)
    # the same events in the same subsets; float32 sums in another order
    assert nrmse(imager.estimate, reference) < 0.01 < nrmse(live, reference)
    assert shown.how == "OSEM of all events, 4 iterations of 8 subsets"
    assert told == sorted(told) and told[-1] == 1.0 and len(told) > 20
    assert len(spool) == 0 and not list(tmp_path.iterdir())
    imager.close()


def test_a_last_image_on_wider_voxels_with_a_prior_is_the_offline_one(records: np.ndarray) -> None:
    """Its background too, which counts by the voxels' volume."""
    lines, grid = CrystalLines(SYSTEM), ImageGrid((9, 9, 7), (20.0, 20.0, 20.0))
    imager = LiveImager(lines, SENSITIVITY, clock=lambda: 0.0)
    half = len(records) // 2
    imager.receive(records, records[:half], watermark_ps=int(records["time_ps"][-1]))
    prior, fwhm_mm = RelativeDifference(0.01), 12.0
    choice = FinalChoice(6, 2, grid, prior=prior, fwhm_mm=fwhm_mm)
    shown = finish(imager, within_s=90.0, choice=choice)
    assert lines.randoms is not None
    wide = ReconSystem.of(SYSTEM.scanner, grid=grid)
    sensitivity = np.full(grid.shape, 0.01, np.float32)
    reference, without = (
        osem(
            Projector(grid), LineModel(wide, rates=rates).events(records),
            sensitivity * np.float32(imager.seconds), support_mask(sensitivity, grid),
            iterations=6, subsets=2, prior=prior,
        ).image / (grid.voxel_volume_mm3 / 1000.0)
        for rates in ([lines.randoms], [])
    )  # fmt: skip
    assert shown.grid == grid and shown.fwhm_mm == fwhm_mm
    assert nrmse(imager.unfiltered(), reference) < 0.1 * nrmse(without, reference)
    assert shown.noise > 0 and imager.grid != grid
    words = "BSREM of all events, 6 iterations of 2 subsets, prior of strength 0.01"
    assert shown.how == f"{words}, voxels of 20 mm"
    imager.close()


@pytest.mark.parametrize(("within_s", "done", "parts"), [(20.0, 4, None), (200.0, 6, 4)])
def test_when_time_is_over_it_has_what_is_done_by_then_and_says_so(
    records: np.ndarray, within_s: float, done: int, parts: int | None
) -> None:
    now = [0.0]
    lines = CrystalLines(SYSTEM)
    imager = LiveImager(lines, SENSITIVITY, clock=lambda: now[0])
    imager.receive(records[:2000], NOTHING, watermark_ps=int(records["time_ps"][1999]))

    def later() -> bool:  # it is asked before every update, and before every block
        now[0] += 1.0
        return False

    choice = FinalChoice(6, 2, prior=RelativeDifference(0.01))
    shown = finish(imager, within_s=within_s, choice=choice, stopped=later)
    of = "" if done == 6 else " (of 6, then time was over)"
    assert f"{done} iterations of 2 subsets{of}," in shown.how
    assert (shown.parts is None) == (parts is None)
    assert now[0] < within_s + 5
    imager.close()


def test_a_last_image_has_the_resolution_model_of_its_nuclide(records: np.ndarray) -> None:
    rubidium, _ = nuclide_of({"nuclide": "Rb-82"})
    model = final_resolution(SYSTEM.scanner, SYSTEM.grid, rubidium, None)
    imager = LiveImager(CrystalLines(SYSTEM), SENSITIVITY, clock=lambda: 0.0)
    imager.receive(records, NOTHING, watermark_ps=int(records["time_ps"][-1]))
    shown = finish(imager, within_s=90.0, choice=FinalChoice(resolution=model))
    reference = offline(records, imager.seconds, model.model)
    assert nrmse(imager.estimate, reference) < 0.01 < nrmse(offline(records, 1.0), reference)
    assert shown.resolution is model
    assert shown.how.endswith("resolution model 10.1 mm and the positrons of Rb-82")
    imager.close()


def test_a_scanner_without_a_nuclide_has_its_detectors_in_the_model() -> None:
    model = final_resolution(SYSTEM.scanner, SYSTEM.grid, None, None)
    assert isinstance(model.model, GaussianResolution)
    assert (model.positrons_of, model.words) == ("", "resolution model 10.1 mm")


def test_an_image_of_some_events_does_not_claim_all(records: np.ndarray, tmp_path: Path) -> None:
    imager = LiveImager(CrystalLines(SYSTEM), SENSITIVITY, clock=lambda: 0.0, capacity=CAPACITY)
    imager.restart(spool=EventSpool(NOTHING, folder=tmp_path))
    imager.receive(records[:4000], NOTHING, watermark_ps=10**12)
    imager.use_pending(1000, sample=0)  # overloaded: every fourth
    imager.receive(records[4000:8000], NOTHING, watermark_ps=2 * 10**12)
    shown = finish(imager, within_s=90.0)
    assert shown.fraction_used == pytest.approx(5000 / 8000)
    assert shown.how.startswith("OSEM of 62.5 % of the events")
    imager.close()


def test_what_came_before_the_imager_counts_as_not_used(records: np.ndarray) -> None:
    imager = LiveImager(CrystalLines(SYSTEM), SENSITIVITY, clock=lambda: 0.0, capacity=CAPACITY)
    imager.begin_at(10**12, missed=1000)
    imager.receive(records[:3000], NOTHING, watermark_ps=2 * 10**12)
    assert imager.update(budget_s=1.0).fraction_used == pytest.approx(0.75)
    imager.change_window(TimeWindow.parse("slide:10s"))
    assert imager.shown().fraction_used == 1.0  # of the window that is shown
    imager.close()


def test_corrections_of_the_end_hold_for_spooled_events(
    records: np.ndarray, tmp_path: Path
) -> None:
    spool = EventSpool(NOTHING, folder=tmp_path)
    imager = played(records[:10_000], spool)

    class Doubled:
        """A line efficiency that is known late."""

        content_hash = "two"

        def of_records(self, records: np.ndarray) -> np.ndarray:
            return np.full(len(records), 2.0, np.float32)

        of_lines = None

    lines = imager.lines
    assert isinstance(lines, CrystalLines)
    lines.correct([Doubled()], None)  # type: ignore[list-item]
    imager.memory.lines_changed()
    (oldest, *_), newest = list(imager.memory.parts(3000)), imager.memory.sampled(0, 10)
    assert len(oldest) == 3000 and len(newest)
    kept = lines.columns(records[:10])[1]
    np.testing.assert_array_equal(kept, 2.0)
    imager.close()


@pytest.mark.parametrize("bound", ["bytes", "free"])
def test_without_room_the_image_is_refined_and_it_is_said(
    records: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    if bound == "free":
        monkeypatch.setattr(live_spool, "LEAST_FREE_BYTES", 1 << 60)
    spool = EventSpool(
        NOTHING, folder=tmp_path, most_bytes=36 * (4000 if bound == "bytes" else 10**6)
    )
    imager = played(records[:10_000], spool)
    assert ("more than" if bound == "bytes" else "are free") in spool.broken
    assert not imager.memory.complete and not list(tmp_path.iterdir())
    shown = finish(imager, within_s=90.0)
    assert "refined" in shown.how and "not all events" in shown.how
    assert np.isfinite(shown.image).all() and shown.image.max() > 0
    imager.close()


def test_a_folder_that_cannot_be_written_harms_nothing(records: np.ndarray, tmp_path: Path) -> None:
    spool = EventSpool(NOTHING, folder=tmp_path / "none")
    imager = played(records[:9000], spool)
    assert "No such file" in spool.broken and "refined" in finish(imager, within_s=90.0).how
    imager.close()


@pytest.mark.parametrize("asked", [1, 3, 12])
def test_stopped_while_finishing_it_leaves_the_live_image(
    records: np.ndarray, tmp_path: Path, asked: int
) -> None:
    imager = played(records[:10_000], EventSpool(NOTHING, folder=tmp_path))
    live = imager.estimate
    times = [0]

    def stopped() -> bool:
        times[0] += 1
        return times[0] >= asked

    shown = finish(imager, within_s=90.0, choice=FinalChoice(iterations=20), stopped=stopped)
    assert times[0] <= asked + 5  # so many parts of the work after it was told
    assert "stopped" in shown.how and np.array_equal(imager.estimate, live)
    imager.close()


def test_where_there_is_no_time_it_is_refined(records: np.ndarray, tmp_path: Path) -> None:
    imager = played(records[:10_000], EventSpool(NOTHING, folder=tmp_path))
    imager.estimate_of_all.speed = 1000.0
    assert "too long" in finish(imager, within_s=90.0, choice=FinalChoice(iterations=1)).how
    imager.close()


def test_another_window_lets_spooled_events_go(records: np.ndarray, tmp_path: Path) -> None:
    spool = EventSpool(NOTHING, folder=tmp_path)
    imager = played(records[:10_000], spool)
    imager.change_window(LiveSettings(window="slide:60s").time_window)
    assert len(spool) == 0 and imager.memory.complete
    shown = finish(imager, within_s=90.0)
    assert shown.fraction_used == pytest.approx(CAPACITY / 10_000), "the window should hold all"
    assert f"OSEM of {100 * shown.fraction_used:.1f} % of the events" in shown.how
    imager.close()


def test_spool_gives_back_what_it_took(records: np.ndarray, tmp_path: Path) -> None:
    spool = EventSpool(NOTHING, folder=tmp_path)
    weight = np.arange(1000, dtype=np.float32)
    for first in range(0, 1000, 300):
        spool.append(records[first : min(first + 300, 1000)], weight[first : first + 300])
    parts = list(spool.parts(400))
    assert [len(part) for part, _ in parts] == [400, 400, 200]
    np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), records[:1000])
    np.testing.assert_array_equal(np.concatenate([each for _, each in parts]), weight)
    spool.append(records[:5], weight[:5])  # reading leaves the place for writing
    assert sum(len(part) for part, _ in spool.parts(10**6)) == 1005
    spool.clear()
