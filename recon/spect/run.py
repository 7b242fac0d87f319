"""What a SPECT reconstruction is given: the run and what is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hw.arrays import Records
from hw.messages.sort_settings import EnergyWindow
from hw.scanner.description import Scanner
from recon.core.grid import Image
from recon.spect.views import VIEW_DEG

Chunk = tuple[Records, Records, int]
"""Singles, angles that came before them, and the time up to which both are complete, ps."""


@dataclass(frozen=True)
class SpectOptions:
    """What is asked for.

    peaks : names of photopeak windows; () for all of the run
    scatter : ``auto`` takes TEW where the run has the windows, with what it misses by a trial
        where there is a µ map, and says so where not; ``tew`` and ``dew`` take the windows alone
    attenuation, collimator_response, decay, dead_time : whether corrected
    sensitivity_cps_per_MBq : measured, of all peaks chosen together, in place of the computed one
    list_mode : whether events are taken one by one
    """

    iterations: int = 4
    subsets: int = 8
    peaks: tuple[str, ...] = ()
    scatter: Literal["auto", "tew", "dew", "none"] = "auto"
    attenuation: bool = True
    collimator_response: bool = True
    decay: bool = True
    dead_time: bool = True
    sensitivity_cps_per_MBq: float | None = None
    view_deg: float = VIEW_DEG
    list_mode: bool = False
    fwhm_mm: float = 0.0
    threads: int = 2


@dataclass(frozen=True)
class SpectRun:
    """What is known of a run.

    mu : µ at 511 keV on the scanner's image grid, 1/mm, where there is a map
    live_share : of each module, where the run's books have it
    end_s : how long the run was; 0: until its last single
    calibrated : whether the crystals' gains were calibrated
    """

    scanner: Scanner
    windows: tuple[EnergyWindow, ...]
    chunks: Iterable[Chunk]
    mu: Image | None = None
    live_share: tuple[float, ...] | None = None
    end_s: float = 0.0
    calibrated: bool = True
