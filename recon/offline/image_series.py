"""The frames of a reconstruction as one series, in the best unit available."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hw.physics.nuclides import Nuclide, nuclide_of
from recon.core.correction_record import Corrections
from recon.core.decay import decay_factor, mean_time_s
from recon.core.frame_times import FrameTime
from recon.core.frames import TimeSelection
from recon.core.grid import Image
from recon.core.noise_parts import NoiseParts
from recon.core.quantification import BQ_PER_ML, EMISSIONS, ActivityCalibration, Patient
from recon.offline.options import ReconOptions
from recon.offline.run_data import RunData


@dataclass
class FrameImage:
    """One frame's image, emissions/s per voxel, and facts about it."""

    selection: TimeSelection
    image: Image
    about: dict[str, Any] = field(default_factory=dict)
    parts: NoiseParts | None = None

    def time(self, decay: float, half_life_s: float | None) -> FrameTime:
        """Return the frame's time: as requested if the run has no data in it."""
        selection = self.selection
        start_s, end_s = selection.asked_s
        known = selection.duration_s > 0
        return FrameTime(
            start_s=selection.start_s if known else start_s,
            duration_s=selection.duration_s if known else end_s - start_s,
            gate=selection.gate,
            decay_factor=decay,
            prompts=self.about["prompts"],
            elapsed_s=selection.end_s - selection.start_s if known else None,
            mean_s=mean_time_s(selection, half_life_s) if known and half_life_s else None,
            slot=selection.slot,
        )


@dataclass
class Quantifier:
    """Converts images to the reference time and to Bq/mL, as far as possible."""

    data: RunData
    options: ReconOptions
    done: Corrections
    calibration: ActivityCalibration | None
    patient: Patient | None
    notes: list[str]

    def __post_init__(self) -> None:
        self.nuclide, self._no_nuclide = nuclide_of(self.data.labels)
        self.unit = EMISSIONS

    def check(self, selections: list[TimeSelection]) -> None:
        """Raise early if decay cannot be corrected from these times."""
        for selection in selections:
            self._decay(selection)
        if self.patient is not None and self.nuclide is not None:
            self.patient.suv_per_Bq_per_mL(self.nuclide.half_life_s, self.options.decay_reference_s)

    def series(
        self, frames: list[FrameImage], voxel_volume_mL: float
    ) -> tuple[Image, list[FrameTime]]:
        """Return the images as one array, and the time of each."""
        self._note_decay()
        scale = self._scale() / voxel_volume_mL
        times = []
        half_life_s = self.nuclide.half_life_s if self.nuclide else None
        for frame in frames:
            decay = self._decay(frame.selection)
            frame.image *= np.float32(scale * decay)
            if frame.parts is not None:
                frame.parts = frame.parts.scaled(scale * decay)
            frame.about["decay_factor"] = decay
            times.append(frame.time(decay, half_life_s))
        if len(frames) == 1:
            return frames[0].image, times
        return np.ascontiguousarray(np.stack([one.image for one in frames], axis=-1)), times

    def suv_factor(self) -> float | None:
        """Return SUV per Bq/mL, or None if unknown."""
        if self.patient is None:
            return None
        if self.unit != BQ_PER_ML or self.nuclide is None or not self.done.of("decay").applied:
            self.notes.append("no SUV: it needs decay correction and calibration to Bq/mL")
            return None
        return self.patient.suv_per_Bq_per_mL(
            self.nuclide.half_life_s, self.options.decay_reference_s
        )

    def patient_facts(self) -> dict[str, Any]:
        """Return weight and injected activity for the metadata, if known."""
        return {} if self.patient is None else self.patient.as_metadata(self.data.start)

    def _note_decay(self) -> None:
        if not self.options.decay:
            self.done.leave("decay", "not wanted")
        elif self.nuclide is None:
            self.done.miss("decay", self._no_nuclide)
        else:
            self.done.apply(
                "decay",
                f"{self.nuclide.name}, within each frame and to "
                f"{self.options.decay_reference_s:g} s after the run's start",
                half_life_s=self.nuclide.half_life_s,
            )

    def _decay(self, selection: TimeSelection) -> float:
        if self.nuclide is None or not self.options.decay:
            return 1.0
        return decay_factor(selection, self.nuclide.half_life_s, self.options.decay_reference_s)

    def _scale(self) -> float:
        """Return Bq per emission/s, 1 if unknown."""
        if not self.options.calibration:
            self.done.leave("calibration", "not wanted")
        elif self.calibration is None:
            why = self.data.uncalibrated and f" ({self.data.uncalibrated})"
            words = f"no activity calibration{why}: `tomoshibi calibrate activity`"
            self.done.miss("calibration", words)
        elif self.nuclide is None:
            self.done.miss("calibration", self._no_nuclide)
        elif self.nuclide.beta_plus_fraction <= 0:
            self.done.miss("calibration", f"{self.nuclide.name} emits no positrons")
        else:
            self.unit = BQ_PER_ML
            return self._calibrated(self.calibration, self.nuclide)
        return 1.0

    def _calibrated(self, calibration: ActivityCalibration, nuclide: Nuclide) -> float:
        self.done.apply(
            "calibration",
            f"factor {calibration.factor:.4g} ± {100 * calibration.error:.2g} % from "
            f"{calibration.run or 'a run'}, β⁺ fraction {nuclide.beta_plus_fraction:.4g} of "
            f"{nuclide.name}",
            factor=calibration.factor,
            relative_error=calibration.error,
        )
        window = self.data.lld_keV, self.data.uld_keV
        for words in calibration.differences(self.done.applied(), *window):
            self.notes.append(f"the activity calibration was made under other conditions: {words}")
        return calibration.factor / nuclide.beta_plus_fraction
