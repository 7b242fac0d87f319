"""A module's new start is believed from what cannot happen otherwise, and from nothing else."""

from __future__ import annotations

import pytest

from daq.link.serial.known_module import StartWatch
from daq.link.serial.poller import Poller
from hw.wire.control import COUNTER_HZ


def test_a_counter_that_goes_back_is_a_start_and_one_that_leaps_ahead_is_none():
    watch = StartWatch()
    for counter in (10, COUNTER_HZ, 1000 * COUNTER_HZ, 1000 * COUNTER_HZ - 100):
        assert not watch.see_counter(counter)
    assert watch.see_counter(COUNTER_HZ)
    assert watch.suspicious
    watch.begin()
    assert not watch.see_counter(5)


def test_commands_that_count_too_little_are_a_start():
    watch = StartWatch()
    watch.see_commands(7)
    watch.see_commands(8, least=8)
    watch.see_commands(8)
    assert not watch.suspicious
    watch.see_commands(8, least=9)
    assert watch.suspicious


@pytest.mark.parametrize(
    ("last", "number", "anew"),
    [(None, 0, True), (57, 0, True), (57, 58, False), (0xFFFF, 0, False)],
)
def test_an_unasked_hello_is_a_start_unless_its_number_goes_on(last, number, anew):
    watch = StartWatch()
    if last is not None:
        watch.see_notice(last)
    watch.see_hello(number)
    assert watch.suspicious == anew


def test_missing_notices_are_counted():
    watch = StartWatch()
    for number in (0xFFFE, 0xFFFF, 0, 3):
        watch.see_notice(number)
    assert watch.missed == 2


class Unlucky:
    """A member whose callback fails at every turn."""

    descriptor = None

    def __init__(self) -> None:
        self.turns = 0

    def turn(self, *, hung_up: bool) -> int:
        self.turns += 1
        raise ValueError("a defect of a callback")

    def tick(self, now_s: float) -> float:
        return now_s + 1.0


def test_a_callback_that_fails_stops_nobody_and_is_kept():
    from rigs.firmware.native_modules import wait_until

    unlucky, other = Unlucky(), Unlucky()
    with Poller() as poller:
        poller.add(unlucky)
        poller.add(other)
        wait_until(lambda: unlucky.turns > 3 and other.turns > 3)
        poller.remove(unlucky)
        turns = unlucky.turns
        wait_until(lambda: other.turns > turns + 3)
        assert unlucky.turns == turns
        assert poller.failures > 6
        assert isinstance(poller.last_failure, ValueError)
