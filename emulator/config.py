"""What an emulation is: everything that decides its data, checked where it enters.

Hits mode: what an emulator that stands in front of firmware modules does, and what it cannot do.

Frames, their numbers and their way are the firmware's and the link's there: faults of frames are
refused. Faults of clocks, crystals, temperature and power show in the hits, the marks and the
weather of the window.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from emulator.fault_kinds import FRAME_KINDS, Fault, FaultError, FaultPlan
from hw.errors import TomoshibiError
from hw.wire.protocol import MAX_EVENTS

MAX_ACTIVITY_BQ = 1e9
"""Beyond this a period's frames do not fit the wire; a brain scan has a few 1e7 Bq."""

_BOUND = re.compile(r"Expected `\w+` (?P<sign>[<>]=?) (?P<bound>\S+) - at `\$\.(?P<name>\w+)`")
_SIGNS = {"<": "below", "<=": "at most", ">": "above", ">=": "at least"}
_REMEDIES = {
    "activity_Bq": " (--activity-MBq 1000), for more no link carries",
    "threads": "; the data do not depend on it",
    "queue_words": ", which is what a data frame holds",
}
"""What to say of an upper bound."""

Crystals = Annotated[int, Meta(ge=0)] | tuple[Annotated[int, Meta(ge=0)], ...]
"""How many crystals, drawn by the serial number; or which ones."""


class EmulationError(TomoshibiError):
    """An emulation that cannot be done; the message says what, the bound and the remedy."""


class EmulatorConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The settings of an emulator process.

    scanner : preset name or TOML path
    phantom : a name of ``emulator.object.catalogue.phantom_names()``
    nuclide : a name of ``hw.physics.nuclides.nuclide_names()``, or several with their shares of the
        activity at the start, such as ``Ga-68:0.3+Lu-177:0.7`` (without shares: equal ones)
    activity_Bq : decays per second of the whole phantom at the start of each run
    follow : whether less than that is taken where this machine cannot follow it in real time
    serial : number of the instrument, which decides the errors of its crystals and which are dead
        or noisy; "" for the preset's own (``hw.scanner.serial.standard_serial``)
    seed : decides every random number of the decays; run n of a process uses seed + n
    pace : "real-time" keeps to the wall clock, "fast" goes as fast as data are taken
    threads : Monte Carlo threads; the data do not depend on it
    look_ahead_s : how far the Monte Carlo may run ahead of what is sent (bounds memory)
    trigger_keV : the digitizer's own threshold, on the read-out energy
    queue_words : event words that a module can queue for one data frame; more are lost in it
    endpoint : base address of the system (``hw.messages.endpoints``)
    faults : what to do wrong on purpose
    lutetium : whether ¹⁷⁶Lu in the crystals decays
    dead_crystals : nothing of these is ever read out
    noisy_crystals : these trigger by themselves, ``noise_Hz`` times a second each
    positron_range : whether positrons travel before they annihilate
    tac : how the activity of each region changes beside its decay: ``bolus``, ``washout`` or the
        path of a CSV file (``emulator.object.kinetics``); "" not at all
    motion : how the object moves: ``breathing``, ``head`` or the path of a CSV file of poses
        (``emulator.object.motion``); "" not at all
    truth : folder for a truth file of each run, named by the run's tag; "run" puts it into the
        run's own folder, "" writes none
    library : load mode, which plays decays of an event library: its file, or "auto" for one kept
        in the cache folder; "" for the full Monte Carlo
    gantry : how a SPECT scanner moves: ``fixed:30``, ``step:32x10s`` or ``turn:6deg/s``; "" as
        its preset usually does (``emulator.spect.gantry_motion``)
    any_collimator : whether a collimator may stand before lines it is not made for
    hits : folder of the windows of firmware modules, which then get hits and marks in place of
        the frames that the emulator makes otherwise (``emulator.process.hit_writer``); "" without
    """

    scanner: str = "caremibrain"
    phantom: str = "brain"
    nuclide: str = "F-18"
    activity_Bq: Annotated[float, Meta(gt=0, le=MAX_ACTIVITY_BQ)] = 1e6
    follow: bool = False
    serial: str = ""
    seed: Annotated[int, Meta(ge=0, lt=2**62)] = 1
    pace: Literal["real-time", "fast"] = "real-time"
    threads: Annotated[int, Meta(ge=1, le=64)] = 1
    look_ahead_s: Annotated[float, Meta(gt=0, le=2.0)] = 0.15
    trigger_keV: Annotated[float, Meta(ge=30.0, le=500.0)] = 100.0
    queue_words: Annotated[int, Meta(ge=1, le=MAX_EVENTS)] = MAX_EVENTS
    endpoint: str = ""
    faults: FaultPlan = FaultPlan()
    lutetium: bool = False
    dead_crystals: Crystals = 0
    noisy_crystals: Crystals = 0
    noise_Hz: Annotated[float, Meta(gt=0, le=1e6)] = 20_000.0
    positron_range: bool = True
    tac: str = ""
    motion: str = ""
    library: str = ""
    truth: str = ""
    gantry: str = ""
    any_collimator: bool = False
    hits: str = ""


def make_config(values: dict[str, Any]) -> EmulatorConfig:
    """Return the configuration of settings by their names.

    Raises
    ------
    EmulationError
        naming the setting, its value and its bound.
    """
    try:
        return msgspec.convert(values, EmulatorConfig)
    except msgspec.ValidationError as error:
        raise EmulationError(_refusal(str(error), values)) from error


def _refusal(words: str, values: dict[str, Any]) -> str:
    """Return msgspec's words with the value and the remedy."""
    found = _BOUND.fullmatch(words)
    if found is None:
        return f"emulator setting: {words}"
    name = found["name"]
    remedy = _REMEDIES.get(name, "") if found["sign"] == "<=" else ""
    return (
        f"{name} is {values[name]:.10g}: give {_SIGNS[found['sign']]} "
        f"{float(found['bound']):.10g}{remedy}"
    )


def check_config(config: EmulatorConfig) -> None:
    """Check every bound: structs made in Python are not checked when they are made.

    Raises
    ------
    EmulationError
        naming the setting and its bound.
    """
    make_config(msgspec.to_builtins(config))
    try:
        config.faults.faults()
    except FaultError as error:
        raise EmulationError(str(error)) from error


REFUSED = (*FRAME_KINDS, "stalled_link", "vanished_link", "counter_wrap")


def check_hit_fault(fault: Fault) -> None:
    """Refuse a fault of frames; raises FaultError."""
    if fault.kind in REFUSED:
        raise FaultError(
            f"fault {fault.describe()}: with firmware modules the frames are theirs, not the "
            "emulator's; choose a fault of clocks, crystals, temperature or power"
        )


def check_hit_mode(config: EmulatorConfig) -> None:
    """Refuse what hits mode cannot do; raises EmulationError."""
    if not config.hits:
        return
    if config.truth:
        raise EmulationError(
            "truth: which event words the firmware makes of the hits is not known to the "
            "emulator; leave --truth out, or run without firmware"
        )
    if config.faults.exact or config.faults.probability:
        raise EmulationError("faults of frames: with firmware modules the frames are theirs")
    try:
        for fault in config.faults.faults():
            check_hit_fault(fault)
    except FaultError as error:
        raise EmulationError(str(error)) from error
