"""A clock that disagrees is judged by the other modules, and can come back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daq.path.clock_judge import ALONE, HARMLESS_PERIODS, UNOPPOSED
from daq.path.frame_check import FrameChecker, Verdict
from daq.path.link_state import LEAP_PERIODS
from hw.wire.protocol import FLAG_FIRST, FLAG_LAST
from rigs.frames_factory import RUN_TAG, ModuleSender, single_words

FAR = 10**6


def checker(n_modules: int) -> FrameChecker:
    return FrameChecker(n_modules=n_modules, run_tag=RUN_TAG)


def round_of(senders: Sequence[ModuleSender]) -> list[bytes]:
    return [sender.frame(single_words([1])) for sender in senders]


def refused(check: FrameChecker) -> int:
    return int(check.verdicts[Verdict.OUT_OF_STEP])


@pytest.mark.parametrize("n_modules", [1, 2, 5])
@pytest.mark.parametrize(
    "periods", [LEAP_PERIODS + 1, HARMLESS_PERIODS + 9, 1000, FAR, -LEAP_PERIODS - 1, -90]
)
def test_one_frame_with_a_wrong_period_costs_no_other(n_modules: int, periods: int) -> None:
    """A frame 65 periods back made its module be refused to the run's end."""
    check, senders = checker(n_modules), [ModuleSender(m) for m in range(n_modules)]
    for _ in range(100):
        check.check(round_of(senders))
    senders[0].frame_id += periods
    check.check([senders[0].frame(single_words([1]))])
    senders[0].frame_id -= periods
    for _ in range(50):
        assert len(check.check(round_of(senders))) == n_modules
    harmless = LEAP_PERIODS if n_modules == 1 else HARMLESS_PERIODS
    assert refused(check) == (periods > harmless)


def test_a_frame_numbered_0_costs_no_other() -> None:
    check, sender = checker(1), ModuleSender(0)
    check.check([sender.frame(single_words([1, 2])) for _ in range(500)])
    number, sender.sequence = sender.sequence, 0
    check.check([sender.frame(single_words([1]))])
    sender.sequence = number + 1
    assert len(check.check([sender.frame(single_words([1])) for _ in range(90)])) == 90
    link = check.links[0]
    assert link["frames_base"] + link["next_sequence"] == link["received"] + link["lost"] == 591
    assert link["words_base"] + link["next_word"] == link["words_received"] == 1091
    assert link["words_lost"] == 0


@pytest.mark.parametrize("n_modules", [2, 3, 48])
def test_the_first_frame_of_a_module_is_judged_too(n_modules: int) -> None:
    check, senders = checker(n_modules), [ModuleSender(m) for m in range(n_modules)]
    leapt = senders[1].frame(single_words([1]), frame_id=FAR, flags=FLAG_FIRST)
    senders[1].frame_id = 1
    others = [s.frame(single_words([1]), flags=FLAG_FIRST) for s in senders if s.module != 1]
    assert len(check.check([leapt, *others])) == n_modules - 1
    assert len(check.check(round_of(senders))) == n_modules
    assert check.links["last_frame_id"].max() == 1


@pytest.mark.parametrize("n_modules", [2, 5, 48])
def test_a_clock_that_stays_wrong_never_moves_the_others(n_modules: int) -> None:
    check, senders = checker(n_modules), [ModuleSender(m) for m in range(n_modules)]
    for _ in range(10):
        check.check(round_of(senders))
    senders[0].frame_id += FAR
    for _ in range(3 * UNOPPOSED):
        check.check(round_of(senders))
    assert refused(check) == 3 * UNOPPOSED
    assert check.links["last_frame_id"].max() < FAR
    senders[0].frame_id -= FAR  # it is synchronised again
    before = refused(check)
    for _ in range(10):
        assert len(check.check(round_of(senders))) == n_modules
    assert refused(check) == before


