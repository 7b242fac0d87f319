"""A live image that has to be refined at the end, against offline OSEM.

Its figures are in docs/reconstruction/live_image.md.

    tomoshibi demo --headless --fast --phantom brain --duration 150 --name long
    python benchmarks/recon_live.py RUN [--prompts 5000000] [--ring 2000000] [--filter-mm 4]

The run's prompts are played through the live imager, 80 ms of detector time at a time with 20 ms of
projecting each, with a ring too small for them and without a spool; then it gets its time for the
last image. This is compared with 4 × 8 OSEM of the same events. Both use the sensitivity alone.
Prints one JSON object: NRMSE in the object (where the reference, filtered by 8 mm, is above a fifth
of its maximum), as reconstructed and filtered; the ratio of the sums there; how the last image was
made.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from coincidence.events import COINCIDENCE
from recon.core.display_filter import gaussian
from recon.core.grid import Image
from recon.core.scanner_tables import ReconSystem
from recon.em.event_store import EventStore
from recon.em.list_mode_osem import osem
from recon.em.sensitivity import support_mask
from recon.em.sensitivity_cache import sensitivity
from recon.lines.model import LineModel
from recon.live.final_image import finish
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from recon.offline.run_reader import run_data
from recon.projector.operator import Projector

TURN_S, BUDGET_S, FINISH_S = 0.08, 0.02, 90.0
PART = 500_000


def played(system: ReconSystem, seen: Image, records: np.ndarray, ring: int) -> LiveImager:
    """Return an imager that has received the records in steps of detector time."""
    imager = LiveImager(CrystalLines(system), seen, clock=time.perf_counter, capacity=ring)
    ends_s = np.arange(TURN_S, records["time_ps"][-1] * 1e-12 + TURN_S, TURN_S)
    places = np.searchsorted(records["time_ps"], ends_s * 1e12)
    nothing = np.empty(0, COINCIDENCE)
    for first, last, end_s in zip([0, *places[:-1]], places, ends_s, strict=True):
        imager.receive(records[first:last], nothing, watermark_ps=round(end_s * 1e12))
        imager.update(budget_s=BUDGET_S, catch_up_s=TURN_S)
    return imager


def reference(system: ReconSystem, seen: Image, records: np.ndarray, seconds: float) -> Image:
    """Return offline OSEM of the records."""
    parts = np.array_split(records, max(1, len(records) // PART))
    model = LineModel(system)
    with EventStore.build((model.events(part) for part in parts), subsets=8) as store:
        mask = support_mask(seen, system.grid)
        projector = Projector(system.grid, tof=system.tof, threads=2)
        return osem(projector, store, seen * np.float32(seconds), mask).image


def main() -> None:
    """Play, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--prompts", type=int, default=5_000_000)
    parser.add_argument("--ring", type=int, default=2_000_000)
    parser.add_argument("--filter-mm", type=float, default=4.0)
    options = parser.parse_args()
    data = run_data(options.run)
    system = ReconSystem.of(data.scanner)
    records = first_of(data.prompts(), options.prompts)
    seen = sensitivity(system, threads=2)
    imager = played(system, seen, records, options.ring)
    made = finish(imager, within_s=FINISH_S)
    offline = reference(system, seen, records, imager.seconds)
    smooth = gaussian(offline, system.grid, fwhm_mm=8.0)
    there = smooth > 0.2 * smooth.max()
    told = {}
    for mm in (0.0, options.filter_mm):
        pair = (gaussian(one, system.grid, fwhm_mm=mm)[there] for one in (imager.estimate, offline))
        told[f"filter of {mm:g} mm"] = nrmse(*pair)
    print(json.dumps({
        "prompts": len(records),
        "how": made.how,
        "nrmse": told,
        "sum_over_offline": round(float(imager.estimate[there].sum() / offline[there].sum()), 4),
    }, indent=1))  # fmt: skip
    imager.close()


def first_of(parts: Iterable[np.ndarray], count: int) -> np.ndarray:
    """Return the first records of a run."""
    kept, have = [], 0
    for part in parts:
        kept.append(part[: count - have])
        have += len(kept[-1])
        if have == count:
            break
    return np.concatenate(kept)


def nrmse(values: np.ndarray, wanted: np.ndarray) -> float:
    """Return the root mean square difference over the mean."""
    return round(float(np.sqrt(np.mean((values - wanted) ** 2)) / wanted.mean()), 4)


if __name__ == "__main__":
    main()
