"""What a run is to be: scanner, windows, duration, and everything worth knowing later.

It is written into the run folder (``run.json``) and the head of both logs, so that a run can be
understood and replayed without this program's defaults.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import msgspec

from daq.errors import RunError
from hw import protocol
from hw.messages import MESSAGE_VERSION
from hw.scanner import Scanner, parse_scanner
from hw.settings import SettingsError, SortSettings

FORMAT_VERSION = 1


class RunConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The configuration of one run.

    name : folder name; "" makes one of date, time and scanner
    duration_s : detector time, 0 = until stopped
    stall_s : a module this far behind the newest no longer holds the others back
    run_tag : tag of the data frames; 0 draws one. A replay takes that of the run it replays
    mu_map : path of an npz with ``mu_per_mm`` and ``voxel_mm``, copied into the run; "" for none
    calibration : path of a calibration set, copied into the run and applied; "" for none
    labels : free words about the run (nuclide, activity, phantom, operator, seed, ...)
    """

    scanner_toml: str
    settings: SortSettings
    name: str = ""
    duration_s: Annotated[float, msgspec.Meta(ge=0, le=864000)] = 0.0
    stall_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 1.0
    run_tag: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0
    mu_map: str = ""
    calibration: str = ""
    labels: dict[str, Any] = {}

    def scanner(self) -> Scanner:
        """Return the scanner that the configuration carries."""
        return parse_scanner(self.scanner_toml, source="the run's scanner preset")


def default_settings(scanner: Scanner, **changes: Any) -> SortSettings:
    """Return the preset's own sorting settings, with changes (None leaves a value as it is)."""
    acquisition = scanner.acquisition
    values: dict[str, Any] = {
        "lld_keV": acquisition.lld_keV,
        "uld_keV": acquisition.uld_keV,
        "window_ps": acquisition.window_ps,
        "delay_ps": acquisition.delay_ps,
        "min_sector_difference": acquisition.min_sector_difference,
    }
    values.update({key: value for key, value in changes.items() if value is not None})
    return checked_settings(values)


def checked_settings(values: dict[str, Any]) -> SortSettings:
    """Return settings made of plain values; raises SettingsError with field and bound."""
    try:
        return msgspec.convert(values, SortSettings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"sorting settings: {error} in {values}") from error


def config_from_args(args: dict[str, Any]) -> RunConfig:
    """Return the configuration in an ``arm`` command's arguments; raises RunError."""
    try:
        return msgspec.convert(args, RunConfig)
    except msgspec.ValidationError as error:
        raise RunError(f"run configuration: {error}") from error


def versions() -> dict[str, str]:
    """Return the versions that matter for reproducing a run."""
    found = {
        "python": platform.python_version(),
        "protocol": str(protocol.VERSION),
        "messages": str(MESSAGE_VERSION),
        "format": str(FORMAT_VERSION),
    }
    for package in ("tomoshibi", "numpy", "numba", "pyzmq"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
