"""The time frames of an image, and images with one volume per frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recon.core.grid import GridError, ImageGrid


@dataclass(frozen=True)
class FrameTime:
    """When the events of a volume were measured.

    start_s : from the run's start
    duration_s : DICOM's actual frame duration
    gate : gate number from 1; None for an ordinary time frame
    decay_factor : factor applied to the volume for decay
    prompts : events in it, None if unknown
    """

    start_s: float
    duration_s: float
    gate: int | None = None
    decay_factor: float = 1.0
    prompts: int | None = None

    @property
    def end_s(self) -> float:
        """End of the frame, from the run's start."""
        return self.start_s + self.duration_s


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
