"""Events that do not fit the live imager's memory, on disk until the final image is made.

Records and weights are kept, not prepared events: at the end of the run they are prepared with the
final corrections, like those in memory. They lie in one unnamed file, of which a killed process
leaves nothing behind. At most ``SPOOL_BYTES`` are kept, and ``LEAST_FREE_BYTES`` of the disk stay
free: an image is worth less than the run's logs. At either bound, or if the disk fails, spooling
ends for good: part of a run's events does not make its image.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hw.arrays import F4, Records

SPOOL_BYTES = 4 << 30
"""119 million events of 36 bytes, more than there is time to iterate on."""

LEAST_FREE_BYTES = 1 << 30
LOOK_BYTES = 1 << 26
"""Free space is checked again after writing this many."""


class EventSpool:
    """Records with their weights, oldest first.

    Parameters
    ----------
    like : records of the type to keep
    folder : of the file; None for the system's temporary folder

    Attributes
    ----------
    folder : where the file is, or will be
    broken : why spooling ended and its events are gone, in words; "" while all are kept
    """

    def __init__(
        self, like: Records, *, folder: Path | None = None, most_bytes: int = SPOOL_BYTES
    ) -> None:
        self.broken = ""
        self._entry = np.dtype([("record", like.dtype), ("weight", "<f4")])
        self.folder = folder if folder is not None else Path(tempfile.gettempdir())
        self._most_bytes = most_bytes
        self._count = 0
        self._looked_at = 0
        self._file: BinaryIO | None = None

    def __len__(self) -> int:
        return self._count

    def append(self, records: Records, weight: F4) -> None:
        """Keep these events too, or say in ``broken`` why not."""
        if self.broken or not len(records):
            return
        block = np.empty(len(records), dtype=self._entry)
        block["record"], block["weight"] = records, weight
        try:
            self._check_room(block.nbytes)
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self.folder, prefix="tomoshibi-live-")  # noqa: SIM115
            self._file.write(block.data)
            self._file.flush()  # a full disk is told here, and not when reading begins
        except OSError as error:
            self._give_up(error.strerror or str(error))
            return
        self._count += len(records)

    def parts(self, events: int) -> Iterator[tuple[Records, F4]]:
        """Yield all kept events in chunks; raises OSError if the disk fails."""
        if self._file is None:
            return
        self._file.seek(0)
        left = self._count
        while left:
            data = self._file.read(min(events, left) * self._entry.itemsize)
            block = np.frombuffer(data, dtype=self._entry)
            if not len(block):
                raise OSError(5, "the spool file is shorter than what was written")
            left -= len(block)
            yield np.ascontiguousarray(block["record"]), np.ascontiguousarray(block["weight"])

    def clear(self) -> None:
        """Forget all and release the disk space."""
        self._count = self._looked_at = 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def free_bytes(self) -> int:
        """Return how much may still be written there: free bytes less those kept free."""
        return shutil.disk_usage(self.folder).free - LEAST_FREE_BYTES

    def _check_room(self, coming: int) -> None:
        bytes_after = self._count * self._entry.itemsize + coming
        if bytes_after > self._most_bytes:
            raise OSError(28, f"more than {self._most_bytes / 1e6:.0f} MB of events")
        if not self._count or bytes_after - self._looked_at > LOOK_BYTES:
            self._looked_at = bytes_after
            if self.free_bytes() < LOOK_BYTES:
                raise OSError(28, f"no more than {LEAST_FREE_BYTES >> 20} MiB are free")

    def _give_up(self, why: str) -> None:
        self.broken = f"{self._count} older events cannot be kept in {self.folder} ({why})"
        try:
            self.clear()
        except OSError:  # closing writes what waits, and the disk is full
            self._file = None
