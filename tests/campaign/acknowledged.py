"""What the daq said is on the disk, while the run went on: every byte of it must be there after.

The daq tells the sources (`OnDisk`) and the displays (`not_on_disk_bytes`) from the same figure.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from daq.client.client import DisplayClient


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
