"""Singles that no detector should send: counted under a name or sorted as the law says, never more.

Through the public ways in: data frames into a Pipeline, singles into Selector, TimeOrder and
CoincidenceSorter.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coincidence.calibration import Calibration, no_calibration
from coincidence.events import END_OF_TIME_PS, SINGLE
from coincidence.order import TimeOrder
from coincidence.sorter import CoincidenceSorter
from daq.path.decode import MAX_FRAME_ID
from daq.path.frame_check import Verdict
from hw.messages.sort_settings import POLICIES, SortSettings
from hw.wire.protocol import FLAG_FIRST, FRAME_PERIOD_PS, FRAME_PERIOD_TICKS
from rigs.frames_factory import ModuleSender, single_words
from rigs.hostile_bench import (
    BENCH,
    CRYSTALS,
    NARROW,
    assert_books_close,
    new_pipeline,
    run,
    selected,
    some_singles,
)  # fmt: skip

TICK_PS = 625 / 32


def sorter_of(policy: str = "all", *, modules: int = 4, **changes: int) -> CoincidenceSorter:
    values = {"lld_keV": 0, "uld_keV": 1, "window_ps": 1000, "delay_ps": 50_000, **changes}
    return CoincidenceSorter(
        SortSettings(policy=policy, **values),  # type: ignore[arg-type]
        module_of=np.arange(modules, dtype=np.uint16),
        allowed_pairs=~np.eye(modules, dtype=np.bool_),
    )


# Energies


@pytest.mark.parametrize(("energy", "accepted"), [(0, 0), (1, 0), (5110, 1), (16383, 0)])
def test_energies_at_the_ends_of_the_word_are_out_of_window(energy: int, accepted: int) -> None:
    words = single_words([1000], energy_dkeV=energy)
    found = assert_books_close(run([ModuleSender(0).frame(words)], sort_settings=NARROW))
    assert (found["accepted"], found["outside"]) == (accepted, 1 - accepted)


def test_energies_at_the_ends_are_accepted_where_the_window_holds_them() -> None:
    energies = [0, 1, 16383, 65535]
    out = selected(some_singles(energies), no_calibration(4))
    assert out["energy"].tolist() == energies


# Crystals


@given(seed=st.integers(0, 2**16), batch=st.integers(1, 4))
@settings(max_examples=60)
def test_arbitrary_words_are_counted_and_touch_no_memory_but_their_own(seed: int, batch) -> None:
    """Every bit at random: kinds, crystals to 4095 where there are 64, times beyond the frame."""
    rng = np.random.default_rng(seed)
    senders = [ModuleSender(m) for m in range(2)] * 3
    frames = [s.frame(rng.integers(0, 2**64, 300, dtype=np.uint64)) for s in senders]
    pipeline = new_pipeline()
    outputs = [pipeline.process(frames[k : k + batch]) for k in range(0, len(frames), batch)]
    outputs.append(pipeline.finish())
    found = assert_books_close(pipeline)
    assert found["received"] + pipeline.decoder.line["other_words"].sum() == 6 * 300
    assert found["invalid"] > 0
    for records in [out.prompts for out in outputs] + [out.delayeds for out in outputs]:
        assert (records["crystal_a"] < records["crystal_b"]).all()
        assert (records["crystal_b"] < BENCH.n_crystals).all()


@pytest.mark.parametrize("crystal", [CRYSTALS, CRYSTALS + 1, 2 * CRYSTALS, 4095])
def test_a_crystal_beyond_its_module_is_invalid_and_never_another_modules(crystal: int) -> None:
    """The decoder is the guard: what comes after it indexes tables with the crystal."""
    a, b = ModuleSender(0), ModuleSender(1)
    words = single_words([1000, 1001], crystal=[crystal, CRYSTALS - 1])
    pipeline = run([a.frame(words), b.frame(words)])
    found = assert_books_close(pipeline)
    assert (found["invalid"], found["accepted"]) == (2, 2)
    assert pipeline.accepted.tolist() == [1, 1]


# Times


def busy_words(seed: int, n: int = 400) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ticks = rng.choice(FRAME_PERIOD_TICKS // 2000, n, replace=False)  # dense: within 2.6 µs
    return single_words(ticks, crystal=rng.integers(0, CRYSTALS, n))


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_time_running_backwards_within_a_frame_changes_nothing(order: str) -> None:
    forward, backward = [], []
    for m in range(2):
        words = np.sort(busy_words(m))
        turned = words[::-1] if order == "reversed" else np.random.default_rng(9).permutation(words)
        forward.append(ModuleSender(m).frame(words))
        backward.append(ModuleSender(m).frame(turned))
    one, other = run(forward), run(backward)
    assert one.sorter.counts.prompts > 100
    assert one.pairs.hash() == other.pairs.hash()


def test_time_running_backwards_across_frames_is_late_and_counted() -> None:
    a, b = ModuleSender(0), ModuleSender(1)
    words = single_words([1, 2, 3])
    frames = [sender.frame(words, frame_id=7) for sender in (a, b)]
    frames += [sender.frame(words, frame_id=5) for sender in (a, b)]
    frames += [sender.frame(words, frame_id=8) for sender in (a, b)]
    pipeline = run(frames)
    found = assert_books_close(pipeline)
    assert (found["late"], found["accepted"]) == (6, 12)
    assert pipeline.decoder.line["late_frames"].tolist() == [1, 1]


def test_equal_times_in_all_modules_come_out_alike_whichever_frame_comes_first() -> None:
    a, b = ModuleSender(0), ModuleSender(1)
    words = [single_words([5000] * 40, crystal=np.arange(40)) for _ in range(2)]
    frames = [a.frame(words[0]), b.frame(words[1])]
    one, other = run(frames), run(frames[::-1])
    assert one.sorter.counts.prompts == 40 * 40
    assert one.pairs.hash() == other.pairs.hash()


def test_times_corrected_to_below_zero_pair_like_any_others() -> None:
    def prompts_with(skew_ps: int) -> np.ndarray:
        calibration = Calibration(
            np.ones(BENCH.n_crystals, np.float32), np.full(BENCH.n_crystals, skew_ps, np.int32)
        )
        pipeline = new_pipeline(calibration=calibration)
        first = pipeline.process([ModuleSender(m).frame(busy_words(m)) for m in range(2)])
        return np.concatenate((first.prompts, pipeline.finish().prompts))

    plain, shifted = prompts_with(0), prompts_with(2**31 - 1)  # 2.1 ms before the run's start
    assert len(plain) > 100
    assert shifted["time_ps"].max() < 0
    shifted["time_ps"] += 2**31 - 1
    np.testing.assert_array_equal(shifted, plain)


def test_pairs_across_the_rollover_of_the_time_field_are_found() -> None:
    """A word's time starts anew with each frame; its field holds four periods."""
    a, b = ModuleSender(0), ModuleSender(1)
    end = FRAME_PERIOD_TICKS
    frames = [a.frame(single_words([end - 1])), b.frame(), a.frame(), b.frame(single_words([0]))]
    frames += [a.frame(single_words([end + 5])), b.frame(), a.frame(), b.frame(single_words([5]))]
    pipeline = new_pipeline()
    parts = [pipeline.process(frames).prompts, pipeline.finish().prompts]
    assert np.concatenate(parts)["tof_ps"].tolist() == pytest.approx([TICK_PS, 0], abs=1)


