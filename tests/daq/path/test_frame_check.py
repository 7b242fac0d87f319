"""Every frame has one verdict, and losses follow from the numbers in the frames alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daq.path.frame_check import FrameChecker, Verdict
from hw.wire.protocol import FLAG_LAST, HEADER_BYTES, MAX_EVENTS
from oracles.frame_model import LinkModel
from oracles.frame_reader import open_frame
from rigs.frames_factory import RUN_TAG, ModuleSender, single_words


def checker(n_modules: int = 2) -> FrameChecker:
    return FrameChecker(n_modules=n_modules, run_tag=RUN_TAG)


def good_frame(**header: int) -> bytes:
    return ModuleSender(0).frame(single_words([1, 2, 3]), **header)


def flipped(frame: bytes, at: int) -> bytes:
    damaged = bytearray(frame)
    damaged[at] ^= 0x10
    return bytes(damaged)


VERDICTS: list[tuple[Verdict, Callable[[], bytes]]] = [
    (Verdict.ACCEPTED, good_frame),
    (Verdict.TRUNCATED, lambda: b""),
    (Verdict.TRUNCATED, lambda: good_frame()[: HEADER_BYTES - 1]),
    (Verdict.BAD_MAGIC, lambda: flipped(good_frame(), 0)),
    (Verdict.BAD_VERSION, lambda: good_frame(version=99)),
    (Verdict.BAD_LENGTH, lambda: good_frame()[:-1]),
    (Verdict.BAD_LENGTH, lambda: good_frame()[:-8]),
    (Verdict.BAD_LENGTH, lambda: good_frame() + b"\0" * 8),
    (Verdict.BAD_LENGTH, lambda: ModuleSender(0).frame(np.zeros(MAX_EVENTS + 1, np.uint64))),
    (Verdict.BAD_CRC, lambda: flipped(good_frame(), HEADER_BYTES + 5)),
    (Verdict.BAD_CRC, lambda: flipped(good_frame(), HEADER_BYTES - 1)),
    (Verdict.BAD_CRC, lambda: flipped(good_frame(), 12)),
    (Verdict.OTHER_RUN, lambda: good_frame(run_tag=RUN_TAG + 1)),
    (Verdict.UNKNOWN_MODULE, lambda: good_frame(module=2)),
    (Verdict.UNKNOWN_MODULE, lambda: good_frame(module=65535)),
]


@pytest.mark.parametrize(("verdict", "make"), VERDICTS)
def test_each_flaw_has_its_own_verdict_and_counter(verdict: Verdict, make) -> None:
    check = checker()
    checked = check.check([make()])
    assert check.verdicts.tolist() == [int(v == verdict) for v in Verdict]
    assert len(checked) == (verdict == Verdict.ACCEPTED)
    assert check.links["received"].sum() == (verdict == Verdict.ACCEPTED)


def test_only_the_good_ones_of_a_mixed_batch_are_handed_on() -> None:
    sender = ModuleSender(1)
    good = [sender.frame(single_words(range(k))) for k in (3, 0, 5)]
    bad = [make() for verdict, make in VERDICTS if verdict != Verdict.ACCEPTED]
    mixed = [bad[0], good[0], *bad[1:5], good[1], *bad[5:], memoryview(good[2])]
    checked = checker().check(mixed)
    assert checked.payload == b"".join(good)
    assert checked.headers["event_count"].tolist() == [3, 0, 5]
    words = np.frombuffer(checked.payload, "<u8")
    for start, frame in zip(checked.word_starts, good, strict=True):
        np.testing.assert_array_equal(
            words[start:][: len(open_frame(frame)[1])], open_frame(frame)[1]
        )


def test_an_empty_batch_is_no_trouble() -> None:
    check = checker()
    assert len(check.check([])) == 0
    assert check.verdicts.sum() == 0


@given(rubbish=st.lists(st.binary(max_size=300), max_size=6))
@settings(max_examples=150)
def test_random_bytes_are_never_accepted(rubbish: list[bytes]) -> None:
    check = checker()
    assert len(check.check(rubbish)) == 0
    assert check.verdicts[1:].sum() == len(rubbish)


@given(data=st.data())
@settings(max_examples=200)
def test_no_damaged_frame_is_accepted(data: st.DataObject) -> None:
    frame = bytearray(good_frame())
    bits = data.draw(st.sets(st.integers(0, 8 * len(frame) - 1), min_size=1, max_size=5))
    for bit in bits:
        frame[bit // 8] ^= 1 << bit % 8
    assert len(checker().check([bytes(frame)])) == 0


@given(data=st.data(), counts=st.lists(st.integers(0, 3), min_size=1, max_size=150))
@settings(max_examples=200)
def test_any_loss_repetition_reordering_and_damage_is_counted_exactly(data, counts) -> None:
    sender, model = ModuleSender(0), LinkModel()
    sent = [
        (k, before, n)
        for k, (before, n) in enumerate(zip(np.cumsum([0, *counts]), counts, strict=False))
    ]
    frames = [sender.frame(single_words(range(n))) for n in counts]
    delays = data.draw(
        st.lists(
            st.sampled_from([0, 0, 0, 0, 1, 5, 63, 64, 65, 90]),
            min_size=len(sent),
            max_size=len(sent),
        )
    )
    order = sorted(range(len(sent)), key=lambda k: k + delays[k])
    fates = data.draw(st.lists(st.sampled_from("ooooxd2"), min_size=len(sent), max_size=len(sent)))
    check, batch, duplicates, damaged = checker(1), [], 0, 0
    for k in order:
        fate = fates[k]
        for _ in range({"x": 0, "2": 2}.get(fate, 1)):
            batch.append(flipped(frames[k], 12) if fate == "d" else frames[k])
            damaged += fate == "d"
            if fate != "d":
                duplicates += not model.judge(*sent[k])
        if data.draw(st.booleans()):
            check.check(batch)
            batch = []
    check.check(batch)
    link = check.links[0]
    for name in ("received", "lost", "words_received", "words_lost"):
        assert link[name] == getattr(model, name), name
    assert link["next_sequence"] == model.top + 1 == link["received"] + link["lost"]
    assert link["next_word"] == link["words_received"] + link["words_lost"]
    assert check.verdicts[Verdict.DUPLICATE] == duplicates
    assert check.verdicts[Verdict.BAD_CRC] == damaged


def test_the_sequence_wraps_without_a_loss() -> None:
    check = checker(1)
    sender = ModuleSender(0)
    check.links["next_sequence"] = 2**32 - 2
    check.links["last_frame_id"] = 99
    sender.sequence, sender.frame_id = 2**32 - 2, 100
    frames = [sender.frame() for _ in range(6)]
    frames[1], frames[3] = frames[3], frames[1]  # 2³²−1 comes after 0 and 1
    assert len(check.check([*frames, frames[2]])) == 6
    link = check.links[0]
    assert (link["received"], link["lost"], link["resets"]) == (6, 0, 0)
    assert link["next_sequence"] == 2**32 + 4
    assert check.verdicts[Verdict.DUPLICATE] == 1


def test_a_frame_that_claims_to_come_before_the_first_is_refused() -> None:
    check = checker(1)
    assert len(check.check([good_frame(), good_frame(sequence=2**32 - 3)])) == 1
    assert check.links["lost"].tolist() == [0]


@pytest.mark.parametrize("begin", [2**31, 2**32 - 2])
def test_numbers_may_begin_anywhere_though_the_first_frame_is_lost(begin: int) -> None:
    """One lost frame cost all 572 that followed it."""
    check, sender = checker(1), ModuleSender(0)
    sender.sequence = begin
    frames = [sender.frame(single_words([1, 2])) for _ in range(20)]
    assert len(check.check([*frames[1:], frames[3]])) == 19
    link = check.links[0]
    assert (link["lost"], link["resets"], link["miscounts"]) == (0, 0, 0)
    assert link["frames_base"] + link["next_sequence"] == link["received"] == 19
    assert link["words_base"] + link["next_word"] == link["words_received"] + link["words_lost"]


def test_what_the_module_itself_reports_is_added_up() -> None:
    check, sender = checker(1), ModuleSender(0)
    report = {"lost_events": 3, "dead_events": 5, "dead_time": 7, "temperature": 2150, "bias": 5600}
    check.check([sender.frame(**report), sender.frame(last=True, **report)])
    link = check.links[0]
    assert [int(link[k]) for k in ("lost_in_module", "dead_events", "dead_time")] == [6, 10, 14]
    assert (link["temperature"], link["bias"], link["heard"], link["ended"]) == (2150, 5600, 1, 1)
    assert link["flags"] == FLAG_LAST


@pytest.mark.parametrize("before", [1, 3, 80, 200])
@pytest.mark.parametrize("first_lost", [0, 1, 5, 70])
def test_a_module_that_restarts_is_followed(before: int, first_lost: int) -> None:
    """Its numbers begin at 0 again in later periods; what is lost after that is counted as ever."""
    check, sender = checker(1), ModuleSender(0)
    check.check([sender.frame(single_words([1, 2])) for _ in range(before)])
    sender.restart()
    again = [sender.frame(single_words([1])) for _ in range(first_lost + 90)]
    assert len(check.check([*again[first_lost:], again[first_lost]])) == 90
    link = check.links[0]
    is_restart = first_lost < before  # else the numbers alone look like a gap
    assert link["resets"] == is_restart
    assert link["received"] == before + 90
    if is_restart:
        assert (link["lost"], link["words_lost"]) == (first_lost, first_lost)
        assert (link["frames_base"], link["words_base"]) == (before, 2 * before)


def test_a_frame_lost_after_a_restart_may_still_come_late() -> None:
    check, sender = checker(1), ModuleSender(0)
    check.check([sender.frame() for _ in range(100)])
    sender.restart()
    again = [sender.frame(single_words([1])) for _ in range(9)]
    check.check(again[3:])
    assert len(check.check([again[2], again[2], again[4]])) == 1
    link = check.links[0]
    assert (link["lost"], link["words_lost"], link["reordered"]) == (2, 2, 1)
