"""What DICOM PET and NM objects share: patient, study, equipment, orientation, codes, pixels.

No name or patient number is ever written: the patient is a placeholder and marked as such (PS3.3
C.12.1.1: patient identity removed), and the image is labelled as research.

Planes are axial, turned into the patient axes of PS3.3 C.7.6.2.1.1
(:mod:`recon.exchange.images.patient_axes`).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from hw.messages.corrections import CORRECTIONS
from hw.messages.patient_position import UNKNOWN, PatientPosition
from recon.core.grid import ImageGrid
from recon.exchange.errors import ExchangeError
from recon.exchange.images.patient_axes import (
    NOT_FOR_DIAGNOSIS,
    directions,
    first_voxel_mm,
    orientation_codes,
)
from recon.exchange.scan_facts import NO_DATE, NUCLIDE_CODES, ScanFacts, as_time

IMPLEMENTATION_UID = "2.25.227306158113391243086474911264062373207"  # drawn once, for this program
MANUFACTURER = "Research Tomoshibi"
"""Not the name alone: dcm2niix takes whatever begins with TO for Toshiba's."""
MOST_LEVELS = 65535
RESEARCH = "RESEARCH "
POSITION_UNKNOWN = "patient position not known, axes as for head first supine"

_SCT = "SCT"


def code_item(value: str, meaning: str, scheme: str = _SCT) -> Dataset:
    """Return an item of a code sequence (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def new_object(sop_class: str, sop_uid: str, facts: ScanFacts, modality: str) -> Dataset:
    """Return a dataset with patient, study, series, equipment and SOP common modules."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = UID(sop_class)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = UID(sop_uid)
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    made.file_meta.ImplementationVersionName = "TOMOSHIBI"
    made.SpecificCharacterSet = "ISO_IR 192"
    made.Modality = modality
    _set_patient(made, facts)
    _set_study(made, facts)
    _set_equipment(made, facts)
    comments = f"{NOT_FOR_DIAGNOSIS} {facts.algorithm}; unit: {facts.unit}"
    if facts.position == UNKNOWN:
        comments += f"; {POSITION_UNKNOWN}"
    comments += _set_review(made, facts)
    made.ImageComments = _text(comments, 10240)
    made.BurnedInAnnotation = "NO"
    return made


_APPROVAL = {"keep": "APPROVED", "discard": "REJECTED", "test": "UNAPPROVED"}


def _set_review(made: Dataset, facts: ScanFacts) -> str:
    """Set who reviewed it and what came of it, as in the approval module (PS3.3 C.8.8.16), which
    PET and NM images may have as an extension; return what to say in the comments."""
    review = facts.more.get("review") or {}
    verdict, who = str(review.get("verdict") or ""), str(review.get("reviewed_by") or "")
    if verdict:
        made.ApprovalStatus = _APPROVAL.get(verdict, "UNAPPROVED")
    if who:
        at = as_time(review.get("reviewed_at"), "reviewed_at")
        made.ReviewerName = _text(who, 64)
        if at is not None:
            moment = at.astimezone(dt.UTC)
            made.ReviewDate, made.ReviewTime = f"{moment:%Y%m%d}", f"{moment:%H%M%S}"
    words = [verdict, str(review.get("reason") or ""), f"reviewed by {who}" if who else ""]
    words.append(str(review.get("note") or ""))
    return "".join(f"; {one}" for one in words if one)


def set_identity(made: Dataset, facts: ScanFacts) -> None:
    """Set whom it is about: nobody, or, where that was asked for, whom the run's form names."""
    known = facts.more.get("identity")
    if not known:
        made.PatientName = "RESEARCH^TOMOSHIBI"
        made.PatientID = _text(facts.run, 64)
        made.PatientBirthDate = made.PatientSex = ""
        made.PatientIdentityRemoved = "YES"
        made.DeidentificationMethod = "never recorded: research run without patient data"
        return
    made.PatientName = _text(str(known.get("name") or ""), 64)
    made.PatientID = _text(str(known.get("patient_id") or ""), 64)
    made.PatientBirthDate = str(known.get("birth_date") or "").replace("-", "")
    made.PatientSex = str(known.get("sex") or "")
    made.PatientIdentityRemoved = "NO"


