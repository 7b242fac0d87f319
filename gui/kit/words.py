"""The console's words in the current language.

Whatever a person reads goes through :func:`tr` when it is shown, never before: texts in tables and
constants are only marked, so that the tests know them, and a change of language reaches them.
"""

from __future__ import annotations

from hw.notices.language import LANGUAGES, translations

_spoken = "en"


def speak(language: str) -> None:
    """Choose the language of everything shown from now on; raises KeyError for an unknown one."""
    global _spoken
    translations(language)
    _spoken = language


def spoken() -> str:
    """Return the code of the current language."""
    return _spoken


def other_language() -> str:
    """Return the code of the language after the current one."""
    codes = list(LANGUAGES)
    return codes[(codes.index(_spoken) + 1) % len(codes)]


def tr(english: str, **values: object) -> str:
    """Return a text in the current language, with its ``{values}`` filled in.

    The English text is the key; a text without a translation stays as it is.
    """
    said = translations(_spoken).get(english, english)
    return said.format(**values) if values else said


def mark(english: str) -> str:
    """Return a text as it is; the tests know from this that it will be shown by :func:`tr`."""
    return english
