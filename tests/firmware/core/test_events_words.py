"""Hits become the words and frames of the reference, whatever the settings and the batching."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.wire.control import MARK_LAST, MARK_SYNCED
from hw.wire.protocol import unpack_words
from oracles.firmware_reference import CHANNEL_OFF, ReferenceRun, Settings
from oracles.frame_reader import open_frame
from rigs.firmware.events import WEATHER, EventsRig, books_close, mark, single, word, words_of

pytestmark = pytest.mark.firmware

DEAD = 8960
CHANNELS = st.sampled_from([0, 1, 2, 63, 64, 4095])
GAPS = st.sampled_from([0, 1, DEAD - 1, DEAD, DEAD + 1, 2 * DEAD, 40_000_000, 200_000_000, -7])
CODES = st.sampled_from([0, 499, 500, 501, 5110, 16382, 16383]) | st.integers(0, 16383)
GAINS = st.sampled_from([0, 1, 8192, 16383, 16384, 16385, 32767, CHANNEL_OFF, 0xFFFF])


@st.composite
def settings(draw: st.DrawFn) -> Settings:
    """Draw settings of a run, plain ones as often as others."""
    if draw(st.booleans()):
        return Settings(dead_time_scope=draw(st.integers(0, 1)))
    return Settings(
        module=draw(st.sampled_from([0, 47, 65535])),
        energy_threshold=draw(st.sampled_from([0, 1, 500, 16383])),
        dead_time_ticks=draw(st.sampled_from([0, 1, DEAD, 51_200_000])),
        dead_time_scope=draw(st.integers(0, 1)),
        paralysable=draw(st.integers(0, 1)),
        queue_words=draw(st.sampled_from([1, 3, 65536])),
        channels=draw(st.sampled_from([1, 64, 4096])),
        sync_lock_count=draw(st.integers(1, 3)),
        sync_loss_count=draw(st.integers(1, 3)),
        gains=draw(st.dictionaries(CHANNELS, GAINS, max_size=3)),
    )


@st.composite
def hits(draw: st.DrawFn) -> list[int]:
    """Draw one period's words: hits mostly in order of time, a few words of other kinds."""
    time, made = 0, []
    for gap in draw(st.lists(GAPS, max_size=12)):
        time = min(max(time + gap, 0), (1 << 30) - 1)
        fields = {"doi": draw(st.integers(0, 7)), "flags": draw(st.integers(0, 3))}
        kind = draw(st.sampled_from([1] * 12 + [0, 3, 4, 5, 6, 7]))
        made.append(word(kind, crystal=draw(CHANNELS), energy=draw(CODES), time=time, **fields))
    return made


@st.composite
def periods(draw: st.DrawFn) -> list[int]:
    """Draw words and marks of a run; marks are missing, come twice, jump and begin anew."""
    period = draw(st.sampled_from([0, 0, 5, (1 << 30) - 2]))
    made: list[int] = []
    for _ in range(draw(st.integers(0, 8))):
        made += draw(hits())
        flags = draw(st.sampled_from([MARK_SYNCED] * 4 + [0]))
        made.append(mark(period, flags=flags))
        period += draw(st.sampled_from([1, 1, 1, 1, 1, 2, 3, 0, 64, 65, 1000, -1, -5]))
        period %= 1 << 30
    if draw(st.booleans()):
        made.append(mark(period, flags=MARK_SYNCED | MARK_LAST))
    return made


@given(
    how=settings(),
    words=periods(),
    pieces=st.lists(st.integers(0, 7), max_size=20),
    number=st.sampled_from([0, 0xFFFFFFFE]),
    most=st.sampled_from([0, 1, 3]),
)
def test_any_hits_in_any_batches_make_the_reference_frames(
    core: Any, how: Settings, words: list[int], pieces: list[int], number: int, most: int
) -> None:
    expected = ReferenceRun(how, periods=most, first_sequence=number, weather=WEATHER)
    expected.take(words)
    core.lib.test_new_board()
    core.window.set_up()
    rig = EventsRig(core, how.gains, **how.registers())
    rig.begin(periods=most, first_sequence=number)
    frames = rig.feed(words, pieces)
    assert frames == expected.frames
    report = rig.report()
    others = sum(w >> 61 in (3, 4) for f in frames for w in open_frame(f)[1].tolist())
    others += sum(w >> 61 in (3, 4) for w in expected._words)
    assert {name: report[name] for name in expected.report()} == expected.report()
    assert books_close(report, others=others)
    assert rig.module.run.sync.lock == expected.locked


def test_a_word_keeps_its_place_time_depth_and_pile_up(core: Any) -> None:
    rig = EventsRig(core, {9: 8192})
    rig.begin()
    hit = single(123_456_789, 9, 10_000, doi=5, flags=1)
    (frame,) = rig.feed(words_of(hit, mark(0)))
    fields = {name: int(v[0]) for name, v in unpack_words(open_frame(frame)[1]).items()}
    assert fields == {
        "kind": 1,
        "doi": 5,
        "flags": 1,
        "crystal": 9,
        "energy": 5_000,
        "time": 123_456_789,
    }


@pytest.mark.parametrize(
    ("code", "gain", "energy", "flags"),
    [(16383, 16384, 16383, 2), (16382, 16384, 16382, 0), (9000, 32767, 16383, 2)],
)
def test_an_energy_beyond_the_field_is_saturated_and_says_so(
    core: Any, code: int, gain: int, energy: int, flags: int
) -> None:
    rig = EventsRig(core, {1: gain})
    rig.begin()
    (frame,) = rig.feed(words_of(single(0, 1, code), mark(0)))
    fields = unpack_words(open_frame(frame)[1])
    assert (fields["energy"][0], fields["flags"][0]) == (energy, flags)


def test_a_converter_at_its_end_stays_saturated_whatever_the_gain(core: Any) -> None:
    rig = EventsRig(core, {1: 8192})
    rig.begin()
    (frame,) = rig.feed(words_of(single(0, 1, 16383, flags=2), mark(0)))
    fields = unpack_words(open_frame(frame)[1])
    assert (fields["energy"][0], fields["flags"][0]) == (8191, 2)


def test_angle_words_pass_and_are_no_hits(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin()
    angle = word("angle", crystal=5, energy=8080)
    (frame,) = rig.feed(words_of(angle, single(10), mark(0)))
    assert open_frame(frame)[1][0] == angle
    assert (rig.report()["hits"], rig.report()["words"]) == (1, 2)


def test_the_threshold_acts_in_mid_run(core: Any) -> None:
    rig = EventsRig(core, energy_threshold=500)
    rig.begin()
    rig.feed(words_of(single(0, energy=600), mark(0)))
    rig.lib.register_set(rig.module, 4, 700)
    rig.feed(words_of(single(0, energy=600), mark(1)))
    assert (rig.report()["words"], rig.report()["below"]) == (1, 1)


@pytest.mark.parametrize("words", [0, 1, 2, 3, 255, 256, 4097, 65536])
def test_the_crc_of_two_pieces_follows_from_both(core: Any, words: int) -> None:
    rng = np.random.default_rng(words)
    head = rng.bytes(60)
    body = rng.bytes(8 * words)
    whole = core.lib.crc32c(0, head + body, len(head) + len(body))
    first, second = core.lib.crc32c(0, head, 60), core.lib.crc32c(0, body, len(body))
    assert core.lib.frame_crc_join(first, second, words) == whole
