"""Frames of an image in time, and images with one volume for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recon.core.grid import GridError, ImageGrid


@dataclass(frozen=True)
class FrameTime:
    """When the events of a volume came.

    start_s : from the run's start
    duration_s : what DICOM calls actual frame duration
    gate : number of the gate from 1, None where the frame is an interval of time
    decay_factor : by which the volume was multiplied for decay
    prompts : events in it, None where that is not known
    """

    start_s: float
    duration_s: float
    gate: int | None = None
    decay_factor: float = 1.0
    prompts: int | None = None

    @property
    def end_s(self) -> float:
        """When it ends, from the run's start."""
        return self.start_s + self.duration_s


def as_volumes(
    image: npt.NDArray[np.floating], grid: ImageGrid, frames: Sequence[FrameTime]
) -> npt.NDArray[np.float32]:
    """Return an image as [x, y, z, frame] float32, checked.

    Raises
    ------
    GridError
        for another shape than the grid's, another number of frames, a value that is not finite,
        or a frame without duration.
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
