"""The sorting benchmarks: how many singles a second each stage and the whole chain take.

Reference workload (docs/performance.md): 24 modules × 256 crystals, 5 M singles/s, 20 % in true
pairs of 300 ps FWHM, energies so that part lies outside 435–650 keV, |Δt| ≤ 2 ns. Medians of
several passes; one core; peers run in the same process on the same singles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence.calibration import no_calibration
from coincidence.events import END_OF_TIME_PS, SINGLE
from coincidence.order import TimeOrder
from coincidence.select import select_singles, window_dkeV
from coincidence.sorter import CoincidenceSorter
from daq.bench_timing import median_seconds
from daq.pipeline import Pipeline, pairs_in_view
from hw.frames import new_header, seal_frame
from hw.geometry import build_geometry
from hw.protocol import (
    FLAG_LAST,
    FRAME_PERIOD_LOG2,
    FRAME_PERIOD_TICKS,
    pack_words,
    ps_to_ticks,
)
from hw.scanner import Scanner, parse_scanner, scanner_to_toml_text
from hw.settings import SortSettings

RATE_PER_S = 5e6
PAIRED_FRACTION = 0.2
CTR_SIGMA_PS = 300 / 2.3548
WINDOW_PS = 2000
DISORDER_PS = 10_000_000


def reference_scanner() -> Scanner:
    """Return the workload's scanner: one ring of 24 modules of 16 × 16 crystals."""
    text = scanner_to_toml_text("bench2")
    for old, new in (
        ("modules_per_ring = 2 ", "modules_per_ring = 24 "),
        ("inradius_mm = 50.0 ", "inradius_mm = 110.0 "),
        ("n_u = 8", "n_u = 16"),
        ("n_v = 8", "n_v = 16"),
    ):
        if old not in text:
            raise ValueError(f"bench2.toml has no {old!r} any more: adapt the reference workload")
        text = text.replace(old, new)
    return parse_scanner(text, source="the benchmark's scanner")


def reference_singles(n: int, *, seed: int = 1) -> npt.NDArray[np.void]:
    """Return n singles in order of time (SINGLE), made as the reference workload says."""
    rng = np.random.default_rng(seed)
    pairs = int(n * PAIRED_FRACTION / 2)
    span_ps = n / RATE_PER_S * 1e12
    times = np.sort(rng.uniform(0, span_ps, n - pairs))
    parents = rng.choice(n - pairs, pairs, replace=False)
    partner = times[parents] + rng.normal(0, CTR_SIGMA_PS, pairs)
    crystal = rng.integers(0, 24 * 256, n - pairs)
    opposite = (crystal[parents] + 12 * 256) % (24 * 256)
    singles = np.zeros(n, dtype=SINGLE)
    time_ps = np.concatenate((times, np.clip(partner, 0, None))).astype(np.int64)
    order = np.argsort(time_ps, kind="stable")
    singles["time_ps"] = time_ps[order]
    singles["crystal"] = np.concatenate((crystal, opposite))[order]
    singles["energy"] = rng.integers(3000, 6500, n)
    return singles


@dataclass(frozen=True)
class Workload:
    """Ordered singles and what is needed to sort them."""

    scanner: Scanner
    singles: npt.NDArray[np.void]
    settings: SortSettings

    @classmethod
    def of_size(cls, n: int) -> Workload:
        """Return the reference workload with n singles."""
        settings = SortSettings(
            lld_keV=435, uld_keV=650, window_ps=WINDOW_PS, delay_ps=100_000, min_sector_difference=1
        )
        return cls(reference_scanner(), reference_singles(n), settings)

    def sorter(self) -> CoincidenceSorter:
        """Return a fresh sorter for the workload."""
        return CoincidenceSorter(
            self.settings,
            module_of=build_geometry(self.scanner).crystal_module,
            allowed_pairs=pairs_in_view(self.scanner, self.settings.min_sector_difference),
        )


def rate(work: Callable[[], object], n: int, *, passes: int = 5) -> float:
    """Return the median speed in M singles/s of a work on n singles."""
    return n / median_seconds(work, passes=passes) / 1e6


