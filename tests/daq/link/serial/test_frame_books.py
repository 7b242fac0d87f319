"""Lost frames and words, counted from the headers alone, against what was really sent."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from daq.link.serial.frame_books import FrameBooks, frame_is_whole
from hw.wire.control import STRUCTS
from hw.wire.frames import new_header, seal_frame
from hw.wire.protocol import FLAG_FIRST, FLAG_LAST


def frames_of_a_run(counts: list[int], *, first: int = 0, run_tag: int = 7) -> list[bytes]:
    frames, before = [], 0
    for index, count in enumerate(counts):
        flags = FLAG_FIRST * (index == 0) | FLAG_LAST * (index == len(counts) - 1)
        header = new_header(
            3, first + index, index, run_tag=run_tag, events_before=before, flags=flags
        )
        frames.append(seal_frame(header, np.arange(count, dtype=np.uint64)))
        before += count
    return frames


def report_of(counts: list[int], run_tag: int = 7) -> np.void:
    report = np.zeros((), STRUCTS["report"])
    report["run_tag"], report["frames"], report["words"] = run_tag, len(counts), sum(counts)
    return report[()]


COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=30)


@given(COUNTS, st.data())
def test_sums_close_whatever_is_lost(counts, data):
    books = FrameBooks()
    books.open_run(7)
    kept = [data.draw(st.booleans()) for _ in counts]
    for frame, keep in zip(frames_of_a_run(counts), kept, strict=True):
        assert not keep or books.accept(frame)
    books.close(report_of(counts))
    assert books.frames == sum(kept)
    assert books.lost_frames == len(counts) - sum(kept)
    assert books.words == sum(c for c, keep in zip(counts, kept, strict=True) if keep)
    assert books.words + books.lost_words == sum(counts)


@given(COUNTS, st.randoms(use_true_random=False))
def test_frames_in_any_order_are_each_booked_once(counts, random):
    books = FrameBooks()
    books.open_run(7)
    frames = [(f, i) for i, f in enumerate(frames_of_a_run(counts)) if i]
    shuffled = sorted(frames, key=lambda entry: entry[1] + random.uniform(0, 5))
    shuffled.insert(0, (frames_of_a_run(counts)[0], 0))
    assert all(books.accept(frame) for frame, _ in shuffled)
    assert (books.frames, books.lost_frames, books.lost_words) == (len(counts), 0, 0)


def test_a_frame_that_comes_twice_is_refused():
    books, frames = FrameBooks(), frames_of_a_run([3, 4])
    assert books.accept(frames[0])
    assert books.accept(frames[1])
    assert not books.accept(frames[1])
    assert (books.frames, books.repeated) == (2, 1)


def test_a_first_frame_that_comes_twice_does_not_begin_anew():
    books, frames = FrameBooks(), frames_of_a_run([3, 4, 5])
    for frame in frames:
        assert books.accept(frame)
    assert not books.accept(frames[0])
    assert (books.frames, books.words, books.repeated) == (3, 12, 1)


def test_a_damaged_frame_is_invalid_and_then_missed():
    books, frames = FrameBooks(), frames_of_a_run([3, 4, 5])
    books.accept(frames[0])
    assert not books.accept(frames[1][:-1] + bytes([frames[1][-1] ^ 1]))
    assert books.accept(frames[2])
    assert (books.invalid, books.lost_frames, books.lost_words) == (1, 1, 4)


def test_numbers_wrap():
    books = FrameBooks()
    books.open_run(7, 0xFFFFFFFE)
    for frame in frames_of_a_run([1, 1], first=0xFFFFFFFE):
        books.accept(frame)
    header = new_header(3, 1, 3, run_tag=7, events_before=5)
    assert books.accept(seal_frame(header, np.zeros(1, np.uint64)))
    assert (books.frames, books.lost_frames, books.lost_words) == (3, 1, 3)


def test_a_module_that_began_anew_in_a_run_goes_on_in_the_same_books():
    books = FrameBooks()
    books.open_run(7)
    for frame in frames_of_a_run([2, 2, 2])[:2]:
        books.accept(frame)
    books.open_run(7, 10)
    for frame in frames_of_a_run([4, 4], first=10)[1:]:  # its FIRST frame is lost
        books.accept(frame)
    assert (books.frames, books.words) == (3, 8)
    assert (books.lost_frames, books.lost_words) == (1, 4)


def test_a_first_frame_that_is_quicker_than_the_reply_is_not_lost():
    books = FrameBooks()
    books.open_run(7)
    books.accept(frames_of_a_run([2])[0])
    assert books.missing(report_of([2])) == 0


def test_every_bit_of_a_frame_is_checked():
    frame = bytearray(frames_of_a_run([2])[0])
    for place in range(len(frame)):
        frame[place] ^= 1 << (place % 8)
        assert not frame_is_whole(bytes(frame))
        frame[place] ^= 1 << (place % 8)
    assert frame_is_whole(bytes(frame))
