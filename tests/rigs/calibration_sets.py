"""Calibration sets as other versions of the program made them."""

from __future__ import annotations

import msgspec

from daq.folder import calibration_set
from daq.folder.calibration_set import CalibrationSet


def as_version(made: CalibrationSet, version: int) -> CalibrationSet:
    """Return a set as another version's program made it, with that one's hash."""
    about = msgspec.structs.replace(made.about, version=version, hash="")
    found = calibration_set._content_hash(about, calibration_set.arrays_of(made))
    return msgspec.structs.replace(made, about=msgspec.structs.replace(about, hash=found))
