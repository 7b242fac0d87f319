"""Hits mode: what an emulator that stands in front of firmware modules does, and what it cannot do.

Frames, their numbers and their way are the firmware's and the link's there: faults of frames are
refused. Faults of clocks, crystals, temperature and power show in the hits, the marks and the
weather of the window.
"""

from __future__ import annotations

from emulator.config import EmulationError, EmulatorConfig
from emulator.fault_kinds import FRAME_KINDS, Fault, FaultError

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
