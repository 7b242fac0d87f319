"""The pages of the console: a rail at the left that names them, and the one that is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from gui.kit.words import tr

WIDTH_PX = 70
HEIGHT_PX = 52
"""Of a button: a finger's width on a bedside screen."""


@dataclass(frozen=True)
class Page:
    """A page: its name, the key that shows it, what it is for, its widget.

    arrange : called when the page is shown; pages may share a widget that each one arranges
    differently
    """

    name: str
    key: str
    teaches: str
    widget: QtWidgets.QWidget
    arrange: Callable[[], None] = lambda: None


class Rail(QtWidgets.QFrame):
    """The buttons; that of the page shown is lit. None takes the focus: keys belong to the run's
    page.
    """

    chosen = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.setFixedWidth(WIDTH_PX)
        self.buttons: dict[str, QtWidgets.QPushButton] = {}
        self._column = QtWidgets.QVBoxLayout(self)
        self._column.setContentsMargins(4, 6, 4, 6)
        self._column.setSpacing(4)
        self._column.addStretch(1)

    def add(self, page: Page) -> None:
        """Add a page's button below the others."""
        button = QtWidgets.QPushButton(f"{tr(page.name)}\n{page.key}")
        button.setObjectName("rail")
        button.setCheckable(True)
        button.setFixedHeight(HEIGHT_PX)
        button.setFont(theme.font(theme.SMALL_PX))
        button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        button.setToolTip(tr("{teaches} (key {key})", teaches=page.teaches, key=page.key))
        button.setAccessibleName(tr(page.name))
        button.clicked.connect(lambda: self.chosen.emit(page.name))
        self.buttons[page.name] = button
        self._column.insertWidget(self._column.count() - 1, button)

    def light(self, name: str) -> None:
        """Mark the page that is shown."""
        for known, button in self.buttons.items():
            button.setChecked(known == name)


class Pages(QtWidgets.QWidget):
    """Rail and page; ``changed`` emits the name of the new page."""

    changed = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.rail, self._stack = Rail(), QtWidgets.QStackedWidget()
        self._pages: dict[str, Page] = {}
        self.current = self._before = ""
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.rail)
        row.addWidget(self._stack, 1)
        self.rail.chosen.connect(self.show_page)

    @property
    def names(self) -> list[str]:
        """The pages, from the top."""
        return list(self._pages)

    @property
    def area(self) -> QtWidgets.QWidget:
        """Where the pages are, without the rail."""
        return self._stack

    def add(self, page: Page, window: QtWidgets.QWidget) -> None:
        """Add a page, whose key works in the whole window. The first one is shown."""
        self._pages[page.name] = page
        if self._stack.indexOf(page.widget) < 0:
            self._stack.addWidget(page.widget)
        self.rail.add(page)
        QtGui.QShortcut(QtGui.QKeySequence(page.key), window, lambda: self.show_page(page.name))
        if not self.current:
            self.show_page(page.name)

    def show_page(self, name: str) -> None:
        """Show a page; an unknown name changes nothing."""
        page = self._pages.get(name)
        if page is None:
            return
        if name != self.current:
            self._before, self.current = self.current or name, name
        # else Qt would hand it to the next field, and keys would be typed there
        self._stack.setFocus(QtCore.Qt.FocusReason.OtherFocusReason)
        page.arrange()
        self._stack.setCurrentWidget(page.widget)
        self.rail.light(name)
        self.changed.emit(name)

    def toggle(self, name: str) -> None:
        """Show a page or, if it is shown already, the one before it."""
        self.show_page(self._before if self.current == name else name)
