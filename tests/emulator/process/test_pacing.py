"""Pacing by a clock that the test moves."""

from __future__ import annotations

import pytest

from emulator.config import EmulatorConfig
from emulator.process.service import Pacer
from emulator.trials.pacing import measure_pacing


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_period_may_leave_only_when_it_has_ended():
    clock = Clock()
    pacer = Pacer(0.005, real_time=True, clock=clock)
    assert pacer.wait_s(0) == pytest.approx(0.005)
    assert pacer.wait_s(9) == pytest.approx(0.050)
    clock.now_s += 0.005
    assert pacer.wait_s(0) == pytest.approx(0, abs=1e-12)


def test_what_came_before_the_beginning_is_no_lag():
    clock = Clock()
    pacer = Pacer(0.005, real_time=True, first=20, clock=clock)
    clock.now_s += 0.3
    pacer.begin()
    assert pacer.wait_s(20) == pytest.approx(0.005)
    clock.now_s += 0.005
    pacer.sent(20)
    assert pacer.max_lag_s == pytest.approx(0, abs=1e-9)


def test_late_period_tells_its_lag_and_leaves_at_once():
    clock = Clock()
    pacer = Pacer(0.005, real_time=True, clock=clock)
    clock.now_s += 0.105
    assert pacer.wait_s(0) == 0.0
    pacer.sent(0)
    assert pacer.lag_s == pytest.approx(0.1)


def test_lag_is_caught_up_and_its_maximum_kept():
    clock = Clock()
    pacer = Pacer(0.005, real_time=True, clock=clock)
    clock.now_s += 0.105
    for period in range(25):
        pacer.sent(period)
    assert pacer.lag_s == 0.0
    assert pacer.max_lag_s == pytest.approx(0.1)


def test_mean_rate_is_real_time_whatever_the_single_waits_were():
    clock = Clock()
    pacer = Pacer(0.00524288, real_time=True, clock=clock)
    for period in range(1000):
        clock.now_s += pacer.wait_s(period) + (0.003 if period % 7 == 0 else 0.0)
        pacer.sent(period)
    assert clock.now_s - 100.0 == pytest.approx(1000 * 0.00524288, abs=0.004)


def test_fast_never_waits_and_has_no_lag():
    pacer = Pacer(0.005, real_time=False, clock=Clock())
    assert pacer.wait_s(10_000) == 0.0
    pacer.sent(0)
    assert pacer.max_lag_s == 0.0


def test_rates_over_a_minute_are_right_while_single_slices_are_slow():
    """Every slice takes up to twice its time, in the mean half of it: the minute is a minute."""
    clock, period_s = Clock(), 0.00524288
    pacer = Pacer(period_s, real_time=True, clock=clock)
    periods = round(60 / period_s)
    for period in range(periods):
        clock.now_s += period_s * (2.0 if period % 4 == 0 else 0.0)  # computing
        clock.now_s += pacer.wait_s(period)
        pacer.sent(period)
    assert periods * period_s / (clock.now_s - 100.0) == pytest.approx(1.0, abs=0.0005)
    assert pacer.lag_s == 0.0


def test_emulated_time_slows_where_each_slice_takes_too_long_and_the_lag_says_by_how_much():
    clock, period_s = Clock(), 0.005
    pacer = Pacer(period_s, real_time=True, clock=clock)
    for period in range(1000):
        clock.now_s += 1.25 * period_s
        assert pacer.wait_s(period) == 0.0
        pacer.sent(period)
    assert pacer.lag_s == pacer.max_lag_s == pytest.approx(0.25 * 1000 * period_s)


def test_the_emulator_keeps_real_time_over_real_sockets():
    config = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=2e5)
    pacing = measure_pacing(config, duration_s=1.0)
    assert pacing.detector_s == pytest.approx(1.0, abs=0.02)
    # Half is far from "as fast as it can" (ten times faster), and bears a receiver that waits for
    # a processor; to be slower than real time is allowed to a machine that says so.
    assert pacing.wall_s > 0.5 * pacing.detector_s
    assert pacing.wall_s < pacing.detector_s + pacing.max_lag_s + 1.0
    assert pacing.singles_per_wall_s / pacing.singles_per_detector_s == pytest.approx(
        1 + pacing.error
    )
