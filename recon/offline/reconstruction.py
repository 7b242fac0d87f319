"""The offline reconstruction of a run: from its records to a quantified image of each frame.

    records ── counted per frame ─┬─ factors (normalisation, live share) ─┬─ sensitivity
                                  ├─ randoms, scatter                     │
                                  └─ µ map ───────────────────────────────┤
    for each frame or gate: records ── located, corrected ── event store ─┴─ OSEM ── decay, Bq/mL

Records are read again for each use and never all kept in memory. The outcome of every correction is
in the image's metadata (:mod:`recon.core.correction_record`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recon.core.correction_record import Corrections
from recon.core.display_filter import gaussian
from recon.core.field_of_view import field_of_view
from recon.core.frame_times import FrameTime
from recon.core.frames import TimeSelection, frame_selections
from recon.core.grid import Image, ImageGrid
from recon.core.noise_parts import NoiseParts
from recon.core.quantification import ActivityCalibration, Patient
from recon.em.event_store import EventStore
from recon.em.sensitivity import support_mask
from recon.lines.model import LineRate
from recon.offline.algorithms import iterate
from recon.offline.defaults import choose
from recon.offline.event_preparation import prepared
from recon.offline.frame_counts import Counts, Tally
from recon.offline.frame_setup import FrameModels
from recon.offline.gating import GateSignal, gated_frames
from recon.offline.image_series import FrameImage, Quantifier
from recon.offline.line_corrections import (
    line_factors,
    mean_live,
    mu_map,
    randoms_rate,
    record_frames,
)
from recon.offline.motion import MotionError, PoseStream, motion_notes
from recon.offline.options import ReconOptions, Scatter
from recon.offline.outside import (
    SeenActivity,
    beside_note,
    beside_the_field,
    field_note,
    map_note,
    unused_notes,
)
from recon.offline.range_step import range_blur
from recon.offline.run_data import RunData
from recon.offline.scatter_step import frame_scatter, scatter_notes, scatter_rate

Progress = Callable[[str, float], None]
"""Called with the current step and the share (0..1) of the whole that is done."""

_LATE = ("decay", "calibration")
"""Corrections applied after the iterations."""

LEAST_PER_SUBSET = 100
"""Prompts: with a handful each, OSEM ends in a few bright voxels."""

FRAMES_WITH_PARTS = 8
"""A series of more frames tells each one's noise, but keeps no parts: they would fill memory."""

_PREPARED, _SCATTER, _EVENTS_READY = 0.1, 0.25, 0.25
"""Share of the whole that comes before the frames, scatter's, and of a frame before its iterations;
of 20 M prompts (scatter takes as long for 1 M)."""


class ReconstructionStopped(Exception):
    """The reconstruction was told to stop."""


