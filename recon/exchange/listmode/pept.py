"""Lines of response of a positron camera with two parallel screens (PEPT), as text.

Format of the University of Birmingham's Positron Imaging Centre: a header that ends in a blank
line and names the screens' distance, then rows ``t x1 y1 x2 y2``: ms, and mm on each screen; rows
with another number of values (such as the file's last) are counted. D. J. Parker et al., Nucl.
Instrum. Methods A 326 (1993) 592.

The frame here is right-handed with z from the first screen to the second; its origin lies midway
between the screens, at the centre of the area hit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hw.arrays import F8
from hw.bounded_files import FileRefused, read_text
from recon.core.events import EventList, Lors
from recon.core.grid import Image, ImageGrid
from recon.exchange.errors import ExchangeError

DEPTH_SHARE = 0.6
"""Central part of the distance between the screens that the image covers."""

MOST_BYTES = 1 << 30
FARTHEST_MM, LONGEST_MS, MOST_VOXELS = 10_000.0, 1e8, 100_000_000


@dataclass(frozen=True)
class PeptList:
    """Lines in order of time.

    time_s : (n,) since the file's time zero
    origin_mm : origin of this frame in the file's coordinates, z from the first screen
    half_mm : half the extent of the area hit, along x and y
    other_rows : rows that are not lines
    """

    lors: Lors
    time_s: F8
    separation_mm: float
    origin_mm: F8
    half_mm: F8
    other_rows: int

    def __len__(self) -> int:
        return len(self.time_s)

    def part(self, start_s: float, length_s: float) -> PeptList:
        """Return the lines of a part, ``start_s`` after the first; raises ExchangeError if none."""
        since_s = self.time_s - self.time_s[0]
        first, stop = np.searchsorted(since_s, [start_s, start_s + length_s])
        if first == stop:
            raise ExchangeError(
                f"no line from {start_s:g} to {start_s + length_s:g} s after the first: the list "
                f"is {since_s[-1]:g} s long"
            )
        chosen = slice(int(first), int(stop))
        return replace(self, lors=self.lors.take(chosen), time_s=self.time_s[chosen])

    def grid(self, voxel_mm: float) -> ImageGrid:
        """Return the grid of an image of the space between the screens."""
        extent = np.array([*(2 * self.half_mm), DEPTH_SHARE * self.separation_mm])
        x, y, z = (max(1, int(n)) for n in np.ceil(extent / voxel_mm))
        if x * y * z > MOST_VOXELS:
            raise ExchangeError(
                f"{x} x {y} x {z} voxels of {voxel_mm:g} mm: at most {MOST_VOXELS}; take larger"
            )
        return ImageGrid((x, y, z), (voxel_mm, voxel_mm, voxel_mm))

    def parts(self, step_s: float) -> Iterator[tuple[float, EventList]]:
        """Yield the events of each time step, and its end time since the first event."""
        time = self.time_s - self.time_s[0]
        ends = step_s * np.arange(1, max(1, np.ceil(time[-1] / step_s)) + 1)
        ends[-1] = max(ends[-1], time[-1])
        places = np.searchsorted(time, ends, side="right")
        first = 0
        for end_s, stop in zip(ends, places, strict=True):
            yield float(end_s), EventList.plain(self.lors.take(slice(first, int(stop))))
            first = int(stop)


def read_pept(path: Path) -> PeptList:
    """Read a file.

    Raises
    ------
    ExchangeError
        if rows or the screens' distance are missing, or a value is not finite.
    """
    try:
        text = read_text(path, most_bytes=MOST_BYTES)
    except FileRefused as error:
        raise ExchangeError(f"{path} cannot be read as text: {error}") from error
    found = re.search(r"Separation\s*=\s*([\d.]+)", text)
    if found is None:
        raise ExchangeError(
            f"{path}: no line 'Separation= … ' (mm between the screens): no PEPT list"
        )
    try:
        separation = float(found[1])
    except ValueError:
        separation = 0.0
    if not 1.0 <= separation <= FARTHEST_MM:
        raise ExchangeError(f"{path}: Separation= {found[1]} mm: must lie in 1..{FARTHEST_MM:g}")
    lines = text[text.find("\n", found.end()) :].splitlines()
    rows, other = [], 0
    for line in lines:
        values = line.split()
        try:
            row = [float(value) for value in values]
        except ValueError:
            continue  # words of the header
        if len(row) == 5:
            rows.append(row)
        elif row:
            other += 1
    table = np.array(rows).reshape(-1, 5)
    if not len(table) or not np.isfinite(table).all():
        raise ExchangeError(f"{path}: {len(table)} rows of t, x1, y1, x2, y2, all must be finite")
    farthest_mm, longest_ms = np.abs(table[:, 1:]).max(), float(np.ptp(table[:, 0]))
    if farthest_mm > FARTHEST_MM or longest_ms > LONGEST_MS:
        raise ExchangeError(
            f"{path}: places up to {farthest_mm:g} mm and {longest_ms:g} ms: at most "
            f"{FARTHEST_MM:g} mm and {LONGEST_MS:g} ms; a row is damaged, or the units are others"
        )
    return _centred(table, separation, other)


def _centred(table: F8, separation: float, other: int) -> PeptList:
    table = table[np.argsort(table[:, 0], kind="stable")]
    places = np.concatenate([table[:, 1:3], table[:, 3:5]])
    low, high = places.min(axis=0), places.max(axis=0)
    middle = (low + high) / 2
    height = np.full((len(table), 1), separation / 2)
    start = np.hstack([table[:, 1:3] - middle, -height]).astype(np.float32)
    end = np.hstack([table[:, 3:5] - middle, height]).astype(np.float32)
    return PeptList(
        Lors(np.ascontiguousarray(start), np.ascontiguousarray(end)),
        table[:, 0] / 1000,
        separation,
        np.array([*middle, separation / 2]),
        (high - low) / 2,
        other,
    )


def point_sources(image: Image, grid: ImageGrid, count: int, *, apart_mm: float = 30.0) -> F8:
    """Return the positions of an image's hottest points, (count, 3) mm, hottest first.

    Each is the centre of gravity within a third of ``apart_mm`` of the hottest voxel further than
    ``apart_mm`` from those found before.
    """
    x, y, z = grid.axes_mm()
    left = image.astype(np.float64)
    found = []
    for _ in range(count):
        if not left.any():
            break
        at = np.unravel_index(int(np.argmax(left)), left.shape)
        hottest = [axis.reshape(-1)[i] for axis, i in zip((x, y, z), at, strict=True)]
        distance = np.sqrt(sum((a - p) ** 2 for a, p in zip((x, y, z), hottest, strict=True)))
        near = np.where(distance <= apart_mm / 3, left, 0.0)
        found.append([float((near * axis).sum() / max(near.sum(), 1e-30)) for axis in (x, y, z)])
        left[distance <= apart_mm] = 0.0
    return np.array(found).reshape(-1, 3)
