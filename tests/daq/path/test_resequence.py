"""Frames that come ahead of others are put back into their order, whatever the disorder."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from daq.path.resequence import AHEAD, Resequencer
from rigs.frames_factory import RUN_TAG, ModuleSender, single_words


def frames_of(module: int, count: int, first: int = 0) -> list[bytes]:
    sender = ModuleSender(module)
    sender.sequence = first
    return [sender.frame(single_words(range(k % 3))) for k in range(count)]


def new(
    next_sequence: list[int], newest_period: list[int] | None = None, **changes: int
) -> Resequencer:
    newest = np.array(newest_period or [-1] * len(next_sequence))
    return Resequencer(np.array(next_sequence), newest, run_tag=RUN_TAG, **changes)


@given(seed=st.integers(0, 10**6), cut=st.integers(1, 30), batch=st.integers(1, 9))
@settings(max_examples=60)
def test_what_was_queued_and_what_comes_again_leave_in_order(
    seed: int, cut: int, batch: int
) -> None:
    rng = np.random.default_rng(seed)
    sent = {module: frames_of(module, 40, first=5) for module in range(2)}
    arriving = []
    for frames in sent.values():
        queued, again = frames[cut:], frames[: cut + int(rng.integers(0, 5))]
        arriving.append([*queued, *again, *frames[cut + 5 :]])
    mixed = [frame for pair in zip(*arriving, strict=False) for frame in pair]
    waiting, out = new([5, 5]), []
    for k in range(0, len(mixed), batch):
        out += waiting.push(mixed[k : k + batch])
    out += waiting.flush()
    for module, frames in sent.items():
        mine = [frame for frame in out if frame in set(frames)]
        assert list(dict.fromkeys(mine)) == frames, module


def test_of_what_the_log_has_only_the_numbers_that_lack_are_let_through() -> None:
    frames = frames_of(0, 6)
    waiting = Resequencer(np.array([5]), np.array([4]), run_tag=RUN_TAG, lacking=[{2}])
    assert waiting.push([*frames, frames[2]]) == [frames[2], frames[5]]
    assert waiting.again == 5


def test_frames_that_never_come_are_waited_for_until_told_otherwise() -> None:
    frames = frames_of(0, 6)
    waiting = new([0])
    assert waiting.push([frames[0], frames[2], frames[5]]) == [frames[0]]
    assert waiting.held == 2
    assert waiting.push([frames[1]]) == [frames[1], frames[2]]
    assert waiting.flush() == [frames[5]]
    assert waiting.held == 0


def test_what_is_held_back_is_bounded() -> None:
    frames = frames_of(0, 50)
    waiting = new([0], most_bytes=2000)
    out = waiting.push(frames[1:])
    assert waiting.held < 49
    assert [*out, *waiting.flush()] == frames[1:]


def test_frames_of_no_use_pass_at_once() -> None:
    waiting = new([0])
    other = ModuleSender(0, run_tag=RUN_TAG + 1).frame(single_words([1]))
    strange = ModuleSender(7).frame(single_words([1]))
    assert waiting.push([b"junk", other, strange]) == [b"junk", other, strange]


def test_numbers_wrap_round() -> None:
    frames = [*frames_of(0, 2, first=2**32 - 2)]
    frames += frames_of(0, 2)
    waiting = new([2**32 - 2])
    assert waiting.push([frames[0], frames[1]]) == frames[:2]
    assert waiting.held == 0


def test_what_is_recorded_already_is_left_out_and_a_restarted_module_is_not() -> None:
    sender = ModuleSender(0)
    recorded = [sender.frame(single_words([1])) for _ in range(4)]
    sender.restart()
    anew = [sender.frame(single_words([1])) for _ in range(2)]
    waiting = new([4], [3])
    assert waiting.push([*recorded[2:], *anew]) == anew
    assert waiting.again == 2


def test_a_module_far_ahead_of_another_waits_for_it() -> None:
    one, other = frames_of(0, 200), frames_of(1, 200)
    waiting = new([0, 0])
    ahead = waiting.push(one)
    assert ahead == one[:AHEAD]  # up to 64 periods from -1, of the one that has not come
    assert waiting.held == 200 - AHEAD
    out = waiting.push(other)
    periods = [int.from_bytes(frame[16:20], "little") for frame in out]
    assert len(out) == 400 - AHEAD
    assert waiting.held == 0
    assert periods == sorted(periods)
