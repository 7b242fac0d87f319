"""DICOM NM (PS3.3 A.5) of image type TOMO: a SPECT run's projections, all windows and heads.

Frames follow one another by view, head, energy window, the first fastest; the vectors of C.8.4.8
say so. Pixels are counts. A row is a plane, the patient's head at the top; columns run to the right
of who looks from the camera at the patient (C.8.4.9). Angles are about the patient: 0° is the back,
growing towards the left (C.8.4.12).

Image Position (Patient) is where PyTomography 3 and the files of Siemens have it: the first pixel
of a view from the front, moved to the corner of the volume that the orbit encloses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import NuclearMedicineImageStorage

from hw.messages.patient_position import PatientPosition
from hw.messages.sort_settings import EnergyWindow
from hw.whole_file import whole_file
from recon.exchange.images.dicom_parts import (
    content_hash,
    decimal,
    energy_range,
    file_bytes,
    new_object,
    radiopharmaceutical,
    set_pixels,
    set_times,
)
from recon.exchange.images.patient_axes import headward, patient_angle_deg
from recon.exchange.projections.orbit_views import OrbitViews
from recon.exchange.scan_facts import NO_DATE, ScanFacts

FRAME_POINTERS = [0x00540010, 0x00540020, 0x00540050, 0x00540090]
"""Energy window, detector, rotation, angular view vector: what counts the frames of TOMO."""


def write_dicom_tomo(path: Path, views: OrbitViews, metadata: Mapping[str, Any]) -> list[Path]:
    """Write projections as one file; return it in a list.

    Raises
    ------
    ExchangeError
        if a pixel has more than 65535 counts, or the disk is full.
    """
    views.check()
    facts = ScanFacts.of({**metadata, "algorithm": "projections", "unit": "counts"})
    pixels = patient_frames(views, facts.position)
    content = content_hash(pixels.astype(np.float32))
    series = facts.uid("series", "projections", content)
    made = new_object(NuclearMedicineImageStorage, facts.uid("image", series), facts, "NM")
    made.SeriesInstanceUID, made.InstanceNumber = series, 1
    made.ImageType = ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]
    set_times(made, facts, 0.0)
    if facts.created == NO_DATE:
        made.AcquisitionDate = made.AcquisitionTime = made.ContentDate = made.ContentTime = ""
        made.SeriesDate = made.SeriesTime = ""
    made.CountsAccumulated = int(pixels.sum())
    made.CorrectedImage = []
    _set_vectors(made, views)
    _set_windows(made, views.windows, facts)
    _set_heads(made, views, facts.position)
    _set_rotation(made, views, facts.position)
    made.PixelSpacing = [decimal(views.pitch_mm[1]), decimal(views.pitch_mm[0])]
    set_pixels(made, pixels.reshape(-1, *pixels.shape[-2:]))
    with whole_file(path) as file:
        file.write(file_bytes(made))
    return [path]


def patient_frames(views: OrbitViews, position: PatientPosition) -> npt.NDArray[np.uint16]:
    """Return (windows, heads, views, rows, columns): rows from the head down, columns to the right
    as seen from the camera.

    Ours are u to the right and v up with +z up, so feet first both turn.
    """
    frames = views.counts.swapaxes(-1, -2).astype(np.uint16)
    upright = headward(position)
    return np.ascontiguousarray(frames[..., ::-1, :] if upright else frames[..., ::-1])


def _set_vectors(made: Dataset, views: OrbitViews) -> None:
    windows, heads, steps = len(views.windows), len(views.head_deg), views.views
    made.NumberOfFrames, made.FrameIncrementPointer = windows * heads * steps, FRAME_POINTERS
    made.NumberOfEnergyWindows, made.NumberOfDetectors, made.NumberOfRotations = windows, heads, 1
    made.EnergyWindowVector = np.repeat(np.arange(1, windows + 1), heads * steps).tolist()
    made.DetectorVector = np.tile(np.repeat(np.arange(1, heads + 1), steps), windows).tolist()
    made.RotationVector = [1] * (windows * heads * steps)
    made.AngularViewVector = np.tile(np.arange(1, steps + 1), windows * heads).tolist()


def _set_windows(made: Dataset, windows: tuple[EnergyWindow, ...], facts: ScanFacts) -> None:
    items = []
    for window in windows:
        item = Dataset()
        item.EnergyWindowName = window.name[:16]
        item.EnergyWindowRangeSequence = Items([energy_range(window.lld_keV, window.uld_keV)])
        items.append(item)
    made.EnergyWindowInformationSequence = Items(items)
    given = radiopharmaceutical(facts)
    dose = facts.number("administered_activity_Bq")
    if dose is not None:  # in NM this is in MBq (C.8.4.10)
        given.RadionuclideTotalDose = decimal(dose * 1e-6)
    made.RadiopharmaceuticalInformationSequence = Items([given])


def _set_heads(made: Dataset, views: OrbitViews, position: PatientPosition) -> None:
    n_u, n_v = views.counts.shape[-2:]
    half_u, half_v = ((n - 1) / 2 * p for n, p in zip((n_u, n_v), views.pitch_mm, strict=True))
    items = []
    for head_deg in views.head_deg:
        item = Dataset()
        item.CollimatorGridName = views.collimator[:16]
        item.CollimatorType, item.FocalDistance = "PARA", "0"
        item.StartAngle = decimal(patient_angle_deg(head_deg + views.start_deg, position))
        item.RadialPosition = decimal(views.radius_mm)
        item.ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]
        item.ImagePositionPatient = [decimal(-half_u), decimal(-half_u), decimal(half_v)]
        items.append(item)
    made.DetectorInformationSequence = Items(items)


def _set_rotation(made: Dataset, views: OrbitViews, position: PatientPosition) -> None:
    first = patient_angle_deg(views.head_deg[0] + views.start_deg, position)
    later = patient_angle_deg(views.head_deg[0] + views.start_deg + 1.0, position)
    item = Dataset()
    item.StartAngle = decimal(first)
    item.AngularStep = decimal(views.step_deg)
    item.ScanArc = decimal(min(360.0, views.step_deg * views.views))
    item.RotationDirection = "CC" if math.fmod(later - first + 360.0, 360.0) < 180.0 else "CW"
    item.ActualFrameDuration = max(1, round(1000 * float(views.seconds.mean())))
    item.NumberOfFramesInRotation = views.views
    item.RadialPosition = decimal(views.radius_mm)
    item.TableHeight = item.TableTraverse = "0"
    made.RotationInformationSequence = Items([item])
