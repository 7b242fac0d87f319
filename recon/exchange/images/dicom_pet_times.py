"""Times of a DICOM PET series: what decay is corrected to, and which volumes make a series.

**Decay.** All that a viewer knows of the reference is decay correction (0054,1102) and the series'
date and time, the time base of all activities (PS3.3 C.8.9.1.1.2, C.8.9.1.1.5). For SUV it takes
the dose from the administration to the series' time with START, and as it is with ADMIN (QIBA,
"SUV: vendor-neutral pseudo-code"). So

    reference = administration            ADMIN, series' time = the run's start
    reference ≤ first acquisition         START, series' time = reference
    reference later                       START, series' time = the run's start, values too

The last is because viewers distrust a series' time after the acquisition, and take another: values
are brought from the reference to the run's start, which changes no SUV.

**Gates.** A GATED series is of R-R intervals, and of one time frame (C.8.9.1.1.3): each frame of a
heartbeat's gates is a series. Gates of anything else (breathing, a signal that nobody named,
amplitudes) are no slots of an R-R interval: each is a STATIC series.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from recon.core.frame_times import FrameTime
from recon.exchange.scan_facts import ScanFacts, as_time

SAME_S = 1e-3
"""Times closer than this are the same: DICOM's are in ms."""


@dataclass(frozen=True)
class DecayReference:
    """What the values of a series refer to.

    series_s : the series' time, s after the run's start
    value_scale, factor_scale : what values and decay factors are multiplied by
    """

    term: Literal["NONE", "START", "ADMIN"]
    series_s: float = 0.0
    value_scale: float = 1.0
    factor_scale: float = 1.0

    @classmethod
    def of(cls, facts: ScanFacts, frames: Sequence[FrameTime]) -> DecayReference:
        """Return the reference of an image with these frames."""
        if "decay" not in facts.applied:
            return cls("NONE")
        reference_s = facts.number("decay_reference_s") or 0.0
        given = as_time(facts.more.get("administered_at"), "administered_at")
        if given is not None and abs((given - facts.at(reference_s)).total_seconds()) < SAME_S:
            return cls("ADMIN")
        first_s = min(acquired_s(frame)[0] for frame in frames)
        if reference_s <= first_s + SAME_S or facts.half_life_s is None:
            return cls("START", min(reference_s, first_s) if facts.half_life_s else reference_s)
        factor = 2.0 ** (reference_s / facts.half_life_s)
        return cls("START", 0.0, 1.0 if facts.unit == "SUV" else factor, factor)


@dataclass(frozen=True)
class SeriesPart:
    """The volumes that make one series.

    number : of the series, from 1 volumes : their indices in the image words : describes this part
    of the image; "" if it is the whole
    """

    kind: Literal["STATIC", "DYNAMIC", "GATED"]
    number: int
    volumes: tuple[int, ...]
    words: str = ""


def series_of(frames: Sequence[FrameTime]) -> list[SeriesPart]:
    """Return the series that an image's volumes make, in order."""
    every = tuple(range(len(frames)))
    if not all(frame.gate is not None for frame in frames):
        return [SeriesPart("DYNAMIC" if len(frames) > 1 else "STATIC", 1, every)]
    if not all(frame.slot is not None and frame.slot.is_of_heartbeat for frame in frames):
        return [
            SeriesPart("STATIC", number + 1, (number,), _gate_words(frames[number]))
            for number in every
        ]
    groups = [tuple(group) for _, group in groupby(every, lambda n: _frame_number(frames[n]))]
    return [
        SeriesPart("GATED", number, group, f"frame {number}" if len(groups) > 1 else "")
        for number, group in enumerate(groups, 1)
    ]


def acquired_s(frame: FrameTime) -> tuple[float, float]:
    """Return start and end of a volume's acquisition: between them are all its counts.

    A time slot of an R-R interval could take counts from the start of its time frame
    (C.8.9.4.1.4), so that it is the same for all slots of a series.
    """
    if frame.slot is not None and frame.slot.is_of_heartbeat:
        return frame.slot.opened_s, frame.slot.closed_s
    return frame.start_s, frame.end_s


def mean_s(frame: FrameTime, half_life_s: float | None) -> float:
    """Return when the activity equalled its mean over the frame, s after the run's start: t + ln(λΔ
    / (1 − e^(−λΔ))) / λ for one interval of Δ from t; the middle if no nuclide is known."""
    if frame.mean_s is not None:
        return frame.mean_s
    start_s, end_s = acquired_s(frame)
    decays = 0.0 if half_life_s is None else math.log(2) / half_life_s * (end_s - start_s)
    if decays < 1e-6:
        return (start_s + end_s) / 2
    return start_s + (end_s - start_s) * math.log(decays / -math.expm1(-decays)) / decays


def _frame_number(frame: FrameTime) -> int:
    return 1 if frame.slot is None else frame.slot.frame


def _gate_words(frame: FrameTime) -> str:
    if frame.slot is None:
        return f"gate {frame.gate}"
    kind = {"respiratory": " of breathing", "cardiac": " of heartbeat", "unknown": ""}
    return (
        f"frame {frame.slot.frame}, gate {frame.gate} of {frame.slot.of}" + kind[frame.slot.source]
    )
