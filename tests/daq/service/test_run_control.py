"""The run's state machine, the steps of closing and what a run is watched for."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from daq.errors import RunError
from daq.path.frame_check import FrameChecker
from daq.service.entrance.refusal import Refusal
from daq.service.life.closing import (
    DRAIN_MOST_S,
    HURRIED_IMAGER_S,
    HURRIED_SORT_S,
    IMAGER_MOST_S,
    IMAGER_S,
    REPORTS_S,
    SILENCE_S,
    Closing,
)
from daq.service.life.run_states import TRANSITIONS
from daq.service.run import Run
from daq.service.run_life import RunLife
from daq.service.watching.watch import GIVE_UP_S, SILENT_S, RunWatch
from hw.messages.counters import COUNTERS, harm_of
from hw.scanner.preset_file import load_scanner
from rigs.line_journal import told as lines_told

STATES = tuple(TRANSITIONS)
ALLOWED = {
    ("idle", "armed"), ("armed", "running"), ("running", "stopping"), ("stopping", "closed"),
    ("closed", "armed"), ("closed", "idle"), ("armed", "idle"), ("error", "idle"),
    *((state, "error") for state in ("idle", "armed", "running", "stopping", "closed")),
}  # fmt: skip


def new_life() -> RunLife:
    """A life whose states alone are asked for: nothing behind it is touched."""
    nobody: Any = None
    return RunLife(Path(), sources=nobody, imager=nobody, events=nobody, on_end=nobody)


@pytest.mark.parametrize(("begin", "end"), list(product(STATES, STATES)))
def test_only_the_drawn_transitions_are_possible(begin, end) -> None:
    life = new_life()
    life.state, life.reason = begin, "because"
    if (begin, end) in ALLOWED:
        life.enter(end, "why")
        assert (life.state, life.reason) == (end, "why")
    else:
        with pytest.raises(Refusal) as refused:
            life.enter(end)
        assert refused.value.told.id == f"refused.{begin}"
        assert ("(because)" in str(refused.value)) == (begin == "error")
        assert (life.state, life.reason) == (begin, "because")


@pytest.mark.parametrize("state", STATES)
def test_an_error_is_latched_with_its_first_reason_until_reset(state) -> None:
    life = new_life()
    life.state = state
    life.reason = "first" if state == "error" else ""
    life.latch("first")
    life.latch("second")
    assert (life.state, life.reason) == ("error", "first")
    for other in STATES:
        if other != "idle":
            with pytest.raises(RunError, match="reset"):
                life.enter(other)
    life.enter("idle")
    assert life.reason == ""


def test_what_the_state_does_not_allow_names_the_remedy() -> None:
    life = new_life()
    life.require("idle", "closed")
    with pytest.raises(RunError, match="the run is idle: arm a run first"):
        life.require("running")


def run_of(
    *,
    ended: bool = False,
    reports: int = 0,
    imager_final: bool | None = None,
    finishing: float = 0.0,
    images: int = 0,
    unsorted: int = 0,
):
    """Return what Closing looks at of a run."""
    tainted: list[str] = []
    return SimpleNamespace(
        all_ended=ended,
        unwritten=None,
        backlog=[None] * unsorted,
        reports=[None] * reports,
        imager=None
        if imager_final is None
        else SimpleNamespace(
            final=imager_final, finishing=finishing, images=images, prompts_seen=1000 * images
        ),
        taint=tainted.append,
        tainted=tainted,
    )


def test_draining_ends_when_all_last_frames_and_reports_have_come() -> None:
    closing = Closing(100.0, sources=2, imager=False)
    assert not closing.drain_is_over(run_of(ended=True, reports=1), 100.5, last_data_s=100.4)
    complete = run_of(ended=True, reports=2)
    assert closing.drain_is_over(complete, 100.5, last_data_s=100.4)
    assert complete.tainted == []


def test_draining_ends_after_silence_and_says_what_never_came() -> None:
    closing, run = Closing(100.0, sources=1, imager=False), run_of()
    assert not closing.drain_is_over(run, 100.0 + SILENCE_S, last_data_s=0.0)
    assert not closing.drain_is_over(run, 105.0, last_data_s=104.9)
    assert run.tainted == []
    assert closing.drain_is_over(run, 106.0 + SILENCE_S, last_data_s=105.9)
    assert run.tainted == ["incomplete: the modules' last frames never came"]


def test_draining_a_source_that_never_stops_is_bounded() -> None:
    closing, run = Closing(0.0, sources=1, imager=False), run_of()
    for second in range(1, int(DRAIN_MOST_S)):
        assert not closing.drain_is_over(run, second, last_data_s=second - 0.1)
    late_s = DRAIN_MOST_S + 0.1
    assert closing.drain_is_over(run, late_s, last_data_s=late_s)


def test_what_is_recorded_is_sorted_however_long_it_takes_but_in_a_hurry() -> None:
    closing = Closing(0.0, sources=1, imager=False)
    closing.drained_at(1.0)
    assert not closing.sorting_is_over(run_of(unsorted=3), 1000.0)
    assert closing.sorting_is_over(run_of(), 1.0)
    closing.hurry()
    assert not closing.sorting_is_over(run_of(unsorted=3), 1.0 + HURRIED_SORT_S)
    assert closing.sorting_is_over(run_of(unsorted=3), 1.1 + HURRIED_SORT_S)


def test_a_report_is_waited_for_longer_than_data_and_its_lack_is_no_missing_data() -> None:
    closing, run = Closing(0.0, sources=1, imager=False), run_of(ended=True)
    assert not closing.drain_is_over(run, REPORTS_S, last_data_s=0.0)
    assert closing.drain_is_over(run, REPORTS_S + 0.1, last_data_s=0.0)
    assert run.tainted == []


def test_a_hurried_closing_shortens_every_wait() -> None:
    closing, run = Closing(0.0, sources=1, imager=True), run_of()
    closing.hurry()
    assert closing.drain_is_over(run, 0.9, last_data_s=0.89)
    closing.sorted_at(1.0)
    assert not closing.imager_is_done(run, 1.0 + HURRIED_IMAGER_S)
    assert closing.imager_is_done(run, 1.1 + HURRIED_IMAGER_S)


def test_the_imager_is_waited_for_within_a_bound() -> None:
    closing = Closing(0.0, sources=1, imager=True)
    closing.sorted_at(5.0)
    assert closing.sorted
    assert not closing.imager_is_done(run_of(), 5.0 + IMAGER_S)
    assert not closing.imager_is_done(run_of(imager_final=False), 6.0)
    assert closing.imager_is_done(run_of(imager_final=True), 6.0)
    assert closing.imager_is_done(run_of(), 5.1 + IMAGER_S)
    assert Closing(0.0, sources=1, imager=False).imager_is_done(run_of(), 0.0)


def test_an_imager_that_still_takes_in_the_runs_events_makes_progress() -> None:
    closing, now = Closing(0.0, sources=1, imager=True), 0.0
    closing.sorted_at(now)
    for images in (1, 2, 3):
        now += IMAGER_S
        assert not closing.imager_is_done(run_of(imager_final=False, images=images), now)
    assert closing.imager_is_done(run_of(imager_final=False, images=3), now + IMAGER_S + 0.1)


def test_an_imager_that_makes_progress_is_waited_for_longer() -> None:
    closing, now = Closing(0.0, sources=1, imager=True), 0.0
    closing.sorted_at(now)
    for percent in (10, 20, 30, 40):
        now += IMAGER_S
        assert not closing.imager_is_done(run_of(imager_final=False, finishing=percent / 100), now)
    stuck = run_of(imager_final=False, finishing=0.4)
    assert not closing.imager_is_done(stuck, now + IMAGER_S)
    assert closing.imager_is_done(stuck, now + IMAGER_S + 0.1)
    assert closing.imager_is_done(run_of(imager_final=True, finishing=1.0), now + 0.1)


def test_progress_too_is_waited_for_within_a_bound() -> None:
    closing = Closing(0.0, sources=1, imager=True)
    closing.sorted_at(0.0)
    for second in range(int(IMAGER_MOST_S) + 1):
        slow = run_of(imager_final=False, finishing=1e-3 * (second + 1))
        assert not closing.imager_is_done(slow, float(second))
    assert closing.imager_is_done(slow, IMAGER_MOST_S + 0.1)


def test_told_to_leave_the_daq_waits_for_no_progress() -> None:
    closing = Closing(0.0, sources=1, imager=True)
    closing.sorted_at(0.0)
    closing.hurry()
    for tenth in range(6):
        slow = run_of(imager_final=False, finishing=0.1 * (tenth + 1))
        assert not closing.imager_is_done(slow, 0.1 * tenth)
    assert closing.imager_is_done(slow, HURRIED_IMAGER_S + 0.1)


def test_every_counter_of_a_run_has_its_row_in_the_table(tmp_path, make_config) -> None:
    run = Run(make_config(), tmp_path)
    run.put_away()
    assert set(run.counters()) <= set(COUNTERS)
    assert {name for name in COUNTERS if name.split(".")[0] in ("frames", "singles")} <= set(
        run.counters()
    )
    assert harm_of("singles.devoured_by_grues") == "loss"


class WatchedRun:
    """A run whose frame counters the test sets."""

    def __init__(self, duration_s: float = 0.0) -> None:
        self.counts = dict.fromkeys(COUNTERS, 0)
        settings = SimpleNamespace(sorts_coincidences=False)
        self.config = SimpleNamespace(duration_s=duration_s, settings=settings)
        self.tainted: list[str] = []
        self.taint = self.tainted.append
        statistics = SimpleNamespace(recent_randoms=lambda span_ps: None)
        self.takers = SimpleNamespace(statistics=statistics)
        self.randoms_alarm = False
        links = FrameChecker(n_modules=4, run_tag=0).links
        self.pipeline = SimpleNamespace(
            module_singles=np.zeros(4, np.int64), newest_ps=0, links=links
        )
        self.scanner = load_scanner("bench2")

    def counters(self) -> dict[str, int]:
        return self.counts


def test_silence_and_its_end_are_told_once_each() -> None:
    watch, run = RunWatch(), WatchedRun()
    watch.data_came(10.0)
    assert lines_told(watch.look(run, 10.0 + SILENT_S)) == []
    (severity, words), *others = lines_told(watch.look(run, 10.1 + SILENT_S))
    assert (severity, others) == ("alarm", [])
    assert "no data for 2 s" in words
    assert lines_told(watch.look(run, 11.0 + SILENT_S)) == []
    watch.data_came(14.0)
    assert lines_told(watch.look(run, 14.1)) == [("info", "data again")]
    assert lines_told(watch.look(run, 14.2)) == []


def test_a_source_that_died_while_it_lagged_does_not_keep_up_again() -> None:
    watch, run = RunWatch(), WatchedRun()
    watch.data_came(10.0)
    assert "behind real time" in lines_told(watch.look(run, 10.0, lag_s=2.0))[0][1]
    assert "no data" in lines_told(watch.look(run, 12.1 + SILENT_S, lag_s=0.0))[0][1]
    assert lines_told(watch.look(run, 20.0, lag_s=0.0)) == []
    watch.data_came(21.0)
    told = [words for _, words in lines_told(watch.look(run, 21.5, lag_s=0.0))]
    assert told == ["data again", "the source keeps up with real time again"]


def test_losses_are_told_at_most_once_a_second_with_how_many_came_since() -> None:
    watch, run = RunWatch(), WatchedRun()
    watch.data_came(0.0)
    run.counts["frames.lost"] = 3
    assert lines_told(watch.look(run, 0.0)) == [("alarm", "3 data frames lost (3 in this run)")]
    run.counts["frames.lost"] = 8
    assert lines_told(watch.look(run, 0.5)) == []
    assert lines_told(watch.look(run, 1.1)) == [("alarm", "5 data frames lost (8 in this run)")]
    run.counts["frames.corrupt"] = 1
    assert watch.last_words(run) == ["1 data frames corrupt (1 in this run)"]
    assert watch.last_words(run) == []
    assert set(run.tainted) == {"data frames lost", "data frames corrupt"}


def test_only_a_run_of_fixed_duration_is_given_up() -> None:
    watch = RunWatch()
    watch.data_came(5.0)
    assert not watch.given_up(WatchedRun(), 1000.0)
    assert not watch.given_up(WatchedRun(60), 5.0 + GIVE_UP_S)
    assert watch.given_up(WatchedRun(60), 5.1 + GIVE_UP_S)
