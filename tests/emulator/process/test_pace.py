"""The activity that a machine can follow: measured, lowered where that was asked for, told."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.config import EmulatorConfig
from emulator.engines import pace
from emulator.engines.emulation import rehearse
from emulator.engines.instrument import Instrument
from emulator.engines.pace import at_its_pace, followed_Bq, rounded_down
from emulator.engines.prepare import prepare

CONFIG = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=3e6)


@pytest.fixture(scope="module")
def instrument() -> Instrument:
    made = prepare(CONFIG)
    rehearse(made)
    return made


@given(st.floats(min_value=1.0, max_value=1e12))
def test_an_activity_is_rounded_down_by_less_than_a_third(activity_Bq: float) -> None:
    assert activity_Bq * 0.7 < rounded_down(activity_Bq) <= activity_Bq


def test_more_processors_follow_more(instrument: Instrument) -> None:
    config = msgspec.structs.replace(CONFIG, threads=8)
    one, many = (followed_Bq(config, instrument, cores=cores) for cores in (1, 8))
    assert many > 3 * one  # a seventh of one processor, half of the eight but one


def slow(monkeypatch: pytest.MonkeyPatch, *, follows_Bq: float) -> None:
    """Let the machine be one that follows so much; what it really follows differs by machine."""
    monkeypatch.setattr(pace, "followed_Bq", lambda *_, **__: follows_Bq)


def test_a_demo_takes_what_can_be_followed_and_says_so(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, follows_Bq=4e5)
    asked = msgspec.structs.replace(CONFIG, follow=True)
    taken, remark = at_its_pace(asked, instrument)
    assert taken.activity_Bq == 4e5
    assert remark.startswith("0.4 MBq: what this machine follows")


def test_an_activity_asked_for_stays_and_what_can_be_followed_is_told(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, follows_Bq=4e5)
    taken, remark = at_its_pace(CONFIG, instrument)
    assert taken == CONFIG
    assert "3 MBq cannot be followed" in remark and "about 0.4 MBq can" in remark
    assert "--library follows more" in remark


def test_nothing_is_said_where_all_is_well(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, follows_Bq=1e9)
    assert at_its_pace(CONFIG, instrument) == (CONFIG, "")


def test_a_run_as_fast_as_it_goes_is_not_measured(instrument: Instrument) -> None:
    fast = msgspec.structs.replace(CONFIG, pace="fast", follow=True)
    assert at_its_pace(fast, instrument) == (fast, "")
