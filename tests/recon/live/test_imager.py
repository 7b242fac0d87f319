"""The live estimate: like offline OSEM, honest about what it left out, never a NaN."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from hw.scanner.preset_file import load_scanner
from oracles.reconstruction import simulated_records
from recon.core.display_filter import gaussian
from recon.core.event_location import LocatedEvents
from recon.core.scanner_tables import ReconSystem
from recon.em.list_mode_osem import osem
from recon.em.sensitivity import SensitivityRatio, geometric_sensitivity, support_mask
from recon.lines.model import LineModel
from recon.live.event_buffer import EventBuffer
from recon.live.final_image import finish
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from recon.projector.operator import Projector

NOTHING = np.empty(0, COINCIDENCE)
RATE_HZ = 40_000.0


class FakeClock:
    """Seconds that pass by ``step_s`` each time they are asked for."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.step_s = step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def coarse_brain() -> ReconSystem:
    """The brain scanner with an image of 6 mm voxels: many counts per voxel in little time."""
    scanner = load_scanner("caremibrain")
    image = msgspec.structs.replace(scanner.image, shape=(30, 30, 24), voxel_mm=(6.0, 6.0, 6.0))
    return ReconSystem.of(msgspec.structs.replace(scanner, image=image))


SYSTEM = coarse_brain()


@pytest.fixture(scope="module")
def sensitivity() -> np.ndarray:
    return geometric_sensitivity(SYSTEM, samples=1_000_000)


def head_points(count: int, *, seed: int = 0) -> np.ndarray:
    """Points in a cylinder of 60 mm with a hot rod of four times its activity."""
    rng = np.random.default_rng(seed)
    points = rng.uniform([-60, -60, -50], [60, 60, 50], (5 * count, 3))
    rod = np.hypot(points[:, 0] - 25, points[:, 1]) < 12
    inside = np.hypot(points[:, 0], points[:, 1]) < 60
    kept = rng.random(len(points)) < np.where(rod, 1.0, 0.25) * inside
    return points[kept][:count]


@pytest.fixture(scope="module")
def prompts() -> np.ndarray:
    return simulated_records(SYSTEM.scanner, SYSTEM.geometry, head_points(700_000), rate_Hz=RATE_HZ)


def play(
    imager: LiveImager,
    records: np.ndarray,
    *,
    budget_s: float = 0.1,
    frame_s: float = 0.125,
) -> None:
    edges = np.arange(frame_s, records["time_ps"][-1] * 1e-12 + frame_s, frame_s)
    ends = np.searchsorted(records["time_ps"], edges * 1e12)
    for start, end, time_s in zip([0, *ends[:-1]], ends, edges, strict=True):
        imager.receive(records[start:end], NOTHING, watermark_ps=int(time_s * 1e12))
        imager.update(budget_s=budget_s)


def offline(records: np.ndarray, sensitivity: np.ndarray, seconds: float) -> np.ndarray:
    mask = support_mask(sensitivity, SYSTEM.grid)
    exposure = sensitivity * np.float32(seconds)
    return osem(Projector(SYSTEM.grid), LineModel(SYSTEM).events(records), exposure, mask).image


def object_mask() -> np.ndarray:
    return SYSTEM.grid.cylinder(58.0) & (np.abs(SYSTEM.grid.axes_mm()[2]) < 45)


def nrmse(image: np.ndarray, reference: np.ndarray, *, fwhm_mm: float = 0.0) -> float:
    inside = object_mask()
    image, reference = (gaussian(x, SYSTEM.grid, fwhm_mm=fwhm_mm) for x in (image, reference))
    error = np.sqrt(np.mean((image[inside] - reference[inside]) ** 2))
    return float(error / reference[inside].mean())


def imager_of(sensitivity: np.ndarray, **options: object) -> LiveImager:
    capacity = {"capacity": 200_000}  # all prompts; the memory is written to when it is made
    return LiveImager(CrystalLines(SYSTEM), sensitivity, clock=FakeClock(), **(capacity | options))  # type: ignore[arg-type]


def test_live_image_is_like_offline_osem(sensitivity: np.ndarray, prompts: np.ndarray) -> None:
    imager = imager_of(sensitivity)
    play(imager, prompts)
    live = imager.estimate
    finished = finish(imager, within_s=60.0)
    reference = offline(prompts, sensitivity, imager.seconds)
    assert nrmse(live, reference, fwhm_mm=15.0) < 0.10
    assert nrmse(imager.estimate, reference) < 0.01
    assert finished.fraction_used == 1.0


