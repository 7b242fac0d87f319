"""How a patient lies in the scanner: a setting of a run, in the terms of DICOM (PS3.3 C.7.3.1.1.2).

``H`` or ``F``: head or feet first, towards +z of the scanner's frame. Then ``S`` supine, ``P``
prone, ``DR`` on the right side, ``DL`` on the left side.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from hw.arrays import F8

PatientPosition = Literal["unknown", "HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL"]

UNKNOWN: PatientPosition = "unknown"
"""Nobody said it: images are written as for head first, supine, and say that it is not known."""

PATIENT_POSITIONS: tuple[PatientPosition, ...] = get_args(PatientPosition)

AXES: dict[PatientPosition, str] = {
    "unknown": "LPS",
    "HFS": "LPS",
    "HFP": "RAS",
    "HFDR": "PRS",
    "HFDL": "ALS",
    "FFS": "RPI",
    "FFP": "LAI",
    "FFDR": "ARI",
    "FFDL": "PLI",
}
"""Where the scanner's −x, −y (down) and +z point in the patient. Right-handed: in HFP, what is down
is the front and −x is the right; FF turns −x and z."""

_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}
_RAS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1),
        "I": (0, 0, -1)}  # fmt: skip
_SHOWN = {"S": "H", "I": "F"}
"""Pictures say head and feet where coordinates say superior and inferior."""


def position_named(text: str, *, otherwise: PatientPosition) -> PatientPosition:
    """Return the position of a name, ``otherwise`` where it names none."""
    return next((one for one in PATIENT_POSITIONS if one == text), otherwise)


def axes_in_patient(position: PatientPosition) -> F8:
    """Return (3, 3): columns are where x, y and z of the scanner's frame point in the patient, in
    RAS (right, anterior, superior). A rotation; its transpose leads back.
    """
    towards = AXES[position]
    pointing = (_OPPOSITE[towards[0]], _OPPOSITE[towards[1]], towards[2])
    return np.array([_RAS[letter] for letter in pointing], dtype=np.float64).T


def ends_of_axes(position: PatientPosition) -> dict[str, tuple[str, str]]:
    """Return, for x, y and z of the scanner's frame, the letters at the negative and positive end:
    R, L, A, P, H or F; −x and +x and so on where the position is not known.
    """
    if position == UNKNOWN:
        return {axis: (f"\N{MINUS SIGN}{axis}", f"+{axis}") for axis in "xyz"}
    towards = AXES[position]
    ends = (
        (towards[0], _OPPOSITE[towards[0]]),
        (towards[1], _OPPOSITE[towards[1]]),
        (_OPPOSITE[towards[2]], towards[2]),
    )
    return {
        axis: (_SHOWN.get(low, low), _SHOWN.get(high, high))
        for axis, (low, high) in zip("xyz", ends, strict=True)
    }
