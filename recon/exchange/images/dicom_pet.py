"""DICOM PET images (PS3.3 A.21): a series of one file for each plane of each frame.

Times, and which frames and gates make a series: :mod:`recon.exchange.images.dicom_pet_times`.

Units follow the image's (PS3.3 C.8.9.1.1.3): Bq/mL is BQML, a body-weight SUV GML, anything else
PROPCPS (proportional to counts per second) with the unit in the image comments. Corrected image,
decay correction and the method texts come from the corrections in the image's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import PositronEmissionTomographyImageStorage

from hw.whole_file import whole_folder
from recon.core.frame_times import FrameTime, GateSlot, as_volumes
from recon.core.grid import Image, ImageGrid
from recon.exchange.images.dicom_parts import (
    RESEARCH,
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
    set_place,
    set_rescale,
    set_series_time,
    set_times,
)
from recon.exchange.images.dicom_pet_times import (
    DecayReference,
    SeriesPart,
    acquired_s,
    mean_s,
    series_of,
)
from recon.exchange.images.patient_axes import lps_planes
from recon.exchange.scan_facts import ScanFacts, as_time


def write_dicom_pet(
    folder: Path,
    image: Image,
    grid: ImageGrid,
    frames: Sequence[FrameTime],
    metadata: Mapping[str, Any],
) -> list[Path]:
    """Write an image as DICOM PET series of one study into its own folder; return the files in
    order.

    Parameters
    ----------
    image : [x, y, z], or [x, y, z, frame] for a dynamic or gated series
    frames : one per volume; gates if each has a ``gate``, of a heartbeat if its ``slot`` says so
    metadata : of the reconstruction; docs/reconstruction/exchange.md lists the keys used

    Raises
    ------
    ExchangeError
        if a voxel is not finite, the folder holds other files, or the disk is full.
    """
    volumes = as_volumes(image, grid, frames)
    facts = ScanFacts.of(metadata)
    reference = DecayReference.of(facts, frames)
    if reference.value_scale != 1.0:
        volumes = volumes * np.float32(reference.value_scale)
    signed = bool(volumes.min() < 0)
    content = content_hash(volumes, json.dumps(dict(facts.more), sort_keys=True, default=str))
    paths: list[Path] = []
    with whole_folder(folder, suffixes=frozenset({".dcm"})) as place:
        for part in series_of(frames):
            chosen = [frames[number] for number in part.volumes]
            series = _SeriesFacts(facts, grid, chosen, part, reference, content)
            for slot, number in enumerate(part.volumes):
                pixels, slope = levels(lps_planes(volumes[..., number]), signed=signed)
                for plane in range(grid.shape[2]):
                    made = series.plane(slot, plane, slope)
                    set_pixels(made, pixels[plane])
                    name = f"PT{len(paths) + 1:06d}.dcm"
                    (place / name).write_bytes(file_bytes(made))
                    paths.append(folder / name)
    return paths


class _SeriesFacts:
    """What all files of a series share; makes their planes."""

    def __init__(
        self,
        facts: ScanFacts,
        grid: ImageGrid,
        frames: Sequence[FrameTime],
        part: SeriesPart,
        reference: DecayReference,
        content: str,
    ) -> None:
        self.facts, self.grid, self.frames = facts, grid, frames
        self.part, self.reference = part, reference
        self.uid = facts.uid("series", facts.series, part.number, content)

    def plane(self, slot: int, plane: int, slope: str) -> Dataset:
        """Return the object of a plane of one of the series' frames, without its pixels."""
        facts, slices, frame = self.facts, self.grid.shape[2], self.frames[slot]
        index = slot * slices + plane + 1
        uid = facts.uid("image", self.uid, index)
        made = new_object(PositronEmissionTomographyImageStorage, uid, facts, "PT")
        made.SeriesInstanceUID, made.SeriesNumber = self.uid, self.part.number
        made.ImageType = ["ORIGINAL", "PRIMARY"]
        made.InstanceNumber = made.ImageIndex = index
        self._set_words(made)
        self._set_series(made)
        self._set_corrections(made)
        _set_isotope(made, facts)
        self._set_times(made, frame)
        set_rescale(made, slope)
        set_image_plane(made, self.grid)
        set_place(made, self.grid, plane, facts.position)
        made.SliceLocation = made.ImagePositionPatient[2]
        return made

    def _set_words(self, made: Dataset) -> None:
        words, reference = self.part.words, self.reference
        if words:
            said = made.SeriesDescription.removeprefix(RESEARCH)
            made.SeriesDescription = f"{RESEARCH}{words}; {said}"[:64]
            made.ImageComments = f"{made.ImageComments}; {words}"
        if reference.term != "NONE":
            given = as_time(self.facts.more.get("administered_at"), "administered_at")
            moment = given if reference.term == "ADMIN" else self.facts.at(reference.series_s)
            made.ImageComments = f"{made.ImageComments}; activity at {moment}"

    def _set_series(self, made: Dataset) -> None:
        facts = self.facts
        made.Units = {"Bq/mL": "BQML", "SUV": "GML"}.get(facts.unit, "PROPCPS")
        if made.Units == "GML":
            made.SUVType = "BW"
        made.CountsSource, made.SeriesType = "EMISSION", [self.part.kind, "IMAGE"]
        made.NumberOfSlices = self.grid.shape[2]
        if self.part.kind == "GATED":
            made.NumberOfRRIntervals, made.NumberOfTimeSlots = 1, len(self.frames)
            made.TriggerSourceOrType, made.CardiacFramingType = "EKG", "PCNT"
        elif self.part.kind == "DYNAMIC":
            made.NumberOfTimeSlices = len(self.frames)
        made.CollimatorType = "NONE"
        made.TypeOfDetectorMotion = "NONE"
        made.FieldOfViewShape = "CYLINDRICAL RING"
        made.ReconstructionMethod = facts.algorithm[:64]
        made.ConvolutionKernel = convolution_kernel(facts)
        window = facts.more.get("energy_window_keV")
        if window is not None:
            made.EnergyWindowRangeSequence = Items([energy_range(*window)])
        if facts.number("window_ps") is not None:
            made.CoincidenceWindowWidth = decimal(2e-3 * float(facts.more["window_ps"]))

    def _set_corrections(self, made: Dataset) -> None:
        applied, how = self.facts.applied, self.facts.how
        made.CorrectedImage = corrected_image(self.facts, "dicom_pet")
        made.DecayCorrection = self.reference.term
        made.RandomsCorrectionMethod = "NONE"
        if "randoms" in applied:
            singles = "singles" in how.get("randoms", "")
            made.RandomsCorrectionMethod = "SING" if singles else "DLYD"
        for name in ("attenuation", "scatter"):
            words = (how.get(name) or "applied") if name in applied else "NONE"
            setattr(made, f"{name.capitalize()}CorrectionMethod", words.replace("\\", "/")[:64])

    def _set_times(self, made: Dataset, frame: FrameTime) -> None:
        facts, reference = self.facts, self.reference
        start_s, end_s = acquired_s(frame)
        set_series_time(made, facts, reference.series_s)
        set_times(made, facts, start_s)
        made.ActualFrameDuration = max(1, round((end_s - start_s) * 1000))
        after_series_s = mean_s(frame, facts.half_life_s) - reference.series_s
        made.FrameReferenceTime = decimal(1000 * after_series_s)
        if made.DecayCorrection != "NONE":
            made.DecayFactor = decimal(frame.decay_factor * reference.factor_scale)
        if self.part.kind == "GATED" and frame.slot is not None:
            _set_slot(made, frame.slot)
        prompts = frame.prompts
        if prompts is None and len(self.frames) == 1:
            prompts = facts.more.get("prompts_used", facts.more.get("prompts"))
        if prompts is not None:
            made.PrimaryPromptsCountsAccumulated = int(prompts)
        scatter = facts.number("scatter_fraction")
        if scatter is not None:
            made.ScatterFractionFactor = decimal(scatter)


