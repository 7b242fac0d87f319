"""The kernels agree exactly with GATE's own coincidence sorter, pair by pair.

The kernels know no unit of time, so they are given femtoseconds here: nothing is rounded away.
GATE's windows are half-open (Δt < 5 ns), ours closed; no pair of these data is on an edge. Each
single is its own crystal, so that a record tells exactly which two singles it joins.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from coincidence.events import SINGLE
from coincidence.order import TimeOrder
from coincidence.sorter import CoincidenceSorter
from daq.path.pipeline import pairs_in_view
from hw.messages.sort_settings import SortSettings
from hw.scanner.preset_file import load_scanner

FS_PER_NS = 1_000_000
SAMPLE = Path(__file__).parent.parent / "data" / "gate_sample.npz"
FOLDER = Path(os.environ.get("TOMOSHIBI_REFERENCE_DATA", "")) / "gate"
NAME = "watercyl20cm_2MBq_200ms"

Pairs = list[tuple[int, int]]


def sort(t_fs: np.ndarray, block: np.ndarray, *, batch: int) -> tuple[Pairs, Pairs]:
    """Return prompts and delayeds as pairs of single numbers (earlier, later)."""
    settings = SortSettings(lld_keV=0, uld_keV=1, window_ps=5 * FS_PER_NS, delay_ps=500 * FS_PER_NS)
    sorter = CoincidenceSorter(
        settings,
        module_of=block.astype(np.uint16),
        allowed_pairs=pairs_in_view(load_scanner("caremibrain"), 0),
    )
    singles = np.zeros(len(t_fs), dtype=SINGLE)
    singles["time_ps"], singles["crystal"] = t_fs, np.arange(len(t_fs))
    order, found = TimeOrder(), ([], [])
    earliest_left = np.minimum.accumulate(np.r_[t_fs, 2**62][::-1])[::-1]
    for begin in range(0, len(singles), batch):
        part = singles[begin : begin + batch]
        horizon = int(earliest_left[min(begin + batch, len(singles))])
        results = sorter.push(order.release(part, horizon), horizon)
        for pairs, records in zip(found, (results.prompts, results.delayeds), strict=True):
            pairs += [ends(record) for record in records]
    return sorted(found[0]), sorted(found[1])


def ends(record: np.void) -> tuple[int, int]:
    """Return (earlier, later); the tof of a delayed, free of the delay, keeps the opener's sign."""
    a, b = int(record["crystal_a"]), int(record["crystal_b"])
    return (a, b) if record["tof_ps"] >= 0 else (b, a)


@pytest.mark.parametrize("batch", [10**6, 1000])
def test_the_sample_gives_gates_prompts_and_delayeds(batch: int) -> None:
    with np.load(SAMPLE) as sample:
        prompts, delayeds = sort(sample["t_fs"], sample["block"], batch=batch)
        gate_prompts = [tuple(pair) for pair in sample["prompts"].tolist()]
        gate_delayeds = [tuple(pair) for pair in sample["delayeds"].tolist()]
    assert len(gate_prompts) > 7000
    assert len(gate_delayeds) > 200
    assert prompts == gate_prompts
    assert delayeds == gate_delayeds


@pytest.mark.reference_data
@pytest.mark.skipif(
    not (FOLDER / f"{NAME}_singles.npz").is_file(),
    reason="TOMOSHIBI_REFERENCE_DATA does not name a folder with the GATE singles",
)
def test_the_whole_slice_gives_gates_prompts_and_delayeds() -> None:
    with np.load(FOLDER / f"{NAME}_singles.npz") as singles:
        t_fs = np.round(singles["t_ns"] * FS_PER_NS).astype(np.int64)
        event, block = singles["event"], singles["block"]
    found = sort(t_fs, block, batch=50_000)
    for pairs, kind, count in zip(found, ("coincidences", "delayed"), (80_433, 2_782), strict=True):
        assert len(pairs) == count
        with np.load(FOLDER / f"{NAME}_gate_{kind}_5ns.npz") as gate:
            theirs = [
                np.c_[gate[f"EventID{k}"], np.round(gate[f"GlobalTime{k}"] * FS_PER_NS)]
                for k in (1, 2)
            ]
        first, second = np.array(pairs).T
        ours = [np.c_[event[rows], t_fs[rows]] for rows in (first, second)]
        np.testing.assert_array_equal(by_rows(*ours), by_rows(*theirs))


def by_rows(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return (event, time) of the earlier then of the later end, rows in a canonical order."""
    swap = first[:, 1] > second[:, 1]
    rows = np.where(swap[:, None], np.c_[second, first], np.c_[first, second]).astype(np.int64)
    return rows[np.lexsort(rows.T)]
