"""The projector's benchmark workload: lines, an image and a TOF kernel, from an npz or made here.

An npz contains ``start``, ``end`` (n, 3) mm; ``tof_bin`` (n,) whole numbers, 0 in the middle of the
line and positive towards ``end``; ``image_shape``, ``voxel_size`` mm and ``image_origin`` mm (the
centre of voxel 0, 0, 0), three numbers each; ``tof_bin_width`` mm, ``tof_sigma`` mm and
``tof_num_sigmas``. It may contain ``image`` (of ``image_shape``), which is projected forward, and
``values`` (n,), which are projected back; either is all ones if left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.cli.common import CommandError
from hw.arrays import F4
from hw.bounded_files import FileRefused, read_npz
from recon.core.events import Lors
from recon.core.grid import Image, ImageGrid, ReconError
from recon.core.tof import TofModel

Entries = dict[str, npt.NDArray[Any]]

RING_RADIUS_MM = 150.0
AXIAL_MM = 100.0
LARGEST_OFFSET_MM = 100.0
CTR_PS, BIN_PS = 250.0, 50.0
FARTHEST_MM = 1e5

MOST_BYTES, MOST_RATIO = 8 << 30, 100
"""Of a workload in memory, and to its bytes in the file."""

NEEDED = (
    "start",
    "end",
    "tof_bin",
    "image_shape",
    "voxel_size",
    "image_origin",
    "tof_bin_width",
    "tof_sigma",
    "tof_num_sigmas",
)


class WorkloadError(CommandError):
    """A workload file that cannot be used; the message says which entry and why."""


@dataclass(frozen=True)
class ProjectorWorkload:
    """The workload: ``lors`` carry TOF offsets; the grid is centred and the lines are shifted to
    it.
    """

    grid: ImageGrid
    tof: TofModel
    lors: Lors
    image: Image
    values: F4

    @property
    def plain(self) -> Lors:
        """The lines without time of flight."""
        return Lors(self.lors.start, self.lors.end)


def ring_workload(lines: int) -> ProjectorWorkload:
    """Return random chords of a 300 mm ring through 120 × 120 × 50 voxels of 2 mm, in no order.

    They pass within 100 mm of the axis; 250 ps FWHM in bins of 50 ps, images and values of ones.
    """
    rng = np.random.default_rng(7)
    tof = TofModel.from_ctr(CTR_PS, bin_ps=BIN_PS)
    first = rng.uniform(0, 2 * np.pi, lines)
    opening = rng.uniform(2 * np.arccos(LARGEST_OFFSET_MM / RING_RADIUS_MM), np.pi, lines)
    ends = []
    for angle in (first, first + opening):
        z = rng.uniform(-AXIAL_MM / 2, AXIAL_MM / 2, lines)
        ring = RING_RADIUS_MM * np.cos(angle), RING_RADIUS_MM * np.sin(angle)
        ends.append(np.stack((*ring, z), axis=1).astype(np.float32))
    offset = np.rint(rng.normal(0, 40.0, lines) / tof.bin_mm) * tof.bin_mm
    grid = ImageGrid((120, 120, 50), (2.0, 2.0, 2.0))
    return ProjectorWorkload(
        grid,
        tof,
        Lors(ends[0], ends[1], offset.astype(np.float32)),
        np.ones(grid.shape, np.float32),
        np.ones(lines, np.float32),
    )


def read_workload(path: Path) -> ProjectorWorkload:
    """Read a workload; raises :class:`WorkloadError` if it cannot be used."""
    entries = _entries(path)
    start, end = (_ends(path, entries, name) for name in ("start", "end"))
    if len(start) != len(end) or not len(start):
        raise WorkloadError(
            f"{path}: {len(start)} start and {len(end)} end: needs as many, at least 1"
        )
    shape = _numbers(path, entries, "image_shape", 3)
    if (shape != np.rint(shape)).any():
        raise WorkloadError(f"{path}: image_shape {shape.tolist()}: needs whole numbers")
    voxel, origin = (_numbers(path, entries, name, 3) for name in ("voxel_size", "image_origin"))
    width, sigma, n_sigmas = (
        float(_numbers(path, entries, name, 1)[0])
        for name in ("tof_bin_width", "tof_sigma", "tof_num_sigmas")
    )
    try:
        grid = ImageGrid(
            (int(shape[0]), int(shape[1]), int(shape[2])),
            (float(voxel[0]), float(voxel[1]), float(voxel[2])),
        )
        tof = TofModel(sigma_mm=sigma, bin_mm=width, n_sigmas=n_sigmas)
    except ReconError as error:
        raise WorkloadError(f"{path}: {error}") from None
    centre = origin + (shape - 1) / 2 * voxel
    offset = _bins(path, entries, len(start)) * np.float32(width)
    lors = Lors(_shifted(start, centre), _shifted(end, centre), offset)
    image = _given(path, entries, "image", grid.shape)
    values = _given(path, entries, "values", (len(start),))
    return ProjectorWorkload(grid, tof, lors, image, values)


def _entries(path: Path) -> Entries:
    try:
        entries = read_npz(path, most_bytes=MOST_BYTES, most_ratio=MOST_RATIO)
    except FileRefused as error:
        raise WorkloadError(f"{path}: not a readable npz file ({error})") from None
    missing = [name for name in NEEDED if name not in entries]
    if missing:
        raise WorkloadError(f"{path}: no {', '.join(missing)}; needs {', '.join(NEEDED)}")
    return entries


def _real(path: Path, entries: Entries, name: str) -> npt.NDArray[Any]:
    """Return an entry of finite numbers."""
    entry = entries[name]
    if entry.dtype.kind not in "iuf":
        raise WorkloadError(f"{path}: {name} is of type {entry.dtype}, needs numbers")
    wrong = entry.size - int(np.isfinite(entry).sum())
    if wrong:
        raise WorkloadError(f"{path}: {name}: {wrong} of {entry.size} numbers are not finite")
    return entry


def _ends(path: Path, entries: Entries, name: str) -> F4:
    entry = _real(path, entries, name)
    if entry.ndim != 2 or entry.shape[1] != 3:
        raise WorkloadError(f"{path}: {name} has shape {entry.shape}, needs (n, 3)")
    farthest = float(np.abs(entry).max(initial=0.0))
    if farthest > FARTHEST_MM:
        raise WorkloadError(
            f"{path}: {name} reaches {farthest:g} mm; places are in mm, at most {FARTHEST_MM:g}"
        )
    return np.ascontiguousarray(entry, dtype=np.float32)


def _numbers(path: Path, entries: Entries, name: str, count: int) -> npt.NDArray[np.float64]:
    entry = _real(path, entries, name).astype(np.float64).reshape(-1)
    if len(entry) != count:
        raise WorkloadError(f"{path}: {name} holds {len(entry)} numbers, needs {count}")
    return entry


def _bins(path: Path, entries: Entries, n: int) -> F4:
    entry = _real(path, entries, "tof_bin")
    if entry.shape != (n,) or entry.dtype.kind not in "iu":
        raise WorkloadError(
            f"{path}: tof_bin is {entry.dtype} of shape {entry.shape}, needs int16 of ({n},)"
        )
    return entry.astype(np.float32)


def _given(path: Path, entries: Entries, name: str, shape: tuple[int, ...]) -> F4:
    if name not in entries:
        return np.ones(shape, np.float32)
    entry = _real(path, entries, name)
    if entry.shape != shape:
        raise WorkloadError(f"{path}: {name} has shape {entry.shape}, needs {shape}")
    return np.ascontiguousarray(entry, dtype=np.float32)


def _shifted(ends: F4, centre_mm: npt.NDArray[np.float64]) -> F4:
    """Return positions relative to the image's centre."""
    if not centre_mm.any():
        return ends
    return np.ascontiguousarray(ends - centre_mm, dtype=np.float32)
