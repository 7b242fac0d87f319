"""The projector's benchmark: random LORs through a 120 × 120 × 50 grid of 2 mm.

The workload is the one on which the peers were measured: 2 M LORs of a 300 mm ring.
"""

from __future__ import annotations

from typing import Any

import numpy as np

RING_RADIUS_MM = 150.0
AXIAL_MM = 100.0
CTR_PS = 250.0

PEERS = {
    "libparallelproj 2.0 (quoted, 2 cores)": {"nontof_em": 0.77, "tof_em": 0.51},
    "CASToR 3 (quoted, 2 cores)": {"nontof_em": 0.48, "tof_em": 0.65},
    "YRT-PET 2.0.7 (quoted, 2 cores)": {"nontof_em": 0.43, "tof_em": 0.53},
    "STIR (quoted, 2 cores)": {"nontof_em": 0.49},
}


def measure_projector(*, lors: int) -> dict[str, Any]:
    """Return M LOR/s of forward, back and one fused EM pass, with and without TOF, two threads."""
    from daq.bench_timing import median_seconds
    from recon.events import EventList, Lors
    from recon.grid import ImageGrid
    from recon.projector import Projector
    from recon.tof import TofModel

    grid = ImageGrid((120, 120, 50), (2.0, 2.0, 2.0))
    start, end, offset = _lines(lors)
    rng = np.random.default_rng(3)
    image = rng.uniform(0.5, 1.5, grid.shape).astype(np.float32)
    values = rng.uniform(0.5, 1.5, lors).astype(np.float32)
    result: dict[str, Any] = {"lors": lors}
    for name, tof in (("nontof", None), ("tof", TofModel.from_ctr(CTR_PS, bin_ps=50.0))):
        lines = Lors(start, end, offset if tof else np.zeros(0, np.float32))
        events = EventList.plain(lines)
        for threads in (1, 2):
            projector = Projector(grid, tof=tof, threads=threads)
            works = {
                "forward": lambda p=projector, e=lines: p.forward(image, e),
                "back": lambda p=projector, e=lines: p.back(values, e),
                "em": lambda p=projector, e=events: p.em(image, e),
            }
            for what, work in works.items():
                suffix = "" if threads == 2 else "_one_thread"
                result[f"{name}_{what}_MLORps{suffix}"] = (
                    lors / median_seconds(work, passes=3) / 1e6
                )
            projector.close()
    return {**result, "peers": PEERS}


def _lines(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random chords of the ring that pass within 100 mm of its axis, and TOF offsets in mm."""
    rng = np.random.default_rng(7)
    first = rng.uniform(0, 2 * np.pi, n)
    opening = rng.uniform(2 * np.arccos(100 / RING_RADIUS_MM), np.pi, n)
    ends = []
    for angle in (first, first + opening):
        z = rng.uniform(-AXIAL_MM / 2, AXIAL_MM / 2, n)
        ring = RING_RADIUS_MM * np.cos(angle), RING_RADIUS_MM * np.sin(angle)
        ends.append(np.stack((*ring, z), axis=1).astype(np.float32))
    return ends[0], ends[1], rng.normal(0, 40.0, n).astype(np.float32)
