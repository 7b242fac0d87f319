"""Time windows, dynamic frames and lines without crystals in the live image."""

from __future__ import annotations

import numpy as np
import pytest

from hw.messages.live_settings import LiveSettings, TimeWindow
from hw.messages.sort_settings import SettingsError
from oracles.reconstruction import lines_from_points
from recon.core.events import EventList
from recon.core.grid import ImageGrid
from recon.live.final_image import finish
from recon.live.imager import ExposureOf, LiveImager
from recon.live.lines import LorLines
from recon.live.time_window import MOST_ENTRIES, WindowBooks

GRID = ImageGrid((24, 24, 16), (3.0, 3.0, 3.0))
SENSITIVITY = np.full(GRID.shape, 0.01, dtype=np.float32)
LEFT, RIGHT = (-15.0, 0.0, 0.0), (15.0, 6.0, 6.0)
STEP_S = 0.25


def imager_of(**options: object) -> LiveImager:
    imager = LiveImager(LorLines(GRID), SENSITIVITY, clock=lambda: 0.0, capacity=30_000)
    imager.restart(**options)  # type: ignore[arg-type]
    return imager


def lines_through(place: tuple[float, ...], count: int, seed: int) -> EventList:
    points = np.random.default_rng(seed).normal(place, 2.0, (count, 3))
    return EventList.plain(lines_from_points(points, seed=seed))


def play(
    imager: LiveImager,
    place: tuple[float, ...],
    begin_s: float,
    end_s: float,
    rate_Hz: float,
) -> None:
    for k in range(round((end_s - begin_s) / STEP_S)):
        now_s = begin_s + (k + 1) * STEP_S
        events = lines_through(place, round(rate_Hz * STEP_S), seed=int(1000 * now_s))
        imager.receive_events(events, watermark_ps=round(now_s * 1e12))
        imager.update(budget_s=1.0)


