"""The log of windowed singles of a run (SPECT), written beside the list-mode log.

``singles.tmws`` has one 16-byte record for each single in one of the run's photopeak and scatter
windows, in order of time; the window's number is in the upper six bits of its flags. The head names
the windows. For a scanner that moves it also has the angles, each before the singles recorded at it
(``coincidence.events`` joins the two). docs/file-format.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from daq.errors import LogError
from daq.folder.listmode_log import RecordReader, RecordWriter
from hw.messages.sort_settings import EnergyWindow, SortSettings
from hw.wire.block_layout import BlockKind

FILE_NAME = "singles.tmws"
FORMAT = "tomoshibi singles log"


class SinglesWriter(RecordWriter):
    """Appends windowed singles and angles to a new singles log."""

    FORMAT = FORMAT


class SinglesReader(RecordReader):
    """Reads a singles log; ``windows`` are its energy windows, in the order of their numbers."""

    FORMAT = FORMAT
    KINDS = (BlockKind.SINGLES, BlockKind.ANGLES)

    @property
    def windows(self) -> tuple[EnergyWindow, ...]:
        """The energy windows; number k of the records is ``windows[k - 1]``; may raise LogError."""
        try:
            found = msgspec.convert(self.head["windows"], tuple[EnergyWindow, ...])
        except (KeyError, msgspec.ValidationError) as error:
            raise LogError(
                f"{self._blocks.path}: its head does not give the energy windows: {error}; put a "
                "sound copy back, or sort the raw log again: tomoshibi sort RUN --output FILE"
            ) from error
        names = [window.name for window in found]
        if len(set(names)) < len(names):
            raise LogError(f"{self._blocks.path}: two energy windows have the same name: {names}")
        return found


def singles_head(head: Mapping[str, Any], settings: SortSettings) -> dict[str, Any]:
    """Return the head of a singles log: the run's head with the windows."""
    return {**head, "windows": [msgspec.to_builtins(w) for w in settings.singles_windows]}
