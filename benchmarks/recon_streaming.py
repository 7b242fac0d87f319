"""Times a streamed reconstruction: prepared events through the disk, iterations, memory.

    python benchmarks/recon_streaming.py --millions 2 8 24 --iterations 4 --subsets 8

Lines are drawn through points of a 90 mm sphere to a ring of 134 mm, on CareMiBrain's grid. Drawing
them is not timed; building the store (checks, order, dealing, writing) and the iterations are.
``others_share`` is the share of iterations outside the projector. ``_cpu_s`` is processor time of
all threads, which hardly depends on the machine's other load. ``peak_MB`` is the process's own
memory (RssAnon), sampled at every update.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from daq.cli.bench.yardstick import yardstick
from recon.core.detector_response import detector_resolution
from recon.core.events import EventList, Lors
from recon.core.grid import Image, ImageGrid
from recon.em.event_store import EventStore
from recon.em.list_mode_osem import osem
from recon.em.penalised import RelativeDifference
from recon.projector.operator import Projector

RADIUS_MM, HALF_LENGTH_MM, SPHERE_MM = 134.0, 77.0, 90.0
GRID = ImageGrid((110, 110, 78), (2.0, 2.0, 2.0))
PART = 500_000


def drawn(count: int, *, seed: int) -> EventList:
    """Return about ``count`` lines from wall to wall through points of the sphere."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 3))
    points *= (
        SPHERE_MM * rng.random((count, 1)) ** (1 / 3) / np.linalg.norm(points, axis=1)[:, None]
    )
    along = rng.normal(size=(count, 3))
    a = (along[:, :2] ** 2).sum(1)
    b = (points[:, :2] * along[:, :2]).sum(1)
    root = np.sqrt(b * b - a * ((points[:, :2] ** 2).sum(1) - RADIUS_MM**2))
    ends = [points + along * ((sign * root - b) / a)[:, None] for sign in (-1, 1)]
    seen = np.all([np.abs(end[:, 2]) < HALF_LENGTH_MM for end in ends], axis=0)
    start, end = (np.ascontiguousarray(end[seen], dtype=np.float32) for end in ends)
    return EventList.plain(Lors(start, end))


def parts(millions: float, drawing: list[float]) -> Iterator[EventList]:
    """Yield the events in parts, noting the processor time it took to draw them."""
    left, seed = round(millions * 1e6), 0
    while left > 0:
        begun = time.process_time()
        events = drawn(PART, seed=seed)
        events = events.take(slice(0, min(left, len(events))))
        left -= len(events)
        seed += 1
        drawing.append(time.process_time() - begun)
        yield events


def own_memory_MB() -> float:
    """Return the process's anonymous memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1e3 for line in status.splitlines() if "RssAnon" in line)


class TimedProjector(Projector):
    """A projector that sums the time spent in it."""

    seconds = 0.0

    def em_chunks(self, *args: object, **options: object):  # type: ignore[no-untyped-def]
        """Time :meth:`Projector.em_chunks`."""
        begun = time.perf_counter()
        try:
            return super().em_chunks(*args, **options)  # type: ignore[arg-type]
        finally:
            self.seconds += time.perf_counter() - begun


def measured(millions: float, options: argparse.Namespace) -> dict[str, float]:
    """Return times and memory of one reconstruction."""
    drawing: list[float] = []
    memory: list[float] = []
    exposure: Image = np.ones(GRID.shape, dtype=np.float32)
    begun = time.process_time()
    store = EventStore.build(parts(millions, drawing), subsets=options.subsets)
    built = time.process_time() - begun - sum(drawing)
    resolution = None
    if options.psf:
        from hw.scanner.preset_file import load_scanner

        resolution = detector_resolution(load_scanner("caremibrain"), GRID, threads=options.threads)
    projector = TimedProjector(GRID, threads=options.threads)
    begun, begun_cpu = time.perf_counter(), time.process_time()
    osem(
        projector,
        store,
        exposure,
        GRID.cylinder(108.0),
        iterations=options.iterations,
        resolution=resolution,
        prior=RelativeDifference(options.beta) if options.beta else None,
        progress=lambda *_: memory.append(own_memory_MB()),
    )
    iterated, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    projector.close()
    events = len(store)
    on_disk = store.on_disk
    store.close()
    return {
        "events": events,
        "on_disk": on_disk,
        "build_cpu_s": round(built, 2),
        "iterate_s": round(iterated, 2),
        "iterate_cpu_s": round(cpu, 2),
        "others_share": round(1 - projector.seconds / iterated, 3),
        "em_MLOR_per_cpu_s": round(events * options.iterations / cpu / 1e6, 2),
        "peak_MB": round(max(memory)),
    }


def main() -> None:
    """Measure and print one line of JSON per length."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--millions", type=float, nargs="+", default=[2.0, 8.0, 24.0])
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--subsets", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--psf", action="store_true", help="with the detectors' resolution")
    parser.add_argument("--beta", type=float, default=0.0, help="with the prior (BSREM)")
    options = parser.parse_args()
    measured(0.05, options)  # compiles
    for millions in options.millions:
        print(json.dumps(measured(millions, options) | {"yardstick": yardstick()}), flush=True)


if __name__ == "__main__":
    main()
