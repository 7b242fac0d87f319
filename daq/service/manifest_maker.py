"""Makes the manifest of a run that was closed, in a thread: the next run need not wait for it."""

from __future__ import annotations

import threading
from pathlib import Path

from daq.errors import StorageError
from daq.folder.listing.manifest import write_manifest

END_S = 5.0
"""For one that is being made when the daq leaves; `runs --verify` tells where there is none."""


class ManifestMaker:
    """One at a time; ``error`` says why the last one could not be made, "" if it could."""

    def __init__(self) -> None:
        self.error = ""
        self._thread: threading.Thread | None = None

    def begin(self, folder: Path) -> None:
        """Begin with a run's manifest."""
        self.end()
        self._thread = threading.Thread(
            target=self._make, args=(folder,), name="manifest", daemon=True
        )
        self._thread.start()

    def _make(self, folder: Path) -> None:
        try:
            write_manifest(folder)
            self.error = ""
        except (StorageError, OSError) as error:
            self.error = f"no manifest of {folder.name}: {error}"

    def take_error(self) -> str:
        """Return the error, once."""
        error, self.error = self.error, ""
        return error

    def end(self) -> None:
        """Wait, within a bound, for one that is being made."""
        if self._thread is not None:
            self._thread.join(END_S)
            self._thread = None
