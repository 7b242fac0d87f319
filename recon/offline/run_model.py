"""What a run's lines are expected to hold, event by event: start here to write your own EM.

In T seconds the line of event i (and its time-of-flight bin) is expected to hold

    ȳ_i = T · ( m_i (A λ)_i + r_i + q_i ),      m = gain · attenuation · normalisation · live share

with λ the emissions per second in each voxel, A the chords in mm, r randoms and q scatter per
second (:mod:`recon.lines.model`). Since m of a measured event cancels from EM, its update is

    λ ← λ / E · Aᵀ ( w / (A λ + b) ),      b = (r + q) / m,      E = T · sensitivity
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hw.arrays import F4, Records
from recon.core.asked import OptionsError
from recon.core.correction_record import Corrections
from recon.core.events import EventList, Lors, joined
from recon.core.frames import TimeSelection, parse_frames
from recon.core.grid import Image, ImageGrid
from recon.core.tof import TofModel
from recon.em.sensitivity import support_mask
from recon.lines.model import LineModel, LineRate
from recon.lines.normalisation import LiveShare, Normalisation
from recon.offline.event_preparation import prepared
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import Prepared, prepare
from recon.offline.run_data import RunData
from recon.projector.operator import Projector
from recon.spect.run import SpectOptions

T = TypeVar("T", ReconOptions, SpectOptions)


@dataclass(frozen=True)
class EventTerms:
    """What is expected of each event's line, in the order of the records; every array (n,) f4.

    Attributes
    ----------
    lors : Lors
        ``start`` and ``end`` (n, 3) mm, ``offset_mm`` (n,) of time of flight or empty.
    gain : ndarray
        Probability that the crystals detect a pair, per emission and mm of chord.
    attenuation : ndarray
        exp(−∫µ), the share of pairs that leave the object; 1 without a µ map.
    normalisation : ndarray
        Crystal efficiencies and geometric factors from the calibration set; 1 without one.
    live_share : ndarray
        Share of the time in which both modules could detect; 1 if unknown.
    randoms, scatter, prompt_gamma : ndarray
        Rates per second of the line and its time-of-flight bin; 0 if left out.
    """

    lors: Lors
    gain: F4
    attenuation: F4
    normalisation: F4
    live_share: F4
    randoms: F4
    scatter: F4
    prompt_gamma: F4

    @property
    def multiplicative(self) -> F4:
        """m, the product of all factors; 0 on a line without sensitivity."""
        return self.gain * self.attenuation * self.normalisation * self.live_share

    @property
    def background(self) -> F4:
        """r + q + γ, the sum of all additive terms, per second."""
        return self.randoms + self.scatter + self.prompt_gamma

    @property
    def addend(self) -> F4:
        """b = (r + q) / m, 0 where m is 0: what EM adds to the projection of λ."""
        seen = self.multiplicative
        addend = np.zeros_like(seen)
        np.divide(self.background, seen, out=addend, where=seen > 0)
        return addend


@dataclass(frozen=True)
class RunModel:
    """The line model of a whole run; :meth:`recon.Run.model` makes it.

    Attributes
    ----------
    data : RunData
        The measurement.
    options : ReconOptions
        The requested options.
    parts : Prepared
        µ map (1/mm), factors, randoms and scatter as found by the engine.
    """

    data: RunData
    options: ReconOptions
    parts: Prepared

    @classmethod
    def of(
        cls,
        data: RunData,
        options: ReconOptions,
        *,
        progress: Callable[[str, float], None] = lambda what, share: None,
    ) -> RunModel:
        """Return the model of a measurement."""
        return cls(data, options, prepare(data, options, progress=progress))

    @property
    def grid(self) -> ImageGrid:
        """The image's voxels."""
        return self.parts.models.system.grid

    @property
    def tof(self) -> TofModel | None:
        """The time-of-flight model; None if there is none, or it is not wanted."""
        return self.parts.models.system.tof

    @property
    def duration_s(self) -> float:
        """T: duration in detector time."""
        return self.data.duration_s

    @property
    def corrections(self) -> Corrections:
        """What was applied, and what was not and why."""
        return self.parts.corrections

    @property
    def mu_per_mm(self) -> Image | None:
        """The µ map in use, (x, y, z) f4."""
        return self.parts.models.mu

    @cached_property
    def sensitivity(self) -> Image:
        """Probability that an emission in a voxel is counted, (x, y, z) f4."""
        whole = TimeSelection.frame(0.0, self.duration_s)
        return self.parts.models.sensitivity(whole, self.mu_per_mm)

    @property
    def exposure(self) -> Image:
        """E = T · sensitivity, counts per emission/s of a voxel, (x, y, z) f4."""
        return self.sensitivity * np.float32(self.duration_s)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Voxels that may hold activity, (x, y, z) bool: in the image's cylinder and seen."""
        return support_mask(self.sensitivity, self.grid)

    @cached_property
    def lines(self) -> LineModel:
        """The engine's line model."""
        models = self.parts.models
        return models.model(models.rates(self.parts.tally, None), self.mu_per_mm)

    def projector(self, *, threads: int = 1) -> Projector:
        """Return a projector on this grid, with this time of flight."""
        return Projector(self.grid, tof=self.tof, threads=threads)

    def terms(self, records: Records) -> EventTerms:
        """Return what is expected of each record's line; (n,) ``COINCIDENCE`` records."""
        records = np.require(records, requirements=["C", "A", "W"])
        lines, models = self.lines, self.parts.models
        located = lines.locate(records)

        def factor(kind: type[Normalisation | LiveShare]) -> F4:
            found = np.ones(len(records), dtype=np.float32)
            for one in models.factors:
                if isinstance(one, kind):
                    found *= one.of_records(records)
            return found

        def rate(part: LineRate | None) -> F4:
            none = np.zeros(len(records), dtype=np.float32)
            return none if part is None else part.of_records(records, located)

        return EventTerms(
            lors=located.lors,
            gain=located.gain,
            attenuation=lines.attenuation(located.lors),
            normalisation=factor(Normalisation),
            live_share=factor(LiveShare),
            randoms=rate(models.randoms),
            scatter=rate(models.scatter),
            prompt_gamma=rate(models.prompt_gamma),
        )

    def events(self, records: Records | None = None) -> EventList:
        """Return events ready for EM: lines, ``weight`` and ``addend`` (n,) f4, in order.

        Parameters
        ----------
        records : (n,) ``COINCIDENCE`` records; default: all of the run's prompts, 32 bytes of
            memory each (36 with time of flight). :meth:`event_parts` yields them part by part.
        """
        if records is not None:
            return self.lines.events(np.require(records, requirements=["C", "A", "W"]))
        return joined(list(self.event_parts()))

    def event_parts(self) -> Iterator[EventList]:
        """Yield all prompts' events part by part, in order: for lists too long for memory."""
        return prepared(self.lines, self.data.prompts(), threads=self.options.threads)


def checked_options(kind: type[T], modality: str, given: dict[str, Any]) -> T:
    """Return options given by field name; ``frames`` may be text such as ``10x60s``.

    Raises
    ------
    OptionsError
        for an unknown name, with the nearest known one, and for values out of bounds.
    """
    names = [field.name for field in fields(kind)]
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise OptionsError(
                f"no option {name} for a {modality} run: {hint}There are {', '.join(names)}"
            )
    if isinstance(given.get("frames"), str):
        given = {**given, "frames": parse_frames(given["frames"])}
    return kind(**given)
