"""What the objects that highdicom makes have in common: our equipment, geometry, UIDs.

All of them belong to the study of the image that they are about, and follow from it and from the
regions: the same ones give the same UIDs, so that an archive has each once.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage

from recon.core.grid import ImageGrid
from recon.exchange.images.dicom_parts import MANUFACTURER, decimal
from recon.exchange.images.patient_axes import directions, first_voxel_mm
from recon.exchange.scan_facts import ScanFacts
from recon.hospital.peers import HospitalError

SCHEME = "99TOMOSHIBI"
"""Of codes that no standard has."""


def highdicom() -> Any:
    """Return the package; raises HospitalError with what to do where it is missing."""
    try:
        return import_module("highdicom")
    except ImportError as error:
        raise HospitalError(
            f"highdicom is missing ({error}): ./tomoshibi setup hospital"
        ) from error


_OF_FRAMES = ("NumberOfFrames", "PixelData", "FrameIncrementPointer")


@dataclass(frozen=True)
class About:
    """An image, as its DICOM objects have it.

    objects : the image's own, in order of planes, or one with all planes
    facts : of the image, as the objects name them
    """

    objects: Sequence[Dataset]
    facts: ScanFacts
    grid: ImageGrid

    @property
    def series_uid(self) -> str:
        """Of the image's series."""
        return str(self.objects[0].SeriesInstanceUID)

    def planes(self) -> list[Dataset]:
        """Return an object for each plane: highdicom takes NM's frames, which have no places of
        their own, for an image without a frame of reference."""
        if "NumberOfFrames" not in self.objects[0]:
            return list(self.objects)
        along, planes = directions(self.facts.position)[:, :2].T.reshape(-1), []
        for plane in range(self.grid.shape[2]):
            one = Dataset()
            for element in self.objects[0]:
                if element.keyword not in _OF_FRAMES:
                    one.add(deepcopy(element))
            one.file_meta = self.objects[0].file_meta
            one.SOPClassUID = PositronEmissionTomographyImageStorage  # as_ours names the true one
            one.SOPInstanceUID = self.uid("plane", plane)
            one.ImageOrientationPatient = [float(value) for value in along]
            corner = first_voxel_mm(self.grid, plane, self.facts.position)
            one.ImagePositionPatient = [decimal(value) for value in corner]
            planes.append(one)
        return planes

    def uid(self, *of: object) -> str:
        """Return a UID that follows from the image and this."""
        return self.facts.uid(self.series_uid, *of)

    def equipment(self) -> dict[str, Any]:
        """Return what highdicom asks of the program."""
        first = self.objects[0]
        return {
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": str(first.ManufacturerModelName),
            "software_versions": str(first.SoftwareVersions),
            "device_serial_number": "unknown",
        }

    def geometry(self) -> dict[str, Any]:
        """Return measures, orientation and positions of all planes, as ``lps_planes`` has them."""
        hd, grid, position = highdicom(), self.grid, self.facts.position
        along = directions(position)[:, :2].T.reshape(-1)
        places = [first_voxel_mm(grid, plane, position) for plane in range(grid.shape[2])]
        patient = hd.CoordinateSystemNames.PATIENT
        return {
            "pixel_measures": hd.PixelMeasuresSequence(
                pixel_spacing=[float(decimal(grid.voxel_mm[k])) for k in (1, 0)],
                slice_thickness=float(decimal(grid.voxel_mm[2])),
                spacing_between_slices=float(decimal(grid.voxel_mm[2])),
            ),
            "plane_orientation": hd.PlaneOrientationSequence(patient, [float(v) for v in along]),
            "plane_positions": [
                hd.PlanePositionSequence(patient, [float(decimal(v)) for v in place])
                for place in places
            ],
        }


def as_ours(made: Dataset, about: About) -> Dataset:
    """Return an object with the study, patient and frame of reference of its image, and a time that
    follows from it: made anew it is the same to the byte."""
    first = about.objects[0]
    for name in (
        "PatientIdentityRemoved", "DeidentificationMethod", "StudyDescription", "AccessionNumber",
        "TimezoneOffsetFromUTC",
    ):  # fmt: skip
        if name in first:
            setattr(made, name, getattr(first, name))
    for kind, value in (("Date", first.SeriesDate), ("Time", first.SeriesTime)):
        for name in (f"Content{kind}", f"InstanceCreation{kind}", f"Series{kind}"):
            if name in made or name.startswith("Series"):
                setattr(made, name, value)
    stood = {about.uid("plane", plane) for plane in range(about.grid.shape[2])}
    made.walk(lambda dataset, element: _name_true(dataset, element, first, stood), recursive=True)
    for series in made.get("ReferencedSeriesSequence", ()):
        once = {one.ReferencedSOPInstanceUID: one for one in series.ReferencedInstanceSequence}
        series.ReferencedInstanceSequence = list(once.values())
    return made


def _name_true(dataset: Dataset, element: DataElement, first: Dataset, stood: set[str]) -> None:
    """Name the object for which planes stood, where they are referred to."""
    if element.keyword == "ReferencedSOPInstanceUID" and element.value in stood:
        dataset.ReferencedSOPClassUID = first.SOPClassUID
        dataset.ReferencedSOPInstanceUID = first.SOPInstanceUID