def _set_patient(made: Dataset, facts: ScanFacts) -> None:
    set_identity(made, facts)
    weight = facts.number("weight_kg")
    if weight is not None:
        made.PatientWeight = decimal(weight)
    if (age := facts.number("age_years")) is not None:
        made.PatientAge = f"{int(age):03d}Y" if age >= 2 else f"{round(12 * age):03d}M"
    if (height_cm := facts.number("height_cm")) is not None:
        made.PatientSize = decimal(height_cm / 100)
    _set_position(made, facts)


def _set_position(made: Dataset, facts: ScanFacts) -> None:
    """Set the NM/PET patient orientation module (PS3.3 C.8.4.6). Both sequences are of type 2:
    empty where the position is not known. Patient Position (0018,5100) may not stand beside them
    (C.7.3.1)."""
    made.PatientOrientationCodeSequence = Sequence([])
    made.PatientGantryRelationshipCodeSequence = Sequence([])
    codes = orientation_codes(facts.position)
    if codes is None:
        return
    orientation, modifier, gantry = (code_item(*code) for code in codes)
    orientation.PatientOrientationModifierCodeSequence = Sequence([modifier])
    made.PatientOrientationCodeSequence.append(orientation)
    made.PatientGantryRelationshipCodeSequence.append(gantry)


def _set_study(made: Dataset, facts: ScanFacts) -> None:
    made.StudyInstanceUID = facts.study_uid
    made.FrameOfReferenceUID = facts.frame_of_reference_uid
    made.PositionReferenceIndicator = ""
    known = facts.created != NO_DATE
    made.StudyDate = date(facts, 0.0) if known else ""
    made.StudyTime = clock(facts, 0.0) if known else ""
    set_series_time(made, facts, 0.0)
    made.TimezoneOffsetFromUTC = "+0000"
    identity = facts.more.get("identity") or {}
    made.ReferringPhysicianName = _text(str(identity.get("referring_physician") or ""), 64)
    made.AccessionNumber = _text(str(identity.get("accession_number") or ""), 16)
    made.Laterality = ""
    made.StudyID = _text(facts.run, 16)
    made.StudyDescription = _text(f"{RESEARCH}{facts.run}", 64)
    made.SeriesDescription = _text(f"{RESEARCH}{facts.series or facts.algorithm}", 64)
    made.SeriesNumber = 1


def _set_equipment(made: Dataset, facts: ScanFacts) -> None:
    from importlib.metadata import PackageNotFoundError, version

    made.Manufacturer = MANUFACTURER
    made.ManufacturerModelName = _text(facts.scanner, 64)
    made.DeviceSerialNumber = ""
    try:
        made.SoftwareVersions = version("tomoshibi")
    except PackageNotFoundError:
        made.SoftwareVersions = "unknown"


def radiopharmaceutical(facts: ScanFacts) -> Dataset:
    """Return the item of the radiopharmaceutical information sequence, empty if unknown."""
    item = Dataset()
    item.RadionuclideCodeSequence = Sequence([])
    if facts.nuclide is not None:
        item.Radiopharmaceutical = _text(str(facts.more.get("tracer") or facts.nuclide.name), 64)
        code = NUCLIDE_CODES.get(facts.nuclide.name)
        if code:
            item.RadionuclideCodeSequence = Sequence([code_item(*code)])
    return item


def date(facts: ScanFacts, seconds: float) -> str:
    """Return the date (DA) of a time in the run."""
    return f"{facts.at(seconds):%Y%m%d}"


def clock(facts: ScanFacts, seconds: float) -> str:
    """Return the time of day (TM) of a time in the run."""
    return f"{facts.at(seconds):%H%M%S.%f}"


def decimal(value: float) -> str:
    """Return a decimal string (DS) with as many digits as fit into its 16 bytes."""
    if not math.isfinite(value):
        raise ExchangeError(f"{value} cannot stand in a DICOM decimal string")
    for digits in range(16, 0, -1):
        words = f"{value:.{digits}g}"
        if len(words) <= 16:
            return words
    raise ExchangeError(f"{value} has no decimal string of 16 bytes")


def _text(words: str, longest: int) -> str:
    """Return text without backslashes (DICOM's value separator), cut to a length."""
    return words.replace("\\", "/")[:longest]


