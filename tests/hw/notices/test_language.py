"""Each language has every text of the console and of the catalogue, with no other values in it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from string import Formatter

import polib
import pytest

from gui.kit import words
from hw.notices.catalogue import catalogue, words_of
from hw.notices.language import LANGUAGES, translations
from rigs.gui.spoken_words import texts_in_code, texts_of

OTHERS = [language for language in LANGUAGES if language != "en"]
ROOT = Path(__file__).resolve().parents[3]


def texts_to_say() -> dict[str, str]:
    """Return every English text with where it comes from."""
    found = texts_in_code()
    for name, entry in catalogue().items():
        for text in (entry.says, entry.means, entry.do):
            if text:
                found.setdefault(text, f"en.toml, {name}")
    return found


def values_of(text: str) -> Counter[tuple[str, str]]:
    """Return the values in a text with their formats."""
    return Counter((name, form) for _, name, form, _ in Formatter().parse(text) if name)


@pytest.mark.parametrize("language", OTHERS)
def test_each_text_has_its_words_and_no_text_is_left_over(language: str) -> None:
    needed, there = texts_to_say(), translations(language)
    lacking = {f"{where}: {text}" for text, where in needed.items() if text not in there}
    assert not lacking
    assert not there.keys() - needed.keys()


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_has_no_other_values_in_it(language: str) -> None:
    said = translations(language)
    wrong = {english: other for english, other in said.items()
             if not set(values_of(other)) <= set(values_of(english))}  # fmt: skip
    assert not wrong


@pytest.mark.parametrize("language", OTHERS)
def test_no_text_stands_in_two_files(language: str) -> None:
    folder = ROOT / "hw" / "notices" / language
    count = Counter(entry.msgid for path in folder.glob("*.po") for entry in polib.pofile(path))
    assert not [text for text, times in count.items() if times > 1]


def test_marked_texts_are_found_in_code() -> None:
    code = 'a = mark("one")\nb = tr("two {n}", n=1)\nc = tr(name)\nd = other("three")\n'
    assert list(texts_of(code)) == [("one", 1), ("two {n}", 2)]


def test_what_has_no_translation_stays_english() -> None:
    words.speak("ja")
    try:
        assert words.tr("no such text {n}", n=3) == "no such text 3"
        assert words.tr("{ left as it is }") == "{ left as it is }"
    finally:
        words.speak("en")
    with pytest.raises(KeyError):
        words.speak("xx")
    assert words.spoken() == "en"


def test_a_message_comes_in_the_language_that_is_asked_for() -> None:
    values = {"kind": "emulator"}
    english, japanese = (words_of("source.lost", values, one) for one in ("en", "ja"))
    assert "emulator" in japanese != english
