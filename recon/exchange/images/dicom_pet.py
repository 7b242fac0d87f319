"""DICOM PET images (PS3.3 A.21): a series of one file for each plane of each frame.

Units follow the image's (PS3.3 C.8.9.1.1.3): Bq/mL is BQML, a body-weight SUV GML, anything else
PROPCPS (proportional to counts per second) with the unit in the image comments. Corrected image,
decay correction and the method texts come from the corrections in the image's metadata.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import PositronEmissionTomographyImageStorage

from hw.whole_file import whole_folder
from recon.core.frame_times import FrameTime, as_volumes
from recon.core.grid import Image, ImageGrid
from recon.exchange.images.dicom_parts import (
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
    set_times,
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
    """Write an image as a DICOM PET series into its own folder; return the files in order.

    Parameters
    ----------
    image : [x, y, z], or [x, y, z, frame] for a dynamic or gated series
    frames : one per volume; gates if each has a ``gate``
    metadata : of the reconstruction; docs/recon_exchange.md lists the keys used

    Raises
    ------
    ExchangeError
        if a voxel is not finite, the folder holds other files, or the disk is full.
    """
    volumes = as_volumes(image, grid, frames)
    facts = ScanFacts.of(metadata)
    series = _SeriesFacts(facts, grid, frames, volumes)
    paths = []
    with whole_folder(folder, suffixes=frozenset({".dcm"})) as part:
        for number, frame in enumerate(frames):
            signed = bool(volumes.min() < 0)
            pixels, slope = levels(lps_planes(volumes[..., number]), signed=signed)
            for plane in range(grid.shape[2]):
                made = series.plane(number, frame, plane, slope)
                set_pixels(made, pixels[plane])
                name = f"PT{made.ImageIndex:06d}.dcm"
                (part / name).write_bytes(file_bytes(made))
                paths.append(folder / name)
    return paths


class _SeriesFacts:
    """What all files of a series share; makes their planes."""

    def __init__(
        self,
        facts: ScanFacts,
        grid: ImageGrid,
        frames: Sequence[FrameTime],
        volumes: npt.NDArray[np.float32],
    ) -> None:
        self.facts, self.grid, self.frames = facts, grid, frames
        self.gated = all(frame.gate is not None for frame in frames) and len(frames) > 1
        self.kind = "GATED" if self.gated else "DYNAMIC" if len(frames) > 1 else "STATIC"
        said = json.dumps(dict(facts.more), sort_keys=True, default=str)
        self.uid = facts.uid("series", facts.series, content_hash(volumes, said))

    def plane(self, number: int, frame: FrameTime, plane: int, slope: str) -> Dataset:
        """Return the object of a plane of a frame, without its pixels."""
        facts, slices = self.facts, self.grid.shape[2]
        index = number * slices + plane + 1
        uid = facts.uid("image", self.uid, index)
        made = new_object(PositronEmissionTomographyImageStorage, uid, facts, "PT")
        made.SeriesInstanceUID = self.uid
        made.ImageType = ["ORIGINAL", "PRIMARY"]
        made.InstanceNumber = made.ImageIndex = index
        self._set_series(made)
        self._set_corrections(made)
        _set_isotope(made, facts)
        self._set_times(made, frame)
        set_rescale(made, slope)
        set_image_plane(made, self.grid)
        set_place(made, self.grid, plane)
        made.SliceLocation = made.ImagePositionPatient[2]
        return made

    def _set_series(self, made: Dataset) -> None:
        facts = self.facts
        made.Units = {"Bq/mL": "BQML", "SUV": "GML"}.get(facts.unit, "PROPCPS")
        if made.Units == "GML":
            made.SUVType = "BW"
        made.CountsSource, made.SeriesType = "EMISSION", [self.kind, "IMAGE"]
        made.NumberOfSlices = self.grid.shape[2]
        if self.gated:
            made.NumberOfRRIntervals, made.NumberOfTimeSlots = 1, len(self.frames)
            made.BeatRejectionFlag = "N"
        elif self.kind == "DYNAMIC":
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
        made.DecayCorrection = self._decay_correction()
        made.RandomsCorrectionMethod = "NONE"
        if "randoms" in applied:
            singles = "singles" in how.get("randoms", "")
            made.RandomsCorrectionMethod = "SING" if singles else "DLYD"
        for name in ("attenuation", "scatter"):
            words = (how.get(name) or "applied") if name in applied else "NONE"
            setattr(made, f"{name.capitalize()}CorrectionMethod", words.replace("\\", "/")[:64])

    def _decay_correction(self) -> str:
        if "decay" not in self.facts.applied:
            return "NONE"
        reference_s = self.facts.number("decay_reference_s") or 0.0
        injected = as_time(self.facts.more.get("administered_at"), "administered_at")
        reference = self.facts.at(reference_s)
        return "ADMIN" if injected is not None and reference == injected else "START"

    def _set_times(self, made: Dataset, frame: FrameTime) -> None:
        facts = self.facts
        set_times(made, facts, frame)
        made.ActualFrameDuration = max(1, round(frame.duration_s * 1000))
        made.FrameReferenceTime = decimal(1000 * self._reference_s(frame))
        if made.DecayCorrection != "NONE":
            made.DecayFactor = decimal(frame.decay_factor)
        if self.gated:
            made.TriggerTime = decimal(1000 * frame.start_s)
            made.FrameTime = decimal(1000 * frame.duration_s)
        prompts = frame.prompts
        if prompts is None and len(self.frames) == 1:
            prompts = facts.more.get("prompts_used", facts.more.get("prompts"))
        if prompts is not None:
            made.PrimaryPromptsCountsAccumulated = int(prompts)
        scatter = facts.number("scatter_fraction")
        if scatter is not None:
            made.ScatterFractionFactor = decimal(scatter)

    def _reference_s(self, frame: FrameTime) -> float:
        """Return the time after the series' start at which the activity equalled the frame's mean:
        t + ln(λΔ / (1 − e^(−λΔ))) / λ for a frame of Δ from t; the middle if no nuclide is
        known."""
        half_life_s = self.facts.half_life_s
        decays = 0.0 if half_life_s is None else math.log(2) / half_life_s * frame.duration_s
        if decays < 1e-6:
            return frame.start_s + frame.duration_s / 2
        mean = math.log(decays / -math.expm1(-decays)) / decays
        return frame.start_s + frame.duration_s * mean


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
