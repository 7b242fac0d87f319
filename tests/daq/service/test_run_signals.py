"""Samples from outside get the detector time at which they came; twice sent, they are kept once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daq.errors import RunError
from daq.folder.journal import Journal
from daq.folder.run_config import RunConfig
from daq.folder.signals.signal_file import kept_signal
from daq.path.wall_clock import WallClock
from daq.service.run import Run
from daq.service.run_signals import keep_signal
from recon.core.csv_tables import read_columns


def samples(wall_ns: list[int], **changes: Any) -> dict[str, Any]:
    return {
        "name": "belt", "kind": "amplitude", "source": "a test", "sender": "x", "first": 0,
        "wall_ns": wall_ns, "values": [1.0] * len(wall_ns), **changes,
    }  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, make_config: Callable[..., RunConfig]) -> Run:
    return Run(make_config(), tmp_path)


def clock_of(start_ns: int) -> WallClock:
    """A clock by frames of which some took 3 ms on their way, and none less than 1 ms."""
    clock = WallClock()
    for k, way_ns in enumerate([3_000_000, 1_000_000, 2_500_000]):
        end_ps = (k + 1) * 5_242_880_000
        clock.observe(arrival_ns=start_ns + end_ps // 1000 + way_ns, frame_end_ps=end_ps)
    return clock


def test_a_sample_has_the_detector_time_at_which_it_came(run: Run) -> None:
    start = time.monotonic_ns() - 2_000_000_000
    journal = Journal(listen=(told := []).append)
    times = [start + 501_000_000, start + 750_000_000]
    assert keep_signal(run, samples(times), clock_of(start), journal) == {"taken": 2, "next": 2}
    run.put_away()
    rows = read_columns(kept_signal(run.folder, "belt"))[1]
    assert rows[:, 0] == pytest.approx([0.500, 0.749], abs=2e-6)  # less the frames' least way, 1 ms
    assert run.summary()["signals"] == [
        {"name": "belt", "kind": "amplitude", "rows": 2, "left_out": 0}
    ]
    assert [one.text for one in told] == ["signal belt: amplitude, from a test"]


def test_samples_sent_again_are_kept_once(run: Run) -> None:
    start = time.monotonic_ns() - 2_000_000_000
    clock, journal = clock_of(start), Journal()
    times = [start + k * 10_000_000 for k in range(2, 12)]
    keep_signal(run, samples(times[:6]), clock, journal)
    told = keep_signal(run, samples(times[2:], first=2), clock, journal)
    assert told == {"taken": 4, "next": 10}
    assert run.signals.summary()[0]["rows"] == 10
    run.put_away()


def test_before_the_first_data_nothing_is_taken(run: Run) -> None:
    now = time.monotonic_ns()
    assert keep_signal(run, samples([now], first=7), WallClock(), Journal()) == {
        "taken": 0, "next": 7,
    }  # fmt: skip
    assert not run.signals.summary()
    run.put_away()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "../raw"}, "name"),
        ({"kind": "voltage"}, "kind"),
        ({"values": [1.0, 2.0]}, "2 values of 1 times"),
        ({"values": ["much"]}, "values"),
        ({"wall_ns": [10**18]}, "not of this machine's clock"),
        ({"kind": "phase", "values": [1.5]}, "a phase lies within 0 and 1"),
        ({"kind": "activity", "values": [-1.0]}, "an activity is 0 or more"),
        ({"values": [1.0] * 6000, "wall_ns": [0] * 6000}, "5000"),
        ({"source": "a\nb"}, "source"),
    ],
)
def test_what_is_no_signal_is_refused_and_leaves_no_file(
    run: Run, changes: dict[str, Any], words: str
) -> None:
    now = time.monotonic_ns()
    with pytest.raises(RunError, match=words):
        keep_signal(run, {**samples([now]), **changes}, clock_of(now - 10**9), Journal())
    assert not list(run.folder.glob("signal_*"))
    run.put_away()
