"""Configurations by a protocol: the protocol's own, and told where they differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from daq.errors import RunError
from daq.folder.protocols.planned_config import (
    departures,
    in_words,
    planned,
    protocol_from,
    unplanned,
)
from daq.folder.run_config import RunConfig, check_fits, default_settings
from hw.messages.live_settings import LiveSettings
from hw.messages.scan_protocol import RunUntil, ScanProtocol, SortChanges
from hw.messages.sort_settings import SettingsError
from hw.scanner.preset_file import load_scanner, scanner_names, scanner_to_toml_text
from hw.scanner.protocol_text import shipped_protocols, why_not_for

MakeConfig = Callable[..., RunConfig]
PET = ScanProtocol(
    name="ours", modality="PET", nuclide="Ga-68", until=RunUntil(duration_s=60, counts=9),
    sorting=SortChanges(policy="discard"), live=LiveSettings(frame_s=5, off=("scatter",)),
)  # fmt: skip


def config_of(preset: str, **changes: Any) -> RunConfig:
    settings = default_settings(load_scanner(preset))
    return RunConfig(scanner_toml=scanner_to_toml_text(preset), settings=settings, **changes)


def test_nothing_of_an_earlier_run_is_left_but_the_activity_calibration() -> None:
    settings = default_settings(load_scanner("bench2"), triples=True, lld_keV=400.0)
    live = LiveSettings(window="slide:60s", activity="/here.json")
    base = msgspec.structs.replace(
        config_of("bench2", duration_s=7.0, labels={"operator": "MT"}), settings=settings, live=live
    )
    config = planned(base, PET)
    assert config.settings == default_settings(load_scanner("bench2"), policy="discard")
    assert config.live == LiveSettings(frame_s=5, off=("scatter",), activity="/here.json")
    assert config.until == PET.until
    assert config.labels == {"operator": "MT", "nuclide": "Ga-68"}
    assert config.protocol == PET
    assert departures(config) == []


def test_without_a_protocol_it_is_as_the_scanner_has_it() -> None:
    config = unplanned(planned(config_of("bench2"), PET))
    assert config.protocol is None
    assert config.settings == default_settings(load_scanner("bench2"))
    assert (config.until, config.live) == (RunUntil(), LiveSettings())


def test_what_differs_from_the_protocol_is_told() -> None:
    config = planned(config_of("bench2"), PET)
    changed = msgspec.structs.replace(
        config, duration_s=5.0, settings=default_settings(config.scanner())
    )
    assert departures(changed) == ["sorting", "end"]
    assert in_words(config) == "protocol ours v1: no title; ends after 60 s or 9 counts"
    assert in_words(changed).endswith("; not as the protocol says: sorting, end")
    assert in_words(config_of("bench2")) == ""


def test_a_protocols_orbit_is_the_runs_and_another_is_told() -> None:
    camera = config_of("gamma_head_lehr")
    spect = ScanProtocol(name="ours", modality="SPECT", nuclide="Tc-99m", orbit="step:32x10s")
    config = planned(camera, spect)
    assert config.orbit == "step:32x10s"
    assert departures(msgspec.structs.replace(config, orbit="fixed:30")) == ["orbit"]
    assert protocol_from(config, "again").orbit == "step:32x10s"
    assert unplanned(config).orbit == ""
    for orbit, words in (("fixed:400", "400° is outside"), ("round", "write fixed:30")):
        with pytest.raises(RunError, match=words):
            planned(camera, msgspec.structs.replace(spect, orbit=orbit))
    with pytest.raises(SettingsError, match="a PET scanner stands still"):
        ScanProtocol(name="ours", modality="PET", orbit="fixed:30")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modality": "SPECT"}, "ours v1 is for SPECT, bench2 is PET: choose another"),
        ({"scanners": ("tof_brain",)}, "ours v1 is for tof_brain, not for bench2"),
        ({"nuclide": "Xy-9"}, "ours v1 with bench2: .*Xy-9"),
        ({"sorting": SortChanges(window_ps=10**6)}, "must be above 2 × window_ps"),
    ],
)
def test_what_does_not_fit_the_scanner_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RunError, match=words):
        planned(config_of("bench2"), msgspec.structs.replace(PET, **change))


PAIRS = [
    (protocol, preset)
    for protocol in shipped_protocols()
    for preset in scanner_names()
    if not why_not_for(protocol, load_scanner(preset))
]


@pytest.mark.parametrize(
    ("protocol", "preset"), PAIRS, ids=lambda one: str(getattr(one, "name", one))
)
def test_each_shipped_protocol_fits_its_scanners_and_is_found_again_in_the_run(
    protocol: ScanProtocol, preset: str
) -> None:
    config = planned(config_of(preset), protocol)
    check_fits(config.settings, config.scanner())
    assert bool(config.settings.singles_windows) == (protocol.modality == "SPECT")
    again = protocol_from(config, "again")
    assert again.scanners == (preset,)
    repeated = planned(config_of(preset), again)
    kept = ("settings", "live", "labels", "until_counts", "until_noise_percent", "duration_s")
    for name in kept:
        assert getattr(repeated, name) == getattr(config, name), name


def test_a_protocol_of_a_mixture_keeps_the_windows_themselves() -> None:
    windows = [{"name": "low", "lld_keV": 80.0, "uld_keV": 100.0}]
    settings = default_settings(load_scanner("gamma_head_lehr"), windows=windows)
    config = config_of("gamma_head_lehr", labels={"nuclide": "Tc-99m:0.5+I-123:0.5"})
    mixed = msgspec.structs.replace(config, settings=settings)
    protocol = protocol_from(mixed, "mixed")
    assert protocol.nuclide == ""
    assert planned(config_of("gamma_head_lehr"), protocol).settings == settings


def test_a_run_whose_name_is_none_for_a_protocol_is_refused(make_config: MakeConfig) -> None:
    with pytest.raises(RunError, match="name = 'two words'"):
        protocol_from(make_config(), "two words")
