"""What a run's folder holds from its start on: how it was armed, and copies of what it needs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from daq.errors import RunError
from daq.folder import calibration_set
from daq.folder.calibration_set import CalibrationSet
from daq.folder.run_config import RunConfig
from daq.folder.run_folder import (
    ACTIVITY_NAME,
    CONFIG_NAME,
    MU_MAP_NAME,
    SCANNER_NAME,
    copy_in,
    write_json,
    write_text,
)
from daq.folder.run_identity import UIDS_NAME, draw_uids
from daq.service.entrance.given_paths import MOST_ACTIVITY_BYTES, MOST_MU_MAP_BYTES
from hw.bounded_files import FileRefused, npz_names, read_object
from hw.messages.live_settings import LiveSettings

MOST_MAP_BYTES = 16 << 30
"""Of a µ map's arrays; who reads them has a tighter bound, by the image's grid."""


def check_named_files(config: RunConfig) -> None:
    """Refuse, before a folder is made, files that a command names and that are not what they
    should be: they are copied into the run, and any file could be named.

    Raises
    ------
    RunError
    """
    try:
        if config.mu_map:
            _check_mu_map(Path(config.mu_map))
        if Path(config.live.activity).is_file():
            _check_activity(Path(config.live.activity))
    except FileRefused as error:
        raise RunError(f"{error}; no run folder was made") from error


def _check_mu_map(path: Path) -> None:
    try:
        names = npz_names(path, most_bytes=MOST_MAP_BYTES)
    except FileRefused as error:
        raise FileRefused(f"µ map {path}: {error}") from error
    if "mu_per_mm" not in names:
        raise FileRefused(f"µ map {path}: it holds no mu_per_mm")


def _check_activity(path: Path) -> None:
    try:
        read_object(path)
    except FileRefused as error:
        raise FileRefused(f"activity {path}: {error}") from error


class RunFiles:
    """The files beside the logs of one run. What another program deletes or changes in mid-run is
    written again: a run whose calibration is not the one it was sorted with cannot be replayed.
    """

    def __init__(self, folder: Path, config: RunConfig, calibration: CalibrationSet | None) -> None:
        self._folder, self._config, self._calibration = folder, config, calibration
        self._as_written = {name: _state_of(folder / name) for name in self._wanted()}

    def wrong(self) -> set[str]:
        """Return the names of files that are missing, or no longer as written."""
        states = {name: _state_of(self._folder / name) for name in self._wanted()}
        return {
            name for name, now in states.items() if now is None or now != self._as_written[name]
        }

    def fill(self, head: dict[str, object]) -> LiveSettings:
        """Write those that are wrong; return live settings, which name files of the run's own.

        head : what ``run.json`` says

        Raises
        ------
        StorageError
        """
        for name in sorted(self.wrong()):
            self._write(name, head)
            self._as_written[name] = _state_of(self._folder / name)
        return own_live_settings(self._folder, self._config.live)

    def rewrite_config(self, head: dict[str, object]) -> None:
        """Write ``run.json`` anew, which says more now; raises StorageError."""
        self._write(CONFIG_NAME, head)
        self._as_written[CONFIG_NAME] = _state_of(self._folder / CONFIG_NAME)

    def _wanted(self) -> set[str]:
        config = self._config
        wanted = {CONFIG_NAME, UIDS_NAME, SCANNER_NAME}
        wanted |= {MU_MAP_NAME} if config.mu_map else set()
        wanted |= {calibration_set.FILE_NAME} if self._calibration else set()
        return wanted | ({ACTIVITY_NAME} if self._activity.is_file() else set())

    @property
    def _activity(self) -> Path:
        """A named file that is not there is told by the imager."""
        return Path(self._config.live.activity)

    def _write(self, name: str, head: dict[str, object]) -> None:
        path = self._folder / name
        if name == CONFIG_NAME:
            write_json(path, head)
        elif name == UIDS_NAME:
            path.unlink(missing_ok=True)
            draw_uids(self._folder)
        elif name == SCANNER_NAME:
            write_text(path, self._config.scanner_toml)
        elif name == MU_MAP_NAME:
            copy_in(Path(self._config.mu_map), path, most_bytes=MOST_MU_MAP_BYTES)
        elif name == ACTIVITY_NAME:
            copy_in(self._activity, path, most_bytes=MOST_ACTIVITY_BYTES)
        elif self._calibration:
            path.unlink(missing_ok=True)  # sets are never overwritten
            calibration_set.save_set(self._calibration, path)


def _state_of(path: Path) -> tuple[int, int, int] | None:
    """Return a stamp that changes when a file is written, None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def own_live_settings(folder: Path, live: LiveSettings) -> LiveSettings:
    """Return live settings that name the run's own activity calibration, if it has one."""
    own = folder / ACTIVITY_NAME
    return msgspec.structs.replace(live, activity=str(own)) if own.is_file() else live