def test_the_last_periods_before_the_end_of_time_sort_as_the_first_ones_do() -> None:
    def prompts_from(first: int) -> np.ndarray:
        pipeline = new_pipeline(stall_ps=int(END_OF_TIME_PS))
        pipeline.checker.expect(first)
        senders = [ModuleSender(m, frame_id=first) for m in range(2)]
        frames = [s.frame(busy_words(3 * s.module + k)) for k in range(3) for s in senders]
        parts = [pipeline.process(frames).prompts, pipeline.finish().prompts]
        assert_books_close(pipeline)
        found = np.concatenate(parts)
        found["time_ps"] -= first * FRAME_PERIOD_PS
        return found

    early, late = prompts_from(0), prompts_from(MAX_FRAME_ID - 2)
    assert len(early) > 100
    np.testing.assert_array_equal(late, early)


@pytest.mark.parametrize("frame_id", [MAX_FRAME_ID + 1, 2**31, 2**32 - 2, 2**32 - 1])
def test_a_frame_beyond_the_end_of_time_is_invalid_and_moves_no_time(frame_id: int) -> None:
    a, b = ModuleSender(0), ModuleSender(1)
    words = single_words([1, 2])
    frames = [a.frame(words), b.frame(words)]
    frames += [a.frame(words, frame_id=frame_id, flags=FLAG_FIRST)]
    frames += [a.frame(words, frame_id=1), b.frame(words)]
    pipeline = new_pipeline()
    pipeline.checker.expect(frame_id)
    pipeline.process(frames)
    pipeline.finish()
    found = assert_books_close(pipeline)
    assert (found["invalid"], found["accepted"], found["late"]) == (2, 8, 0)
    assert pipeline.decoder.line["late_frames"].tolist() == [0, 0]
    assert pipeline.decoder.newest_ps == 2 * FRAME_PERIOD_PS


