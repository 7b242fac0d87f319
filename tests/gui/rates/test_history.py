"""The last two minutes: evenly sampled, bounded, with honest gaps."""

from __future__ import annotations

import numpy as np

from gui.rates.history import SPAN_S, STEP_S, RateHistory

RATES = {"accepted": 1000.0, "prompts": 200.0, "randoms": 50.0, "trues": 150.0}


def test_samples_are_kept_in_k_per_s_and_no_more_often_than_a_step() -> None:
    history = RateHistory()
    taken = [history.add(100.0 + 0.05 * n, RATES) for n in range(21)]
    assert sum(taken) == 5
    assert np.isfinite(history.of("prompts")).sum() == 5
    assert history.of("prompts")[-1] == 0.2


def test_silence_is_a_gap_and_not_a_line() -> None:
    history = RateHistory()
    history.add(0.0, RATES)
    history.add(STEP_S, None)
    history.add(2 * STEP_S, RATES)
    assert np.isnan(history.of("trues")[-3:]).tolist() == [False, True, False]


def test_a_stalled_display_leaves_its_own_gap() -> None:
    history = RateHistory()
    history.add(0.0, RATES)
    history.add(10.0, RATES)
    age = np.flatnonzero(np.isfinite(history.of("accepted")))
    assert (age[1] - age[0]) * STEP_S == 10.0


def test_memory_is_the_same_after_a_day() -> None:
    history = RateHistory()
    size = history.of("prompts").size
    for n in range(3000):
        history.add(30.0 * n, RATES)
    assert history.of("prompts").size == size == int(SPAN_S / STEP_S) + 1


def test_the_highest_of_nothing_is_zero() -> None:
    assert RateHistory().highest("prompts", "trues") == 0.0


def test_an_unknown_rate_is_a_gap() -> None:
    history = RateHistory()
    history.add(0.0, {})
    assert np.isnan(history.of("prompts")[-1])