def _set_slot(made: Dataset, slot: GateSlot) -> None:
    """Set what a time slot says of its R-R intervals, all in ms (PS3.3 C.8.9.3, C.8.9.4)."""
    made.TriggerTime = decimal(1000 * (slot.trigger_s or 0.0))
    made.FrameTime = decimal(1000 * slot.slot_s)
    made.NominalInterval = round(1000 * slot.cycle_s)
    made.IntervalsAcquired, made.IntervalsRejected = slot.cycles, slot.rejected
    made.BeatRejectionFlag = "N" if slot.usual_s is None else "Y"
    if slot.usual_s is not None:
        made.LowRRValue, made.HighRRValue = (round(1000 * bound) for bound in slot.usual_s)


def _set_isotope(made: Dataset, facts: ScanFacts) -> None:
    item = radiopharmaceutical(facts)
    dose = facts.number("administered_activity_Bq")
    if dose is not None:
        item.RadionuclideTotalDose = decimal(dose)
    given = as_time(facts.more.get("administered_at"), "administered_at")
    if given is not None:
        item.RadiopharmaceuticalStartTime = f"{given:%H%M%S.%f}"
        item.RadiopharmaceuticalStartDateTime = f"{given:%Y%m%d%H%M%S.%f}+0000"
    if facts.half_life_s is not None:
        item.RadionuclideHalfLife = decimal(facts.half_life_s)
    share = facts.number("positron_fraction")
    if share is None and facts.nuclide is not None:
        share = facts.nuclide.beta_plus_fraction
    if share is not None:
        item.RadionuclidePositronFraction = decimal(share)
    made.RadiopharmaceuticalInformationSequence = Items([item])
