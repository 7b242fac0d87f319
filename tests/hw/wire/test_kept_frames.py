"""Frames are kept until they are on the disk, within a bound."""

from __future__ import annotations

from hw.wire.kept_frames import KeptFrames
from rigs.frames_factory import ModuleSender, single_words


def frames_of(module: int, count: int) -> list[bytes]:
    sender = ModuleSender(module)
    return [sender.frame(single_words(range(4))) for _ in range(count)]


def test_what_is_on_the_disk_is_let_go_and_the_rest_stays() -> None:
    kept, one, other = KeptFrames(2), frames_of(0, 5), frames_of(1, 3)
    for frame in one:
        kept.add(0, frame)
    for frame in other:
        kept.add(1, frame)
    kept.release([2, -1], [2, -1])
    assert kept.of(0) == one[3:]
    assert kept.of(1) == other
    kept.release([2, 2], [2, 2])  # the first is told once more
    assert (kept.of(0), kept.of(1)) == (one[3:], [])
    assert kept.bytes == sum(map(len, one[3:]))
    assert kept.let_go == 0


def test_frames_after_a_restart_have_old_numbers_in_new_periods() -> None:
    kept, sender = KeptFrames(1), ModuleSender(0)
    before = [sender.frame(single_words([1])) for _ in range(3)]
    sender.restart()
    after = [sender.frame(single_words([1])) for _ in range(3)]
    for frame in (*before, *after):
        kept.add(0, frame)
    kept.release([1], [4])
    assert kept.of(0) == after[2:]


def test_what_is_kept_is_bounded_and_what_is_let_go_counted() -> None:
    frames = frames_of(0, 10)
    kept = KeptFrames(1, most_bytes=3 * len(frames[0]))
    for frame in frames:
        kept.add(0, frame)
    assert kept.of(0) == frames[7:]
    assert kept.let_go == 7
    assert kept.bytes == 3 * len(frames[0])


def test_all_that_is_kept_comes_in_the_order_in_which_it_was_sent() -> None:
    kept, one, other = KeptFrames(2), frames_of(0, 3), frames_of(1, 3)
    for first, second in zip(one, other, strict=True):
        kept.add(1, second)
        kept.add(0, first)
    kept.release([0, -1], [0, -1])
    assert kept.in_order() == [
        (1, other[0]),
        (1, other[1]),
        (0, one[1]),
        (1, other[2]),
        (0, one[2]),
    ]
