"""The patient and study form of the next run: what goes with the next Arm, and with no other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel, ElidedLabel, Panel, scrolling
from gui.kit.told import check_words
from gui.kit.words import mark, tr
from gui.link.command_desk import ALLOWED, CommandDesk
from gui.study.orbit_choice import OrbitChoice
from gui.study.protocol_choice import ProtocolChoice
from gui.study.reading import FIELDS, TIMES, StudyReading, read_study_form
from hw.messages.patient_position import PATIENT_POSITIONS, UNKNOWN
from hw.messages.telemetry import StartCheck, Telemetry

CHOICES: dict[str, tuple[str, ...]] = {
    "patient_position": PATIENT_POSITIONS,
    "sex": ("", "F", "M", "O"),
}
_FIRST = {"H": mark("head first"), "F": mark("feet first")}
_LYING = {
    "S": mark("supine"), "P": mark("prone"), "DR": mark("on the right side"),
    "DL": mark("on the left side"),
}  # fmt: skip
NOTHING = mark("○ nothing is set: the next run will have no study")
SET = mark("✓ set for the next run: it goes with the next Arm")
CHANGED = mark("⚠ changed since: press “Use for the next run”")
GONE = mark("◆ it is in the run that was armed; the next run will have no study")
WIDEST_PX = 640
MOST_CHECKS = 8
CHECK_LOOKS = {
    "ok": ("✓", theme.GOOD), "warning": ("⚠", theme.WARNING), "stops": ("✗", theme.ALARM),
}  # fmt: skip


def _now() -> dt.datetime:
    return dt.datetime.now().astimezone()


def _caption(words: str) -> CalmLabel:
    caption = CalmLabel(words, size_px=theme.SMALL_PX)
    caption.setObjectName("dim")
    return caption


class StudyPage(QtWidgets.QWidget):
    """The form, with mistakes at their fields, doubts, and what will be sent."""

    def __init__(self, desk: CommandDesk, *, clock: Callable[[], dt.datetime] = _now) -> None:
        super().__init__()
        self._desk, self._clock = desk, clock
        self._used: dict[str, str] | None = None
        self.protocol, self.orbit = ProtocolChoice(desk), OrbitChoice(desk)
        self.editors: dict[str, QtWidgets.QLineEdit | QtWidgets.QComboBox] = {}
        self.faults: dict[str, ElidedLabel] = {}
        panel = Panel(
            tr("PATIENT AND STUDY"), teaches=tr("Of the next run; all of it may be left empty.")
        )
        form = QtWidgets.QWidget()
        form.setLayout(self._form())
        form.setMaximumWidth(WIDEST_PX)
        panel.body.addWidget(scrolling(form), 1)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(panel, 62)
        row.addWidget(self._next_run(), 38)
        self._show()

    def _form(self) -> QtWidgets.QLayout:
        grid = QtWidgets.QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(2)
        for row, (name, field) in enumerate(FIELDS.items()):
            editor = self._choice(name) if name in CHOICES else self._line(name)
            caption, fault = CalmLabel(tr(field.caption)), ElidedLabel(size_px=theme.SMALL_PX)
            caption.setObjectName("dim")
            caption.setBuddy(editor)
            editor.setAccessibleName(tr(field.caption))
            for widget in (caption, editor):
                widget.setToolTip(tr(field.teaches))
            self.editors[name], self.faults[name] = editor, fault
            grid.addWidget(caption, row, 0)
            grid.addWidget(editor, row, 1)
            grid.addWidget(
                self._now_button(name) if name in TIMES else CalmLabel(tr(field.unit)), row, 2
            )
            grid.addWidget(fault, row, 3)
            grid.setRowMinimumHeight(row, 32)
        grid.setColumnStretch(1, 3)
        grid.setColumnStretch(3, 2)
        grid.setRowStretch(len(FIELDS), 1)
        return grid

    def _line(self, name: str) -> QtWidgets.QLineEdit:
        line = QtWidgets.QLineEdit()
        line.setPlaceholderText(FIELDS[name].example)
        line.setMaxLength(4096 if name == "notes" else 256)
        line.setMinimumHeight(26)
        line.textChanged.connect(self._show)
        return line

    def _choice(self, name: str) -> QtWidgets.QComboBox:
        box = QtWidgets.QComboBox()
        for choice in CHOICES[name]:
            words = position_words(choice) if name == "patient_position" else tr(choice)
            box.addItem(words, choice)
        box.setMinimumHeight(26)
        box.currentIndexChanged.connect(self._show)
        return box

    def _now_button(self, name: str) -> QtWidgets.QPushButton:
        button = QtWidgets.QPushButton(tr("now"))
        button.setToolTip(tr("Write the present time"))
        button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        button.clicked.connect(lambda: self._write(name, f"{self._clock():%H:%M:%S}"))
        return button

    def _next_run(self) -> Panel:
        panel = Panel(
            tr("NEXT RUN"), teaches=tr("What goes with the next Arm; what to look at before.")
        )
        self.checks = [CalmLabel() for _ in range(MOST_CHECKS)]
        self.state, self.doubts = CalmLabel(size_px=theme.BASE_PX, bold=True), CalmLabel()
        self.net = CalmLabel(size_px=theme.BASE_PX)
        for label in (self.state, self.net, self.doubts):
            label.setWordWrap(True)
            panel.body.addWidget(label)
        panel.body.addSpacing(8)
        panel.body.addWidget(_caption(tr("Protocol")))
        panel.body.addWidget(self.protocol)
        panel.body.addWidget(self.orbit)
        panel.body.addSpacing(8)
        panel.body.addWidget(_caption(tr("Before the start")))
        for label in self.checks:
            label.setWordWrap(True)
            label.hide()
            panel.body.addWidget(label)
        panel.body.addStretch(1)
        self.use = QtWidgets.QPushButton(tr("Use for the next run"))
        self.use.clicked.connect(self._accept)
        self.clear = QtWidgets.QPushButton(tr("Clear the form"))
        self.clear.clicked.connect(self._clear)
        for button in (self.use, self.clear):
            button.setMinimumHeight(44)
            panel.body.addWidget(button)
        return panel

    def texts(self) -> dict[str, str]:
        """Return the form's content, by field."""
        return {
            name: str(editor.currentData())
            if isinstance(editor, QtWidgets.QComboBox)
            else editor.text()
            for name, editor in self.editors.items()
        }

    def go_on_from(self, before: StudyPage) -> None:
        """Take over what was typed into another form of this kind, and whether it was sent."""
        for name, editor in before.editors.items():
            own = self.editors[name]
            if isinstance(editor, QtWidgets.QComboBox) and isinstance(own, QtWidgets.QComboBox):
                own.setCurrentIndex(editor.currentIndex())  # its words may be of a language
            else:
                self._write(name, editor.text())
        if before._used is not None:
            self._used = self.texts() if before._used == before.texts() else before._used
        self._show()

    def _write(self, name: str, text: str) -> None:
        editor = self.editors[name]
        if isinstance(editor, QtWidgets.QComboBox):
            editor.setCurrentIndex(max(0, editor.findData(text)))
        else:
            editor.setText(text)

    def refresh(self, telemetry: Telemetry | None) -> None:
        """Show what became of the form: whether it is set, or part of a run (None: no daq)."""
        if self._used is not None and not self._desk.study:
            self._used = None
            self.state.show_text(tr(GONE), theme.NOTICE)
        self.protocol.refresh(telemetry)
        self.orbit.refresh(telemetry)
        self._show_checks(telemetry.checks if telemetry else [])
        allowed = telemetry is not None and "arm" in ALLOWED[telemetry.state]
        words = "" if allowed else tr("A run is armed or under way: this is for the one after it")
        self.use.setToolTip(words)

    def _show_checks(self, checks: list[StartCheck]) -> None:
        for place, label in enumerate(self.checks):
            there = place < len(checks)
            if label.isHidden() == there:
                label.setHidden(not there)
            if there:
                look = CHECK_LOOKS[checks[place].state]
                label.show_text(f"{look[0]} {check_words(checks[place])}", theme.shade(look[1]))

    def _show(self) -> StudyReading:
        """Show the mistakes and what the form says."""
        texts = self.texts() if len(self.editors) == len(FIELDS) else {}
        reading = read_study_form(texts, self._clock())
        if not texts or not hasattr(self, "use"):
            return reading  # while it is built
        for name, label in self.faults.items():
            fault = reading.faults.get(name, "")
            label.show_text(f"✗ {fault}" if fault else "", theme.ALARM if fault else "")
        self.net.show_text(reading.net_words, theme.DIM)
        self.doubts.show_text("\n".join(f"⚠ {one}" for one in reading.doubts), theme.WARNING)
        self.use.setEnabled(not reading.faults and bool(reading.args))
        if reading.faults:
            many = len(reading.faults)
            words = tr(
                "✗ {many} field{value} cannot be used", many=many, value="s" if many > 1 else ""
            )
            self.state.show_text(words, theme.ALARM)
        elif self._used == texts:
            self.state.show_text(tr(SET), theme.GOOD)
        elif self._used is not None:
            self.state.show_text(tr(CHANGED), theme.WARNING)
        else:
            self.state.show_text(tr(NOTHING), theme.DIM)
        return reading

    def _accept(self) -> None:
        reading = self._show()
        if reading.faults or not reading.args:
            return
        self._used = self.texts()
        self._desk.set_study(reading.args)
        self._show()

    def _clear(self) -> None:
        self._used = None
        self._desk.set_study({})
        for name in FIELDS:
            self._write(name, "unknown" if name == "patient_position" else "")
        self._show()


def position_words(position: str) -> str:
    """Return how a patient lies: DICOM's letters, and what they stand for."""
    if position == UNKNOWN:
        return tr(position)
    first, lying = tr(_FIRST[position[0]]), tr(_LYING[position[2:]])
    return tr("{position} · {first}, {lying}", position=position, first=first, lying=lying)
