"""What the daq told by an id, in the language that is spoken."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from daq.folder.journal import BURST, FOLD_S, Journal
from gui.app.run_words import reason_of
from gui.kit.told import entry_words, told
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


def test_what_happens_in_every_run_is_said_in_japanese(japanese: None) -> None:
    journal = Journal()
    books, good = notice("books.close"), notice("condition.good")
    recorded = notice("run.pairs", prompts=295072, delayeds=354)
    line = notice("run.closed", run="fdg", recorded=recorded, condition=good, books=books)
    journal.tell(line)
    (entry,) = journal.tail
    assert entry.text == "closed fdg: 295072 prompts, 354 delayeds, good, books close"
    expected = f"終了 fdg: プロンプト 295{THIN}072, 遅延計数 354, 良好, 収支は一致"
    assert entry_words(entry) == expected


def test_an_entry_that_stands_for_more_says_for_how_many(japanese: None) -> None:
    now = [0.0]
    journal = Journal(clock=lambda: now[0])
    for _ in range(BURST + 1234):
        journal.tell(notice("source.in_time"))
    now[0] = FOLD_S
    journal.tell_repeated()
    first, last = journal.tail[0], journal.tail[-1]
    assert last.text.endswith("(repeated 1,234 times)")
    assert entry_words(last) == f"{entry_words(first)} （ほか 1{THIN}234 回）"
