"""What the daq told by an id, in the language that is spoken."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from gui.app.run_words import reason_of
from gui.kit.told import told
from gui.kit.wording import THIN
from gui.kit.words import speak
from hw.messages.endpoints import Endpoints
from hw.notices.catalogue import notice
from rigs.gui.feeder import Feeder, Script

pytestmark = pytest.mark.gui


@pytest.fixture
def japanese() -> Iterator[None]:
    speak("ja")
    yield
    speak("en")


def test_why_a_run_was_ended_is_said_in_japanese(japanese: None) -> None:
    why = notice("end.counts", wanted=5_000_000, found=5_000_123)
    telemetry = Feeder(Endpoints("ipc:///nowhere"), Script(state="closed", reason=why.text))
    said = msgspec.structs.replace(
        telemetry.telemetry(), reason_id=why.id, reason_values=why.values
    )
    assert reason_of(said) == f"5{THIN}000{THIN}000 カウントに到達: 5{THIN}000{THIN}123"


def test_what_has_no_id_stays_as_it_was_told(japanese: None) -> None:
    assert told("", {}, "disk full: /data") == "disk full: /data"


def test_counts_alone_are_grouped() -> None:
    line = notice("data.harmed", count=37, what="data frames lost", total=20114)
    assert told(line.id, line.values, "") == f"37 data frames lost (20{THIN}114 in this run)"
    assert told("module.restarted", {"module": "1234", "cause": "1234"}, "x").count(THIN) == 0
