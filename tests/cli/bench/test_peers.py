"""The peers of the sorting benchmark: each finds what it should, or is in the report as absent."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from daq.cli.bench.peer_speed import PEERS, Peer, measure_peers, peer_input
from daq.cli.bench.sorting_workload import Workload

SINGLES = 30_000
MISSING_PAIRS = {"pandas_asof", "polars_asof"}


@pytest.fixture(scope="module")
def workload() -> Workload:
    return Workload.of_size(SINGLES)


@pytest.fixture(scope="module")
def report(workload: Workload) -> dict[str, object]:
    return measure_peers(workload, passes=1)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_runs_or_says_how_to_install_it(peer: Peer, report: dict[str, object]) -> None:
    if peer.name in report:
        assert str(report[peer.name]).startswith(f"not installed: pip install {peer.install} (")
        assert f"{peer.name}_Msps" not in report
        return
    assert report[f"{peer.name}_Msps"] > 0
    assert report[f"{peer.name}_singles"] == SINGLES
    assert report[f"{peer.name}_version"]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_finds_our_pairs_but_for_those_that_miss_some(peer, report) -> None:
    found, ours = (report.get(f"{peer.name}_pairs_{whose}") for whose in ("found", "ours"))
    if found is None:
        pytest.skip(str(report.get(peer.name, "it makes no pairs")))
    assert ours > 500
    if peer.name in MISSING_PAIRS:
        assert 0.95 * ours < found < ours
        assert "missed" in report[f"{peer.name}_remark"]
    else:
        assert found == ours


def test_every_peer_is_accounted_for_and_the_quoted_ones_name_their_place(report) -> None:
    for peer in PEERS:
        assert (peer.name in report) != (f"{peer.name}_Msps" in report)
    assert report["quoted"]
    assert all("measured elsewhere" in name for name in report["quoted"])


def test_an_absent_peer_is_reported_with_reason_and_quoted_speed(workload: Workload) -> None:
    def prepare(given):
        raise ImportError("No module named 'nothing'")

    absent = Peer("nothing", prepare, "nothing", "nothing", elsewhere="7")
    text = str(measure_peers(workload, passes=1, peers=(absent,))["nothing"])
    assert "pip install nothing" in text
    assert "No module named 'nothing'" in text
    assert text.endswith("measured elsewhere on a comparable machine "
                         "(2 cores, EPYC, November 2026): 7 Msps")  # fmt: skip


def test_a_slow_peer_sees_the_first_singles_only_and_the_report_says_how_many(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daq.cli.bench.peer_speed.SLOW_PEER_SINGLES", 10_000)
    slow = dataclasses.replace(PEERS[0], slow=True)
    report = measure_peers(workload, passes=1, peers=(slow,))
    assert report["numpy_searchsorted_singles"] == 10_000
    assert report["numpy_searchsorted_pairs_found"] == report["numpy_searchsorted_pairs_ours"]


def test_what_the_peers_sort_is_the_workload(workload: Workload) -> None:
    given = peer_input(workload, SINGLES)
    np.testing.assert_array_equal(given.times_ps, workload.singles["time_ps"])
    assert given.modules.max() == 23
    assert (given.lld_dkeV, given.uld_dkeV, given.window_ps) == (4350, 6500, 2000)
    np.testing.assert_array_equal(np.sort(given.disordered["time"]), given.times_ps)
    late = given.disordered["time"] - np.maximum.accumulate(given.disordered["time"])
    assert -20_000_000 <= late.min() < -9_000_000  # disordered by up to ±10 µs
