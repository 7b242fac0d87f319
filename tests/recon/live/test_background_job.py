"""Work beside the live image: one job of a kind, its result taken once, its end told."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from recon.core.grid import ReconError
from recon.live.background_job import NICENESS, JobSlot

Stopped = Callable[[], bool]
LONG_S = 60.0


def refused(stopped: Stopped) -> int:
    raise ReconError("no such map")


def test_a_result_is_taken_once_and_the_slot_is_free_then() -> None:
    slot, go_on = JobSlot[int]("test"), threading.Event()

    def work(stopped: Stopped) -> int:
        assert go_on.wait(LONG_S)
        return 7

    slot.begin(work)
    assert slot.take() is None and slot.busy and slot.running
    go_on.set()
    slot.wait(LONG_S)
    assert slot.take() == 7
    assert slot.take() is None and not slot.busy


def test_an_error_is_told_until_the_next_result() -> None:
    slot = JobSlot[int]("test")
    slot.begin(refused)
    slot.wait(LONG_S)
    assert slot.take() is None and not slot.busy
    assert slot.error == "no such map"
    slot.begin(lambda stopped: 1)
    slot.wait(LONG_S)
    assert slot.take() == 1 and slot.error == ""


def test_new_work_takes_the_place_of_what_is_under_way() -> None:
    slot, ended = JobSlot[int]("test"), threading.Event()

    def until_stopped(stopped: Stopped) -> int:
        while not stopped():
            ended.wait(0.01)
        ended.set()
        return 1

    slot.begin(until_stopped)
    slot.begin(lambda stopped: 2)
    assert ended.wait(LONG_S)
    slot.wait(LONG_S)
    assert slot.take() == 2


@pytest.mark.parametrize("aside", [True, False])
def test_work_that_somebody_waits_for_has_the_priority_of_the_process(aside: bool) -> None:
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    if own >= NICENESS:
        pytest.skip("this process has a low priority itself")

    def work(stopped: Stopped) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    slot = JobSlot[int]("test")
    slot.begin(work, aside=aside)
    slot.wait(LONG_S)
    assert slot.take() == (NICENESS if aside else own)
