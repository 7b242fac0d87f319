"""What activity this machine can follow in real time, measured in a moment before a run.

The full Monte Carlo shares the processors with the rest of the chain. What a slice costs is
measured as processor time, at two activities, so that other processes that are just starting do
not count; a share of the processors is left to acquisition, imager and console.
"""

from __future__ import annotations

import os
import statistics
import time

import msgspec

from emulator.config import EmulatorConfig
from emulator.engines.emulation import Emulation
from emulator.engines.instrument import Instrument
from emulator.slices import PERIOD_S

MEASURED_S = 0.15
"""Processor time spent at each of the two activities."""

FEWEST_SLICES, MOST_SLICES = 5, 80
SHARE_OF_ONE = 0.12
"""Of a single processor that all processes share."""

SHARE_OF_MORE = 0.55
"""Of each processor but the first. Far from 1: two processors may be halves of one, and what was
measured alone then takes more."""

MOST_OF_A_THREAD = 0.85
MOST_THREADS = 8
STEPS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
"""An activity is rounded down to one of these, times a power of ten."""


def at_its_pace(config: EmulatorConfig, instrument: Instrument) -> tuple[EmulatorConfig, str]:
    """Return the configuration that this machine can follow, and what a person should know.

    With ``config.follow`` the activity is lowered to what can be followed; without, it stays, and
    the words say beforehand that emulated time will fall behind. "" where all is well.
    """
    if config.pace != "real-time" or not (config.follow or _is_heavy(config)):
        return config, ""
    cores = len(os.sched_getaffinity(0))
    if config.follow and cores > 2:  # the data do not depend on the number of threads
        threads = max(config.threads, min(MOST_THREADS, cores - 1))
        config = msgspec.structs.replace(config, threads=threads)
    follows_Bq = followed_Bq(config, instrument, cores=cores)
    asked, can = f"{config.activity_Bq / 1e6:g} MBq", f"{follows_Bq / 1e6:g} MBq"
    if follows_Bq >= config.activity_Bq:
        return config, f"{asked}: this machine follows in real time" if config.follow else ""
    if config.follow:
        lowered = msgspec.structs.replace(config, activity_Bq=follows_Bq)
        return (
            lowered,
            f"{can}: what this machine follows in real time (--activity-MBq for another)",
        )
    faster = "" if config.library else "; --library follows more, but its images do not clear"
    return config, (
        f"{asked} cannot be followed in real time by this machine, emulated time will fall "
        f"behind: about {can} can{faster}"
    )


def _is_heavy(config: EmulatorConfig) -> bool:
    """Whether it is worth a look: any machine follows little."""
    return config.activity_Bq > 1e5 and not config.hits


def followed_Bq(config: EmulatorConfig, instrument: Instrument, *, cores: int) -> float:
    """Return the highest activity that can be followed with so many processors, rounded down."""
    low_Bq, high_Bq = config.activity_Bq / 10, config.activity_Bq
    low, high = (_load(config, instrument, activity_Bq) for activity_Bq in (low_Bq, high_Bq))
    per_Bq = max((high - low) / (high_Bq - low_Bq), 1e-12)
    idle = max(0.0, low - per_Bq * low_Bq)
    share = SHARE_OF_ONE if cores == 1 else SHARE_OF_MORE * (cores - 1)
    share = min(share, MOST_OF_A_THREAD * config.threads + idle)
    return rounded_down(max(share - idle, 0.01) / per_Bq)


def _load(config: EmulatorConfig, instrument: Instrument, activity_Bq: float) -> float:
    """Return how much of a processor the emulation of an activity takes in real time.

    The median of slices: what other processes do to a few of them does not count.
    """
    emulation = Emulation(instrument, activity_Bq=activity_Bq, seed=config.seed)
    spent_s: list[float] = []
    while len(spent_s) < FEWEST_SLICES or (
        sum(spent_s) < MEASURED_S and len(spent_s) < MOST_SLICES
    ):
        began = time.thread_time()
        emulation.digitize(emulation.emulate_slice(len(spent_s)))
        spent_s.append(time.thread_time() - began)
    return statistics.median(spent_s) / PERIOD_S


def rounded_down(activity_Bq: float) -> float:
    """Return the next lower of ``STEPS`` times a power of ten."""
    decade = 1.0
    while decade * 10 <= activity_Bq:
        decade *= 10
    while decade > activity_Bq:
        decade /= 10
    return max(step * decade for step in STEPS if step * decade <= activity_Bq)
