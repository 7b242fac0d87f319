"""The input of a SPECT reconstruction: the run and the options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal

from daq.folder.run_identity import UNIDENTIFIED, RunIdentity
from hw.arrays import Records
from hw.messages.sort_settings import EnergyWindow
from hw.scanner.description import Scanner
from recon.core.asked import asked, check_options
from recon.core.grid import Image
from recon.spect.views import VIEW_DEG

Chunk = tuple[Records, Records, int]
"""Singles, the angles before them, and the time (ps) up to which both are complete."""


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


_asked = partial(asked, group="SPECT", modality="SPECT")


@dataclass(frozen=True)
class SpectOptions:
    """The options. Some fields are explained beside them; the others are:

    scatter : ``auto`` uses TEW if the run has the windows, plus what it misses (by a trial) if
        there is a µ map, and says so if not; ``tew`` and ``dew`` use the windows alone
    attenuation, decay, dead_time : whether to correct for them
    fwhm_mm : of a Gaussian post-filter, 0 for none
    """

    # fmt: off
    iterations: int = asked(4, bounds=(1, 1000))
    subsets: int = asked(8, bounds=(1, 1000))
    peaks: tuple[str, ...] = _asked(
        (), "photopeak windows, such as Lu-177_113,Lu-177_208 (default: all of the run, as one "
        "image)", metavar="NAMES", parse=_names)
    scatter: Literal["auto", "tew", "dew", "none"] = _asked(
        "auto", "scatter from three or two energy windows, or none (default: tew if the run has "
        "the windows)", option="scatter_windows")
    attenuation: bool = True
    collimator_response: bool = _asked(True, "leave out the collimator's blur")
    decay: bool = asked(True)
    dead_time: bool = asked(True)
    sensitivity_cps_per_MBq: float | None = _asked(
        None, "measured sensitivity of the peaks together, instead of the computed one",
        metavar="S", bounds=(1e-3, 1e7), parse=float)
    view_deg: float = _asked(
        VIEW_DEG, "width of a view (default: %(default)g)", metavar="DEG", bounds=(0.1, 90))
    list_mode: bool = _asked(False, "use events one by one, not binned views")
    fwhm_mm: float = asked(0.0, bounds=(0, 100))
    threads: int = asked(2, bounds=(1, 64))
    # fmt: on

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class SpectRun:
    """What is known about a run.

    mu : µ at 511 keV on the scanner's image grid, 1/mm, if there is a map
    live_share : of each module, if the run recorded it
    end_s : duration of the run; 0: until its last single
    calibrated : whether the crystals' gains were calibrated
    start : wall clock of the run's start, or None
    hash : identity of the singles, "" if unknown
    identity : its UIDs and how the patient lay
    """

    scanner: Scanner
    windows: tuple[EnergyWindow, ...]
    chunks: Iterable[Chunk]
    mu: Image | None = None
    live_share: tuple[float, ...] | None = None
    end_s: float = 0.0
    calibrated: bool = True
    start: datetime | None = None
    hash: str = ""
    identity: RunIdentity = UNIDENTIFIED
