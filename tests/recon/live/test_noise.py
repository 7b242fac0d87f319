"""The noise told of the live image and its frames is what repeated measurements show."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from hw.messages.live_settings import TimeWindow
from hw.messages.pictures import DynamicFrame
from oracles.drawn_phantom import GRID, SENSITIVITY, TOF, drawn
from oracles.noise_ratios import region_ratios, voxel_ratio
from recon.core.noise_parts import NoiseParts
from recon.live.final_image import finish
from recon.live.imager import LiveImager
from recon.live.lines import LorLines
from recon.live.part_estimates import drawn as drawn_parts

EVENTS, FEW_EVENTS, REPEATS, UPDATES = 60_000, 3_000, 20, 20

WINDOWS = [
    pytest.param("grow", marks=pytest.mark.evidence),
    pytest.param("slide:10s", marks=pytest.mark.evidence),
    "forget:10s",
]


def played(window: str, seed: int, *, frame_s: float = 0.0, count: int = EVENTS) -> LiveImager:
    """Return the imager after 20 s of events that came in as many updates."""
    capacity = 2 * EVENTS
    imager = LiveImager(LorLines(GRID, tof=TOF), SENSITIVITY, clock=lambda: 0.0, capacity=capacity)
    imager.restart(window=TimeWindow.parse(window), frame_s=frame_s)
    events = drawn(count, seed)
    ends = np.linspace(0, len(events), UPDATES + 1).astype(int)
    for second, (first, last) in enumerate(pairwise(ends), start=1):
        part = events.take(slice(first, last))
        imager.receive_events(part, watermark_ps=second * 10**12)
        imager.update(budget_s=1.0)
    return imager


@pytest.mark.evidence
@pytest.mark.parametrize("window", WINDOWS)
def test_the_noise_is_what_repeats_show(window: str) -> None:
    images, noise = [], []
    told: list[NoiseParts] = []
    for seed in range(REPEATS):
        imager = played(window, seed)
        shown = imager.shown()
        images.append(shown.image)
        noise.append(shown.noise)
        parts = imager.noise_parts(fwhm_mm=shown.fwhm_mm)
        assert parts is not None
        told.append(parts)
        imager.close()
    ratios = region_ratios(images, told)
    assert all(0.8 < ratio < 1.25 for ratio in ratios.values()), ratios
    assert voxel_ratio(images, noise) == pytest.approx(1.0, abs=0.2)


def test_the_final_image_tells_its_own_noise() -> None:
    images, noise = [], []
    for seed in range(8):
        imager = played("grow", seed)
        final = finish(imager, within_s=600.0)
        images.append(final.image)
        noise.append(final.noise)
        parts = imager.noise_parts(fwhm_mm=0.0)
        assert parts is not None and parts.images.shape[1:] == GRID.shape
        assert parts.images.mean() == pytest.approx(imager.unfiltered().mean(), rel=0.05)
        imager.close()
    assert voxel_ratio(images, noise) == pytest.approx(1.0, abs=0.2)


@pytest.mark.evidence
def test_a_frames_noise_is_what_repeats_show() -> None:
    frames: list[DynamicFrame] = []
    for seed in range(12):
        imager = played("grow", seed, frame_s=8.0)
        frames.append(imager.shown().frames[0])
        imager.close()
    ratio = voxel_ratio([one.array() for one in frames], [one.noise for one in frames])
    assert ratio == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("window", WINDOWS)
def test_the_noise_of_few_events_is_what_repeats_show(window: str) -> None:
    """Without its filter: parts of an eighth of them told 0.68 of it in cold regions."""
    images: list[np.ndarray] = []
    told: list[NoiseParts] = []
    for seed in range(REPEATS):
        imager = played(window, seed, count=FEW_EVENTS)
        images.append(imager.unfiltered())
        parts = imager.noise_parts(fwhm_mm=0.0)
        assert parts is not None
        told.append(parts)
        imager.close()
    ratios = region_ratios(images, told)
    assert all(0.8 < ratio < 1.25 for ratio in ratios.values()), ratios


def test_events_are_dealt_to_parts_as_by_chance() -> None:
    """Neither more evenly nor less: Σ (n − n̄)² / (n̄ (1 − p)) over parts is χ² of 8 degrees of
    freedom, and two parts share p² of the events."""
    each, share = 8_000, 1 / 4
    found, both = [], []
    for block in range(200):
        parts = drawn_parts(np.arange(block * each, (block + 1) * each), 8, 4)
        counts = parts.sum(axis=1)
        found.append(((counts - each * share) ** 2).sum() / (each * share * (1 - share)))
        both.append((parts[0] & parts[5]).sum())
    assert np.mean(found) == pytest.approx(8.0, rel=0.15)
    assert np.var(found) == pytest.approx(16.0, rel=0.4)
    assert np.mean(both) == pytest.approx(each * share**2, rel=0.02)
