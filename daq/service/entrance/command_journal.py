"""Who ordered what, and when: ``commands.jsonl`` in the folder of the runs.

Append-only, 0600, on disk within moments: a thread of its own waits for the disk, the daq does not.
It names keys, roles and processes, never a patient: of a command's arguments, only the names of
those that hold free words are written.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import threading
from pathlib import Path
from typing import Any

from hw.messages.commands import Command
from hw.private_place import PlaceError, open_private

NAME = "commands.jsonl"
TELLING = ("action", "modules", "text", "values")
"""Arguments whose values are written: those of module orders and faults, which are no words of
people."""

MOST_BYTES = 4096
"""Of a line."""


class CommandJournal:
    """The journal of one daq. ``trouble`` says why it cannot be written, "" if it can.

    Raises nothing: a daq whose disk takes no journal says so, and can still be stopped.
    """

    def __init__(self, folder: Path) -> None:
        self.trouble = ""
        self._path = folder / NAME
        self._number: int | None = None
        self._news, self._leave = threading.Event(), False
        self._thread = threading.Thread(target=self._sync, name="command journal", daemon=True)

    def add(self, who: dict[str, Any], command: Command, refused: str = "") -> None:
        """Write a line."""
        told = {key: command.args[key] for key in TELLING if key in command.args}
        line = {
            "when": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            **who,
            "id": command.id,
            "command": command.name,
            **({"as": command.client} if command.client else {}),
            "args": sorted(map(str, command.args)),
            **({"told": told} if told and command.name in ("module", "fault") else {}),
            **({"refused": refused} if refused else {}),
        }
        try:
            text = json.dumps(line, ensure_ascii=False, default=str).encode()
            if len(text) > MOST_BYTES:
                line.pop("told", None)
                line["args"] = ["…"]
                text = json.dumps(line, ensure_ascii=False, default=str).encode()[:MOST_BYTES]
            os.write(self._opened(), text + b"\n")
        except (OSError, PlaceError) as error:
            self.trouble = f"{self._path} cannot be written: {error}"
            return
        self.trouble = ""
        self._news.set()

    def close(self) -> None:
        """Wait until all is on disk, and close."""
        if self._number is not None:
            self._leave = True
            self._news.set()
            self._thread.join(10.0)
            os.close(self._number)
            self._number = None

    def _opened(self) -> int:
        if self._number is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open_private(self._path) as file:
                self._number = os.dup(file.fileno())
            _cut_off_torn(self._number)
            self._thread.start()
        return self._number

    def _sync(self) -> None:
        while not self._leave:
            self._news.wait()
            self._news.clear()
            number = self._number
            if number is not None:
                try:
                    os.fdatasync(number)
                except OSError as error:
                    self.trouble = f"{self._path} is not on disk: {error.strerror}"


def _cut_off_torn(number: int) -> None:
    """Cut off half a line at the end, or zeros, as a power cut leaves them."""
    size = os.fstat(number).st_size
    last = os.pread(number, 2 * MOST_BYTES, max(size - 2 * MOST_BYTES, 0))
    if last and not last.endswith(b"\n"):
        os.ftruncate(number, size - len(last) + last.rfind(b"\n") + 1)
