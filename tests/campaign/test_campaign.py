"""A little of the campaign, with a fixed seed; an hour of it is `python tests/campaign`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from campaign.checker import LOST
from campaign.faults import KINDS
from campaign.report import as_object, as_table, by_kind
from campaign.runner import Campaign, Injection, RunResult

SEED = 20261123
QUICK = (
    "daq killed in mid-write", "disk full, and back", "writes of the list-mode log fail",
    "frames corrupted", "link stalls", "power of the daq's machine cut", "serial line unplugged",
    "wire flips bits of frames",
)  # fmt: skip
"""Each comes once in CI, one of each sort; the campaign by hand draws from all."""

MOST_FAULTS = 4
MOST_RUNS = 20


@pytest.fixture
def campaign() -> Iterator[Campaign]:
    one = Campaign(SEED, kinds=QUICK, most_faults=MOST_FAULTS)
    yield one
    one.end_scene()


@pytest.mark.processes
@pytest.mark.timeout(900)
def test_no_fault_loses_what_was_acknowledged(campaign: Campaign) -> None:
    due = set(QUICK)
    while due - set(campaign.not_run) and len(campaign.results) < MOST_RUNS:
        due -= {fault.kind for fault in campaign.one_run().faults}
    campaign.end_scene()
    assert [(r.faults, r.findings) for r in campaign.results if r.findings] == []
    assert due <= set(campaign.not_run)


def test_there_are_forty_kinds_and_more() -> None:
    assert len(KINDS) >= 40
    assert set(QUICK) <= set(KINDS)


def test_the_table_counts_by_kind() -> None:
    results = [
        RunResult(0, [Injection("a", 0.5, 1.0), Injection("b", 2.0, 5.5)], told=3),
        RunResult(1, [Injection("a", 1.5, 3.0)], findings=[f"{LOST}something"]),
        RunResult(2, [Injection("b", None)], findings=["a word too many in /tmp/x/run"]),
    ]
    found = by_kind(results)
    assert found["a"] == {
        "injected": 2, "survived": 1, "told": 1, "lost": 1, "other": 0,
        "recovery_p50_s": 1.0, "recovery_max_s": 1.5,
        "since_p50_s": 2.0, "since_max_s": 3.0,
    }  # fmt: skip
    campaign = Campaign(7)
    campaign.results = results
    table = as_table(as_object(campaign, 1.0))
    assert "| b | 2 | 1 | 1 | 0 | 1 | 2.0 s | 2.0 s | 5.5 s | 5.5 s |" in table
    assert "- run 2 (b): a word too many in …/run" in table
