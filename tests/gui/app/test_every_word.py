"""No text of the window escapes a change of language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from pyqtgraph.Qt import QtCore

from gui.app.window import PAGES, ConsoleWindow
from gui.kit import theme, words
from hw.messages.endpoints import Endpoints
from rigs.gui.drawn import drawn
from rigs.gui.feeder import ALL_THAT_CAN_BE_LOST, SCENARIOS, Feeder
from rigs.gui.layout_faults import layout_faults
from rigs.gui.untranslated import bracketed, outside_of_brackets, texts_shown, words_left

pytestmark = pytest.mark.gui

Pump = Callable[..., None]

NO_LANGUAGE = frozenset(
    (
        "Tomoshibi",
        "English",
        "SUV",
        "MIP",
        "PDF",
        "QC",
        "Inferno",
        "Viridis",
        "keV",
        "MBq",
        "HFS",
        "HFP",
        "HFDR",
        "HFDL",
        "FFS",
        "FFP",
        "FFDR",
        "FFDL",
        "emulator",
        "CareMiBrain",
        "model",
        "brain",
        "threshold",
        "comparator",
        "current",
        "trip",
        "temperature",
        "energy",
    )
)
"""Names, keys and units, the same in each language; those of registers and of the feeder's run."""

SAID_BY_OTHERS = re.compile(r" v1: |disk full: |_(low|high)$|⟧: .*the (run|image)|…$")
"""Titles of protocols, names of windows, what other programs say in whole sentences; and what is
cut for want of room, whose tool tip has all of it."""


@pytest.fixture
def in_brackets(monkeypatch: pytest.MonkeyPatch, console: ConsoleWindow) -> Iterator[None]:
    """The console speaks the language of brackets."""
    there = bracketed()
    monkeypatch.setattr(words, "translations", lambda _language: there)
    console.speak("ja")
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)
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
            shown = [(text, where) for text, where in shown if not SAID_BY_OTHERS.search(text)]
            left |= {text: where for text, where in shown if words_left(text, NO_LANGUAGE)}
    assert not left


@pytest.mark.parametrize(
    "scenario",
    [
        "trouble",
        "spect",
        *(pytest.param(one, marks=pytest.mark.evidence) for one in ("error", "idle")),
    ],
)
def test_a_language_says_what_english_says(
    endpoints: Endpoints,
    console: ConsoleWindow,
    pump: Pump,
    scenario: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A state that is found by its English word would be lost in another language."""
    with Feeder(endpoints, SCENARIOS[scenario]()):
        pump(drawn(console))
        in_english = said_by(console, pump)
        there = bracketed()
        monkeypatch.setattr(words, "translations", lambda _language: there)
        console.speak("ja")
        try:
            pump(drawn(console))
            in_brackets = said_by(console, pump)
        finally:
            words.speak("en")
    # the button that offers the other language; and what a process beside says when it is ready
    assert in_brackets - in_english - {"no#runs#here#yet"} == {"English"}


def said_by(console: ConsoleWindow, pump: Pump) -> set[str]:
    """Return all texts that are shown, without brackets and figures."""
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)
    found: set[str] = set()
    for page in PAGES:
        console.pages.show_page(page)
        frames = console.meter.frames
        pump(lambda frames=frames: console.meter.frames > frames + 8)
        found |= {text for text, where in texts_shown(console) if not where.startswith("Elided")}
    return {re.sub(r"[\d.,\s]+", "#", text.replace("⟦", "").replace("⟧", "")) for text in found}


@pytest.mark.parametrize("size", [(1008, 728), (1280, 800), (1920, 1080)], ids=str)
def test_japanese_fits_where_english_does(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, size: tuple[int, int]
) -> None:
    if not theme.can_write("ja"):
        pytest.skip("no font has Japanese letters: apt-get install fonts-ipafont-gothic")
    console.resize(*size)
    with Feeder(endpoints, replace(SCENARIOS["trouble"](), losses=ALL_THAT_CAN_BE_LOST)):
        console.speak("ja")
        try:
            pump(drawn(console))
            faults = {page: faults_of(console, page, pump) for page in PAGES}
            assert not {page: found for page, found in faults.items() if found}
            assert (console.width(), console.height()) == size
        finally:
            words.speak("en")


def faults_of(console: ConsoleWindow, page: str, pump: Pump) -> list[str]:
    """Return what is wrong with how a page lies."""
    console.pages.show_page(page)
    pump(lambda: True)
    return layout_faults(console)
