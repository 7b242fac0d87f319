"""Sorting settings: within bounds, free of contradictions, or refused where they enter."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hw.messages.sort_settings import POLICIES, EnergyWindow, SettingsError, SortSettings

GOOD: dict[str, Any] = {"lld_keV": 350.0, "uld_keV": 650.0, "window_ps": 5000, "delay_ps": 500_000}


def entered(**changes: Any) -> SortSettings:
    """Settings as they enter from a command line, a file or a message."""
    return msgspec.convert(GOOD | changes, SortSettings)


def test_settings_survive_a_journey_as_json_and_as_msgpack() -> None:
    settings = entered(policy="discard", min_sector_difference=4)
    for codec in (msgspec.json, msgspec.msgpack):
        assert codec.decode(codec.encode(settings), type=SortSettings) == settings


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_is_known(policy: str) -> None:
    assert entered(policy=policy).policy == policy


@pytest.mark.parametrize(
    "changes",
    [
        {"lld_keV": 0.0, "uld_keV": 6553.5},
        {"window_ps": 1, "delay_ps": 3},
        {"window_ps": 1_000_000_000, "delay_ps": 1_000_000_000_000},
        {"delay_ps": 0},
        {"min_sector_difference": 0},
    ],
)
def test_values_at_their_bounds_are_taken(changes: dict[str, Any]) -> None:
    settings = entered(**changes)
    assert {name: getattr(settings, name) for name in changes} == changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lld_keV": -0.1}, r"Expected `float` >= 0.0 - at `\$.lld_keV`"),
        ({"uld_keV": 6553.6}, r"Expected `float` <= 6553.5 - at `\$.uld_keV`"),
        ({"lld_keV": float("nan")}, r"at `\$.lld_keV`"),
        ({"window_ps": -1}, r"Expected `int` >= 0 - at `\$.window_ps`"),
        ({"window_ps": 1_000_000_001}, r"at `\$.window_ps`"),
        ({"window_ps": 5000.5}, r"Expected `int`, got `float` - at `\$.window_ps`"),
        ({"delay_ps": -1}, r"at `\$.delay_ps`"),
        ({"delay_ps": 1_000_000_000_001}, r"at `\$.delay_ps`"),
        ({"policy": "best"}, r"Invalid enum value 'best' - at `\$.policy`"),
        ({"min_sector_difference": -1}, r"at `\$.min_sector_difference`"),
        ({"windows_ps": 1}, "unknown field `windows_ps`"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        entered(**changes)


@pytest.mark.parametrize("uld_keV", [350.0, 349.9])
def test_an_empty_energy_window_is_refused(uld_keV: float) -> None:
    with pytest.raises(SettingsError, match=r"energy window 350:.* keV is empty.*LLD.*ULD"):
        SortSettings(**(GOOD | {"uld_keV": uld_keV}))


@pytest.mark.parametrize("delay_ps", [1, 5000, 10_000])
def test_a_delayed_window_that_could_hold_trues_is_refused(delay_ps: int) -> None:
    expected = rf"delay_ps = {delay_ps} must be above 2 × window_ps = 10000.*0 switches them off"
    with pytest.raises(SettingsError, match=expected):
        SortSettings(**(GOOD | {"delay_ps": delay_ps}))


def test_a_delay_just_beyond_the_prompts_is_taken() -> None:
    assert SortSettings(**(GOOD | {"delay_ps": 10_001})).delay_ps == 10_001


def test_a_contradiction_is_refused_on_every_way_in() -> None:
    with pytest.raises(msgspec.ValidationError, match="energy window 350:200 keV is empty"):
        entered(uld_keV=200.0)


def test_without_a_coincidence_window_nothing_is_paired() -> None:
    assert not SortSettings(lld_keV=60, uld_keV=400, window_ps=0, delay_ps=0).sorts_coincidences
    assert SortSettings(**GOOD).sorts_coincidences


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"delay_ps": 1000}, "delay_ps = 1000: window_ps = 0 sorts no coincidences"),
        ({"triples": True}, "triples = true: window_ps = 0"),
    ],
)
def test_what_only_coincidences_have_is_refused_without_them(
    given: dict[str, Any], told: str
) -> None:
    values = {"lld_keV": 60.0, "uld_keV": 400.0, "window_ps": 0, "delay_ps": 0}
    with pytest.raises(SettingsError, match=told):
        SortSettings(**(values | given))


def test_a_window_for_coincidences_is_refused_without_them() -> None:
    window = EnergyWindow(name="m0", lld_keV=100, uld_keV=200, kind="coincidence", modules=(0,))
    with pytest.raises(SettingsError, match="coincidence window m0: window_ps = 0"):
        SortSettings(lld_keV=60, uld_keV=400, window_ps=0, delay_ps=0, windows=(window,))
