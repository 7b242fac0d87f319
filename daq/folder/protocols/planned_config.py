"""A run's configuration by a protocol: the same scanner and protocol always give the same."""

from __future__ import annotations

from typing import Any

import msgspec

from daq.errors import RunError
from daq.folder.protocols.shelf import check_nuclide
from daq.folder.run_config import RunConfig, check_fits, check_orbit, default_settings
from hw.messages.live_settings import LiveSettings
from hw.messages.scan_protocol import RunUntil, ScanProtocol
from hw.messages.sort_settings import SettingsError, SortSettings
from hw.physics.nuclides import NuclideError
from hw.scanner.description import Scanner
from hw.scanner.protocol_text import ProtocolError, protocol_of, why_not_for


def planned(base: RunConfig, protocol: ScanProtocol) -> RunConfig:
    """Return ``base`` as a protocol wants it; what the protocol does not speak of stays.

    Sorting settings and live image are the protocol's over the scanner's own: nothing of an earlier
    run's is left in them but the activity calibration.

    Raises
    ------
    RunError
        where it is not for this scanner, or does not fit it.
    """
    scanner = base.scanner()
    settings = planned_settings(scanner, protocol, base.labels)
    labels = base.labels | ({"nuclide": protocol.nuclide} if protocol.nuclide else {})
    return msgspec.structs.replace(
        with_end(base, protocol.until),
        settings=settings,
        orbit=protocol.orbit,
        live=msgspec.structs.replace(protocol.live, activity=base.live.activity),
        labels=labels,
        protocol=protocol,
    )


def planned_settings(
    scanner: Scanner, protocol: ScanProtocol, labels: dict[str, Any], **changes: Any
) -> SortSettings:
    """Return a scanner's sorting settings by a protocol; ``changes`` that are not None override it.

    Raises
    ------
    RunError
    """
    if why := why_not_for(protocol, scanner):
        raise RunError(f"protocol {why}: choose another (`tomoshibi protocols list`)")
    given = {key: value for key, value in changes.items() if value is not None}
    try:
        check_nuclide(protocol)
        nuclides = [protocol.nuclide] if protocol.nuclide else _nuclides(labels)
        wanted = protocol.sorting.given() | given
        settings = default_settings(scanner, nuclides=nuclides, **wanted)
        check_fits(settings, scanner)
        check_orbit(protocol.orbit, scanner)
    except (SettingsError, NuclideError, ProtocolError) as error:
        raise RunError(f"protocol {protocol.label} with {scanner.name}: {error}") from error
    return settings


def unplanned(base: RunConfig) -> RunConfig:
    """Return a configuration without a protocol: as the scanner has it, until stopped."""
    settings = default_settings(base.scanner(), nuclides=_nuclides(base.labels))
    live = LiveSettings(activity=base.live.activity)
    free = with_end(base, RunUntil())
    return msgspec.structs.replace(free, settings=settings, live=live, orbit="", protocol=None)


def with_end(base: RunConfig, until: RunUntil) -> RunConfig:
    """Return a configuration that ends under these conditions."""
    return msgspec.structs.replace(
        base,
        duration_s=until.duration_s,
        until_counts=until.counts,
        until_noise_percent=until.noise_percent,
    )


def departures(config: RunConfig) -> list[str]:
    """Return the parts in which a run departs from its protocol; [] for none, or no protocol."""
    if config.protocol is None:
        return []
    meant = planned(config, config.protocol)
    parts = {
        "sorting": config.settings != meant.settings,
        "live image": config.live != meant.live,
        "orbit": config.orbit != meant.orbit,
        "end": config.until != meant.until,
        "nuclide": config.labels.get("nuclide") != meant.labels.get("nuclide"),
    }
    return [name for name, differs in parts.items() if differs]


def protocol_from(
    config: RunConfig, name: str, *, title: str = "", tracer: str = ""
) -> ScanProtocol:
    """Return the protocol that repeats a run, in version 1; raises RunError.

    An activity calibration is the instrument's and stays out.
    """
    scanner = config.scanner()
    nuclides = _nuclides(config.labels)
    changes = _sort_changes(config.settings, scanner, nuclides)
    before = config.protocol
    values = {
        "name": name,
        "title": title or (before.title if before else ""),
        "modality": scanner.modality,
        "scanners": [scanner.name],
        "nuclide": nuclides[0] if len(nuclides) == 1 else "",
        "tracer": tracer or (before.tracer if before else ""),
        "until": msgspec.to_builtins(config.until),
        "orbit": config.orbit,
        "sorting": changes,
        "live": msgspec.to_builtins(config.live) | {"activity": ""},
    }
    try:
        return protocol_of(values, source=f"protocol {name}")
    except ProtocolError as error:
        raise RunError(str(error)) from error


def _sort_changes(settings: SortSettings, scanner: Scanner, nuclides: list[str]) -> dict[str, Any]:
    """Return the settings in which a run differed from its scanner's and nuclide's defaults."""
    try:
        usual = msgspec.to_builtins(default_settings(scanner, nuclides=nuclides))
    except (SettingsError, NuclideError):  # of lines that the collimator is not made for
        usual = msgspec.to_builtins(default_settings(scanner, windows=[]))
    taken = msgspec.to_builtins(settings)
    changes = {key: value for key, value in taken.items() if value != usual[key]}
    if len(nuclides) != 1 and taken["windows"]:
        changes["windows"] = taken["windows"]  # no one nuclide, whose lines would tell them
    return changes


def _nuclides(labels: dict[str, Any]) -> list[str]:
    """Return the nuclides of a run's label, such as ``Ga-68:0.3+Lu-177:0.7``, without shares."""
    text = str(labels.get("nuclide") or "")
    return [part.partition(":")[0].strip() for part in text.split("+") if part.strip()]


def in_words(config: RunConfig) -> str:
    """Return by what a run is planned and ended, for its journal; "" for nothing."""
    if config.protocol is None:
        return config.until.words() if config.until != RunUntil() else ""
    words = f"protocol {config.protocol.label}: {config.protocol.title or 'no title'}"
    words += f"; {config.until.words()}"
    differs = departures(config)
    return f"{words}; not as the protocol says: {', '.join(differs)}" if differs else words
