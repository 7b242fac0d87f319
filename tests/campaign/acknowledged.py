"""What the daq said is on the disk, while the run went on: all of it must be there after.

It is known twice: from the daq's word to the sources (`OnDisk`), on which they let go of frames, as
it passed the tap; and from its word to the displays (`not_on_disk_bytes`), byte by byte.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from campaign.block_file import BlockFile, Frame, frames_in, read_blocks, refused_in
from campaign.tap import Mark
from daq.client.client import DisplayClient


def acknowledged(frames: list[Frame], marks: dict[int, set[Mark]]) -> list[Frame]:
    """Return what was told to be safe of the frames that a source sent, in that order.

    A mark names a module's newest frame on the disk: it, and all that the module sent before it. Of
    a frame that came twice the first counts, for it was that which may have been lost.
    """
    found = []
    for module, told in marks.items():
        own = [frame for frame in frames if frame.module == module]
        first: dict[Mark, int] = {}
        for place, frame in enumerate(own):
            first.setdefault((frame.sequence, frame.period), place)
        found += own[: max((first[mark] + 1 for mark in told if mark in first), default=0)]
    return found


def frames_there(run: Path) -> set[Frame]:
    """Return the frames of a run's raw log, and of its logs of refused ones."""
    there = set(frames_in(_log(run / "raw.tmraw")))
    for path in run.glob("refused*.tmraw"):
        there |= set(refused_in(_log(path)))
    return there


def check_acknowledged(run: Path, handed_on: list[Frame], marks: dict[int, set[Mark]]) -> list[str]:
    """Look for each sound frame that was told to be on the disk: in the raw log or, where the daq
    took it to be wrong, among the refused. Nothing excuses one that is missing.
    """
    missing = set(acknowledged(handed_on, marks)) - frames_there(run)
    if not missing:
        return []
    first = min(missing, key=lambda frame: (frame.module, frame.period))
    what = f"{len(missing)} frames that the sources were told to be on the disk are not there"
    return [f"{what}, the first is number {first.sequence} of module {first.module}"]


def _log(path: Path) -> BlockFile:
    try:
        return read_blocks(path)
    except OSError:
        return BlockFile([], 0)


@dataclass(frozen=True)
class Promise:
    """The first bytes of a raw log that were told to be safe."""

    n_bytes: int
    crc: int

    @classmethod
    def of(cls, log: Path, n_bytes: int) -> Promise:
        """Read what stands there now; raises OSError."""
        with log.open("rb") as file:
            first = file.read(n_bytes)
        return cls(len(first), zlib.crc32(first))

    def broken_in(self, log: Path) -> str:
        """Return in words how a log lacks what was promised, "" where it has it."""
        try:
            now = Promise.of(log, self.n_bytes)
        except OSError as error:
            return f"{self.n_bytes} bytes were told to be on the disk, and {error}"
        if now == self:
            return ""
        what = f"{now.n_bytes} are there" if now.n_bytes < self.n_bytes else "they are others"
        return f"{self.n_bytes} bytes of the raw log were told to be on the disk; {what}"


def promise_of(run: Path, display: DisplayClient) -> Promise | None:
    """Note what is safe by the daq's own word, None where it does not say so or there is no log.

    The log's size is read before the telemetry was made: so at least so much was written by then.
    """
    log = run / "raw.tmraw"
    try:
        written = log.stat().st_size
        display.telemetry(timeout_s=1.0)  # this one may be older than that
        told = display.telemetry(timeout_s=1.0)
        if told is None or told.folder != str(run) or told.state != "running":
            return None
        waits = told.buffers.get("not_on_disk_bytes", float(written))
        return Promise.of(log, max(written - int(waits), 0))
    except OSError:
        return None
