"""Scatter found from a sample of a window is right for all of the window, while activity decays."""

from __future__ import annotations

import numpy as np
import pytest

from hw.messages.live_settings import TimeWindow
from recon.core.grid import ImageGrid
from recon.live.imager import ExposureOf
from recon.live.lines import LOR_EVENT, LorLines
from recon.live.memory import EventMemory

HALF_LIFE_S = 122.24
"""Of O-15."""

STEP_S, STEPS, FIRST_RATE = 5.0, 60, 400.0
"""Five minutes, in which four fifths of the activity decay."""

LIVE = 0.8


def prompts_in(second: float) -> int:
    """Return the prompts of a step, all of decays."""
    middle = second + STEP_S / 2
    return round(FIRST_RATE * STEP_S * 2.0 ** (-middle / HALF_LIFE_S))


def filled(capacity: int) -> EventMemory:
    """Return the memory of a window that has seen it all."""
    memory = EventMemory(capacity, LorLines(ImageGrid((2, 2, 2), (1.0, 1.0, 1.0))))
    memory.begin(TimeWindow(), half_life_s=HALF_LIFE_S)
    for step in range(STEPS):
        count = prompts_in(step * STEP_S)
        memory.make_room(count)
        booked = memory.books.book(
            round(step * STEP_S * 1e12), round((step + 1) * STEP_S * 1e12),
            kept=count, weight=count, live_share=LIVE,
        )  # fmt: skip
        memory.add((np.zeros(count, LOR_EVENT),), np.ones(count, np.float32), booked)
    return memory


@pytest.mark.parametrize("most", [100_000, 3_000])
@pytest.mark.parametrize("capacity", [100_000, 20_000])
def test_one_scale_serves_the_whole_window(capacity: int, most: int) -> None:
    """Half of the prompts are scatter, say: kept per second of exposure, half is taken off."""
    memory, of = filled(capacity), ExposureOf(live=True, decay=True)
    sample = memory.sample_of_all(most, live=of.live, decay=of.decay)
    found_per_s = 0.5 * len(sample.columns[0]) / sample.seconds
    exposure_s = memory.books.exposure_s(live=of.live, decay=of.decay)
    taken_off = found_per_s / sample.exposure * exposure_s
    assert taken_off == pytest.approx(0.5 * memory.books.prompts, rel=0.002)
    # as if exposure did not decay, which was wrong by so much
    plain = found_per_s * memory.books.exposure_s(live=of.live, decay=False)
    assert abs(plain / taken_off - 1) > 0.1