def set_times(made: Dataset, facts: ScanFacts, start_s: float) -> None:
    """Set the time at which a measurement began, s after the run's start."""
    made.AcquisitionDate = made.ContentDate = date(facts, start_s)
    made.AcquisitionTime = made.ContentTime = clock(facts, start_s)


def set_series_time(made: Dataset, facts: ScanFacts, seconds: float) -> None:
    """Set the series' date and time, s after the run's start."""
    made.SeriesDate, made.SeriesTime = date(facts, seconds), clock(facts, seconds)


def corrected_image(facts: ScanFacts, of: Literal["dicom_pet", "dicom_nm"]) -> list[str]:
    """Return corrected image (0028,0051): the terms of the applied corrections."""
    terms = [getattr(kind, of) for kind in CORRECTIONS if kind.name in facts.applied]
    return [term for term in terms if term]


def convolution_kernel(facts: ScanFacts) -> str:
    """Return the post-filter in words."""
    width = facts.number("post_filter_fwhm_mm") or 0.0
    return f"Gaussian {width:g} mm" if width > 0 else "none"


def energy_range(low_keV: float, high_keV: float) -> Dataset:
    """Return an item of the energy window range sequence."""
    item = Dataset()
    item.EnergyWindowLowerLimit, item.EnergyWindowUpperLimit = map(decimal, (low_keV, high_keV))
    return item


def content_hash(volumes: npt.NDArray[np.float32], words: str = "") -> str:
    """Return 32 hex digits that change with any voxel or metadata value."""
    content = hashlib.blake2b(np.ascontiguousarray(volumes).data, digest_size=16)
    content.update(words.encode())
    return content.hexdigest()


def set_place(made: Dataset, grid: ImageGrid, plane: int, position: PatientPosition) -> None:
    """Set an axial plane's orientation and position (patient), PS3.3 C.7.6.2.1.1."""
    along = directions(position)[:, :2].T.reshape(-1)
    set_plane(made, along, first_voxel_mm(grid, plane, position))


def set_plane(made: Dataset, along: Iterable[float], corner: Iterable[float]) -> None:
    """Set orientation (6) and position (3, mm) of a plane whose axes are the patient's."""
    made.ImageOrientationPatient = [f"{value:.0f}" for value in along]
    made.ImagePositionPatient = [decimal(value) for value in corner]


def set_rescale(made: Dataset, slope: str) -> None:
    """Set the slope that converts pixel values back."""
    made.RescaleIntercept, made.RescaleSlope = "0", slope


def set_image_plane(made: Dataset, grid: ImageGrid) -> None:
    """Set spacing and thickness (PS3.3 C.7.6.2): rows first."""
    made.PixelSpacing = [decimal(grid.voxel_mm[1]), decimal(grid.voxel_mm[0])]
    made.SliceThickness = decimal(grid.voxel_mm[2])


def levels(
    values: npt.NDArray[np.float32], *, signed: bool
) -> tuple[npt.NDArray[np.uint16] | npt.NDArray[np.int16], str]:
    """Return 16-bit pixel values and the slope (DS) that converts them back: value = slope · level.

    Rounding is to at most half a slope: 1/131070 of the largest value (1/65534 where signed).
    """
    largest = float(np.abs(values).max(initial=0.0))
    most = MOST_LEVELS // 2 if signed else MOST_LEVELS
    slope = decimal(largest / most) if largest > 0 else "1"
    if largest > 0 and float(slope) * (most + 0.5) <= largest:  # the string rounded down
        slope = decimal(largest / most * (1 + 1e-9))
    kind = np.dtype(np.int16 if signed else np.uint16)
    return np.rint(values / float(slope)).clip(-most - 1 if signed else 0, most).astype(kind), slope


def set_pixels(made: Dataset, pixels: npt.NDArray[np.integer[Any]]) -> None:
    """Set the image pixel module for one plane or many, 16 bits monochrome."""
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = pixels.shape[-2:]
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit = 15
    made.PixelRepresentation = int(pixels.dtype == np.int16)
    made.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()


def file_bytes(made: Dataset) -> memoryview:
    """Return a dataset as the bytes of a DICOM file."""
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getbuffer()
