"""A run's events as columns with names that carry their unit, as pandas, polars and ROOT take them.

Records become columns of plain numbers, nothing is rounded and nothing left out: times in ps of
detector time from the run's start, crystals as everywhere in the run (the table of crystals says
where they are), energies in keV (kept to 0.1 keV), depth bins from 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence.events import ANGLE_STEP_DEG, WINDOW_SHIFT
from hw.arrays import Records
from hw.scanner.geometry import Geometry

Columns = dict[str, npt.NDArray[Any]]

KEV_PER_STEP = np.float32(0.1)


def coincidence_columns(prompts: Records, delayeds: Records) -> Columns:
    """Return prompts and delayeds of one interval in order of time; ``delayed`` tells them apart.

    ``tof_ps`` is t_b − t_a; ``window`` is the number of a delayed's window, from 0.
    """
    both = np.concatenate([prompts, delayeds])
    delayed = np.repeat(np.array([0, 1], np.uint8), [len(prompts), len(delayeds)])
    order = np.argsort(both["time_ps"], kind="stable")
    both, delayed = both[order], delayed[order]
    made: Columns = {"time_ps": both["time_ps"], "delayed": delayed}
    made |= {name: both[name] for name in ("crystal_a", "crystal_b", "tof_ps")}
    made |= {f"energy_{end}_keV": both[f"energy_{end}"] * KEV_PER_STEP for end in "ab"}
    made |= {name: both[name] for name in ("doi_a", "doi_b", "window", "flags")}
    return made


def single_columns(singles: Records) -> Columns:
    """Return windowed singles; ``window`` counts from 1 in the order of the run's windows."""
    return {
        "time_ps": singles["time_ps"],
        "crystal": singles["crystal"],
        "energy_keV": singles["energy"] * KEV_PER_STEP,
        "doi": singles["doi"],
        "window": singles["flags"] >> WINDOW_SHIFT,
        "flags": singles["flags"] & ((1 << WINDOW_SHIFT) - 1),
    }


def sent_columns(singles: Records) -> Columns:
    """Return singles as the modules sent them; ``flags`` are those of the event words."""
    made = {name: singles[name] for name in ("time_ps", "crystal", "doi", "flags")}
    return {**made, "energy_keV": singles["energy"] * KEV_PER_STEP}


def angle_columns(angles: Records) -> Columns:
    """Return from when on a module stood at which angle."""
    return {
        "time_ps": angles["time_ps"],
        "module": angles["module"],
        "angle_deg": angles["steps"] * ANGLE_STEP_DEG,
    }


def crystal_columns(geometry: Geometry) -> Columns:
    """Return of each crystal the middle of its front face in mm, and where it looks."""
    made: Columns = {"crystal": np.arange(len(geometry.crystal_front_mm), dtype=np.uint32)}
    for number, axis in enumerate("xyz"):
        made[f"{axis}_mm"] = geometry.crystal_front_mm[:, number].astype(np.float32)
    for number, axis in enumerate("xyz"):
        made[f"normal_{axis}"] = geometry.crystal_normal[:, number].astype(np.float32)
    return made
