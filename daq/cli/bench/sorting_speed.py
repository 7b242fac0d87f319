"""The sorting benchmarks: how many singles per second each stage and the whole chain process.

Medians of several passes over the reference workload (daq/cli/bench/sorting_workload.py); peers run
in the same process on the same singles. ``limits`` says what memory bandwidth alone would allow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from coincidence.events import COINCIDENCE, END_OF_TIME_PS, SINGLE, empty_singles
from coincidence.order import TimeOrder
from coincidence.ordered import pair_ordered
from coincidence.select import Selector, window_table
from coincidence.sorter import count_timing
from daq.cli.bench.measuring import median_seconds
from daq.cli.bench.peer_speed import measure_peers
from daq.cli.bench.sorting_workload import (
    DISORDER_PS,
    Workload,
    disordered,
    frames_of,
    some_calibration,
)
from daq.folder.listmode_log import ListmodeWriter
from daq.folder.raw_log import RawLogWriter
from daq.path.decode import Decoder
from daq.path.frame_check import FrameChecker
from daq.path.pipeline import Pipeline, pairs_in_view
from daq.path.stage_threads import run_stages
from daq.path.takers.streams import PairStream
from hw.arrays import Records
from hw.scanner.geometry import build_geometry

CHAIN_BATCH = 1 << 17
FRAMES_A_BATCH = 24 * 4
_DEPTH = 6


class Batch(NamedTuple):
    """Singles on their way through the chain, and the time up to which they are final."""

    singles: Records
    horizon_ps: int


class Chain:
    """Gain, skew, spectrum, window, order, policy, delayeds and packed output, as in a run."""

    def __init__(self, workload: Workload) -> None:
        module_of = build_geometry(workload.scanner).crystal_module
        table = window_table(workload.settings, workload.scanner.n_modules)
        self._selector = Selector(
            some_calibration(workload.scanner), table, module_of, depth=_DEPTH
        )
        self._order = TimeOrder(depth=_DEPTH)
        self._sorter = workload.sorter()
        self._timing = np.zeros(201, np.int64)

    def run(self, singles: Records, *, threads: int = 1) -> int:
        """Sort singles disordered by up to ``DISORDER_PS``; return the number of prompts."""
        stages = (self._select, self._release, self._pair)
        for _ in run_stages(_batches(singles), stages, threads=threads):
            pass
        return self._sorter.counts.prompts

    def _select(self, batch: Batch) -> Batch:
        return Batch(self._selector.select(batch.singles), batch.horizon_ps)

    def _release(self, batch: Batch) -> Batch:
        return Batch(self._order.release(*batch), batch.horizon_ps)

    def _pair(self, batch: Batch) -> None:
        found = self._sorter.push(*batch)
        for records in (found.prompts, found.delayeds):
            count_timing(records, 100.0, self._timing)


def _batches(singles: Records) -> Iterator[Batch]:
    """Yield the singles in batches; a skew of at most 1 ns and the disorder limit what is final."""
    for start in range(0, len(singles), CHAIN_BATCH):
        part = singles[start : start + CHAIN_BATCH]
        last = start + CHAIN_BATCH >= len(singles)
        final_ps = int(part["time_ps"][-1]) - 2 * DISORDER_PS - 1000
        yield Batch(part, int(END_OF_TIME_PS) if last else final_ps)


def frames_to_listmode(workload: Workload, frames: list[bytes], *, threads: int = 1) -> int:
    """Sort data frames into a list-mode log in a temporary file; return the number of prompts."""
    with tempfile.TemporaryDirectory(prefix="tomoshibi-bench-") as folder:
        return _frames_to_files(workload, frames, Path(folder), None, threads=threads)


def frames_to_logs(workload: Workload, frames: list[bytes], folder: Path) -> int:
    """Write data frames to a raw log and sort them into a list-mode log in ``folder``, as a run
    does; return the number of prompts.
    """
    raw_log = RawLogWriter(folder / "raw.tmraw", {})
    prompts = _frames_to_files(workload, frames, folder, raw_log)
    raw_log.close({})
    return prompts


def _frames_to_files(
    workload: Workload,
    frames: list[bytes],
    folder: Path,
    raw_log: RawLogWriter | None,
    *,
    threads: int = 1,
) -> int:
    pairs = PairStream(workload.settings, ListmodeWriter(folder / "listmode.tmlm", {}))
    pipeline = Pipeline(
        workload.scanner,
        build_geometry(workload.scanner),
        workload.settings,
        run_tag=0,
        calibration=some_calibration(workload.scanner),
    )
    starts = range(0, len(frames), FRAMES_A_BATCH)
    batches = (frames[start : start + FRAMES_A_BATCH] for start in starts)
    if raw_log is not None:
        for batch in batches:
            checked = pipeline.check(batch)
            raw_log.append(checked.payload, frames=len(checked))
            pairs.take(pipeline.sort(checked))
    for output in pipeline.stream(batches, threads=threads):
        pairs.take(output)
    pairs.take(pipeline.finish())
    pairs.close({})
    return pipeline.counts.prompts


def sorted_window_pairs(workload: Workload) -> int:
    """Apply the window to ordered singles and pair them; return the number of prompts."""
    return len(
        pair_ordered(
            workload.singles,
            workload.settings,
            module_of=build_geometry(workload.scanner).crystal_module,
            allowed_pairs=pairs_in_view(workload.scanner, workload.settings.min_sector_difference),
        )
    )


def measure(n: int, *, passes: int = 5) -> dict[str, Any]:
    """Return the rates in M singles/s of each stage, of the chain, and of the peers."""
    workload = Workload.of_size(n)
    mixed = disordered(workload.singles)
    frames = frames_of(workload)
    prompts = sorted_window_pairs(workload)

    def rate(work: Callable[[], object], count: int = n) -> float:
        return count / median_seconds(work, passes=passes) / 1e6

    figures: dict[str, Any] = {"singles": n, "prompts": prompts}
    figures["sorted_window_pairs_Msps"] = rate(lambda: sorted_window_pairs(workload))
    figures["full_chain_disordered_Msps"] = rate(lambda: Chain(workload).run(mixed))
    figures["full_chain_two_cores_Msps"] = rate(lambda: Chain(workload).run(mixed, threads=2))
    figures["frames_to_listmode_Msps"] = rate(lambda: frames_to_listmode(workload, frames))
    figures["frames_to_listmode_two_cores_Msps"] = rate(
        lambda: frames_to_listmode(workload, frames, threads=2)
    )
    figures["stages"] = _stages(workload, mixed, rate)
    figures["frames_ns_a_single"] = _frame_costs(workload, frames, rate, figures)
    figures["disorder"] = _disorder(workload, mixed, rate)
    figures["limits"] = _limits(figures, prompts / n)
    figures["peers"] = measure_peers(workload, passes=min(passes, 3))
    figures["ratio_to"] = _ratios(figures)
    return figures


def _ratios(figures: dict[str, Any]) -> dict[str, float]:
    """Return our speed over each peer's at the same work: window and pairs of ordered singles, or
    (strax) time order alone."""
    pairs, order = figures["sorted_window_pairs_Msps"], figures["disorder"]["order_10us_Msps"]
    return {
        name.removesuffix("_Msps"): round((order if "sort" in name else pairs) / value, 1)
        for name, value in figures["peers"].items()
        if name.endswith("_Msps") and isinstance(value, float)
    }


Rate = Callable[..., float]


def _stages(workload: Workload, mixed: Records, rate: Rate) -> dict[str, float]:
    """Return the speed of each stage alone, in M singles/s of its own input."""
    chain = Chain(workload)
    batches = list(_batches(mixed))
    selected = [Batch(chain._select(batch).singles.copy(), batch.horizon_ps) for batch in batches]
    ordered = [Batch(chain._release(batch).singles.copy(), batch.horizon_ps) for batch in selected]
    accepted = sum(len(batch.singles) for batch in selected)

    def all_of(stage: Callable[[Batch], object], given: list[Batch]) -> None:
        for batch in given:
            stage(batch)

    return {
        "select_Msps": rate(lambda: all_of(Chain(workload)._select, batches)),
        "order_Msps": rate(lambda: all_of(Chain(workload)._release, selected), accepted),
        "pair_Msps": rate(lambda: all_of(Chain(workload)._pair, ordered), accepted),
    }


def _frame_costs(
    workload: Workload, frames: list[bytes], rate: Rate, figures: dict[str, Any]
) -> dict[str, float]:
    """Return what frames → list-mode log costs in ns a single: checks, decoding, and all the rest
    (selection, order, pairing, hash and file)."""
    scanner = workload.scanner
    parts = [frames[k : k + FRAMES_A_BATCH] for k in range(0, len(frames), FRAMES_A_BATCH)]

    def check() -> None:
        checker = FrameChecker(n_modules=scanner.n_modules, run_tag=0)
        for part in parts:
            checker.check(part)

    kept = FrameChecker(n_modules=scanner.n_modules, run_tag=0)
    checked = [kept.check(part) for part in parts]
    out = empty_singles(sum(len(part.payload) for part in checked) // len(checked))

    def decode() -> None:
        decoder = Decoder(
            n_modules=scanner.n_modules, crystals_per_module=scanner.crystals_per_module
        )
        for part in checked:
            decoder.decode(part, out)

    found = {"check": 1e3 / rate(check), "decode": 1e3 / rate(decode)}
    whole = 1e3 / figures["frames_to_listmode_Msps"]
    return {**found, "rest": whole - sum(found.values()), "all": whole}


def _disorder(workload: Workload, mixed: Records, rate: Rate) -> dict[str, float]:
    """Return how ordering slows down as disorder grows from 50 to 5000 singles."""
    far = disordered(workload.singles, reach_ps=100 * DISORDER_PS)
    out = {
        "order_10us_Msps": rate(lambda: _ordered(mixed, DISORDER_PS)),
        "order_1000us_Msps": rate(lambda: _ordered(far, 100 * DISORDER_PS)),
    }
    return {**out, "slowdown": out["order_10us_Msps"] / out["order_1000us_Msps"]}


def _ordered(singles: Records, reach_ps: int) -> int:
    order, n = TimeOrder(), 0
    for start in range(0, len(singles), CHAIN_BATCH):
        part = singles[start : start + CHAIN_BATCH]
        n += len(order.release(part, int(part["time_ps"][-1]) - 2 * reach_ps))
    return n + len(order.release(singles[:0], int(END_OF_TIME_PS)))


def _limits(figures: dict[str, Any], prompts_a_single: float) -> dict[str, Any]:
    """Return what main memory would allow: each single read once, each prompt written once."""
    bytes_moved = SINGLE.itemsize + prompts_a_single * COINCIDENCE.itemsize
    copy_GBps = _copy_speed()
    limit = copy_GBps * 1e3 / bytes_moved
    return {
        "copy_GBps": copy_GBps,
        "bytes_a_single": round(bytes_moved, 2),
        "memory_limit_Msps": limit,
        **{
            f"{name.removesuffix('_Msps')}_share_of_limit": round(figures[name] / limit, 3)
            for name in ("sorted_window_pairs_Msps", "full_chain_disordered_Msps")
        },
    }


def _copy_speed() -> float:
    """Return the speed of copying main memory, read and written bytes together, in GB/s."""
    source = np.zeros(1 << 27, dtype=np.uint8)
    target = np.empty_like(source)
    return 2 * source.size / median_seconds(lambda: np.copyto(target, source), passes=5) / 1e9