def frames_of(workload: Workload) -> list[bytes]:
    """Return the workload as data frames in order of arrival, one per module and period."""
    singles, modules = workload.singles, workload.scanner.n_modules
    per_module = workload.scanner.crystals_per_module
    ticks = ps_to_ticks(singles["time_ps"])
    module = singles["crystal"].astype(np.int64) // per_module
    words = pack_words(
        time_ticks=ticks & (FRAME_PERIOD_TICKS - 1),
        crystal=singles["crystal"].astype(np.int64) % per_module,
        energy_dkeV=singles["energy"],
    )
    period = ticks >> FRAME_PERIOD_LOG2
    key = period * modules + module
    order = np.argsort(key, kind="stable")
    count = (int(period[-1]) + 1) * modules
    edges = np.searchsorted(key[order], np.arange(count + 1))
    before = np.zeros(modules, dtype=np.int64)
    frames = []
    for k in range(count):
        m, frame_id = k % modules, k // modules
        chosen = words[order[edges[k] : edges[k + 1]]]
        flags = FLAG_LAST if frame_id == int(period[-1]) else 0
        header = new_header(m, frame_id, frame_id, events_before=int(before[m]), flags=flags)
        frames.append(seal_frame(header, chosen))
        before[m] += len(chosen)
    return frames


def _chain(workload: Workload, frames: list[bytes], batch: int) -> int:
    pipeline = Pipeline(
        workload.scanner, build_geometry(workload.scanner), workload.settings, run_tag=0
    )
    for start in range(0, len(frames), batch):
        pipeline.process(frames[start : start + batch])
    pipeline.finish()
    return pipeline.sorter.counts.prompts


def _ordering(disordered: npt.NDArray[np.void], batch: int = 1 << 16) -> int:
    order, n = TimeOrder(), 0
    for start in range(0, len(disordered), batch):
        part = disordered[start : start + batch]
        order.free_space(len(part))[: len(part)] = part
        n += len(order.release(len(part), int(part["time_ps"].max()) - 2 * DISORDER_PS))
    return n + len(order.release(0, int(END_OF_TIME_PS)))


def _selecting(workload: Workload, out: npt.NDArray[np.void]) -> int:
    calibration = no_calibration(workload.scanner.n_crystals)
    window = window_dkeV(workload.settings.lld_keV, workload.settings.uld_keV)
    modules = build_geometry(workload.scanner).crystal_module
    accepted, spectrum = np.zeros(24, np.int64), np.zeros(256, np.int64)
    count: int = select_singles(
        workload.singles, calibration.gain, calibration.skew_ps, *window, modules, out, accepted,
        spectrum,
    )  # fmt: skip
    return count


def measure(n: int, *, passes: int = 5) -> dict[str, Any]:
    """Return the rates in M singles/s of each stage, of the chain, and of the peers."""
    workload = Workload.of_size(n)
    singles = workload.singles
    out = np.empty(n + 1, dtype=SINGLE)
    rng = np.random.default_rng(2)
    jitter = rng.integers(-DISORDER_PS, DISORDER_PS, n)
    disordered = singles[np.argsort(singles["time_ps"] + jitter, kind="stable")]
    frames = frames_of(workload)
    accepted = out[: _selecting(workload, out)].copy()
    return {
        "singles": n,
        "select_Msps": rate(lambda: _selecting(workload, out), n, passes=passes),
        "order_disordered_Msps": rate(lambda: _ordering(disordered), n, passes=passes),
        "pair_ordered_Msps": rate(
            lambda: workload.sorter().push(accepted, int(END_OF_TIME_PS)),
            len(accepted),
            passes=passes,
        ),
        "frames_to_coincidences_Msps": rate(
            lambda: _chain(workload, frames, 24 * 8), n, passes=passes
        ),
        "copy_GBps": _copy_speed(),
        "peers": {"numpy_searchsorted_Msps": rate(lambda: numpy_pairs(singles), n, passes=passes)},
    }


def numpy_pairs(singles: npt.NDArray[np.void]) -> int:
    """Count window and pairs of ordered singles with numpy alone: the peer anybody can write."""
    good = singles[(singles["energy"] >= 4350) & (singles["energy"] <= 6500)]
    times = good["time_ps"]
    ends = np.searchsorted(times, times + WINDOW_PS, side="right")
    first = np.repeat(np.arange(len(times)), ends - np.arange(len(times)) - 1)
    offset = np.arange(len(first)) - np.searchsorted(first, first)  # 0, 1, … within a window
    second = first + 1 + offset
    return int(np.count_nonzero(good["crystal"][first] // 256 != good["crystal"][second] // 256))


def _copy_speed() -> float:
    source = np.zeros(1 << 27, dtype=np.uint8)
    target = np.empty_like(source)
    copies = rate(lambda: np.copyto(target, source), source.size, passes=5)
    return copies * 1e6 * 2 / 1e9