def seen_per_s(imager: LiveImager, place: tuple[float, ...]) -> float:
    """Return what the image says of the events per second from around a place."""
    x, y, z = GRID.axes_mm()
    near = (x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2 < 12.0**2
    return float((imager.estimate * SENSITIVITY)[near].sum())


def test_the_growing_window_shows_the_mean_since_the_start() -> None:
    imager = imager_of()
    play(imager, LEFT, 0, 3, 2000)
    play(imager, RIGHT, 3, 6, 2000)
    # The statistic follows a change with a lag of some 1 / GAIN of the counts, more below 20,000.
    assert seen_per_s(imager, LEFT) == pytest.approx(1000, rel=0.08)
    assert seen_per_s(imager, RIGHT) == pytest.approx(1000, rel=0.08)


def test_the_sliding_window_forgets_what_is_past_and_keeps_the_level() -> None:
    imager = imager_of(window=TimeWindow.parse("slide:2s"))
    play(imager, LEFT, 0, 3, 2000)
    play(imager, RIGHT, 3, 6, 2000)
    image = imager.shown()
    assert image.window == "slide:2s" and image.window_s == pytest.approx(2.0, abs=0.01)
    assert image.prompts_in_window == 4000 and image.prompts_used == 12_000
    assert seen_per_s(imager, LEFT) < 60
    assert seen_per_s(imager, RIGHT) == pytest.approx(2000, rel=0.05)


def test_the_forgetting_window_halves_what_has_stopped_every_half_life() -> None:
    imager = imager_of(window=TimeWindow.parse("forget:2s"))
    play(imager, LEFT, 0, 4, 2000)
    play(imager, RIGHT, 4, 8, 2000)
    left = 2000 * (2**-2 - 2**-4) / (1 - 2**-4)
    assert seen_per_s(imager, LEFT) == pytest.approx(left, rel=0.15)  # the lag, as above
    assert seen_per_s(imager, RIGHT) == pytest.approx(2000 - left, rel=0.05)
    assert imager.seconds == pytest.approx(2 / np.log(2) * (1 - 2**-4), rel=0.01)


def test_weights_of_a_forgetting_window_never_grow_beyond_bounds() -> None:
    imager = imager_of(window=TimeWindow.parse("forget:1s"))
    play(imager, LEFT, 0, 1, 2000)
    for second in range(30, 400, 30):  # 2⁴⁰⁰ would be beyond float32
        play(imager, LEFT, second, second + 0.5, 2000)
        assert imager.memory.buffer.weight.max() < 2.0**31
        assert np.isfinite(imager.estimate).all()
    play(imager, LEFT, 400, 406, 2000)
    assert seen_per_s(imager, LEFT) == pytest.approx(2000, rel=0.05)


def test_a_window_chosen_on_the_way_takes_what_the_buffer_holds() -> None:
    imager = imager_of()
    play(imager, LEFT, 0, 3, 2000)
    play(imager, RIGHT, 3, 5, 2000)
    imager.change_window(TimeWindow.parse("slide:1s"))
    assert imager.shown().prompts_in_window == 2000
    play(imager, RIGHT, 5, 6, 2000)
    assert seen_per_s(imager, LEFT) < 100
    assert seen_per_s(imager, RIGHT) == pytest.approx(2000, rel=0.05)
    imager.change_window(TimeWindow())
    play(imager, RIGHT, 6, 7, 2000)
    assert imager.seconds == pytest.approx(2.0, abs=0.01)  # what had left does not come back
    assert seen_per_s(imager, RIGHT) == pytest.approx(2000, rel=0.05)


def test_a_window_with_more_events_than_the_buffer_holds_keeps_every_kth() -> None:
    imager = LiveImager(LorLines(GRID), SENSITIVITY, clock=lambda: 0.0, capacity=3000)
    imager.restart(window=TimeWindow.parse("slide:4s"))
    play(imager, LEFT, 0, 8, 2000)
    image = imager.shown()
    assert 0.25 < image.fraction_used < 0.45 and image.window_s > 3.0
    assert seen_per_s(imager, LEFT) == pytest.approx(2000, rel=0.05)


def test_decay_and_dead_time_lead_back_to_the_activity_at_the_start() -> None:
    imager = imager_of(half_life_s=4.0, exposure_of=ExposureOf(live=True, decay=True))
    for k in range(16):
        now_s = (k + 1) * STEP_S
        rate = 0.8 * 3000 * 2 ** (-(now_s - STEP_S / 2) / 4.0)
        records = LorLines.records(lines_through(LEFT, round(rate * STEP_S), seed=k))
        nothing = records[:0]
        imager.receive(records, nothing, watermark_ps=round(now_s * 1e12), live_share=0.8)
        imager.update(budget_s=1.0)
    assert seen_per_s(imager, LEFT) == pytest.approx(3000, rel=0.05)


def test_frames_lie_end_to_end_and_show_their_own_activity() -> None:
    imager = imager_of(frame_s=2.0)
    play(imager, LEFT, 0, 2, 1000)
    play(imager, LEFT, 2, 4, 4000)
    play(imager, LEFT, 4, 5, 500)
    frames = imager.shown().frames
    assert [(f.begin_s, f.end_s, f.complete) for f in frames] == [
        (0.0, pytest.approx(2.0), True),
        (pytest.approx(2.0), pytest.approx(4.0), True),
        (pytest.approx(4.0), pytest.approx(5.0), False),
    ]
    assert [f.prompts for f in frames] == [2000, 8000, 500]
    total = [float(f.array().sum()) for f in frames]
    assert total[1] / total[0] == pytest.approx(4.0, rel=0.03)
    assert total[2] / total[0] == pytest.approx(0.5, rel=0.03)


def test_frames_have_the_level_of_the_long_image() -> None:
    imager = imager_of(frame_s=10.0)
    play(imager, LEFT, 0, 3, 2000)
    image = imager.shown()
    (frame,) = image.frames
    of_frame = frame.array().sum() * np.prod(frame.voxel_mm)
    assert of_frame == pytest.approx(image.image.sum() * GRID.voxel_volume_mm3, rel=0.05)


def test_frames_are_bounded_in_number() -> None:
    imager = imager_of(frame_s=1.0)
    play(imager, LEFT, 0, 12, 400)
    frames = imager.shown().frames
    assert len(frames) <= 7 and frames[-1].number == 11


def test_lines_of_no_crystals_show_two_points_where_they_cross() -> None:
    imager = imager_of()
    for k in range(8):
        both = [lines_through(place, 400, seed=10 * k + i) for i, place in enumerate((LEFT, RIGHT))]
        for events in both:
            imager.receive_events(events, watermark_ps=round((k + 1) * 1e11))
        imager.update(budget_s=1.0)
    image = finish(imager, within_s=60.0).image
    for place in (LEFT, RIGHT):
        x, y, z = GRID.axes_mm()
        near = (x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2 < 12.0**2
        weight = np.where(near, image, 0)
        centre = [float((weight * axis).sum() / weight.sum()) for axis in (x, y, z)]
        assert centre == pytest.approx(place, abs=1.0)


class TestWindowBooks:
    def test_updates_expire_whole(self) -> None:
        books = WindowBooks(TimeWindow.parse("slide:2s"))
        for second in range(5):
            at = second * 10**12
            books.book(at, at + 10**12, kept=10, weight=20.0, live_share=0.5)
        assert books.expire(5 * 10**12) == 30
        assert books.prompts == 40.0 and books.wall_s == pytest.approx(2.0)
        assert books.exposure_s(live=True, decay=False) == pytest.approx(1.0)

    def test_a_long_run_is_kept_in_bounded_memory(self) -> None:
        books = WindowBooks(TimeWindow())
        for k in range(5 * MOST_ENTRIES):
            books.book(k * 10**11, (k + 1) * 10**11, kept=1, weight=1.0, live_share=1.0)
        assert len(books.updates) <= MOST_ENTRIES
        assert books.prompts == 5 * MOST_ENTRIES
        assert books.wall_s == pytest.approx(0.5 * MOST_ENTRIES)

    def test_what_was_thinned_is_left_behind_by_another_window(self) -> None:
        books = WindowBooks(TimeWindow())
        for second in range(4):
            at = second * 10**12
            books.book(at, at + 10**12, kept=10, weight=10.0, live_share=1.0)
        books.release(15)
        assert books.change(TimeWindow.parse("forget:5s")) == 5
        assert [one.kept for one in books.updates] == [10, 10]
        assert len(books.event_weights()) == 20


class TestSettings:
    @pytest.mark.parametrize("text", ["grow", "slide:60s", "forget:0.5e1", "slide:1"])
    def test_windows_are_written_as_they_are_read(self, text: str) -> None:
        if "e" in text.partition(":")[2]:
            with pytest.raises(SettingsError, match="half-life"):
                TimeWindow.parse(text)
            return
        assert TimeWindow.parse(str(TimeWindow.parse(text))) == TimeWindow.parse(text)

    @pytest.mark.parametrize(
        "bad", ["", "slide", "slide:0.1s", "forget:1e9", "slide:-3s", "Grow", "forget:nan"]
    )
    def test_what_is_no_window_is_refused_with_the_way_to_write_one(self, bad: str) -> None:
        with pytest.raises(SettingsError, match="slide:60s"):
            LiveSettings(window=bad)

    def test_frames_shorter_than_a_second_are_refused(self) -> None:
        with pytest.raises(SettingsError, match="1 s or more"):
            LiveSettings(frame_s=0.2)
