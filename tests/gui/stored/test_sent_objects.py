"""The Runs page says what of the selected run went to an archive, and why what failed did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gui.stored.runs_page import RunsPage
from gui.stored.sent_words import sent_words

Pump = Callable[..., None]


def test_words_name_peer_state_and_reason() -> None:
    told = {"pacs": {"done": 3, "stored": 1, "waiting": 2, "failed": 1, "why": "no answer"}}
    assert sent_words(told) == (
        "sent to pacs: ✓ 3, 1 not committed to, 2 waiting, ✗ 1 failed: no answer", False
    )  # fmt: skip
    assert sent_words({"web": {"done": 1}}) == ("sent to web: ✓ 1", True)


@pytest.mark.gui
@pytest.mark.timeout(120)
def test_a_run_of_which_nothing_was_sent_says_nothing(
    page: RunsPage, pump: Pump, runs: Path
) -> None:
    outbox = runs / "hospital"
    outbox.mkdir()
    state = '{"run": "tuesday", "state": "waiting", "why": "pacs cannot be reached"}'
    (outbox / "1.2@pacs.json").write_text(state)
    page.list_anew()
    pump(lambda: "tuesday" in page._sent, bound_s=30)
    rows = {page.table.item(row, 0).text(): row for row in range(page.table.rowCount())}
    page.table.selectRow(rows["monday"])
    assert page.sent.isHidden()
    page.table.selectRow(rows["tuesday"])
    assert not page.sent.isHidden()
    assert "pacs cannot be reached" in page.sent.toolTip()