def test_events_that_left_the_buffer_still_count(
    sensitivity: np.ndarray, prompts: np.ndarray
) -> None:
    imager = imager_of(sensitivity, capacity=20_000)
    play(imager, prompts)
    assert "not all events" in finish(imager, within_s=60.0).how
    reference = offline(prompts, sensitivity, imager.seconds)
    assert nrmse(imager.estimate, reference, fwhm_mm=15.0) < 0.12
    inside = object_mask()
    assert imager.estimate[inside].sum() == pytest.approx(reference[inside].sum(), rel=0.03)


def test_overload_uses_fewer_events_and_keeps_the_intensity(
    sensitivity: np.ndarray, prompts: np.ndarray
) -> None:
    imager = imager_of(sensitivity)
    # Half of the 5000 that come per image: it and its parts take as long at first.
    play(imager, prompts, budget_s=2 * 2500 / 5e5)
    image = imager.update(budget_s=0.1)
    reference = offline(prompts, sensitivity, imager.seconds)
    inside = object_mask()
    assert image.fraction_used == pytest.approx(0.5, abs=0.02)
    assert image.prompts_seen == len(prompts)
    assert imager.estimate[inside].sum() == pytest.approx(reference[inside].sum(), rel=0.02)


def test_lost_batches_are_made_up_for(sensitivity: np.ndarray, prompts: np.ndarray) -> None:
    """Of every second frame nothing comes but the news that it is lost."""
    imager = imager_of(sensitivity)
    edges = np.arange(0.25, prompts["time_ps"][-1] * 1e-12, 0.25)
    ends = np.searchsorted(prompts["time_ps"], edges * 1e12)
    for start, end, time_s in zip([0, *ends[:-1]], ends, edges, strict=True):
        middle = (start + end) // 2
        imager.receive(
            prompts[start:middle],
            NOTHING,
            watermark_ps=int(time_s * 1e12),
            missing_prompts=end - middle,
        )
        imager.update(budget_s=0.1)
    reference = offline(prompts[: ends[-1]], sensitivity, imager.seconds)
    inside = object_mask()
    assert imager.intake.fraction_used == pytest.approx(0.5, abs=0.01)
    # with other draws of the records an online image of half of them was seen 2.1 % off
    assert imager.estimate[inside].sum() == pytest.approx(reference[inside].sum(), rel=0.03)


def test_first_image_is_sensible(sensitivity: np.ndarray, prompts: np.ndarray) -> None:
    imager = imager_of(sensitivity)
    imager.receive(prompts[:50], NOTHING, watermark_ps=int(50 / RATE_HZ * 1e12))
    image = imager.update(budget_s=0.05).image
    assert np.isfinite(image).all() and image.min() >= 0
    assert image[SYSTEM.grid.cylinder(60.0)].mean() > image[~SYSTEM.grid.cylinder(60.0)].mean()


def test_no_events_at_all_give_a_finite_image(sensitivity: np.ndarray) -> None:
    imager = imager_of(sensitivity)
    imager.receive(NOTHING, NOTHING, watermark_ps=10**11)
    assert np.isfinite(imager.update(budget_s=0.05).image).all()
    assert np.isfinite(finish(imager, within_s=1.0).image).all()


