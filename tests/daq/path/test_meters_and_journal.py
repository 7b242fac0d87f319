"""Rates in detector time, detector time on the wall clock, and the journal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.folder.journal import FILE_NAME, Journal
from daq.path.takers.rates import ModuleMeter, RateMeter
from daq.path.wall_clock import WallClock

S_PS = 10**12


def test_rates_are_those_of_the_last_second_of_detector_time() -> None:
    meter = RateMeter()
    for tenth in range(1, 31):
        total = 100 * tenth if tenth <= 20 else 2000 + 300 * (tenth - 20)
        meter.observe(tenth * S_PS // 10, prompts=total, randoms=total // 2)
    assert meter.rates() == pytest.approx({"prompts": 3000, "randoms": 1500, "trues": 1500})
    summary = meter.summary()
    assert summary["mean"] == pytest.approx(
        {"prompts": 5000 / 3, "randoms": 2500 / 3, "trues": 2500 / 3}, abs=0.01
    )
    assert summary["peak"]["prompts"] == pytest.approx(3000)


def test_a_watermark_that_stands_still_or_steps_back_is_ignored() -> None:
    meter = RateMeter()
    meter.observe(S_PS, prompts=100)
    meter.observe(S_PS, prompts=900)
    meter.observe(S_PS // 2, prompts=900)
    assert meter.rates()["prompts"] == 100


def test_a_run_shorter_than_a_second_has_its_mean_as_its_peak() -> None:
    meter = RateMeter()
    meter.observe(S_PS // 100, prompts=50)
    meter.observe(S_PS // 10, prompts=60)
    summary = meter.summary()
    assert summary["mean"]["prompts"] == summary["peak"]["prompts"] == 600


def test_a_run_without_data_has_no_rates_and_breaks_nothing() -> None:
    assert RateMeter().rates() == {}
    assert RateMeter().summary() == {"mean": {"trues": 0.0}, "peak": {"trues": 0.0}}


def test_the_meters_memory_is_flat() -> None:
    meter, modules = RateMeter(), ModuleMeter(2)
    for k in range(1, 2000):
        meter.observe(k * S_PS // 100, prompts=k)
        modules.observe(k * S_PS // 100, np.array([k, 2 * k]))
    assert len(meter._window) <= 102
    assert len(modules._window) <= 12
    assert modules.rates() == pytest.approx([100, 200])
    assert ModuleMeter(2).rates().tolist() == [0, 0]


def test_wall_time_is_that_of_the_quickest_arrival_of_the_last_second() -> None:
    clock = WallClock()
    assert clock.wall_ns(5) == 0
    clock.observe(arrival_ns=1_000_500, frame_end_ps=0)
    clock.observe(arrival_ns=2_000_100, frame_end_ps=1_000_000_000)
    assert clock.wall_ns(1_000_000_000) == 2_000_100
    clock.observe(arrival_ns=3_000_900, frame_end_ps=2_000_000_000)
    assert clock.wall_ns(2_000_000_000) == 3_000_100  # that arrival came 800 ns late, the clock not


def test_a_source_that_falls_behind_is_followed_within_a_second() -> None:
    clock = WallClock()
    for k in range(200):  # detector time at half the speed of the wall
        clock.observe(arrival_ns=k * 10_000_000, frame_end_ps=k * 5_000_000_000)
    behind_ns = 199 * 10_000_000 - clock.wall_ns(199 * 5_000_000_000)
    assert 0 <= behind_ns <= 500_000_000
    assert len(clock._minima) <= 102


@given(
    arrivals=st.lists(
        st.tuples(st.integers(0, 4 * 10**8), st.integers(-(10**9), 10**9)), min_size=1, max_size=60
    )
)
def test_the_clock_is_the_sliding_minimum(arrivals: list[tuple[int, int]]) -> None:
    clock, now, seen = WallClock(), 0, []
    for step, offset in arrivals:
        now += step
        clock.observe(arrival_ns=now, frame_end_ps=(now - offset) * 1000)
        seen.append((now, offset))
        assert clock.wall_ns(0) == min(o for at, o in seen if at >= now - 10**9)


def test_journal_lines_are_json_numbered_through_the_services_life(tmp_path: Path) -> None:
    journal = Journal()
    journal.add("info", "before any run")
    journal.open(tmp_path)
    journal.add("alarm", "µ-map \n lost")
    journal.close()
    journal.add("info", "after it")
    lines = (tmp_path / FILE_NAME).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["number"] for line in lines] == [2]
    assert json.loads(lines[0])["text"] == "µ-map \n lost"
    assert [entry.number for entry in journal.tail] == [1, 2, 3]


def test_the_journals_tail_is_bounded() -> None:
    journal = Journal()
    for k in range(1000):
        journal.add("info", str(k))
    assert len(journal.tail) == 50
    assert journal.tail[-1].number == 1000
