"""A marker from the console: typed on the journal's page, sent to a real daq's commands."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from gui.app.console import application
from gui.app.marker_field import MarkerField
from gui.link.command_desk import Pending

pytestmark = pytest.mark.gui
RUNNING: Any = SimpleNamespace(state="running")
CLOSED: Any = SimpleNamespace(state="closed")


@pytest.fixture
def sent() -> list[Pending]:
    return []


@pytest.fixture
def field(sent: list[Pending]) -> MarkerField:
    application(headless=True)

    def mark(text: str) -> Pending:
        sent.append(Pending(text, 0.0))
        return sent[-1]

    desk: Any = SimpleNamespace(mark=mark)
    return MarkerField(desk)


def test_it_rests_where_no_run_is_going_on(field: MarkerField) -> None:
    assert not field.text.isEnabled()
    field.refresh(RUNNING)
    assert field.text.isEnabled() and field.button.isEnabled()
    field.refresh(CLOSED)
    assert not field.text.isEnabled()


@pytest.mark.parametrize("how", ["return", "button"])
def test_words_are_sent_once_and_go_when_the_marker_is_set(
    field: MarkerField, sent: list[Pending], how: str
) -> None:
    field.refresh(RUNNING)
    field.text.setText("  second injection ")
    press: Callable[[], Any] = field.button.click if how == "button" else field.send
    press()
    press()
    assert [one.name for one in sent] == ["second injection"]
    field.refresh(RUNNING)
    assert field.text.text() == "  second injection "
    sent[0].outcome = "done"
    field.refresh(RUNNING)
    assert field.text.text() == ""
    press()
    assert len(sent) == 1, "nothing is no marker"


def test_words_that_were_refused_stay(field: MarkerField, sent: list[Pending]) -> None:
    field.refresh(RUNNING)
    field.text.setText("moved")
    field.send()
    sent[0].outcome = "failed"
    field.refresh(RUNNING)
    assert field.text.text() == "moved"
    field.send()
    assert len(sent) == 2
