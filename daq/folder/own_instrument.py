"""Whether a calibration set is of a run's own instrument, by the serial number that both name.

A set that names none is trusted to whoever asks for it.
"""

from __future__ import annotations

from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import CalibrationSet


def of_another_instrument(found: CalibrationSet, serial: str, *, what: str, name: str = "") -> str:
    """Return in words that a set names another serial number than ``serial``, "" if it does not.

    Parameters
    ----------
    serial : of what the set is asked for, "" where that names none
    what : that thing: "this source", "this run"
    name : of the set, such as its file's; without, its name and hash
    """
    about = found.about
    if about.serial in ("", serial):
        return ""
    named = f"is {serial}" if serial else "names none"
    return f"the set {name or found.identity} is of serial number {about.serial}, {what} {named}"


def check_instrument(found: CalibrationSet, serial: str) -> None:
    """Raise CalibrationSetError where a set names another serial number than the run it is for."""
    if why := of_another_instrument(found, serial, what="this run"):
        raise CalibrationSetError(
            f"{why}: give a set of that instrument, or make one from its runs with "
            "`tomoshibi calibrate`"
        )
