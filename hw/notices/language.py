"""The languages that messages and the console speak: English, and what the catalogue makes of it.

The English text is the key, as it stands in the code and in ``en.toml``; a folder of PO files, a
file for each room, has each text of another language. Translators' programs (Poedit, Weblate) edit
them as they are.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import polib

LANGUAGES = {"en": "English", "ja": "日本語"}
"""By their codes (ISO 639-1), in their own words."""


@cache
def translations(language: str) -> dict[str, str]:
    """Return a language's texts by the English ones; none for English itself.

    Raises KeyError for a language that there is none of.
    """
    if language not in LANGUAGES:
        raise KeyError(language)
    if language == "en":
        return {}
    folder = resources.files("hw.notices").joinpath(language)
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".po"))
    texts = (folder.joinpath(name).read_text(encoding="utf-8") for name in files)
    return {entry.msgid: entry.msgstr for text in texts for entry in _done(text)}


def _done(text: str) -> list[polib.POEntry]:
    return list(polib.pofile(text).translated_entries())
