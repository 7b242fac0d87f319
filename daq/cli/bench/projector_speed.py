"""The projector's benchmark: forward, back and one EM pass, plain and TOF.

Every pass takes the lines in the order given; what the projector does to them (sorting, for
instance) is included in the time. The peers' figures are for the same workload on a machine with
two cores; none of them is on PyPI, so none can run beside ours (``PEERS_ABSENT``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from daq.cli.bench.measuring import median_seconds
from daq.cli.bench.projector_workload import ProjectorWorkload
from recon.core.events import EventList
from recon.projector.operator import Projector

THREADS = 2
PASSES = 5

QUOTED_MLORPS = {
    "parallelproj, best build (quoted, 2 cores)": {
        "nontof_forward": 2.76, "nontof_back": 1.07, "tof_forward": 1.50, "tof_back": 0.78,
        "nontof_em": 0.77, "tof_em": 0.51,
    },
    "YRT-PET 2.0.7 (quoted, 2 cores)": {
        "nontof_forward": 1.73, "nontof_back": 0.42, "tof_forward": 2.16, "tof_back": 0.89,
        "nontof_em": 0.43, "tof_em": 0.53,
    },
    "CASToR 3 (quoted, 2 cores)": {"nontof_em": 0.48, "tof_em": 0.65},
    "STIR (quoted, 2 cores)": {"nontof_em": 0.49},
}  # fmt: skip

PEERS_ABSENT = {
    "parallelproj": "not on PyPI (conda-forge only)",
    "PyTomography": "on PyPI, but its list mode imports parallelproj, which is not",
}


def measure_projector(workload: ProjectorWorkload, *, passes: int = PASSES) -> dict[str, Any]:
    """Return M lines/s of forward, back and one EM pass on one and two threads, plain and TOF."""
    result: dict[str, Any] = {"lors": len(workload.lors)}
    for threads in (THREADS, 1):
        suffix = "" if threads == THREADS else "_one_thread"
        for name in ("nontof", "tof"):
            lors = workload.lors if name == "tof" else workload.plain
            tof = workload.tof if name == "tof" else None
            projector = Projector(workload.grid, tof=tof, threads=threads)
            events = EventList.plain(lors)
            works = {
                "forward": lambda p=projector, e=lors: p.forward(workload.image, e),
                "back": lambda p=projector, e=lors: p.back(workload.values, e),
                "em": lambda p=projector, e=events: p.em(workload.image, e),
            }
            for what, work in works.items():
                seconds = median_seconds(work, passes=passes)
                result[f"{name}_{what}_MLORps{suffix}"] = len(lors) / seconds / 1e6
            projector.close()
    return {**result, "peers": QUOTED_MLORPS, "peers_absent": PEERS_ABSENT}


def save_projections(path: Path, workload: ProjectorWorkload) -> None:
    """Write the forward and back projections, to compare with other projectors."""
    found: dict[str, Any] = {}
    for name, lors, tof in (
        ("nontof", workload.plain, None),
        ("tof", workload.lors, workload.tof),
    ):
        projector = Projector(workload.grid, tof=tof, threads=THREADS)
        found[f"{name}_forward"] = projector.forward(workload.image, lors)
        found[f"{name}_back"] = projector.back(workload.values, lors)
        projector.close()
    with path.open("wb") as file:
        np.savez(file, **found)
