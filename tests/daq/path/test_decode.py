"""From words to singles: places and times, the watermark, stalled modules, late singles."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coincidence.events import END_OF_TIME_PS, empty_singles
from daq.path.decode import MAX_FRAME_ID, STATE_NAMES, Decoder
from daq.path.frame_check import FrameChecker
from hw.wire.protocol import (
    FLAG_FIRST,
    FRAME_PERIOD_TICKS,
    KIND_SINGLE,
    pack_words,
    ticks_to_ps,
    unpack_words,
)
from hw.wire.protocol import FRAME_PERIOD_PS as PERIOD_PS
from oracles.frame_reader import open_frame
from rigs.frames_factory import RUN_TAG, ModuleSender, sent_run, single_words

CRYSTALS = 64
STALL = 10  # periods


class Chain:
    """A frame checker and a decoder in a row."""

    def __init__(self, n_modules: int = 2) -> None:
        self.checker = FrameChecker(n_modules=n_modules, run_tag=RUN_TAG)
        self.decoder = Decoder(
            n_modules=n_modules, crystals_per_module=CRYSTALS, stall_ps=STALL * PERIOD_PS
        )

    def decode(self, *frames: bytes) -> np.ndarray:
        out = empty_singles(100_000)
        return out[: self.decoder.decode(self.checker.check(frames), out)].copy()

    @property
    def watermark(self) -> float:
        """The watermark in frame periods."""
        return self.decoder.watermark_ps / PERIOD_PS

    @property
    def states(self) -> list[str]:
        return [STATE_NAMES[s] for s in self.decoder.line["state"]]

    def count(self, name: str) -> list[int]:
        return [int(n) for n in self.decoder.line[name]]


def test_singles_carry_what_the_words_say() -> None:
    rng = np.random.default_rng(1)
    sender = ModuleSender(1, frame_id=7)
    words = pack_words(
        time_ticks=rng.integers(0, 2**30, 500),
        crystal=rng.integers(0, CRYSTALS, 500),
        energy_dkeV=rng.integers(0, 17000, 500),
        doi=rng.integers(0, 8, 500),
        flags=rng.integers(0, 4, 500),
    )
    singles = Chain().decode(sender.frame(words))
    fields = unpack_words(words)
    expected_ps = ticks_to_ps(fields["time"] + 7 * FRAME_PERIOD_TICKS)
    np.testing.assert_array_equal(singles["time_ps"], expected_ps)
    np.testing.assert_array_equal(singles["crystal"], CRYSTALS + fields["crystal"])
    for name in ("energy", "doi", "flags"):
        np.testing.assert_array_equal(singles[name], fields[name])


def test_the_watermark_is_the_least_frame_end_of_the_live_modules() -> None:
    chain, a, b = Chain(), ModuleSender(0), ModuleSender(1)
    assert chain.states == ["silent", "silent"]
    chain.decode(a.frame(), a.frame(), a.frame())
    assert (chain.watermark, chain.states) == (0, ["live", "silent"])
    chain.decode(b.frame())
    assert chain.watermark == 1
    chain.decode(b.frame(), b.frame(), b.frame())
    assert chain.watermark == 3


def test_a_module_far_behind_is_stalled_and_holds_nobody_back() -> None:
    chain, a, b = Chain(), ModuleSender(0), ModuleSender(1)
    chain.decode(a.frame(), b.frame())
    chain.decode(*[a.frame() for _ in range(STALL)])
    assert (chain.watermark, chain.states) == (1, ["live", "live"])
    chain.decode(a.frame())
    assert (chain.watermark, chain.states) == (STALL + 2, ["live", "stalled"])
    assert chain.count("stalls") == [0, 1]


def test_a_module_never_heard_is_stalled_after_the_same_bound() -> None:
    chain, a = Chain(), ModuleSender(0)
    chain.decode(*[a.frame() for _ in range(STALL + 1)])
    assert (chain.watermark, chain.states) == (STALL + 1, ["live", "stalled"])


def test_a_stalled_module_rejoins_when_it_reaches_the_watermark() -> None:
    chain, a, b = Chain(), ModuleSender(0), ModuleSender(1)
    chain.decode(b.frame(), *[a.frame() for _ in range(STALL + 2)])
    late = chain.decode(b.frame(single_words([5])))
    assert (len(late), chain.count("late"), chain.count("late_frames")) == (0, [0, 1], [0, 1])
    assert chain.states[1] == "stalled"
    b.frame_id = STALL + 1
    back = chain.decode(b.frame(single_words([5])), b.frame(single_words([6])))
    assert chain.states == ["live", "live"]
    assert chain.watermark == STALL + 2
    assert len(back) == 1  # the first still lay before the watermark, the second is in time
    chain.decode(a.frame(), a.frame())
    assert chain.watermark == STALL + 3  # it holds the others back again


def test_a_late_single_is_counted_not_written() -> None:
    chain, a, b = Chain(), ModuleSender(0), ModuleSender(1)
    chain.decode(a.frame(), b.frame(), a.frame(), b.frame())
    a.frame_id = 1
    singles = chain.decode(a.frame(single_words([10, FRAME_PERIOD_TICKS - 1, FRAME_PERIOD_TICKS])))
    assert singles["time_ps"].tolist() == [2 * PERIOD_PS]  # at the watermark is in time
    assert chain.count("late") == [2, 0]
    assert chain.count("singles") == [3, 0]
    assert chain.count("late_frames") == [1, 0]


def test_after_last_frames_of_all_the_watermark_passes_everything() -> None:
    chain, a, b = Chain(), ModuleSender(0), ModuleSender(1)
    chain.decode(a.frame(last=True))
    assert (chain.watermark, chain.decoder.all_ended, chain.states[0]) == (0, False, "ended")
    chain.decode(b.frame(), b.frame(last=True))
    assert chain.decoder.horizon_ps == END_OF_TIME_PS
    assert chain.decoder.watermark_ps == chain.decoder.newest_ps
    assert chain.decoder.newest_ps == 2 * PERIOD_PS
    assert chain.decoder.all_ended


def test_a_stalled_module_may_rejoin_when_all_others_have_ended() -> None:
    chain, a, b = Chain(), ModuleSender(0), ModuleSender(1)
    chain.decode(b.frame(), *[a.frame() for _ in range(STALL + 4)], a.frame(last=True))
    assert chain.states == ["ended", "stalled"]
    assert chain.watermark == STALL + 5
    b.frame_id = STALL + 5
    assert len(chain.decode(b.frame(single_words([1, 2])))) == 2
    assert chain.states[1] == "live"


def test_words_of_other_kinds_and_crystals_outside_the_module_are_counted() -> None:
    chain, sender = Chain(), ModuleSender(1)
    kinds = [
        pack_words(time_ticks=[1], crystal=1, energy_dkeV=1, kind=kind)
        for kind in range(8)
        if kind != KIND_SINGLE
    ]
    outside = single_words([1, 2], crystal=[CRYSTALS, 4095])
    singles = chain.decode(sender.frame(np.concatenate([*kinds, outside, single_words([3])])))
    assert singles["crystal"].tolist() == [CRYSTALS]
    assert chain.count("other_words") == [0, 7]
    assert chain.count("invalid") == [0, 2]
    assert chain.count("singles") == [0, 3]


@pytest.mark.parametrize("frame_id", [MAX_FRAME_ID + 1, 2**31, 3_600_000_000, 2**32 - 1])
def test_a_time_beyond_the_end_of_time_is_invalid_and_moves_nothing(frame_id: int) -> None:
    chain, a, b = Chain(), ModuleSender(0), ModuleSender(1)
    chain.decode(a.frame(), b.frame())
    chain.checker.expect(frame_id)
    anew = a.frame(single_words([1, 2]), frame_id=frame_id, flags=FLAG_FIRST)
    assert len(chain.decode(anew)) == 0
    assert chain.count("invalid") == [2, 0]
    assert (chain.watermark, chain.decoder.newest_ps) == (1, PERIOD_PS)


def test_the_last_sane_period_still_lies_before_the_end_of_time() -> None:
    chain = Chain(1)
    chain.checker.expect(MAX_FRAME_ID)
    singles = chain.decode(ModuleSender(0).frame(single_words([2**30 - 1]), frame_id=MAX_FRAME_ID))
    assert 0 < singles["time_ps"][0] < END_OF_TIME_PS


@given(data=st.data(), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_any_batching_decides_the_same(data: st.DataObject, seed: int) -> None:
    """Frames of three modules, shuffled, some lost: stalls, lateness and singles do not change."""
    run = sent_run(n_modules=3, crystals_per_module=70, periods=40, singles_per_frame=4, seed=seed)
    rng = np.random.default_rng(seed)
    kept = [k for k in range(len(run.frames)) if rng.random() > 0.1]
    silent = rng.integers(0, 60)
    frames = [
        run.frames[k]
        for k in sorted(kept, key=lambda k: k + rng.exponential(12))
        if not (k % 3 == 1 and silent < k < silent + 45)
    ]
    at_once, in_parts = Chain(3), Chain(3)
    whole = at_once.decode(*frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(frames)), max_size=10)))
    parts = [in_parts.decode(*frames[i:j]) for i, j in pairwise([0, *cuts, len(frames)])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(in_parts.decoder.line, at_once.decoder.line)
    assert in_parts.decoder.horizon_ps == at_once.decoder.horizon_ps
    line = at_once.decoder.line
    words = sum(len(open_frame(frame)[1]) for frame in frames)
    assert line["singles"].sum() <= words
    assert line["singles"].sum() == len(whole) + line["late"].sum() + line["invalid"].sum()