@pytest.mark.parametrize("n_modules", [2, 3, 4, 48])
def test_modules_that_all_move_on_are_followed_once_most_have_said_so(n_modules: int) -> None:
    """All were away: their source was restarted, or a link of all of them was down."""
    check, senders = checker(n_modules), [ModuleSender(m) for m in range(n_modules)]
    for _ in range(10):
        check.check(round_of(senders))
    for sender in senders:
        sender.restart()
        sender.frame_id += 5000
    for _ in range(10):
        check.check(round_of(senders))
    assert refused(check) <= n_modules // 2 + 1
    assert check.links["last_frame_id"].min() > 5000


def test_a_source_that_is_expected_back_loses_nothing() -> None:
    check, senders = checker(4), [ModuleSender(m) for m in range(4)]
    for _ in range(10):
        check.check(round_of(senders))
    check.expect(5010)
    for sender in senders:
        sender.restart()
        sender.frame_id = 5010
    assert len(check.check(round_of(senders))) == 4


@pytest.mark.parametrize(("n_modules", "costs"), [(1, ALONE), (2, UNOPPOSED)])
def test_who_comes_back_alone_is_believed_after_a_while(n_modules: int, costs: int) -> None:
    """The other module has died: its last claim must not keep this one out for ever."""
    check, senders = checker(n_modules), [ModuleSender(m) for m in range(n_modules)]
    for _ in range(10):
        check.check(round_of(senders))
    senders[0].restart()
    senders[0].frame_id += 3000
    accepted = [len(check.check([senders[0].frame(single_words([1]))])) for _ in range(200)]
    assert sum(accepted) == 200 - costs
    assert refused(check) == costs


def test_a_last_frame_that_is_refused_ends_its_module_all_the_same() -> None:
    check, senders = checker(2), [ModuleSender(m) for m in range(2)]
    for _ in range(10):
        check.check(round_of(senders))
    check.check([senders[0].frame(frame_id=FAR, flags=FLAG_LAST), senders[1].frame(last=True)])
    assert refused(check) == 1
    assert check.links["ended"].all()


@pytest.mark.parametrize("off_periods", [1, 30, 100, 5000])
@pytest.mark.parametrize("lost_after", [0, 3, 80])
def test_a_reset_with_its_first_frames_lost_is_followed(off_periods: int, lost_after: int) -> None:
    """One while the link was down for longer than the run was old cost all later frames."""
    check, senders = checker(3), [ModuleSender(m) for m in range(3)]
    for _ in range(38):
        check.check(round_of(senders))
    senders[0].restart()
    senders[0].frame_id += off_periods
    for _ in range(lost_after):
        senders[0].frame(single_words([1]))
    for _ in range(off_periods + lost_after):
        check.check(round_of(senders[1:]))
    for _ in range(60):
        assert len(check.check(round_of(senders))) == 3
    link = check.links[0]
    assert link["received"] == 98
    assert link["frames_base"] + link["next_sequence"] == link["received"] + link["lost"]
    assert link["words_base"] + link["next_word"] == link["words_received"] + link["words_lost"]


@pytest.mark.parametrize("away_periods", [10, 76, 140])
def test_queues_that_are_emptied_in_turns_cost_no_module_whose_link_was_away(
    away_periods: int,
) -> None:
    """A module that was reset while its link was away was refused to the end: its frames that lay
    behind the gap came with those that others had sent much earlier."""
    check, here, away = checker(2), ModuleSender(0), ModuleSender(1)
    for _ in range(20):
        check.check(round_of([here, away]))
    away.restart()
    away.frame_id += away_periods
    away.sequence = away_periods // 2  # its FIRST frame is gone, too
    for _ in range(300):
        check.check(round_of([away, here]))
    assert refused(check) == 0


def test_a_reset_is_believed_at_once_where_its_own_numbers_tell_when_it_was() -> None:
    """Though the other module's frames come much later, and though its number seems to go on."""
    check, senders = checker(2), [ModuleSender(m) for m in range(2)]
    for _ in range(38):
        check.check(round_of(senders))
    senders[0].restart()
    senders[0].frame_id += 38  # it was off for so long
    for _ in range(38):
        senders[0].frame(single_words([]))  # while its link was down
    for _ in range(100):
        assert len(check.check([senders[0].frame(single_words([1]))])) == 1
    link = check.links[0]
    assert (link["resets"], link["received"]) == (1, 138)
    assert link["lost"] == 38


