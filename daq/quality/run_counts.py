"""What a QC takes from a run's summary: time, rates, lost frames and both estimates of randoms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from coincidence.randoms import RandomsRatio, compare_estimates
from daq.errors import LogError
from daq.folder.plain_json import read_object
from daq.folder.run_folder import SUMMARY_NAME

Count = Annotated[int, Meta(ge=0, le=2**53)]


class Frames(msgspec.Struct, frozen=True):
    """Data frames sent and lost."""

    sent: Count
    lost: Count


class Singles(msgspec.Struct, frozen=True):
    """Singles received, and those in the energy window."""

    received: Count
    accepted: Count
    windowed: Count


class Randoms(msgspec.Struct, frozen=True):
    """Delayeds, how often their windows count the randoms, and the estimate from singles."""

    delayed: Count
    delayed_factor: Annotated[int, Meta(ge=1, le=64)]
    estimate_singles: Annotated[float, Meta(ge=0)]
    estimate_delayed: float | None = None


class RunCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a summary that a QC needs; other keys are ignored."""

    detector_time_s: Annotated[float, Meta(ge=0)]
    condition: str
    frames: Frames
    singles: Singles
    prompts: Count
    randoms: Randoms | None = None

    @property
    def lost_percent(self) -> float:
        """Data frames lost, in % of those sent."""
        return 100 * self.frames.lost / max(self.frames.sent, 1)

    def rate_cps(self, counts: float) -> float:
        """Return a number of counts as a rate over the run."""
        return counts / self.detector_time_s if self.detector_time_s > 0 else 0.0

    def randoms_ratio(self) -> RandomsRatio | None:
        """Return both estimates of randoms; None where the run has no delayed windows."""
        found = self.randoms
        if found is None or found.estimate_delayed is None:
            return None
        ratio = compare_estimates(
            found.delayed, found.delayed_factor, found.estimate_singles,
            singles=self.singles.accepted,
        )  # fmt: skip
        return ratio if ratio.known else None


def run_counts(folder: Path) -> RunCounts:
    """Return the counts of a closed run; raises LogError."""
    path = folder / SUMMARY_NAME
    if not path.is_file():
        raise LogError(f"{folder.name} has no {SUMMARY_NAME}: close it, or `tomoshibi recover` it")
    try:
        return msgspec.convert(read_object(path), RunCounts)
    except msgspec.ValidationError as error:
        raise LogError(f"{path}: {error}; `tomoshibi recover` makes it anew") from error
