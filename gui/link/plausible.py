"""What a display can show: refuses messages with numbers or texts that no daq of ours sends.

The decoder knows types and versions. Here are the values: NaN, infinities, numbers beyond all
measure and texts without end would stop a panel's drawing in the middle, again with each frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from hw.messages.base import MessageError
from hw.messages.modules import ModuleStates
from hw.messages.pictures import ImageMessage, Projections
from hw.messages.telemetry import Telemetry

MOST = 1e15
"""Beyond every count and rate; times of clocks in ns are whole numbers, and larger."""

LONGEST = 20_000
"""Letters of a text, as in ``hw.messages.bounds``."""

MOST_ITEMS = 20_000
MOST_RINGS = 1000
MOST_FRAMES = 1000


def refuse_implausible(message: msgspec.Struct, name: str) -> None:
    """Raise MessageError, naming the field, for what cannot be shown."""
    for field, value in _leaves(message, name):
        if isinstance(value, str):
            if len(value) > LONGEST:
                raise MessageError(f"{field} has {len(value)} letters, at most {LONGEST}")
        elif isinstance(value, float) and not abs(value) <= MOST:  # NaN, too
            raise MessageError(f"{field} is {value}, which is no measured number")
        elif isinstance(value, int) and abs(value) > MOST and not field.endswith("_ns"):
            raise MessageError(f"{field} is {value}, at most {MOST:g}")


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from _leaves(getattr(value, field), f"{name}.{field}")
    elif isinstance(value, dict | list | tuple):
        if len(value) > MOST_ITEMS:
            raise MessageError(f"{name} has {len(value)} items, at most {MOST_ITEMS}")
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in items:
            yield from _leaves(one, f"{name}[{key}]")
    elif isinstance(value, str | float | int) and not isinstance(value, bool):
        yield name, value


def check_telemetry(telemetry: Telemetry) -> None:
    """Refuse telemetry whose histograms or rings do not fit, or that is implausible."""
    for name, bins in (
        ("spectrum", Telemetry.SPECTRUM_BINS),
        ("timing", Telemetry.TIMING_BINS),
        ("timing_delayed", Telemetry.TIMING_BINS),
    ):
        length = len(getattr(telemetry, name))
        if length not in (0, 4 * bins):
            raise MessageError(
                f"telemetry.{name} has {length} bytes, not {4 * bins} ({bins} u4 counts)"
            )
    if not 0 <= telemetry.rings <= MOST_RINGS:
        raise MessageError(f"telemetry.rings is {telemetry.rings}, of 0 to {MOST_RINGS}")
    if telemetry.spectrum_bin_keV < 0 or telemetry.timing_bin_ps < 0:
        raise MessageError("telemetry: a histogram's bin is not below 0")
    refuse_implausible(telemetry, "telemetry")


def check_image(image: ImageMessage) -> None:
    """Refuse an image that does not fit its shape, or whose voxels are no numbers."""
    expected = 4 * image.shape[0] * image.shape[1] * image.shape[2]
    if min(image.shape) < 1 or len(image.image) != expected:
        raise MessageError(
            f"image {image.sequence} of run {image.run} has {len(image.image)} bytes, "
            f"its shape {image.shape} takes {expected}"
        )
    if len(image.frames) > MOST_FRAMES:
        raise MessageError(f"image.frames has {len(image.frames)} frames, at most {MOST_FRAMES}")
    refuse_implausible(msgspec.structs.replace(image, regions=[]), "image")
    if not 0 < min(image.voxel_mm) <= max(image.voxel_mm) < 1000:
        raise MessageError(f"image.voxel_mm is {image.voxel_mm}, of above 0 to 1000 mm")
    if image.suv_per_unit < 0:
        raise MessageError(f"image.suv_per_unit is {image.suv_per_unit}, at least 0")
    values = image.array()
    if not max(abs(float(values.max())), abs(float(values.min()))) <= MOST:  # NaN, too
        raise MessageError(f"image {image.sequence} of run {image.run}: voxels are no numbers")
    for frame in image.frames:
        if not np.isfinite(frame.array()).all():  # or MessageError of its own
            raise MessageError(f"frame {frame.number} of run {image.run}: voxels are no numbers")


def check_projections(pictures: Projections) -> None:
    """Refuse planar pictures that do not fit their sizes."""
    cells = len(pictures.windows) * pictures.modules * pictures.n_v * pictures.n_u
    fits = len(pictures.counts) == len(pictures.recent) == 4 * cells
    if not fits or min(pictures.modules, pictures.n_v, pictures.n_u) < 1:
        raise MessageError(
            f"projections of run {pictures.run} have {len(pictures.counts)} and "
            f"{len(pictures.recent)} bytes, {len(pictures.windows)} windows of {pictures.modules} "
            f"modules of {pictures.n_v} × {pictures.n_u} crystals take {4 * cells}"
        )
    refuse_implausible(pictures, "projections")
    if not 0 < min(pictures.pitch_mm) <= max(pictures.pitch_mm) < 1000:
        raise MessageError(f"projections.pitch_mm is {pictures.pitch_mm}, of above 0 to 1000 mm")
    if len(pictures.angles_deg) not in (0, pictures.modules):
        raise MessageError(f"projections of run {pictures.run} have other angles than modules")


def check_modules(states: ModuleStates) -> None:
    """Refuse states of modules that are implausible."""
    refuse_implausible(states, "modules")