def test_absurd_events_give_a_finite_image(sensitivity: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    noise = np.frombuffer(rng.bytes(32 * 3000), dtype=COINCIDENCE)
    imager = imager_of(sensitivity)
    imager.receive(noise, noise, watermark_ps=10**11)
    assert np.isfinite(imager.update(budget_s=0.05).image).all()


def test_restart_forgets_the_last_run(sensitivity: np.ndarray, prompts: np.ndarray) -> None:
    imager = imager_of(sensitivity)
    play(imager, prompts[:20_000])
    first = imager.estimate
    imager.restart()
    assert imager.intake.used == 0 and imager.intake.seen == 0
    play(imager, prompts[:20_000])
    assert np.array_equal(imager.estimate, first)


def corrected(imager: LiveImager, mu: np.ndarray, sensitivity: np.ndarray) -> None:
    assert isinstance(imager.lines, CrystalLines)
    imager.lines.correct([], mu)
    imager.correct(sensitivity)


def test_attenuation_that_comes_late_ends_like_one_from_the_start(
    sensitivity: np.ndarray, prompts: np.ndarray
) -> None:
    x, y, z = SYSTEM.grid.axes_mm()
    mu = np.where((np.hypot(x, y) < 60) & (np.abs(z) < 50), np.float32(0.0096), np.float32(0))
    lowered = sensitivity * SensitivityRatio(SYSTEM, samples=200_000).of(mu_per_mm=mu)
    early, late = imager_of(sensitivity), imager_of(sensitivity)
    corrected(early, mu, lowered)
    play(early, prompts[:40_000])
    play(late, prompts[:40_000])
    corrected(late, mu, lowered)
    for imager in (early, late):
        imager.receive(prompts[40_000:60_000], NOTHING, watermark_ps=int(1.5e12))
        imager.update(budget_s=1.0)
    kept = [
        imager.memory.buffer.take(imager.memory.buffer.place(0, 50_000))[0][1]
        for imager in (early, late)
    ]
    assert np.allclose(kept[0], kept[1], rtol=1e-4) and kept[0].min() < 0.5
    inside = object_mask()
    assert late.estimate[inside].sum() == pytest.approx(early.estimate[inside].sum(), rel=0.05)


def test_randoms_are_taken_out(sensitivity: np.ndarray, prompts: np.ndarray) -> None:
    """As many uniform randoms as trues; as many delayeds: the trues' intensity comes back."""
    n = 60_000
    rng = np.random.default_rng(2)
    each = SYSTEM.scanner.crystals_per_module

    def randoms(count: int) -> np.ndarray:
        records = np.zeros(3 * count, dtype=COINCIDENCE)
        ends = np.sort(rng.integers(0, SYSTEM.scanner.n_crystals, (3 * count, 2)), axis=1)
        records["crystal_a"], records["crystal_b"] = ends.T
        records["doi_a"], records["doi_b"] = rng.integers(0, 8, (2, 3 * count))
        return records[SYSTEM.allowed[ends[:, 0] // each, ends[:, 1] // each]][:count]

    both = np.concatenate([prompts[:n], randoms(n)])
    rng.shuffle(both)
    imager, clean = imager_of(sensitivity), imager_of(sensitivity)
    seconds_ps = int(n / RATE_HZ * 1e12)
    for part in np.array_split(both, 12):
        imager.receive(part, randoms(len(part) // 2), watermark_ps=seconds_ps)
        image = imager.update(budget_s=1.0)
    for part in np.array_split(prompts[:n], 12):
        clean.receive(part, NOTHING, watermark_ps=seconds_ps)
        clean.update(budget_s=1.0)
    assert imager.lines.randoms is not None and image.delayeds_used == 12 * 5000
    finish(imager, within_s=60.0)
    finish(clean, within_s=60.0)
    inside = object_mask()
    assert imager.estimate[inside].sum() == pytest.approx(clean.estimate[inside].sum(), rel=0.05)


def test_stopping_a_finish_keeps_the_live_image(
    sensitivity: np.ndarray, prompts: np.ndarray
) -> None:
    imager = imager_of(sensitivity)
    play(imager, prompts[:20_000])
    before = imager.estimate
    finish(imager, within_s=60.0, stopped=lambda: True)
    assert np.array_equal(imager.estimate, before)


def test_a_new_event_is_located_once_for_image_frame_and_memory(
    sensitivity: np.ndarray, prompts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    located: list[int] = []
    real = LineModel.locate

    def counting(self: LineModel, records: np.ndarray) -> LocatedEvents:
        located.append(len(records))
        return real(self, records)

    monkeypatch.setattr(LineModel, "locate", counting)
    imager = imager_of(sensitivity, frame_s=10.0)
    imager.receive(prompts[:5000], NOTHING, watermark_ps=int(prompts["time_ps"][4999]))
    imager.update(budget_s=0.1)
    assert sum(located) == 5000 and imager.frames is not None and len(imager.memory) == 5000


class TestEventBuffer:
    @staticmethod
    def buffer() -> EventBuffer:
        return EventBuffer(10, (np.empty(0, np.int64),))

    @staticmethod
    def add(buffer: EventBuffer, first: int, count: int) -> None:
        buffer.append((np.arange(first, first + count),), np.ones(count, np.float32))

    @staticmethod
    def held(buffer: EventBuffer, first: int = 0, step: int = 1) -> list[int]:
        (numbers,), _ = buffer.take(buffer.place(first, len(buffer), step))
        return [int(number) for number in numbers]

    def test_keeps_the_newest_in_order(self) -> None:
        buffer = self.buffer()
        for first in range(0, 28, 4):
            self.add(buffer, first, 4)
        assert self.held(buffer) == list(range(18, 28))
        assert self.held(buffer, 1, 4) == [19, 23, 27]

    def test_the_oldest_make_room_or_are_dropped(self) -> None:
        buffer = self.buffer()
        self.add(buffer, 0, 8)
        assert buffer.overflow(5) == 3
        buffer.drop(3)
        self.add(buffer, 8, 5)
        assert self.held(buffer) == list(range(3, 13))

    def test_too_many_at_once_are_refused(self) -> None:
        with pytest.raises(ValueError, match="thin them first"):
            self.add(self.buffer(), 0, 11)
