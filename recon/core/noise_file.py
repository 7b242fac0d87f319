"""The part images of an image on disk: ``NAME.noise.npz`` beside ``NAME.nii.gz``.

For each frame with parts: ``frame_N`` (parts, x, y, z) int16, ``scale_N`` (the image's unit per
level) and ``fraction_N`` (σ² over the parts' variance), see :mod:`recon.core.noise_parts`. Levels
are 1/32,767 of the greatest value: far below any noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hw.bounded_files import MIB, SUSPICIOUS_RATIO, read_npz
from hw.whole_file import whole_file
from recon.core.grid import ReconError
from recon.core.noise_parts import NoiseParts

LEVELS = 32_767


MOST_PARTS = 64


def noise_path(image: Path) -> Path:
    """Return where the parts of a NIfTI image lie."""
    return image.with_name(image.name.removesuffix(".gz").removesuffix(".nii") + ".noise.npz")


def write_parts(image: Path, parts: Sequence[NoiseParts | None]) -> Path | None:
    """Write the parts of each frame beside the image; without any, remove those of an earlier one.

    Raises
    ------
    FileWriteError
        if they cannot be written.
    """
    path = noise_path(image)
    held: dict[str, Any] = {}
    for frame, one in enumerate(parts):
        if one is not None:
            scale = max(float(np.abs(one.images).max(initial=0.0)) / LEVELS, 1e-30)
            held[f"frame_{frame}"] = np.rint(one.images / np.float32(scale)).astype(np.int16)
            held[f"scale_{frame}"] = np.float64(scale)
            held[f"fraction_{frame}"] = np.float64(one.fraction)
    if not held:
        path.unlink(missing_ok=True)
        return None
    with whole_file(path) as file:
        np.savez_compressed(file, **held)
    return path


def read_parts(image: Path, shape: tuple[int, ...], *, frame: int = 0) -> NoiseParts | None:
    """Return the parts of a frame of an image of ``shape`` (x, y, z), None if it has none.

    Raises
    ------
    ReconError
        if the file beside the image cannot be read or is of another image.
    """
    path = noise_path(image)
    if not path.exists():
        return None
    try:
        parts = {f"{kind}_{frame}" for kind in ("frame", "scale", "fraction")}
        held = read_npz(
            path,
            most_bytes=2 * MOST_PARTS * math.prod(shape) + MIB,
            only=parts,
            most_ratio=SUSPICIOUS_RATIO,
        )
        if f"frame_{frame}" not in held:
            return None
        levels = np.asarray(held[f"frame_{frame}"])
        scale, fraction = float(held[f"scale_{frame}"]), float(held[f"fraction_{frame}"])
    except (ValueError, TypeError, KeyError) as error:
        raise ReconError(f"{path}: cannot be read ({error}): remove it to go without σ") from error
    sound = levels.dtype.kind in "iuf" and math.isfinite(scale) and 0 < fraction <= 1
    if not sound or levels.ndim != 1 + len(shape) or levels.shape[1:] != shape or len(levels) < 2:
        raise ReconError(f"{path} is of another image than {image.name}: remove it")
    return NoiseParts(levels * np.float32(scale), fraction)
