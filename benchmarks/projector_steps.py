"""Where a projected line's time goes, CPU ns per line.

Its figures are in docs/reconstruction/projector.md.

    python benchmarks/projector_steps.py [--lines 262144]

One thread, the workload of `tomoshibi bench projector`, plain and TOF; each step includes the ones
before it (order, set-up, recording, then forward or back, or both in EM). Figures are the least of
several passes, in CPU time: on a busy machine compare ratios, also to the yardstick printed with
them. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from daq.cli.bench.projector_workload import ring_workload
from daq.cli.bench.yardstick import yardstick
from hw.jit import bare_kernel
from recon.core.tof import NO_TOF
from recon.projector.event_order import put_in_order
from recon.projector.joseph_kernels import (
    BLOCK,
    _set_up,
    _write_ray,
    back_events,
    em_events,
    forward_events,
    new_scratch,
)

PASSES = 9


@bare_kernel
def set_up_all(order, count, lattice, tof, block):
    """Set up a sorted batch."""
    for begin in range(0, count, BLOCK):
        _set_up(order, begin, min(BLOCK, count - begin), lattice, tof, block)


@bare_kernel
def write_all(order, count, lattice, tof, block, limit, voxel, weight):
    """Set up a batch, record every ray and return the planes."""
    planes = 0
    for begin in range(0, count, BLOCK):
        n = min(BLOCK, count - begin)
        _set_up(order, begin, n, lattice, tof, block)
        for r in range(n):
            planes += _write_ray(block, r, lattice, tof, limit, voxel, weight)[0]
    return planes


def least_ns(work: Callable[[], object], lines: int) -> float:
    """Return the least CPU time of a pass, ns per line."""
    work()
    seconds = []
    for _ in range(PASSES):
        began = time.thread_time()
        work()
        seconds.append(time.thread_time() - began)
    return round(min(seconds) / lines * 1e9, 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1 << 18)
    n = parser.parse_args().lines
    workload = ring_workload(n)
    lattice = workload.grid.lattice
    scratch = new_scratch(lattice)
    flat = workload.grid.padded(workload.image)
    back = np.zeros_like(flat)
    out, totals, none = np.zeros(n, np.float32), np.zeros(4), np.zeros(0, np.float32)
    report: dict[str, dict[str, float]] = {}
    for name, tof in (("nontof", NO_TOF), ("tof", workload.tof.table())):
        lors = workload.lors if name == "tof" else workload.plain
        lines = (lors.start, lors.end, lors.offset_mm)
        rays = (*lines, lattice, tof, scratch, 0, 1, n)
        order, block = scratch.order, scratch.block
        statistics = (workload.values, none)
        ordered = (order, n, lattice, tof, block)
        writing = (*ordered, len(flat) - 1 - int(lattice.stride[:2].sum()))
        steps = {
            "order": lambda lines=lines: put_in_order(*lines, 120.0, 50.0, 0, 1, n, scratch.order),
            "set_up": lambda a=ordered: set_up_all(*a),
            "set_up_write": lambda a=writing: write_all(*a, scratch.voxel, scratch.weight),
            "forward": lambda a=rays: forward_events(flat, *a, out),
            "back": lambda a=rays: back_events(back, *a, workload.values),
            "em": lambda a=rays, s=statistics: em_events(flat, back, *a, *s, totals),
        }
        report[name] = {what: least_ns(work, n) for what, work in steps.items()}
        planes = write_all(*writing, scratch.voxel, scratch.weight)
        report[name]["planes_a_line"] = round(planes / n, 1)
    print(json.dumps(report | {"yardstick": yardstick()}))


if __name__ == "__main__":
    main()
