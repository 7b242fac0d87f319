"""Flood maps: the number of hits at each raw position of each module, from a run's raw log.

A module that sends raw positions puts u + 64·v, 0 ≤ u, v < 64, into the event word's crystal field;
a crystal look-up turns that into a crystal later. Memory: 16 kB per module, whatever the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daq.folder import raw_log as rawlog
from daq.folder.raw_log import RawLogReader
from daq.folder.run_folder import run_config
from daq.path.frame_check import CheckedFrames, FrameChecker
from hw.arrays import Array
from hw.jit import kernel
from hw.scanner.description import MAX_CRYSTALS_PER_MODULE
from hw.wire.protocol import (
    CRYSTAL_MASK,
    CRYSTAL_SHIFT,
    ENERGY_MASK,
    ENERGY_SHIFT,
    KIND_SHIFT,
    KIND_SINGLE,
)

Progress = Callable[[int, int], None]

SIDE = 64
POSITIONS = SIDE * SIDE
assert POSITIONS == MAX_CRYSTALS_PER_MODULE


@dataclass(frozen=True)
class FloodMap:
    """Counts of m modules by raw position, and the singles not counted.

    counts : (m, 4096) i8, index u + 64·v
    out_of_window : singles outside the energy window
    """

    counts: npt.NDArray[np.int64]
    out_of_window: int


@kernel
def accumulate_flood(
    headers: Array, word_starts: Array, words: Array, low_dkeV: int, high_dkeV: int, flood: Array
) -> int:
    """Count frames' singles by module and position; return those outside low ≤ E ≤ high.

    flood : (m, 4096) i8. Energies as read out, in 0.1 keV.
    """
    outside = 0
    for f in range(headers.shape[0]):
        module = headers[f].module
        first = word_starts[f]
        for w in range(first, first + headers[f].event_count):
            word = words[w]
            if word >> np.uint64(KIND_SHIFT) != KIND_SINGLE:
                continue
            energy = np.int64((word >> np.uint64(ENERGY_SHIFT)) & np.uint64(ENERGY_MASK))
            if energy < low_dkeV or energy > high_dkeV:
                outside += 1
                continue
            flood[module, (word >> np.uint64(CRYSTAL_SHIFT)) & np.uint64(CRYSTAL_MASK)] += 1
    return outside


def add_frames(
    counts: npt.NDArray[np.int64], frames: CheckedFrames, *, low_keV: float, high_keV: float
) -> int:
    """Count accepted frames into ``counts``; return the singles outside the window."""
    words = np.frombuffer(frames.payload, dtype="<u8")
    outside: int = accumulate_flood(
        frames.headers, frames.word_starts, words, round(low_keV * 10), round(high_keV * 10), counts
    )
    return outside


def flood_of_run(
    folder: Path, *, low_keV: float, high_keV: float, progress: Progress | None = None
) -> FloodMap:
    """Return the flood map of a run's raw log; raises LogError."""
    reader = RawLogReader(folder / rawlog.FILE_NAME)
    scanner = run_config(folder).scanner()
    checker = FrameChecker(n_modules=scanner.n_modules, run_tag=reader.head["run_tag"])
    counts, outside = np.zeros((scanner.n_modules, POSITIONS), np.int64), 0
    total, done = (folder / rawlog.FILE_NAME).stat().st_size, 0
    for frames in reader:
        outside += add_frames(
            counts, checker.check(frames, recorded=True), low_keV=low_keV, high_keV=high_keV
        )
        done += sum(map(len, frames))
        if progress is not None:
            progress(done, total)
    return FloodMap(counts, outside)


def picture(
    counts: npt.NDArray[np.int64], crystal_map: npt.NDArray[np.uint16], *, zoom: int = 6
) -> npt.NDArray[np.float64]:
    """Return one module's flood, enlarged, with the borders of its crystals in black.

    counts, crystal_map : (4096,); the result (64·zoom, 64·zoom) has row 0 at v = 0. It shows the
        square root of the counts, so that weak peaks are visible too.
    """
    flood = np.sqrt(counts.reshape(SIDE, SIDE).astype(np.float64))
    large = flood.repeat(zoom, axis=0).repeat(zoom, axis=1)
    crystal = crystal_map.reshape(SIDE, SIDE).repeat(zoom, axis=0).repeat(zoom, axis=1)
    border = np.zeros(large.shape, np.bool_)
    border[1:] |= crystal[1:] != crystal[:-1]
    border[:, 1:] |= crystal[:, 1:] != crystal[:, :-1]
    large[border] = 1.3 * max(float(large.max()), 1.0)
    return large


def mosaic(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return all modules' floods in one picture, the first at the bottom left; square root of the
    counts, each module scaled by itself.
    """
    across = max(1, round(np.sqrt(1.5 * len(counts))))
    rows = -(-len(counts) // across)
    large = np.zeros((rows * (SIDE + 2), across * (SIDE + 2)))
    for k, flood in enumerate(np.sqrt(counts.astype(np.float64))):
        row, column = divmod(k, across)
        tile = flood.reshape(SIDE, SIDE) / max(float(flood.max()), 1.0)
        top, left = row * (SIDE + 2) + 1, column * (SIDE + 2) + 1
        large[top : top + SIDE, left : left + SIDE] = tile
    return large