def test_frames_from_before_a_reset_that_come_after_it_are_taken_once() -> None:
    check, sender = checker(1), ModuleSender(0)
    old = [sender.frame(single_words([1, 2])) for _ in range(57)]
    sender.restart()
    sender.frame_id += 1
    new = [sender.frame(single_words([1]), flags=FLAG_FIRST * (k == 0)) for k in range(60)]
    order = [*old[:54], old[55], new[0], old[56], old[54], old[56], *new[1:]]
    assert len(check.check(order)) == 57 + 60
    link = check.links[0]
    assert check.verdicts[Verdict.DUPLICATE] == 1
    assert (link["lost"], link["resets"], link["reordered"]) == (0, 1, 2)
    assert link["frames_base"] + link["next_sequence"] == link["received"] + link["lost"]


@pytest.mark.parametrize("told", [lambda n, k: 0, lambda n, k: n + 5 * k])
def test_counters_that_disagree_with_the_numbers_are_counted(told) -> None:
    check, sender = checker(1), ModuleSender(0)
    counts = [3, 1, 4, 1, 5]
    true = np.cumsum([0, *counts])
    frames = [
        sender.frame(single_words(range(n)), events_before=told(int(true[k]), k))
        for k, n in enumerate(counts)
    ]
    assert len(check.check(frames)) == 5
    link = check.links[0]
    assert link["miscounts"] == 4
    assert link["words_lost"] >= 0
    assert link["words_base"] + link["next_word"] == link["words_received"] + link["words_lost"]


ODD = st.sampled_from([0, 1, 2, 63, 64, 65, 100, 1000, FAR, 2**31, 2**32 - 2, 2**32 - 1])


@given(data=st.data())
@settings(max_examples=150)
def test_whatever_fields_say_no_counter_is_negative_and_sums_hold(data: st.DataObject) -> None:
    """Frames with good CRCs and odd numbers, periods and counters, in any batches."""
    senders, frames = [ModuleSender(m) for m in range(3)], []
    for _ in range(data.draw(st.integers(1, 60))):
        sender = senders[data.draw(st.integers(0, 2))]
        odd = data.draw(st.sampled_from(["", "", "", "sequence", "frame_id", "events_before"]))
        change = {odd: data.draw(ODD)} if odd else {}
        flags = data.draw(st.sampled_from([0, 0, 0, FLAG_FIRST, FLAG_LAST]))
        frames.append(sender.frame(single_words(range(len(frames) % 4)), flags=flags, **change))
        sender.frame_id %= 2**32
    whole, parts = checker(3), checker(3)
    accepted = [whole.check(frames)]
    cut = data.draw(st.integers(0, len(frames)))
    in_parts = [parts.check(frames[:cut]), parts.check(frames[cut:])]
    assert accepted[0].payload == b"".join(part.payload for part in in_parts)
    np.testing.assert_array_equal(whole.links, parts.links)
    links = whole.links
    for name in ("received", "lost", "words_received", "words_lost", "reordered", "resets"):
        assert (links[name] >= 0).all(), name
    for kind, number in (("", "sequence"), ("words_", "word")):
        base = links["frames_base" if not kind else "words_base"]
        known = links[f"{kind}received"] + links[f"{kind}lost"]
        np.testing.assert_array_equal(base + links[f"next_{number}"], known)
    again = checker(3)
    recorded = again.check(accepted[0].payload and split(accepted[0].payload), recorded=True)
    assert recorded.payload == accepted[0].payload  # a replay of what was accepted decides alike
    counters = [name for name in links.dtype.names if not name.startswith(("claim", "streak"))]
    np.testing.assert_array_equal(again.links[counters[:14]], links[counters[:14]])


def split(payload: bytes) -> list[memoryview]:
    from daq.folder.raw_log import split_frames

    return split_frames(payload)
