"""Sensitivity images on disk, named by a hash of everything they depend on.

Files are written under a temporary name and renamed, so a killed process leaves no torn image. The
folder keeps the newest ``KEPT_FILES`` images. A cache that cannot be read or written is not an
error: the image is computed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from hw.errors import FileWriteError
from hw.jit import cache_root
from hw.whole_file import whole_file
from recon.core.grid import Image, ImageGrid
from recon.core.mu_map import check_mu
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity import SensitivityRatio, geometric_sensitivity
from recon.lines.model import LineFactor

KEPT_FILES = 32
_SOURCES = (
    "em/sensitivity.py", "em/sensitivity_lines.py", "core/event_location.py",
    "projector/joseph_kernels.py", "projector/vector_loops.py",
)  # fmt: skip


def sensitivity_folder() -> Path:
    """Return where sensitivity images are kept (``TOMOSHIBI_CACHE`` moves its parent)."""
    return cache_root() / "sensitivity"


def sensitivity_key(
    system: ReconSystem, factors: Sequence[LineFactor] = (), mu_per_mm: Image | None = None
) -> str:
    """Return 32 hex digits that change with scanner, pairs, grid, factors, µ map or method."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((Path(__file__).parents[1] / name).read_bytes())
    digest.update(msgspec.msgpack.encode(system.scanner))
    digest.update(system.geometry.module_centre_mm.tobytes())
    digest.update(system.geometry.module_axes.tobytes())
    digest.update(np.packbits(system.allowed).tobytes())
    digest.update(repr((system.grid, system.detection.mu_per_mm)).encode())
    digest.update(system.detection.efficiency.content_hash.encode())
    digest.update(",".join(factor.content_hash for factor in factors).encode())
    if mu_per_mm is not None:
        digest.update(np.ascontiguousarray(mu_per_mm, dtype=np.float32).tobytes())
    return digest.hexdigest()[:32]


class SensitivitySource:
    """Sensitivity images of one system; reuses what new factors or a new µ map leave unchanged.

    Parameters
    ----------
    threads : of the projectors
    stopped : polled regularly; True raises :class:`recon.em.sensitivity.SensitivityStopped`
    """

    def __init__(
        self,
        system: ReconSystem,
        *,
        threads: int = 1,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.system = system
        self._threads = threads
        self._stopped = stopped
        self._ratio: SensitivityRatio | None = None

    def image(self, factors: Sequence[LineFactor] = (), mu_per_mm: Image | None = None) -> Image:
        """Return the sensitivity with these factors and this µ map, from the cache if present.

        Raises
        ------
        GridError, MuMapError
            if the µ map does not fit the grid, or does not hold attenuation coefficients.
        """
        if mu_per_mm is not None:
            self.system.grid.check(mu_per_mm, what="µ map")
            check_mu(mu_per_mm)
        path = sensitivity_folder() / f"{sensitivity_key(self.system, factors, mu_per_mm)}.npy"
        known = _read(path, self.system.grid)
        if known is not None:
            return known
        made = self._made(factors, mu_per_mm)
        with contextlib.suppress(OSError, FileWriteError):
            _write(path, made)
            _prune(path.parent)
        return made

    def _made(self, factors: Sequence[LineFactor], mu_per_mm: Image | None) -> Image:
        if not factors and mu_per_mm is None:
            return geometric_sensitivity(self.system, threads=self._threads, stopped=self._stopped)
        geometric = self.image()
        if self._ratio is None:
            self._ratio = SensitivityRatio(
                self.system, threads=self._threads, stopped=self._stopped
            )
        return geometric * self._ratio.of(factors, mu_per_mm)


def sensitivity(
    system: ReconSystem,
    factors: Sequence[LineFactor] = (),
    mu_per_mm: Image | None = None,
    *,
    threads: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> Image:
    """Return one sensitivity image; for several, a :class:`SensitivitySource` is quicker.

    Parameters
    ----------
    system : the scanner and its image grid
    factors : efficiency of the lines besides geometry, such as normalisation and live share
    mu_per_mm : (nx, ny, nz), µ map in 1/mm on the system's grid; None for no attenuation
    threads : of the projectors
    stopped : polled regularly; True raises :class:`recon.em.sensitivity.SensitivityStopped`
    """
    return SensitivitySource(system, threads=threads, stopped=stopped).image(factors, mu_per_mm)


def _read(path: Path, grid: ImageGrid) -> Image | None:
    try:
        image = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    usable = image.shape == grid.shape and image.dtype == np.float32 and np.isfinite(image).all()
    return image if usable else None


def _write(path: Path, image: Image) -> None:
    with whole_file(path) as file:
        np.save(file, image)


def _prune(folder: Path) -> None:
    files = sorted(folder.glob("*.npy"), key=lambda file: file.stat().st_mtime)
    for file in files[:-KEPT_FILES]:
        file.unlink(missing_ok=True)
