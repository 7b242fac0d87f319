"""Offset and drift of a module's counter: right, and as uncertain as it says."""

from __future__ import annotations

import numpy as np
import pytest

from daq.link.serial.clock_fit import ClockFit, fit_line
from hw.wire.control import COUNTER_HZ


def beats(rng, drift: float, n: int, *, start: int = 0, spikes: float = 0.1):
    """Yield (sent_ns, received_ns, counter) every 0.5 s; round trips 0.1 ms, some 1 to 20 ms."""
    for k in range(n):
        sent = 10**12 + k * 500_000_000
        there, back = rng.exponential(50e3, 2)
        if rng.random() < spikes:
            back += rng.uniform(1e6, 20e6)
        read_s = (sent + there - 10**12) * 1e-9 * (1 + drift)
        yield int(sent), int(sent + there + back), start + round(read_s * COUNTER_HZ)


@pytest.mark.parametrize("drift_ppm", [0.0, 50.0, -120.0])
def test_drift_is_found_within_its_error_in_19_of_20_cases(drift_ppm):
    inside, pulls = 0, []
    for seed in range(200):
        clock = ClockFit()
        for beat in beats(np.random.default_rng(seed), drift_ppm * 1e-6, 120):
            clock.add(*beat)
        state = clock.state()
        pull = (state.drift - drift_ppm * 1e-6) / state.drift_sigma
        pulls.append(pull)
        inside += abs(pull) < 2.0
    assert clock.leaps == 0
    assert inside >= 180
    assert 0.7 < np.std(pulls) < 1.3


def test_spells_of_delay_make_the_error_wider():
    rng = np.random.default_rng(5)
    pulls = []
    for _ in range(200):
        noise = np.zeros(120)
        for k in range(1, 120):
            noise[k] = 0.7 * noise[k - 1] + rng.normal()
        x = np.arange(120.0)
        _, slope, sigma = fit_line(x, 3.0 * x + noise)
        pulls.append((slope - 3.0) / sigma)
    assert 0.7 < np.std(pulls) < 1.35


def test_one_wild_point_in_eight_moves_nothing():
    x = np.arange(80.0)
    y = 2.0 + 0.5 * x + 1e-3 * np.sin(37.0 * x)
    y[::8] += 100.0
    level, slope, _ = fit_line(x, y)
    assert slope == pytest.approx(0.5, abs=1e-4)
    assert level == pytest.approx(2.0, abs=1e-2)


@pytest.mark.parametrize("start", [0xFFFFFF00, (1 << 32) - 25_000_000 * 3, (5 << 32) - 1])
def test_a_counter_of_32_bits_that_wraps_is_followed(start):
    clock = ClockFit()
    for sent, received, counter in beats(np.random.default_rng(1), 30e-6, 60, start=start):
        clock.add(sent, received, counter & 0xFFFFFFFF)
    assert clock.leaps == 0
    assert clock.state().drift == pytest.approx(30e-6, abs=2e-6)


def test_a_beat_missing_for_longer_than_a_turn_of_the_counter_is_no_restart():
    clock = ClockFit()
    all_beats = list(beats(np.random.default_rng(1), 30e-6, 900))
    for sent, received, counter in all_beats[:20] + all_beats[-20:]:
        assert clock.add(sent, received, counter & 0xFFFFFFFF)


def test_a_counter_that_began_anew_begins_the_fit_anew():
    clock = ClockFit()
    first = list(beats(np.random.default_rng(1), 30e-6, 20))
    for beat in first:
        assert clock.add(*beat)
    assert not clock.add(first[-1][0] + 10**9, first[-1][1] + 10**9, 12345)
    assert clock.leaps == 1
    assert clock.state() is None


def test_slow_journeys_on_a_busy_host_are_no_leap():
    rng, clock = np.random.default_rng(1), ClockFit()
    for k in range(200):
        sent = k * 500_000_000
        there, back = rng.exponential(0.2e9, 2) * (rng.random(2) < 0.5)
        read_s = (sent + there) * 1e-9
        assert clock.add(int(sent), int(sent + there + back), round(read_s * COUNTER_HZ))


def test_offset_is_how_far_the_clock_has_moved():
    clock = ClockFit()
    for beat in beats(np.random.default_rng(3), 100e-6, 121):
        clock.add(*beat)
    assert clock.state().offset_s == pytest.approx(60 * 100e-6, abs=5e-5)
