"""Sensitivity images on disk, named by a hash of everything they depend on.

A file is written beside its place and renamed, so a killed process leaves no torn image. The
folder keeps the newest ``KEPT_FILES`` images. A cache that cannot be read or written is no error:
the image is computed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from hw.geometry import Geometry
from hw.jit import cache_folder
from hw.scanner import Scanner
from recon.grid import Image, ImageGrid
from recon.lors import Detection
from recon.sensitivity import attenuation_ratio, geometric_sensitivity

KEPT_FILES = 32
_SOURCES = ("sensitivity.py", "lors.py", "projector_kernels.py")


def sensitivity_folder() -> Path:
    """Return where sensitivity images are kept (``TOMOSHIBI_CACHE`` moves its parent)."""
    return cache_folder().parent.parent / "sensitivity"


def sensitivity_key(
    scanner: Scanner, allowed: npt.NDArray[np.bool_], grid: ImageGrid, mu_per_mm: Image | None
) -> str:
    """Return 32 hex digits that change with scanner, pairs, grid, µ map or method."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    digest.update(msgspec.msgpack.encode(scanner))
    digest.update(np.packbits(allowed).tobytes())
    digest.update(repr(grid).encode())
    if mu_per_mm is not None:
        digest.update(np.ascontiguousarray(mu_per_mm, dtype=np.float32).tobytes())
    return digest.hexdigest()[:32]


def cached_sensitivity(
    scanner: Scanner,
    geometry: Geometry,
    allowed: npt.NDArray[np.bool_],
    grid: ImageGrid,
    *,
    mu_per_mm: Image | None = None,
    threads: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> Image:
    """Return the sensitivity image from the cache, or compute and keep it."""
    path = sensitivity_folder() / f"{sensitivity_key(scanner, allowed, grid, mu_per_mm)}.npy"
    known = _read(path, grid)
    if known is not None:
        return known
    model = (Detection.of(scanner, geometry), geometry, allowed, grid)
    if mu_per_mm is None:
        image = geometric_sensitivity(*model, threads=threads, stopped=stopped)
    else:
        geometric = cached_sensitivity(
            scanner, geometry, allowed, grid, threads=threads, stopped=stopped
        )
        ratio = attenuation_ratio(*model, mu_per_mm, threads=threads, stopped=stopped)
        image = geometric * ratio
    with contextlib.suppress(OSError):
        _write(path, image)
        _prune(path.parent)
    return image


def _read(path: Path, grid: ImageGrid) -> Image | None:
    try:
        image = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    usable = image.shape == grid.shape and image.dtype == np.float32 and np.isfinite(image).all()
    return image if usable else None


def _write(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, image)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _prune(folder: Path) -> None:
    files = sorted(folder.glob("*.npy"), key=lambda file: file.stat().st_mtime)
    for file in files[:-KEPT_FILES]:
        file.unlink(missing_ok=True)
