"""When a run had no data because its acquisition or a source was away: one entry each, in
``interruptions.json``, which a daq that comes back into the run reads.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from daq.errors import StorageError
from daq.folder.run_folder import write_json
from hw.bounded_files import FileRefused, read_object
from hw.messages.telemetry import Interruption, JournalLine

FILE_NAME = "interruptions.json"
MOST = 1000


class _File(msgspec.Struct):
    interruptions: list[Interruption]


class Interruptions:
    """Those of one run, the oldest first; the newest ``MOST`` are kept."""

    def __init__(self, folder: Path) -> None:
        """Read those of a folder; none where the file is missing or damaged."""
        self._path = folder / FILE_NAME
        self.all = read_interruptions(folder)

    def add(self, *, at_s: float, away_s: float, why: JournalLine) -> None:
        """Add one and write it if the disk allows; the journal has it, too.

        at_s : detector time of what came last before it
        """
        gap = Interruption(at_s=at_s, away_s=away_s, why=why.text, id=why.id, values=why.values)
        self.all = [*self.all, gap][-MOST:]
        with suppress(StorageError):
            write_json(self._path, msgspec.to_builtins(_File(self.all)))


def read_interruptions(folder: Path) -> list[Interruption]:
    """Return a run's interruptions, the oldest first."""
    path = folder / FILE_NAME
    if not path.exists():
        return []
    try:
        return msgspec.convert(read_object(path), _File).interruptions
    except (FileRefused, msgspec.ValidationError):
        return []
