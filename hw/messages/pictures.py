"""Messages that hold pictures: the live image with its dynamic frames, and planar projections.

They go to displays, latest only: images from the imager (XPUB, which notices late subscribers),
projections from the daq (PUB).
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from hw.messages.base import Message, MessageError

# --- images and projections planes: imager, daq (PUB) -> displays (SUB), latest only -------------


class DynamicFrame(msgspec.Struct, kw_only=True):
    """A short frame beside the live image, on voxels of 4 mm or more.

    number : counts the run's frames from 0
    begin_s, end_s : detector time; for the frame still filling, up to now
    image : little-endian u2 ``[x, y, z]`` C-order bytes of ``shape``, times ``scale`` in the unit
        of the live image
    prompts : number that it is made of; the estimated total if events were left out
    noise : standard deviation of a voxel over its mean, as of the live image
    """

    number: int
    begin_s: float
    end_s: float
    shape: tuple[int, int, int]
    voxel_mm: tuple[float, float, float]
    scale: float
    image: bytes
    prompts: int
    noise: float = 0.0
    complete: bool = False

    def array(self) -> npt.NDArray[np.float32]:
        """Return the frame as float32 of ``shape`` in the image's unit."""
        levels = _shaped(self.image, np.dtype("<u2"), self.shape)
        return np.asarray(levels * np.float32(self.scale), dtype=np.float32)


class RegionReading(msgspec.Struct, kw_only=True):
    """The live image in one of the run's regions, in the image's unit.

    mean : over the region, of the image as displayed
    sigma : standard deviation of the mean by counting noise, 0 if not known
    why_not : why there is no reading, "" if there is one
    """

    name: str
    mean: float = 0.0
    sigma: float = 0.0
    why_not: str = ""


class ImageMessage(Message):
    """The live image. ``image`` is float32 ``[x, y, z]`` C-order bytes of ``shape``.

    detector_time_s : detector time of the last event in the image
    event_wall_ns, published_wall_ns : CLOCK_MONOTONIC; their difference is the image's latency
    prompts_used : prompts used in the run so far; ``prompts_in_window`` of them make up this image
    fraction_used : prompts used over all prompts of the window, those lost included
    noise : standard deviation of a voxel over its mean where the image is bright, as displayed, by
        counting noise: from images of parts of the events; 0 if not known
    corrections : correction name to whether it is applied ("attenuation", "randoms", "scatter",
        ...)
    how : correction name to how it is done, or why it is not, in words
    window : the time window, written as in ``LiveSettings.window``
    window_s : detector time that the image covers (for "forget", the sum of the weights)
    frames : the newest dynamic frames, oldest first, the last one still filling
    regions : the image read in the regions kept in the run's folder
    suv_per_unit : SUV by body weight per one of the unit; 0 where it cannot be computed
    """

    run: str
    sequence: int
    shape: tuple[int, int, int]
    voxel_mm: tuple[float, float, float]
    image: bytes
    unit: str
    detector_time_s: float
    event_wall_ns: int
    published_wall_ns: int
    prompts_used: int
    delayeds_used: int
    fraction_used: float
    corrections: dict[str, bool]
    noise: float = 0.0
    rate_Hz: float = 0.0
    final: bool = False
    note: str = ""
    how: dict[str, str] = {}
    window: str = "grow"
    window_s: float = 0.0
    prompts_in_window: int = 0
    frames: list[DynamicFrame] = []
    regions: list[RegionReading] = []
    suv_per_unit: float = 0.0

    def array(self) -> npt.NDArray[np.float32]:
        """Return the image as a read-only float32 array of ``shape``."""
        return _shaped(self.image, np.dtype(np.float32), self.shape)


class Projections(Message):
    """The planar images of a SPECT run, a few times a second.

    windows : names of the energy windows with an image, in the order of their numbers
    counts, recent : little-endian u4 bytes of (windows, modules, n_v, n_u): windowed singles per
        crystal since the start, and in the last ``recent_s`` of detector time
    pitch_mm : distance between crystals along u and v
    detector_time_s : detector time up to which the images are complete
    angles_deg : angle of each module of a scanner that moves; empty if it cannot
    """

    run: str
    sequence: int
    windows: list[str]
    modules: int
    n_u: int
    n_v: int
    pitch_mm: tuple[float, float]
    counts: bytes
    recent: bytes
    detector_time_s: float
    recent_s: float
    angles_deg: list[float | None]
    published_wall_ns: int
    final: bool = False

    def arrays(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """Return ``counts`` and ``recent`` as read-only (windows, modules, n_v, n_u) u4."""
        shape = (len(self.windows), self.modules, self.n_v, self.n_u)
        counts, recent = (
            _shaped(data, np.dtype("<u4"), shape) for data in (self.counts, self.recent)
        )
        return counts, recent


def _shaped(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return a picture's bytes as an array; raises MessageError unless they are as many."""
    if min(shape, default=0) < 0 or len(data) != math.prod(shape) * dtype.itemsize:
        raise MessageError(f"a picture of {len(data)} bytes says it has the shape {shape}")
    return np.frombuffer(data, dtype=dtype).reshape(shape)
