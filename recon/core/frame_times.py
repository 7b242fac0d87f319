"""The time frames of an image, and images with one volume per frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from recon.core.grid import GridError, ImageGrid

Source = Literal["unknown", "cardiac", "respiratory"]
"""What a gate signal is of. The triggers of a cardiac one are R waves."""


@dataclass(frozen=True, kw_only=True)
class GateSlot:
    """A gate's place in the cycle of its signal, within one time frame.

    of : how many gates divide the cycle
    frame : number of the time frame, from 1
    opened_s, closed_s : start and end of that frame; the gate could take events at any time between
    trigger_s : from a cycle's trigger to the gate, mean of the cycles; None where the signal has no
        place in time (amplitude) or the frame no whole cycle
    slot_s : the gate's time in a cycle, mean of the cycles
    cycle_s : mean of the cycles' lengths
    cycles, rejected : how many in the frame are in the gates, and are left out
    usual_s : shortest and longest cycle that is not left out; None if none ever is
    """

    source: Source
    of: int
    frame: int
    opened_s: float
    closed_s: float
    trigger_s: float | None = None
    slot_s: float = 0.0
    cycle_s: float = 0.0
    cycles: int = 0
    rejected: int = 0
    usual_s: tuple[float, float] | None = None

    @property
    def is_of_heartbeat(self) -> bool:
        """Whether the gate is a time slot of an R-R interval."""
        return self.source == "cardiac" and self.trigger_s is not None


@dataclass(frozen=True)
class FrameTime:
    """When the events of a volume were measured.

    start_s : from the run's start
    duration_s : time in which events were counted into it: a gate's many intervals together
    gate : gate number from 1; None for an ordinary time frame
    decay_factor : factor applied to the volume for decay
    prompts : events in it, None if unknown
    elapsed_s : from the start to the end of the last interval; None: one interval
    mean_s : when the activity was its mean over the intervals; None if not known
    slot : where the gate lies in its cycle, None if not known
    """

    start_s: float
    duration_s: float
    gate: int | None = None
    decay_factor: float = 1.0
    prompts: int | None = None
    elapsed_s: float | None = None
    mean_s: float | None = None
    slot: GateSlot | None = None

    @property
    def end_s(self) -> float:
        """End of the frame's last interval, from the run's start."""
        return self.start_s + (self.duration_s if self.elapsed_s is None else self.elapsed_s)


def as_volumes(
    image: npt.NDArray[np.floating], grid: ImageGrid, frames: Sequence[FrameTime]
) -> npt.NDArray[np.float32]:
    """Return an image as [x, y, z, frame] float32, checked.

    Raises
    ------
    GridError
        if the shape or the number of frames does not match, a value is not finite, or a frame has
        no duration.
    """
    volumes = np.asarray(image, dtype=np.float32)
    if volumes.ndim == 3:
        volumes = volumes[..., None]
    if volumes.ndim != 4 or volumes.shape[:3] != grid.shape:
        raise GridError(
            f"an image of shape {np.shape(image)} on a grid of {grid.shape}: give [x, y, z] or "
            "[x, y, z, frame] on that grid"
        )
    if volumes.shape[3] != len(frames):
        raise GridError(
            f"{volumes.shape[3]} volumes and {len(frames)} frames: give one FrameTime for each"
        )
    for number, frame in enumerate(frames, 1):
        if not (np.isfinite(frame.start_s) and 0 < frame.duration_s < np.inf):
            raise GridError(
                f"frame {number} from {frame.start_s} s for {frame.duration_s} s: a finite start "
                "and a duration above 0 are needed"
            )
    if not np.isfinite(volumes).all():
        bad = int(np.count_nonzero(~np.isfinite(volumes)))
        raise GridError(f"{bad} voxels are not finite: such an image is not written")
    return volumes
