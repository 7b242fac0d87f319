"""Frames already shown follow corrections that come later: a constant object stays constant."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from hw.arrays import F4, Records
from hw.scanner.preset_file import load_scanner
from oracles.reconstruction import simulated_records
from recon.core.event_location import LocatedEvents
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity import geometric_sensitivity
from recon.live.frame_renewal import FrameRenewal
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines

SYSTEM = ReconSystem.of(load_scanner("bench2"))
NOTHING = np.empty(0, COINCIDENCE)
FRAME_S, EVENTS = 0.2, 10_000


@cache
def sensitivity() -> F4:
    return geometric_sensitivity(SYSTEM)


class HalfOfAll:
    """A background of half of the prompts, known late, as scatter is."""

    def __init__(self, records: Records, seconds: float) -> None:
        per_line_s = 0.5 * len(records) / seconds / len(np.unique(pairs(records)))
        self._per_bin_s = per_line_s * SYSTEM.tof_share

    def of_records(self, records: Records, located: LocatedEvents) -> F4:
        return np.full(len(records), self._per_bin_s, np.float32)


def pairs(records: Records) -> np.ndarray:
    return records["crystal_a"].astype(np.int64) << 32 | records["crystal_b"]


@pytest.fixture(scope="module")
def records() -> Records:
    spread = np.random.default_rng(4).normal(0, 5, (1_500_000, 3))
    return simulated_records(SYSTEM.scanner, SYSTEM.geometry, spread, rate_Hz=1e4)[:EVENTS]


def played(
    imager: LiveImager[CrystalLines], records: Records, begin: int, end: int, *, at_once: int = 500
) -> None:
    for first in range(begin, end, at_once):
        part = records[first : first + at_once]
        imager.receive(part, NOTHING, watermark_ps=int(part["time_ps"][-1]))
        imager.update(budget_s=0.01)


def levels(imager: LiveImager[CrystalLines]) -> list[float]:
    assert imager.frames is not None
    return [float(one.array().sum()) for one in imager.frames.frames() if one.complete]


def renewed(imager: LiveImager[CrystalLines], renewal: FrameRenewal) -> list[float]:
    """Return the frames' levels after all work that is due."""
    renewal.advance()
    if renewal.job.busy:
        renewal.job.wait(60.0)
        renewal.advance()
    assert not renewal.job.busy
    return levels(imager)


def test_a_constant_object_stays_constant_when_a_correction_comes_late(records: Records) -> None:
    imager = LiveImager(
        CrystalLines(SYSTEM), sensitivity(), clock=lambda: 0.0, capacity=EVENTS, frame_s=FRAME_S
    )
    renewal = FrameRenewal(imager)
    played(imager, records, 0, EVENTS // 2)
    before = renewed(imager, renewal)
    assert len(before) >= 2
    seconds = float(records["time_ps"][-1]) * 1e-12
    imager.lines.scatter = HalfOfAll(records, seconds)  # type: ignore[assignment]
    after = renewed(imager, renewal)
    # the object is small, so that time of flight tells most of the background by itself
    assert all(0.5 < new / old < 0.95 for new, old in zip(after, before, strict=True))
    played(imager, records, EVENTS // 2, EVENTS)
    whole = renewed(imager, renewal)
    assert len(whole) > len(after)
    # 2,000 prompts a frame: 2.2 % of noise
    assert whole == pytest.approx([float(np.mean(whole))] * len(whole), rel=0.07)
    assert renewed(imager, renewal) == whole  # nothing is left to do
    renewal.close()
    imager.close()


def test_few_updates_have_the_level_of_many(records: Records) -> None:
    """Begun with an image of one event a second, frame and image rose by what a step explains: a
    slow machine, with one step a frame, showed a thousandth of what was there."""
    imager = LiveImager(
        CrystalLines(SYSTEM), sensitivity(), clock=lambda: 0.0, capacity=EVENTS, frame_s=FRAME_S
    )
    seconds = float(records["time_ps"][-1]) * 1e-12
    imager.lines.scatter = HalfOfAll(records, seconds)  # type: ignore[assignment]
    played(imager, records, 0, 2000, at_once=2000)
    first = float(imager.shown().image.sum())
    played(imager, records, 2000, EVENTS, at_once=2000)
    renewal, shown = FrameRenewal(imager), levels(imager)
    assert shown == pytest.approx(renewed(imager, renewal), rel=0.5)
    assert first == pytest.approx(float(imager.shown().image.sum()), rel=0.5)
    renewal.close()
    imager.close()


def test_a_frame_whose_events_have_left_stays_as_it_was(records: Records) -> None:
    imager = LiveImager(
        CrystalLines(SYSTEM), sensitivity(), clock=lambda: 0.0, capacity=4500, frame_s=FRAME_S
    )
    played(imager, records, 0, EVENTS)
    before, renewal = levels(imager), FrameRenewal(imager)
    after = renewed(imager, renewal)
    assert after[0] == before[0] and after[-1] != before[-1]
    renewal.close()
    imager.close()


def test_who_joins_late_goes_on_with_the_frame_that_is_under_way(records: Records) -> None:
    imager = LiveImager(
        CrystalLines(SYSTEM), sensitivity(), clock=lambda: 0.0, capacity=EVENTS, frame_s=FRAME_S
    )
    first = int(np.searchsorted(records["time_ps"], 2.5 * FRAME_S * 1e12))
    imager.begin_at(int(records["time_ps"][first]), missed=first)
    played(imager, records, first, EVENTS)
    assert imager.frames is not None
    shown = imager.frames.frames()
    assert [one.number for one in shown] == list(range(2, 2 + len(shown)))
    assert [one.begin_s for one in shown] == pytest.approx([FRAME_S * one.number for one in shown])
