"""What a person arranged and chose in the console, kept from one start to the next."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pyqtgraph.Qt import QtCore

FILE_NAME = "console.ini"
LEAST_PX, LEAST_COLUMN_PX, MOST_PX = 400, 100, 20_000
ARRANGED = ("size", "page", "columns")


def layout_file() -> Path:
    """Return where this user's console layout is kept."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "tomoshibi" / FILE_NAME


class SavedLayout:
    """The file. One that is missing, damaged or not writable counts as empty."""

    def __init__(self, path: Path) -> None:
        self._settings = QtCore.QSettings(str(path), QtCore.QSettings.Format.IniFormat)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the window in px, if they were kept."""
        found = self._numbers("size")
        return (found[0], found[1]) if len(found) == 2 else None

    @property
    def page(self) -> str:
        """The page that was shown last."""
        return str(self._settings.value("page", ""))[:40]

    def columns(self, count: int) -> list[int]:
        """Return the widths of this many columns in px; none if they were not kept."""
        found = self._numbers("columns")
        return found if len(found) == count else []

    def keep(self, *, size: tuple[int, int], page: str, columns: list[int]) -> None:
        """Write all of it."""
        for name, value in (("size", _text(size)), ("page", page), ("columns", _text(columns))):
            self._settings.setValue(name, value)
        self._settings.sync()

    def forget(self) -> None:
        """Forget what was arranged; language and colours stay."""
        for name in ARRANGED:
            self._settings.remove(name)
        self._settings.sync()

    def chosen(self, name: str, of: Iterable[str]) -> str:
        """Return the kept choice of "language" or "theme", "" if it is not one of the possible
        ones.
        """
        found = str(self._settings.value(name, ""))
        return found if found in of else ""

    def choose(self, name: str, value: str) -> None:
        """Keep a choice."""
        self._settings.setValue(name, value)
        self._settings.sync()

    def _numbers(self, name: str) -> list[int]:
        words = str(self._settings.value(name, "")).split("x")
        if not all(word.isdecimal() and len(word) < 6 for word in words):
            return []
        numbers = [int(word) for word in words]
        least = LEAST_PX if name == "size" else LEAST_COLUMN_PX
        return numbers if all(least <= number <= MOST_PX for number in numbers) else []


def _text(numbers: tuple[int, ...] | list[int]) -> str:
    return "x".join(map(str, numbers))
