"""The journal's rows are as high as their words at each width, and the newest is in view."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gui.app.window import ConsoleWindow
from hw.messages.endpoints import Endpoints
from rigs.gui.feeder import Feeder, Script
from rigs.gui.layout_faults import layout_faults

pytestmark = pytest.mark.gui
Pump = Callable[..., None]
LONG = "the source has sent nothing for a while; what it sends later is recorded as it comes again"
VISITS = (
    ("Journal", (1280, 800)),
    ("Acquire", (1008, 728)),
    ("Journal", (1008, 728)),
    ("Acquire", (1280, 800)),
    ("Live", (1008, 728)),
    ("Acquire", (1920, 1040)),
    ("Acquire", (1008, 728)),
)


@pytest.fixture
def full(endpoints: Endpoints, console: ConsoleWindow) -> ConsoleWindow:
    """A console that nobody feeds, with a journal of short and long lines."""
    console.timer.stop()
    lines = [("info", "short"), ("warning", LONG)] * 9 + [("info", "the end")]
    script = Script(journal=lines, image=np.zeros((2, 2, 2), np.float32))
    console.journal.refresh(Feeder(endpoints, script).telemetry())
    return console


def test_rows_wrap_for_the_page_and_the_size_that_are_shown(
    full: ConsoleWindow, pump: Pump
) -> None:
    table = full.journal.table
    for page, size in VISITS:
        full.resize(*size)
        full.pages.show_page(page)
        if page == "Live":
            continue
        rows = range(table.rowCount())
        pump(lambda rows=rows: all(_fits(full, row) for row in rows))
        last = table.visualItemRect(table.item(table.rowCount() - 1, 2))
        assert last.height() > 0
        assert last.bottom() <= table.viewport().height(), (page, size)
        assert not [fault for fault in layout_faults(full) if LONG[:20] in fault]


def _fits(console: ConsoleWindow, row: int) -> bool:
    table = console.journal.table
    return bool(table.rowHeight(row) == max(table.sizeHintForRow(row), 18))


def test_a_row_that_is_too_low_is_found(full: ConsoleWindow, pump: Pump) -> None:
    pump(lambda: True)
    full.journal.table.setRowHeight(full.journal.table.rowCount() - 2, 18)
    assert [fault for fault in layout_faults(full) if LONG[:20] in fault]
