"""What a window shows that its language's words do not cover.

Every text of the console is put between ⟦ and ⟧, as if that were a language. Letters outside of
these are texts that no translation reaches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyqtgraph.Qt import QtWidgets

from rigs.gui.spoken_words import texts_in_code

OPEN, CLOSE = "⟦", "⟧"
_WORD = re.compile(r"[A-Za-zÀ-ÿ]{3,}")


def bracketed() -> dict[str, str]:
    """Return the language: each text between brackets."""
    return {text: f"{OPEN}{text}{CLOSE}" for text in texts_in_code()}


def texts_shown(window: QtWidgets.QWidget) -> Iterator[tuple[str, str]]:
    """Yield what can be read in a window, with the kind of widget: texts, tool tips, items."""
    for widget in (window, *window.findChildren(QtWidgets.QWidget)):
        kind = type(widget).__name__
        for name in ("text", "toolTip", "placeholderText", "accessibleName", "title"):
            read = getattr(widget, name, None)
            if callable(read) and not isinstance(widget, QtWidgets.QLineEdit):
                try:
                    text = read()
                except TypeError:
                    continue
                if isinstance(text, str):
                    yield text, f"{kind}.{name}"
        if isinstance(widget, QtWidgets.QComboBox):
            for place in range(widget.count()):
                yield widget.itemText(place), f"{kind} item"
        if isinstance(widget, QtWidgets.QTableWidget):
            yield from ((text, f"{kind} header") for text in _headers(widget))


def _headers(table: QtWidgets.QTableWidget) -> Iterator[str]:
    if table.horizontalHeader().isHidden():
        return
    for column in range(table.columnCount()):
        item = table.horizontalHeaderItem(column)
        if item is not None:
            yield item.text()


def outside_of_brackets(text: str) -> str:
    """Return a text without what stands between brackets, which may lie within each other."""
    depth, left = 0, []
    for letter in text:
        depth += (letter == OPEN) - (letter == CLOSE)
        if depth == 0 and letter != CLOSE:
            left.append(letter)
    return "".join(left)


def words_left(text: str, known: frozenset[str]) -> list[str]:
    """Return the words of a text that are outside of brackets and not known to be no language's."""
    return [word for word in _WORD.findall(outside_of_brackets(text)) if word not in known]
