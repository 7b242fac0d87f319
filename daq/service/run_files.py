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


def fill(
    folder: Path, head: dict[str, object], config: RunConfig, calibration: CalibrationSet | None
) -> LiveSettings:
    """Write what tells how a run was armed, as far as it is missing; return its live settings,
    which name files of its own.

    head : what ``run.json`` says

    Raises
    ------
    StorageError
    """
    missing = missing_files(folder, config, calibration)
    if CONFIG_NAME in missing:
        write_json(folder / CONFIG_NAME, head)
    if UIDS_NAME in missing:
        draw_uids(folder)
    if SCANNER_NAME in missing:
        write_text(folder / SCANNER_NAME, config.scanner_toml)
    if MU_MAP_NAME in missing:
        copy_in(Path(config.mu_map), folder / MU_MAP_NAME, most_bytes=MOST_MU_MAP_BYTES)
    if calibration and calibration_set.FILE_NAME in missing:
        calibration_set.save_set(calibration, folder / calibration_set.FILE_NAME)
    activity = Path(config.live.activity)
    if ACTIVITY_NAME in missing and activity.is_file():  # else it is told by the imager
        copy_in(activity, folder / ACTIVITY_NAME, most_bytes=MOST_ACTIVITY_BYTES)
    return own_live_settings(folder, config.live)


def missing_files(folder: Path, config: RunConfig, calibration: CalibrationSet | None) -> set[str]:
    """Return the names of the files that :func:`fill` would write."""
    wanted = {CONFIG_NAME, UIDS_NAME, SCANNER_NAME}
    wanted |= {MU_MAP_NAME} if config.mu_map else set()
    wanted |= {calibration_set.FILE_NAME} if calibration else set()
    wanted |= {ACTIVITY_NAME} if Path(config.live.activity).is_file() else set()
    return {name for name in wanted if not (folder / name).exists()}


def own_live_settings(folder: Path, live: LiveSettings) -> LiveSettings:
    """Return live settings that name the run's own activity calibration, if it has one."""
    own = folder / ACTIVITY_NAME
    return msgspec.structs.replace(live, activity=str(own)) if own.is_file() else live