@dataclass(frozen=True)
class Reconstruction:
    """Images [x, y, z] or, for several frames, [x, y, z, frame], float32 in ``metadata["unit"]``.

    frames : one per image
    corrections : what was done, and what was not possible
    suv_factor : SUV per unit of the images, or None
    parts : of each image, which tell its noise; None where there are none
    """

    image: Image
    grid: ImageGrid
    frames: list[FrameTime]
    corrections: Corrections
    metadata: dict[str, Any]
    suv_factor: float | None = None
    parts: tuple[NoiseParts | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Extras:
    """Optional inputs of a reconstruction: motion, gating, calibration and patient."""

    poses: PoseStream | None = None
    gate_signal: GateSignal | None = None
    gates: int = 0
    calibration: ActivityCalibration | None = None
    patient: Patient | None = None


@dataclass(frozen=True)
class Prepared:
    """What a run's iterations start from, and what was corrected."""

    models: FrameModels
    tally: Tally
    corrections: Corrections


def prepare(
    data: RunData,
    options: ReconOptions | None = None,
    *,
    progress: Progress = lambda what, share: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Prepared:
    """Return factors, background and µ map of a measurement, as :func:`reconstruct` makes them."""
    job = _Job(data, options or ReconOptions(), Extras(), progress, stopped)
    job.prepare()
    return Prepared(job.models, job.tally, job.done)


def reconstruct(
    data: RunData,
    options: ReconOptions | None = None,
    extras: Extras | None = None,
    *,
    progress: Progress = lambda what, share: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Reconstruction:
    """Return the images of a measurement, one for each frame or gate.

    Parameters
    ----------
    options : algorithm, corrections and frames; by default every correction that is possible
    extras : motion, gating, calibration and patient, if any
    progress : called with the current step and the share (0..1) of the whole that is done
    stopped : polled regularly; True ends the reconstruction

    Raises
    ------
    CorrectionError
        if a correction named in ``options.require`` is not possible.
    ReconError
        for options, frames, poses or calibrations that cannot be used.
    ReconstructionStopped
        if ``stopped`` returned True.
    """
    job = _Job(data, options or ReconOptions(), extras or Extras(), progress, stopped)
    return job.run()


class _Job:
    """One reconstruction, step by step; each frame is finished before the next begins."""

    def __init__(
        self,
        data: RunData,
        options: ReconOptions,
        extras: Extras,
        progress: Progress,
        stopped: Callable[[], bool],
    ) -> None:
        self.data, self.options, self.extras = data, options, extras
        self.progress, self.stopped = progress, stopped
        self.notes = list(data.notes)
        self.selections = self._selections()
        progress("counting", 0.0)
        self.tally = Tally.of(data, self.selections)
        self.options = options = self._chosen()
        if extras.poses is not None and options.attenuation == "mlaa":
            raise MotionError(
                "attenuation = mlaa with poses: MLAA takes the object to be at rest and would find "
                "a smeared µ; use a µ map, or the head contour of the image corrected for motion"
            )
        self.done = Corrections()
        self.done.apply("sensitivity", "detection model of the crystals' geometry")
        self.field = field_of_view(
            data.scanner,
            voxel_mm=options.voxel_mm,
            fov_mm=options.fov_mm,
            centre_mm=options.centre_mm,
            over_mm=options.over_mm,
        )
        system = data.system(
            block_efficiency=options.block_efficiency, tof=options.tof, grid=self.field.working
        )
        if options.block_efficiency:
            window = f"{data.lld_keV:g}-{data.uld_keV:g} keV"
            self.done.apply("block_efficiency", f"photons followed through a block, {window}")
        else:
            self.done.leave("block_efficiency", "not wanted")
        self.system = system
        self.seen = SeenActivity(system.grid)
        self.frame_scatter: dict[str, dict[str, Any]] = {}
        self.models = FrameModels(data, system, options.threads, extras.poses, stopped)
        self.quantifier = Quantifier(
            data, options, self.done, extras.calibration, extras.patient, self.notes
        )
        self.quantifier.check(self.selections)

    def run(self) -> Reconstruction:
        """Return the images."""
        self.prepare()
        self.done.require(tuple(name for name in self.options.require if name not in _LATE))
        frames = [self._frame(number) for number in range(len(self.selections))]
        self._note_outside()
        self.notes += scatter_notes(
            frames, self.frame_scatter, self.field.image, self.done,
            per_frame=self.options.scatter_per_frame,
        )  # fmt: skip
        made = self._quantified(frames)
        self.done.require(self.options.require)
        self.progress("done", 1.0)
        return made

    def _selections(self) -> list[TimeSelection]:
        frames, notes = frame_selections(self.options.frames, duration_s=self.data.duration_s)
        self.notes += notes
        signal = self.extras.gate_signal
        if signal is None or self.extras.gates < 1:
            return frames
        gates = signal.gates(self.extras.gates, duration_s=self.data.duration_s)
        self.notes.append(
            f"gated by {signal.kind} of {signal.source} source: "
            f"{sum(gate.duration_s for gate in gates):.6g} s of "
            f"{self.data.duration_s:.6g} s are in a gate"
        )
        return gated_frames(frames, gates, signal)

    def _chosen(self) -> ReconOptions:
        """Return the options, with what the user did not name chosen by the counts, and say it."""
        choice = choose(self.options, self.tally.parts, self.data.delayed_factor, self.data.scanner)
        self.choice = choice
        if choice.words:
            self.notes.append(choice.words)
            self.progress(choice.words, 0.0)
        return choice.options

    def prepare(self) -> None:
        """Find factors, background and µ for the whole run."""
        data, options, done, models = self.data, self.options, self.done, self.models
        models.factors = line_factors(data, self.system, options, done)
        models.randoms = randoms_rate(data, self.system, self.tally, options, done)
        self.notes += motion_notes(self.extras.poses, data.duration_s, done)
        record_frames(len(self.selections), done)
        self.progress("attenuation", 0.02)
        models.mu = mu_map(
            data,
            self.system,
            options,
            done,
            factors=models.factors,
            rates=self._rates_within,
            quick=lambda mu: models.quick(self.tally, mu),
            poses=self.extras.poses,
            progress=lambda share: self.progress("MLAA", 0.02 + 0.05 * share),
        )
        self.positrons = range_blur(data, models.mu, options, done)
        self.progress("scatter", 0.07)
        scatter_rate(
            models,
            self.tally,
            options,
            done,
            lambda share: self.progress("scatter", 0.07 + (self._prepared - 0.07) * share),
        )

    def _rates_within(self, contour: Image) -> list[LineRate]:
        """Return the run's background with scatter from a first µ map."""
        simple: Scatter = "none" if self.options.scatter == "none" else "sss"
        self.models.mu = contour
        scatter_rate(self.models, self.tally, replace(self.options, scatter=simple), Corrections())
        return self.models.rates(self.tally, None)

    def _note_outside(self) -> None:
        """Say what was found where the image does not expect it."""
        run, models = self.tally.run, self.models
        words = [field_note(self.seen, self.field)]
        if models.mu is not None:
            words.append(map_note(self.seen, models.mu))
        if self.done.of("scatter").applied:
            randoms = 0.0 if models.randoms is None else run.delayeds / self.data.delayed_factor
            found = beside_the_field(models, self.tally)
            words.append(beside_note(found, run.prompts - randoms))
        self.notes += [one for one in words if one]

    def _frame(self, number: int) -> FrameImage:
        """Return one frame's image, emissions per second and voxel."""
        selection, part = self.selections[number], self.tally.parts[number]
        about: dict[str, Any] = {
            "name": selection.name,
            "start_s": selection.start_s,
            "duration_s": selection.duration_s,
            "prompts": part.prompts,
            "delayeds": part.delayeds,
        }
        if not part.prompts or selection.duration_s <= 0:
            self.notes.append(f"{selection.name}: no prompts; its image is 0")
            return FrameImage(selection, np.zeros(self.field.image.shape, np.float32), about)
        image, told, noise = self._iterated(number, selection, part)
        self.notes += unused_notes(selection.name, part, told)
        if selection.name in self.frame_scatter:
            told["scatter"] = self.frame_scatter[selection.name]
        image = self.field.cut(image)
        if noise is not None:
            noise = noise.filtered(self.field.cut)
            told["relative_noise"] = noise.relative(image)
        if len(self.selections) > FRAMES_WITH_PARTS:
            noise = None
        return FrameImage(selection, image, about | told, noise)

    def _iterated(
        self, number: int, selection: TimeSelection, part: Counts
    ) -> tuple[Image, dict[str, Any], NoiseParts | None]:
        options, models, grid = self.options, self.models, self.system.grid
        say = self._progress_of(number)
        say("sensitivity", 0.0)
        sensitivity = models.sensitivity(selection, models.mu)
        say("preparing events", 0.02)
        exposure = sensitivity * np.float32(selection.duration_s * self._live(part))
        with self._stored(selection, part, say) as store:
            result = iterate(
                self.system,
                store,
                exposure,
                support_mask(sensitivity, grid),
                options,
                positrons=self.positrons,
                progress=lambda share: say(
                    options.algorithm.upper(), _EVENTS_READY + (1 - _EVENTS_READY) * share
                ),
                stopped=self.stopped,
            )
        if self.stopped():
            raise ReconstructionStopped
        self.seen.add(result.image, exposure, selection.duration_s)
        parts = None if result.parts is None else result.parts.filtered(self._filtered)
        return self._filtered(result.image), dict(result.about), parts

    def _filtered(self, image: Image) -> Image:
        fwhm_mm = self.options.post_filter_fwhm_mm
        smooth = gaussian(image, self.system.grid, fwhm_mm=fwhm_mm)
        return np.nan_to_num(smooth, nan=0.0, posinf=0.0, neginf=0.0)

    def _stored(self, selection: TimeSelection, part: Counts, say: Progress) -> EventStore:
        options = self.options
        count = 0

        def watch(records: int) -> None:
            nonlocal count
            if self.stopped():
                raise ReconstructionStopped
            count += records
            say("preparing events", 0.02 + (_EVENTS_READY - 0.02) * count / part.prompts)

        return EventStore.build(
            prepared(
                self.models.model(self._rates(selection, part), self.models.mu),
                self.data.prompts(selection),
                threads=options.threads,
                watch=watch,
            ),
            folder=options.scratch,
            subsets=self._subsets(selection, part),
            by=options.subsets_by,
            memory_limit_bytes=int(options.memory_MB * 1e6),
        )

    def _rates(self, selection: TimeSelection, part: Counts) -> list[LineRate]:
        """Return the frame's background, with scatter of its own if that is wanted."""
        if self.options.scatter_per_frame and len(self.selections) > 1:
            done = Corrections()
            alone = frame_scatter(self.models, self.tally, selection, part, self.options, done)
            if alone is not None:
                self.frame_scatter[selection.name] = done.of("scatter").figures
                return alone.rates(self.tally, None)
        return self.models.rates(self.tally, part)

    def _subsets(self, selection: TimeSelection, part: Counts) -> int:
        """Return the number of subsets requested, or fewer if each would hold too little."""
        asked = 1 if self.options.algorithm == "mlem" else self.options.subsets
        possible = min(asked, max(part.prompts // LEAST_PER_SUBSET, 1))
        if possible < asked:
            self.notes.append(
                f"{selection.name}: {possible} subsets in place of {asked}, for {part.prompts} "
                "prompts"
            )
        return possible

    def _live(self, part: Counts) -> float:
        """Return the frame's live share over the run's."""
        if len(self.selections) == 1 or not self.done.of("dead_time").applied:
            return 1.0
        return self.tally.live_scale(part, mean_live(self.data))

    def _progress_of(self, number: int) -> Progress:
        """Return the progress function of one frame, its part of the whole given by prompts."""
        each = np.array([counts.prompts + 1.0 for counts in self.tally.parts])
        each *= (1 - self._prepared) / each.sum()
        first, share = self._prepared + float(each[:number].sum()), float(each[number])
        frames = len(self.selections)
        words = f"frame {number + 1} of {frames}: " if frames > 1 else ""
        return lambda what, part: self.progress(f"{words}{what}", first + share * part)

    @property
    def _prepared(self) -> float:
        """Share of the whole that comes before the frames."""
        return _PREPARED + (0.0 if self.options.scatter == "none" else _SCATTER)

    def _quantified(self, frames: list[FrameImage]) -> Reconstruction:
        """Return the frames as one series in the best unit possible."""
        quantifier = self.quantifier
        image, times = quantifier.series(frames, self.system.voxel_volume_mL)
        suv = quantifier.suv_factor()
        about = {
            **self._about(),
            **quantifier.patient_facts(),
            "unit": quantifier.unit,
            "half_life_s": quantifier.nuclide.half_life_s if quantifier.nuclide else None,
            "positron_fraction": (
                quantifier.nuclide.beta_plus_fraction if quantifier.nuclide else None
            ),
            "prompts_used": sum(frame.about.get("prompts_used", 0) for frame in frames),
            "frames": [frame.about for frame in frames],
            "corrections": self.done.as_metadata(),
            "notes": self.notes,
        }
        parts = tuple(frame.parts for frame in frames)
        return Reconstruction(image, self.field.image, times, self.done, about, suv, parts)

    def _about(self) -> dict[str, Any]:
        data, options = self.data, self.options
        return {
            "algorithm": options.algorithm_words,
            "run": data.name,
            "hash": data.hash,
            **data.identity.as_metadata(),
            "created": data.start.isoformat() if data.start else "",
            "scanner": data.scanner.name,
            "voxel_mm": list(self.field.image.voxel_mm),
            "centre_mm": list(self.field.image.centre_mm),
            "duration_s": data.duration_s,
            "prompts": self.tally.run.prompts,
            "delayeds": self.tally.run.delayeds,
            "tof": self.system.tof is not None,
            "energy_window_keV": [data.lld_keV, data.uld_keV],
            "window_ps": self.system.window_ps,
            "nuclide": str(data.labels.get("nuclide", "")),
            "decay_reference_s": options.decay_reference_s,
            "post_filter_fwhm_mm": options.post_filter_fwhm_mm,
            "iterations": options.iterations,
            "subsets": options.subsets,
            "options": options.as_metadata(),
            "by_counts": self.choice.as_metadata(),
        }
