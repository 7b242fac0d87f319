"""Refused frames that turn out to have been right: judged anew when the whole run is known.

Live, a frame out of step is refused until others confirm its clock; what came before that is in
the log of refused frames. Offline all is known: a frame is readmitted if its module's later frames,
which were accepted, go on from it. It is put where it came in. Nothing of the run is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daq.folder.raw_log import RawLogReader
from daq.folder.refused_log import FILE_NAME, RefusedReader
from daq.path.clock_judge import UNOPPOSED
from daq.path.frame_check import Verdict, recorded_frames
from daq.path.link_state import LEAP_PERIODS
from hw.wire.protocol import HEADER_BYTES, HEADER_DTYPE

Frames = list[memoryview]
REACH = 2 * UNOPPOSED
"""So many numbers ahead the frame that was accepted may be."""

_JUDGED = (Verdict.OUT_OF_STEP, Verdict.DUPLICATE)


class Readmission:
    """The refused frames of a run that were right. ``count`` : their number, by module."""

    def __init__(self, folder: Path) -> None:
        """Read both logs; raises LogError."""
        accepted = _accepted(folder)
        self._frames: list[tuple[int, bytes]] = []
        self.count: Counter[int] = Counter()
        for before, frame, header in _refused(folder):
            if _is_confirmed(header, before, accepted):
                self._frames.append((before, frame))
                self.count[int(header["module"])] += 1
        self._frames.sort(key=lambda one: one[0])

    def among(self, batches: Iterable[Frames]) -> Iterator[Frames]:
        """Yield the raw log's batches with the readmitted frames where they came in."""
        waiting, place = list(reversed(self._frames)), 0
        for batch in batches:
            merged: Frames = []
            for frame in batch:
                while waiting and waiting[-1][0] <= place:
                    merged.append(memoryview(waiting.pop()[1]))
                merged.append(frame)
                place += 1
            yield merged
        if waiting:
            yield [memoryview(frame) for _, frame in reversed(waiting)]


def _accepted(folder: Path) -> npt.NDArray[np.int64]:
    """Return module, number and period of the accepted frames, in order of arrival, (n, 3)."""
    names = ("module", "sequence", "frame_id")
    parts = [np.zeros((0, 3), np.int64)]
    for frames in RawLogReader(folder / "raw.tmraw"):
        headers = recorded_frames(b"".join(frames)).headers
        parts.append(np.stack([headers[name].astype(np.int64) for name in names], axis=1))
    return np.concatenate(parts)


def _refused(folder: Path) -> Iterator[tuple[int, bytes, np.void]]:
    """Yield the frames whose clock or number was why they were refused."""
    for path in sorted(folder.glob(f"{Path(FILE_NAME).stem}*{Path(FILE_NAME).suffix}")):
        for record, frame in RefusedReader(path):
            if int(record["verdict"]) in _JUDGED and len(frame) >= HEADER_BYTES:
                yield int(record["before"]), frame, np.frombuffer(frame, HEADER_DTYPE, 1)[0]


def _is_confirmed(header: np.void, before: int, accepted: npt.NDArray[np.int64]) -> bool:
    """Whether later frames of its module go on from a frame, and none took its place."""
    of_module = accepted[:, 0] == int(header["module"])
    number, period = int(header["sequence"]), int(header["frame_id"])
    later = accepted[before:][of_module[before:]]
    ahead = (later[:, 1] - number) & 0xFFFFFFFF
    in_step = np.abs(later[:, 2] - period - ahead) <= LEAP_PERIODS
    confirmed = ((ahead > 0) & (ahead <= REACH) & in_step).any()
    taken = (of_module & (accepted[:, 2] == period)).any()
    return bool(confirmed and not taken)