def test_a_clock_that_leaps_away_from_its_frame_numbers_makes_no_other_module_late() -> None:
    a, b = ModuleSender(0), ModuleSender(1)
    words = single_words([1, 2, 3])
    pipeline = run([a.frame(words), b.frame(words), a.frame(words, frame_id=10**6), b.frame(words)])
    assert pipeline.checker.verdicts[Verdict.OUT_OF_STEP] == 1
    assert pipeline.decoder.line["stalls"].tolist() == [0, 0]
    found = assert_books_close(pipeline)
    assert (found["accepted"], found["late"]) == (9, 0)


def test_a_module_far_ahead_stalls_the_others_and_every_single_is_counted() -> None:
    a, b = ModuleSender(0), ModuleSender(1)
    words = single_words([1, 2, 3])
    pipeline = new_pipeline()
    far = {"frame_id": 10**6, "sequence": 10**6}
    pipeline.process([a.frame(words), b.frame(words), a.frame(words, **far)])
    assert pipeline.decoder.watermark_ps == (10**6 + 1) * FRAME_PERIOD_PS
    assert pipeline.order.held == 0  # nothing waits for the leap to be made up
    pipeline.process([b.frame(words)])
    pipeline.finish()
    found = assert_books_close(pipeline)
    assert (found["accepted"], found["late"]) == (9, 3)
    assert pipeline.decoder.line["stalls"].tolist() == [0, 1]


def test_times_a_run_apart_take_no_memory_for_the_time_between() -> None:
    times = np.array([0, 1, 2**61, 2**61 + 500])
    singles = np.zeros(4, dtype=SINGLE)
    singles["time_ps"], singles["crystal"] = times, [0, 1, 0, 1]
    order, sorter = TimeOrder(), sorter_of()
    found = sorter.push(order.release(singles[::-1], int(END_OF_TIME_PS)), int(END_OF_TIME_PS))
    assert found.prompts["tof_ps"].tolist() == [1, 500]


# Multiples beyond measure


@pytest.mark.parametrize("policy", POLICIES)
def test_two_hundred_equal_times_are_one_multiple(policy: str) -> None:
    n, modules = 200, 4
    singles = np.zeros(n, dtype=SINGLE)
    singles["time_ps"], singles["crystal"] = 12345, np.sort(np.arange(n) % modules)
    singles["energy"] = 5110
    sorter = sorter_of(policy, modules=modules)
    prompts = sorter.push(singles, int(END_OF_TIME_PS)).prompts
    with_partner = n - n // modules  # whoever has a later single in another module
    kept = {
        "all": n * n * (modules - 1) // modules // 2,
        "TakeAllGoods": n * n * (modules - 1) // modules // 2,
        "highest": 1,
        "opener": 1,
        "TakeWinnerOfGoods": with_partner,
        "TakeWinnerIfIsGood": with_partner,
        "TakeWinnerIfAllAreGoods": with_partner,
    }
    assert len(prompts) == kept.get(policy, 0)
    assert sorter.counts.multiples == 1


@pytest.mark.parametrize("sides", ["one", "two"])
def test_hundreds_of_equal_times_a_delay_apart_make_all_their_delayeds(sides: str) -> None:
    n = 200
    singles = np.zeros(2 * n, dtype=SINGLE)
    singles["time_ps"] = np.repeat([0, 50_000], n)
    singles["crystal"] = np.repeat([0, 1], n)
    sorter = sorter_of(modules=2, delay_sides=sides)
    delayeds = sorter.push(singles, int(END_OF_TIME_PS)).delayeds
    assert len(delayeds) == n * n
    assert not delayeds["tof_ps"].any()


# Batches


@pytest.mark.parametrize("policy", POLICIES)
def test_batches_of_one_single_give_the_same_bits(policy: str) -> None:
    rng = np.random.default_rng(5)
    singles = np.zeros(400, dtype=SINGLE)
    singles["time_ps"] = np.cumsum(rng.integers(0, 900, 400))
    singles["crystal"], singles["energy"] = rng.integers(0, 4, 400), rng.integers(1, 9, 400)
    singles = singles[np.lexsort((singles["crystal"], singles["time_ps"]))]
    whole = sorter_of(policy).push(singles, int(END_OF_TIME_PS))
    order, sorter, parts = TimeOrder(), sorter_of(policy), []
    for single, following in pairwise(range(401)):
        last = following == len(singles)
        horizon = int(END_OF_TIME_PS if last else singles["time_ps"][following])
        parts.append(sorter.push(order.release(singles[single:following], horizon), horizon))
    for name in ("prompts", "delayeds"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name))
        assert len(joined) > 0 or policy == "discard"


def test_no_frames_at_all_give_nothing_and_end_well() -> None:
    pipeline = new_pipeline()
    for out in (pipeline.process([]), pipeline.process([]), pipeline.finish()):
        assert (len(out.prompts), len(out.delayeds), len(out.accepted)) == (0, 0, 0)
    assert_books_close(pipeline)
