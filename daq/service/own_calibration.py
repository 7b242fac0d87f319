"""Which calibration a run takes: that of its source's instrument, another asked for, or none.

A set is applied only to the instrument that it names. Where a run stays uncalibrated, its
configuration says why, and so do its images.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from daq.folder.calibration_set import load_set_for
from daq.folder.own_instrument import of_another_instrument
from daq.folder.run_config import FACTORY, NO_SERIAL, RunConfig
from hw.scanner.serial import activity_beside, factory_calibration


def calibrated(asked: RunConfig, serial: str) -> RunConfig:
    """Return the configuration with the set, and the activity calibration beside it, that it takes.

    Parameters
    ----------
    asked : ``calibration`` is a path, ``FACTORY`` or ""; a set that names no serial number is taken
        at the word of who asks for it
    serial : of the instrument, "" where its source names none

    Raises
    ------
    CalibrationSetError
        where the set cannot be read, or is another scanner's.
    """
    path, why = _set_of(asked, serial)
    if path is None:
        return msgspec.structs.replace(asked, serial=serial, calibration="", uncalibrated=why)
    activity = activity_beside(path)
    live = asked.live
    if activity is not None and not live.activity:
        live = msgspec.structs.replace(live, activity=str(activity))
    return msgspec.structs.replace(
        asked, serial=serial, calibration=str(path), uncalibrated="", live=live
    )


def _set_of(asked: RunConfig, serial: str) -> tuple[Path | None, str]:
    """Return the set to apply, or None and why not."""
    if not asked.calibration:
        return None, asked.uncalibrated or "none was asked for"
    if asked.calibration == FACTORY:
        if not serial:
            return None, NO_SERIAL
        path = factory_calibration(serial)
        return path, "" if path else f"there is no factory calibration of serial number {serial}"
    path = Path(asked.calibration)
    found = load_set_for(path, asked.scanner())
    why = of_another_instrument(found, serial, what="this source", name=path.name)
    return (None if why else path), why
