"""No text of the window escapes a change of language."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gui.app.window import PAGES, ConsoleWindow
from gui.kit import words
from hw.messages.endpoints import Endpoints
from hw.notices.language import LANGUAGES
from rigs.gui.drawn import drawn
from rigs.gui.feeder import SCENARIOS, Feeder
from rigs.gui.layout_faults import layout_faults
from rigs.gui.untranslated import bracketed, outside_of_brackets, texts_shown, words_left

pytestmark = pytest.mark.gui

Pump = Callable[..., None]

NO_LANGUAGE = frozenset({"Tomoshibi", "PgUp", "PgDn", "Home", "Ctrl", "SUV", "MIP", "PDF", "QC"})
"""Names, keys and units, the same in each language."""


@pytest.fixture
def in_brackets(monkeypatch: pytest.MonkeyPatch, console: ConsoleWindow) -> Iterator[None]:
    """The console speaks the language of brackets."""
    there = bracketed()
    monkeypatch.setattr(words, "translations", lambda _language: there)
    console.speak("ja")
    yield
    words._spoken = "en"


def test_brackets_within_brackets_are_one_text() -> None:
    assert outside_of_brackets("a ⟦b ⟦c⟧ d⟧ e") == "a  e"
    assert words_left("⟦Rate⟧ kBq/mL left 3", frozenset({"kBq"})) == ["left"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_text_is_one_of_the_language(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, in_brackets: None, scenario: str
) -> None:
    script = SCENARIOS[scenario]()
    with Feeder(endpoints, script):
        pump(drawn(console))
        left = {}
        for page in PAGES:
            console.pages.show_page(page)
            shown = list(texts_shown(console))
            left |= {text: where for text, where in shown if words_left(text, NO_LANGUAGE)}
    assert not left


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("size", [(1008, 728), (1280, 800), (1920, 1080)], ids=str)
def test_japanese_fits_where_english_does(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, page: str, size: tuple[int, int]
) -> None:
    assert "ja" in LANGUAGES
    console.resize(*size)
    with Feeder(endpoints, SCENARIOS["running"]()):
        console.speak("ja")
        try:
            pump(drawn(console))
            console.pages.show_page(page)
            pump(lambda: True)
            assert layout_faults(console) == []
        finally:
            words.speak("en")
