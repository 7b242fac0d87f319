"""How a patient lies in the scanner: a setting of a run, in the terms of DICOM (PS3.3 C.7.3.1.1.2).

``H`` or ``F``: head or feet first, towards +z of the scanner's frame. Then ``S`` supine, ``P``
prone, ``DR`` on the right side, ``DL`` on the left side.
"""

from __future__ import annotations

from typing import Literal, get_args

PatientPosition = Literal["unknown", "HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL"]

UNKNOWN: PatientPosition = "unknown"
"""Nobody said it: images are written as for head first, supine, and say that it is not known."""

PATIENT_POSITIONS: tuple[PatientPosition, ...] = get_args(PatientPosition)
