"""A JSON file of a run that only its owner may read."""

from __future__ import annotations

from pathlib import Path

import msgspec

from daq.errors import StorageError
from hw.errors import FileWriteError
from hw.whole_file import PRIVATE_FILE, whole_file


def write_private(path: Path, content: msgspec.Struct) -> None:
    """Write the file (0600), completely or not at all; raises StorageError."""
    try:
        with whole_file(path, mode=PRIVATE_FILE) as file:
            file.write(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
    except FileWriteError as error:
        raise StorageError(str(error)) from error
