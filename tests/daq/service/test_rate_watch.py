"""A module that suddenly triggers more often than the others is told, once; a bolus is not."""

from __future__ import annotations

import numpy as np

from daq.service.watching.watch import RateWatch
from rigs.line_journal import told as lines_told

SECOND_PS = 10**12


def watched(*rates: np.ndarray | list[float], seed: int = 1) -> list[list[str]]:
    """Count Poisson singles of each second at the given rates; return what was told after each."""
    random, watch = np.random.default_rng(seed), RateWatch()
    counts, told = np.zeros(len(rates[0]), np.int64), []
    for k, rate in enumerate(rates):
        counts += random.poisson(np.asarray(rate, dtype=float))
        told.append([words for _, words in lines_told(watch.look(counts, (k + 1) * SECOND_PS))])
    return told


def noisy(times: float, *, modules: int = 48, rate: float = 1000.0) -> np.ndarray:
    rates = np.full(modules, rate)
    rates[7] *= times
    return rates


def test_a_noisy_module_is_told_when_it_begins_and_ends():
    told = watched(noisy(1), noisy(1), noisy(3), noisy(3), noisy(1), noisy(1))
    assert [len(words) for words in told] == [0, 0, 1, 0, 1, 0]
    assert told[2][0].startswith("module 7 triggers up to ")
    assert told[4][0] == "module 7 triggers as often as before again"


def test_a_bolus_a_decay_and_a_module_that_falls_silent_are_no_alarm():
    gone = noisy(1)
    gone[3] = 0
    assert not any(watched(noisy(1), 20 * noisy(1), 5 * noisy(1), noisy(0.1), gone))


def test_chance_alone_is_no_alarm_at_low_rates():
    quiet = [noisy(1, rate=8.0)] * 200
    assert not any(watched(*quiet))


def test_two_modules_cannot_tell_which_of_them_is_wrong():
    assert not any(watched([100, 100], [100, 1000], [100, 1000]))


def test_looks_too_soon_after_another_are_let_pass():
    watch, counts = RateWatch(), np.full(4, 1000)
    assert lines_told(watch.look(counts, SECOND_PS)) == []
    assert lines_told(watch.look(counts * [1, 1, 1, 9], SECOND_PS + SECOND_PS // 4)) == []
    assert lines_told(watch.look(counts * [2, 2, 2, 20], 2 * SECOND_PS)) != []
