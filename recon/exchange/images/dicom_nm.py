"""DICOM NM (PS3.3 A.5): a reconstructed SPECT image as one multi-frame object, RECON TOMO.

The frames of the object are the planes towards the head (slice vector, C.8.4.15), whoever lies how:
dcm2niix mirrors an object whose planes go to the feet. The real world value mapping
(C.7.6.16.2.11) converts 16-bit pixel values back and gives the unit; rescale slope repeats the
factor for readers without mapping support. Each time frame or gate becomes one object of the same
series.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import NuclearMedicineImageStorage

from hw.whole_file import whole_file
from recon.core.frame_times import FrameTime, as_volumes
from recon.core.grid import Image, ImageGrid
from recon.exchange.images.dicom_parts import (
    code_item,
    content_hash,
    convolution_kernel,
    corrected_image,
    decimal,
    energy_range,
    file_bytes,
    levels,
    new_object,
    radiopharmaceutical,
    set_image_plane,
    set_pixels,
    set_plane,
    set_rescale,
    set_times,
)
from recon.exchange.images.patient_axes import headward_place, headward_planes, patient_angle_deg
from recon.exchange.scan_facts import NO_DATE, ScanFacts

UCUM = {
    "Bq/mL": ("Bq/ml", "Becquerels/milliliter"),
    "SUV": ("g/ml{SUVbw}", "Standardized Uptake Value body weight"),
}
"""Units of PS3.16 context group 84; every other image has no units."""


def write_dicom_nm(
    path: Path,
    image: Image,
    grid: ImageGrid,
    frames: Sequence[FrameTime],
    metadata: Mapping[str, Any],
) -> list[Path]:
    """Write a reconstructed SPECT image; return the files, one for each frame.

    Parameters
    ----------
    path : of the file; with several frames ``-001`` and so on is appended to its stem
    image : [x, y, z] or [x, y, z, frame]
    metadata : of the reconstruction; docs/reconstruction/exchange.md lists the keys used

    Raises
    ------
    ExchangeError
        if a voxel is not finite, the shape does not fit, or the disk is full.
    """
    volumes = as_volumes(image, grid, frames)
    facts = ScanFacts.of(metadata)
    content = content_hash(volumes, json.dumps(dict(facts.more), sort_keys=True, default=str))
    series = facts.uid("series", facts.series, facts.algorithm, content)
    paths = []
    for number, frame in enumerate(frames):
        one = path if len(frames) == 1 else path.with_name(f"{path.stem}-{number + 1:03d}.dcm")
        made = _object(facts, grid, frame, volumes[..., number], f"{series}/{number}")
        made.SeriesInstanceUID, made.InstanceNumber = series, number + 1
        with whole_file(one) as file:
            file.write(file_bytes(made))
        paths.append(one)
    return paths


def _object(
    facts: ScanFacts, grid: ImageGrid, frame: FrameTime, volume: npt.NDArray[np.float32], name: str
) -> Dataset:
    made = new_object(NuclearMedicineImageStorage, facts.uid("image", name), facts, "NM")
    made.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    _set_image(made, facts, frame)
    _set_multi_frame(made, grid)
    _set_isotope(made, facts)
    _set_detector(made, facts, grid)
    _set_rotation(made, facts, frame)
    _set_reconstruction(made, facts, grid)
    planes = headward_planes(volume, facts.position)
    pixels, slope = levels(planes, signed=bool(volume.min() < 0))
    set_pixels(made, pixels)
    _set_mapping(made, facts, slope, pixels)
    return made


def _set_image(made: Dataset, facts: ScanFacts, frame: FrameTime) -> None:
    set_times(made, facts, frame.start_s)
    if facts.created == NO_DATE:  # type 2 and 3 here: nothing is said of what is not known
        made.AcquisitionDate = made.AcquisitionTime = made.ContentDate = made.ContentTime = ""
        made.SeriesDate = made.SeriesTime = ""
    counts = frame.prompts if frame.prompts is not None else facts.more.get("counts")
    made.CountsAccumulated = "" if counts is None else int(counts)
    made.CorrectedImage = corrected_image(facts, "dicom_nm")


def _set_multi_frame(made: Dataset, grid: ImageGrid) -> None:
    slices = grid.shape[2]
    made.NumberOfFrames, made.FrameIncrementPointer = slices, 0x00540080
    made.NumberOfSlices, made.SliceVector = slices, list(range(1, slices + 1))
    set_image_plane(made, grid)


def _set_isotope(made: Dataset, facts: ScanFacts) -> None:
    windows = facts.more.get("energy_windows", [])
    made.NumberOfEnergyWindows = max(1, len(windows))
    made.EnergyWindowInformationSequence = Items([_energy_window(window) for window in windows])
    made.RadiopharmaceuticalInformationSequence = Items([radiopharmaceutical(facts)])
    dose = facts.number("administered_activity_Bq")
    if dose is not None:  # in NM this is in MBq (C.8.4.10)
        item = made.RadiopharmaceuticalInformationSequence[0]
        item.RadionuclideTotalDose = decimal(dose * 1e-6)


def _energy_window(window: Mapping[str, Any]) -> Dataset:
    limits = energy_range(float(window["low_keV"]), float(window["high_keV"]))
    made = Dataset()
    made.EnergyWindowName = str(window.get("name", ""))[:16]
    made.EnergyWindowRangeSequence = Items([limits])
    return made


def _set_detector(made: Dataset, facts: ScanFacts, grid: ImageGrid) -> None:
    detector = Dataset()
    detector.CollimatorGridName = str(facts.more.get("collimator") or "")[:16]
    detector.CollimatorType, detector.FocalDistance = "PARA", "0"
    set_plane(detector, *headward_place(grid, facts.position))
    made.NumberOfDetectors = 1
    made.DetectorInformationSequence = Items([detector])


def _set_rotation(made: Dataset, facts: ScanFacts, frame: FrameTime) -> None:
    """Set the TOMO acquisition module.

    Its angle 0 is at the patient's back and grows towards the left (C.8.4.11). Ours is at +x and
    grows towards +y: for head first supine from the right to the front, so DICOM's angle = 270° −
    ours, in the opposite sense; feet first, it grows as DICOM's does.
    """
    start, step, count = facts.more.get("angles_deg") or (0.0, 0.0, 1)
    scan = abs(step) * count
    rotation = Dataset()
    first = patient_angle_deg(float(start), facts.position)
    turned = (patient_angle_deg(float(start) + 1.0, facts.position) - first) % 360.0 < 180.0
    rotation.StartAngle = decimal(first)
    rotation.AngularStep, rotation.ScanArc = decimal(abs(float(step))), decimal(scan)
    rotation.RotationDirection = "CC" if turned == (step >= 0) else "CW"
    rotation.ActualFrameDuration = max(1, round(1000 * frame.duration_s / count))
    rotation.NumberOfFramesInRotation = int(count)
    radius = facts.number("radius_mm")
    if radius is not None:
        rotation.RadialPosition = decimal(radius)
    made.NumberOfRotations = 1
    made.RotationInformationSequence = Items([rotation])
    made.TypeOfDetectorMotion = "CONTINUOUS" if step else "STATIONARY"


def _set_reconstruction(made: Dataset, facts: ScanFacts, grid: ImageGrid) -> None:
    made.SpacingBetweenSlices = decimal(grid.voxel_mm[2])
    made.ReconstructionDiameter = decimal(grid.shape[0] * grid.voxel_mm[0])
    made.ConvolutionKernel = convolution_kernel(facts)


def _set_mapping(
    made: Dataset, facts: ScanFacts, slope: str, pixels: npt.NDArray[np.integer[Any]]
) -> None:
    code, meaning = UCUM.get(facts.unit, ("1", "no units"))
    mapping = Dataset()
    first, last = int(pixels.min()), int(pixels.max())
    kind = "SS" if pixels.dtype == np.int16 else "US"
    mapping.add_new(0x00409216, kind, first)
    mapping.add_new(0x00409211, kind, last)
    mapping.RealWorldValueIntercept, mapping.RealWorldValueSlope = 0.0, float(slope)
    mapping.LUTExplanation = facts.unit[:64]
    mapping.LUTLabel = facts.unit[:16]
    mapping.MeasurementUnitsCodeSequence = Items([code_item(code, meaning, "UCUM")])
    made.RealWorldValueMappingSequence = Items([mapping])
    set_rescale(made, slope)
