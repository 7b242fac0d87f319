"""What a viewer makes of DICOM PET files: SUV, times, places, from the standard and QIBA's recipe.

Reads with pydicom alone and knows nothing of the program that wrote the files. Sources: PS3.3
C.8.9.1.1.2 and C.8.9.1.1.5 (series' time, decay correction), C.8.9.4.1.4 to C.8.9.4.1.6
(acquisition time, frame reference time, actual frame duration), C.7.6.2.1.1 (place of a pixel);
QIBA, "SUV: vendor-neutral pseudo-code", happy path.
"""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset


def series_in(folder: Path) -> list[list[Dataset]]:
    """Return the files of a folder by series (by number), each in order of the image index."""
    found: dict[str, list[Dataset]] = {}
    for path in folder.glob("*.dcm"):
        made = pydicom.dcmread(path)
        found.setdefault(made.SeriesInstanceUID, []).append(made)
    ordered = [sorted(files, key=lambda made: int(made.ImageIndex)) for files in found.values()]
    return sorted(ordered, key=lambda files: int(files[0].SeriesNumber))


def moment(made: Dataset, what: str) -> dt.datetime:
    """Return date and time of ``Series`` or ``Acquisition``, UTC."""
    text = f"{made[what + 'Date'].value}{made[what + 'Time'].value}{made.TimezoneOffsetFromUTC}"
    return dt.datetime.strptime(text, "%Y%m%d%H%M%S.%f%z")


def half_life_s(made: Dataset) -> float:
    return float(made.RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife)


def scan_moment(made: Dataset) -> dt.datetime:
    """Return the time that a viewer takes the activities to be of, for START.

    The series' time, unless it is after the acquisition: then it may be that of a later processing,
    and the time is computed back from the frame reference time.
    """
    series, acquired = moment(made, "Series"), moment(made, "Acquisition")
    if series <= acquired:
        return series
    frame_s = float(made.ActualFrameDuration) / 1000
    after_s = float(made.FrameReferenceTime) / 1000
    if after_s <= 0 or frame_s <= 0:
        return acquired
    rate = math.log(2) / half_life_s(made)
    mean_s = math.log(rate * frame_s / (1 - math.exp(-rate * frame_s))) / rate
    return acquired + dt.timedelta(seconds=mean_s - after_s)


def suv_per_value(made: Dataset) -> float:
    """Return SUV (body weight) per stored value after rescaling."""
    assert {"ATTN", "DECY"} & set(made.CorrectedImage) and made.Units in ("BQML", "GML")
    if made.Units == "GML":
        return 1.0
    drug = made.RadiopharmaceuticalInformationSequence[0]
    dose_Bq = float(drug.RadionuclideTotalDose)
    if made.DecayCorrection == "START":
        given = dt.datetime.strptime(drug.RadiopharmaceuticalStartDateTime, "%Y%m%d%H%M%S.%f%z")
        late_s = (scan_moment(made) - given).total_seconds()
        dose_Bq *= 2.0 ** (-late_s / half_life_s(made))
    else:
        assert made.DecayCorrection == "ADMIN"
    return float(made.PatientWeight) * 1000 / dose_Bq


def values(files: list[Dataset]) -> np.ndarray:
    """Return the rescaled planes of some files, [plane, row, column]."""
    return np.stack([
        made.pixel_array * float(made.RescaleSlope) + float(made.RescaleIntercept)
        for made in files
    ])  # fmt: skip


def suv(files: list[Dataset]) -> np.ndarray:
    """Return SUV of some files, [plane, row, column]."""
    factors = np.array([suv_per_value(made) for made in files])
    return values(files) * factors[:, None, None]


def acquired(made: Dataset) -> tuple[dt.datetime, dt.datetime]:
    """Return the times between which all counts of an image lie."""
    start = moment(made, "Acquisition")
    return start, start + dt.timedelta(milliseconds=float(made.ActualFrameDuration))


def mean_moment(made: Dataset) -> dt.datetime:
    """Return when the pixel values occurred."""
    after = dt.timedelta(milliseconds=float(made.FrameReferenceTime))
    return moment(made, "Series") + after


def corrected_to(made: Dataset) -> dt.datetime:
    """Return the time that decay is corrected to, from decay factor and frame reference time."""
    back_s = half_life_s(made) * math.log2(float(made.DecayFactor))
    return mean_moment(made) - dt.timedelta(seconds=back_s)


def place_mm(made: Dataset, row: int, column: int) -> np.ndarray:
    """Return the patient coordinates (left, back, head) of a pixel's centre."""
    along = np.array(made.ImageOrientationPatient, float).reshape(2, 3)
    spacing = np.array(made.PixelSpacing, float)
    corner = np.array(made.ImagePositionPatient, float)
    return np.asarray(corner + along[0] * spacing[1] * column + along[1] * spacing[0] * row)
