"""How a run is to be acquired: scanner, windows, duration, and all that is worth knowing later.

It is written to the run folder (``run.json``) and the head of both logs, so that a run can be
understood and replayed without this program's defaults.
"""

from __future__ import annotations

import functools
import math
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

import msgspec

from daq.errors import RunError
from hw.messages.base import MESSAGE_VERSION
from hw.messages.live_settings import LiveSettings
from hw.messages.patient_position import UNKNOWN, PatientPosition
from hw.messages.scan_protocol import (
    DurationS,
    EndCounts,
    NoisePercent,
    OrbitText,
    RunUntil,
    ScanProtocol,
)
from hw.messages.sort_settings import EnergyWindow, SettingsError, SortSettings
from hw.physics.energy_windows import windows_behind
from hw.scanner.description import Collimator, Scanner
from hw.scanner.orbit import OrbitError, read_orbit
from hw.scanner.preset_file import parse_scanner
from hw.wire import protocol

FORMAT_VERSION = 1
FACTORY = "factory"
NO_SERIAL = "this source names no serial number"
ANY_ENERGY = "singles"
"""The name of a SPECT run's only window, if no nuclide is known."""


class RunConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The configuration of one run.

    name : folder name; "" makes one from date, time and scanner
    duration_s : detector time, 0 = until stopped
    until_counts : the run is ended after so many prompts (of single photons: in photopeak windows);
        0: not by counts
    until_noise_percent : the run is ended once the live image's noise is so low; 0: not by noise
    stall_s : a module this far behind the newest no longer holds the others back
    run_tag : tag of the data frames; 0 draws one at random. A replay takes that of the run it
        replays
    mu_map : path of an npz with ``mu_per_mm`` and ``voxel_mm``, copied into the run; "" for none
    serial : of the scanner, as its source names it; "" where that names none
    calibration : path of a calibration set, copied into the run and applied; "" for none;
        ``FACTORY`` for the one that names the serial (never in a run's own configuration)
    uncalibrated : why no set is applied, in words
    labels : free words about the run (nuclide, activity, phantom, operator, seed, ...)
    live : how the run is imaged live when it begins
    orbit : how the scanner moves, as ``hw/scanner/orbit.py`` reads it; "" as it is set at the
        source, as a PET scanner's always is
    patient_position : how the patient lies, which images and DICOM files say and are turned by
    protocol : the protocol that the run was armed by, whole; None for none. What was changed in
        arming stands in the other fields, which are in force
    """

    scanner_toml: str
    settings: SortSettings
    name: str = ""
    duration_s: DurationS = 0.0
    until_counts: EndCounts = 0
    until_noise_percent: NoisePercent = 0.0
    stall_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 1.0
    run_tag: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0
    mu_map: str = ""
    serial: str = ""
    calibration: str = ""
    uncalibrated: str = ""
    labels: dict[str, Any] = {}
    live: LiveSettings = LiveSettings()
    orbit: OrbitText = ""
    patient_position: PatientPosition = UNKNOWN
    protocol: ScanProtocol | None = None

    @property
    def until(self) -> RunUntil:
        """What ends the run."""
        return RunUntil(
            duration_s=self.duration_s,
            counts=self.until_counts,
            noise_percent=self.until_noise_percent,
        )

    def scanner(self) -> Scanner:
        """Return the scanner in the configuration."""
        return parse_scanner(self.scanner_toml, source="the run's scanner preset")


def default_settings(
    scanner: Scanner,
    *,
    nuclides: Sequence[str] = (),
    any_collimator: bool = False,
    **changes: Any,
) -> SortSettings:
    """Return the preset's own sorting settings, with changes (None keeps a value).

    Behind collimators (SPECT) no coincidences are sorted; singles are recorded in windows on the
    nuclides' photopeaks for which the collimator is made, or, if no nuclide is known, in one window
    from LLD to ULD.

    any_collimator : whether lines for which the collimator is not made are recorded, too

    Raises
    ------
    SettingsError, NuclideError
        if the collimator is made for none of a nuclide's lines, or settings contradict each other.
    """
    acquisition = scanner.acquisition
    values: dict[str, Any] = {
        "lld_keV": acquisition.lld_keV,
        "uld_keV": acquisition.uld_keV,
        "window_ps": acquisition.window_ps,
        "delay_ps": acquisition.delay_ps,
        "min_sector_difference": acquisition.min_sector_difference,
    }
    given = {key: value for key, value in changes.items() if value is not None}
    if scanner.collimator is not None and "windows" not in given:
        collimator = scanner.collimator
        if any_collimator:
            collimator = msgspec.structs.replace(collimator, least_keV=0.0, most_keV=math.inf)
        given["windows"] = _single_photon_windows(scanner, collimator, nuclides)
    return checked_settings(values | given)


def _single_photon_windows(
    scanner: Scanner, collimator: Collimator, nuclides: Sequence[str]
) -> list[dict[str, Any]]:
    windows = windows_behind(collimator, nuclides)
    if not nuclides:
        lld_keV, uld_keV = scanner.acquisition.lld_keV, scanner.acquisition.uld_keV
        windows = (EnergyWindow(name=ANY_ENERGY, lld_keV=lld_keV, uld_keV=uld_keV),)
    return [msgspec.to_builtins(window) for window in windows]


def checked_settings(values: dict[str, Any]) -> SortSettings:
    """Return settings made from plain values; raises SettingsError with field, value and bound."""
    try:
        return msgspec.convert(values, SortSettings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"sorting settings: {error}{_found(error, values)}") from error


def check_fits(settings: SortSettings, scanner: Scanner) -> None:
    """Refuse settings that name modules the scanner does not have, and coincidences behind
    collimators.

    Raises
    ------
    SettingsError
        naming window, module and bound.
    """
    if scanner.modality == "SPECT" and settings.sorts_coincidences:
        raise SettingsError(
            f"window_ps = {settings.window_ps}: {scanner.name} has collimators and records single "
            "photons, no coincidences: leave the coincidence window out (0)"
        )
    for window in settings.windows:
        beyond = [module for module in window.modules if module >= scanner.n_modules]
        if beyond:
            raise SettingsError(
                f"energy window {window.name}: {scanner.name} has no module {beyond[0]}, its "
                f"{scanner.n_modules} modules are 0 to {scanner.n_modules - 1}; name others, or "
                "choose the preset that has it"
            )


def check_orbit(orbit: str, scanner: Scanner) -> None:
    """Raise SettingsError unless a scanner can move so, or nothing is said of it."""
    try:
        if orbit:
            read_orbit(orbit, scanner)
    except OrbitError as error:
        raise SettingsError(f"orbit {error}") from error


def config_from_args(args: dict[str, Any], template: RunConfig | None = None) -> RunConfig:
    """Return the configuration given by an ``arm`` command's arguments.

    With ``scanner_toml`` they are a whole configuration. Without it, they replace values of the
    template, and ``settings`` those of the template's settings key by key, so that a client can
    change the policy or the windows of the next run and need know nothing else.

    Raises
    ------
    RunError
        naming the wrong field, its value and its bound.
    """
    values = args if "scanner_toml" in args else _laid_over(args, template)
    try:
        return msgspec.convert(values, RunConfig)
    except msgspec.ValidationError as error:
        raise RunError(f"run configuration: {error}{_found(error, values)}") from error


def _laid_over(args: dict[str, Any], template: RunConfig | None) -> dict[str, Any]:
    if template is None:
        raise RunError(
            "arm: only changes were given and there is no configuration to lay them over: arm "
            "with a whole one first (scanner_toml, settings, …)"
        )
    settings = args.get("settings", {})
    if not isinstance(settings, dict):
        raise RunError(
            f"arm: settings = {settings!r}: an object of the settings to change is needed, for "
            'instance {"policy": "discard"}'
        )
    values: dict[str, Any] = msgspec.to_builtins(template)
    return {**values, **args, "settings": {**values["settings"], **settings}}


def _found(error: msgspec.ValidationError, values: Any) -> str:
    """Return the value that the error is about, as `` (found …)``; "" for a whole object or array,
    which would not help.
    """
    place = re.search(r"at `\$([^`]*)`$", str(error))
    try:
        for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", place[1] if place else ""):
            values = values[key or int(index)]
    except (LookupError, TypeError):
        return ""
    return "" if isinstance(values, dict | list) else f" (found {values!r})"


def versions() -> dict[str, str]:
    """Return the versions that matter for reproducing a run.

    They are looked up once: closing a run opens no file for them, and none that cannot be read
    fails a summary.
    """
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    found = {
        "python": platform.python_version(),
        "protocol": str(protocol.VERSION),
        "messages": str(MESSAGE_VERSION),
        "format": str(FORMAT_VERSION),
    }
    for package in ("tomoshibi", "numpy", "numba", "pyzmq"):
        try:
            found[package] = version(package)
        except Exception:  # noqa: BLE001  (whatever an installation's metadata may raise)
            found[package] = "unknown"
    return found
