"""Set-up of the next run's sorting: a form that shows each mistake where it was made.

It changes nothing in an existing run. What is accepted here goes to the daq with the next Arm, and
the daq has the last word: its refusal is shown like that of any command.
"""

from __future__ import annotations

from typing import Any

import msgspec
from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel, ReasonLabel
from gui.kit.words import mark, tr
from gui.link.command_desk import CommandDesk
from gui.sorting.form import NUCLIDES, NUMBERS, FormReading, nuclides_text, read_form
from gui.sorting.settings_words import POLICY_WORDS
from hw.messages.sort_settings import POLICIES, EnergyWindow, SortSettings

AS_THE_DAQ_HAS_IT = mark("as the daq has it")
NOT_NOW = mark("⚠ not now: a run is armed or running, or the daq is silent")
_FAULT_PX = 300

# Choices: the field, its caption, and (value, words) of each item.
CHOICE_ROWS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "policy": (mark("Policy"), tuple((name, POLICY_WORDS[name].short_name) for name in POLICIES)),
    "delay_sides": (
        mark("Sides"),
        (("one", mark("one-sided: D ≤ Δt ≤ D + τ")), ("two", mark("two-sided: |Δt − D| ≤ τ"))),
    ),
    "triples": (mark("Triples"), (("no", mark("not stored")), ("yes", mark("stored")))),
}
ORDER = (
    "policy", "window_ps", "lld_keV", "uld_keV", "delay_ps", "delay_windows", "delay_sides",
    "min_sector_difference", "triples",
)  # fmt: skip


class SortingDialog(QtWidgets.QDialog):
    """The form; ``base`` fills it if settings are known, otherwise its fields start empty."""

    def __init__(
        self,
        desk: CommandDesk,
        *,
        base: SortSettings | None,
        sectors: int = 0,
        parent: QtWidgets.QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._desk = desk
        self._base = base
        self._sectors = sectors
        self._windows = _windows(base, desk.sorting)
        self._allowed = True
        self.editors: dict[str, QtWidgets.QLineEdit | QtWidgets.QComboBox] = {}
        self.faults: dict[str, ReasonLabel] = {}
        self.setWindowTitle(tr("Sorting of the next run"))
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(14, 12, 14, 12)
        column.setSpacing(8)
        column.addLayout(self._form())
        self.preview = self._words_label(lines=3)
        column.addWidget(self.preview)
        column.addWidget(self._status())
        column.addLayout(self._buttons())
        self._fill(_texts(base, desk.sorting) | {NUCLIDES: nuclides_text(self._windows)})
        self.setFixedWidth(700)
        self.check()

    def _form(self) -> QtWidgets.QLayout:
        grid = QtWidgets.QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(3)
        for row, name in enumerate((*ORDER, NUCLIDES)):
            caption, unit, teaches = _words_of(name)
            editor = self._choice(name) if name in CHOICE_ROWS else self._line(name)
            label = CalmLabel(caption)
            label.setObjectName("dim")
            for widget in (label, editor):
                widget.setToolTip(teaches)
            editor.setAccessibleName(f"{caption} {unit}".strip())
            fault = ReasonLabel(size_px=theme.SMALL_PX)
            self.editors[name], self.faults[name] = editor, fault
            for place, widget in enumerate((label, editor, CalmLabel(unit), fault)):
                grid.addWidget(widget, row, place)
            grid.setRowMinimumHeight(row, 30)
        grid.setColumnMinimumWidth(3, _FAULT_PX)
        grid.setColumnStretch(1, 1)
        return grid

    def _line(self, name: str) -> QtWidgets.QLineEdit:
        line = QtWidgets.QLineEdit()
        line.setPlaceholderText(tr(AS_THE_DAQ_HAS_IT))
        line.setMaxLength(120)
        line.textChanged.connect(self.check)
        return line

    def _choice(self, name: str) -> QtWidgets.QComboBox:
        box = QtWidgets.QComboBox()
        if self._base is None:
            box.addItem(tr(AS_THE_DAQ_HAS_IT), "")
        for value, words in CHOICE_ROWS[name][1]:
            box.addItem(tr(words), value)
            if name == "policy":
                sentence = POLICY_WORDS[value].sentence
                role = QtCore.Qt.ItemDataRole.ToolTipRole
                box.setItemData(box.count() - 1, sentence, role)
        box.currentIndexChanged.connect(self.check)
        return box

    def _words_label(self, *, lines: int) -> CalmLabel:
        """Return a label with room for its text from the start, so that nothing jumps."""
        label = CalmLabel(size_px=theme.SMALL_PX)
        label.setWordWrap(True)
        label.setFixedHeight(lines * label.fontMetrics().lineSpacing() + 2)
        return label

    def _status(self) -> CalmLabel:
        self.status = CalmLabel(size_px=theme.BASE_PX, bold=True)
        return self.status

    def _buttons(self) -> QtWidgets.QLayout:
        row = QtWidgets.QHBoxLayout()
        self.reset = QtWidgets.QPushButton(tr("Leave as it is"))
        self.reset.setToolTip(tr("Send nothing: the next run is sorted as the daq has it"))
        self.reset.clicked.connect(self._drop)
        cancel = QtWidgets.QPushButton(tr("Cancel"))
        cancel.clicked.connect(self.reject)
        self.use = QtWidgets.QPushButton(tr("Use for the next run"))
        self.use.setDefault(True)
        self.use.clicked.connect(self._accept)
        row.addWidget(self.reset)
        row.addStretch(1)
        row.addWidget(cancel)
        row.addWidget(self.use)
        return row

    def texts(self) -> dict[str, str]:
        """Return the form's content, by field."""
        return {name: _text_of(editor) for name, editor in self.editors.items()}

    def _fill(self, texts: dict[str, str]) -> None:
        for name, editor in self.editors.items():
            text = texts.get(name, "")
            if isinstance(editor, QtWidgets.QComboBox):
                editor.setCurrentIndex(max(0, editor.findData(text)))
            else:
                editor.setText(text)

    def check(self) -> FormReading:
        """Read the form, show its mistakes, and allow sending it only without any."""
        reading = read_form(
            self.texts(), base=self._base, windows=self._windows, sectors=self._sectors
        )
        for name, label in self.faults.items():
            fault = reading.faults.get(name, "")
            label.show_text(f"✗ {fault}" if fault else "", theme.ALARM if fault else "")
            _mark(self.editors[name], faulty=bool(fault))
        self._explain(reading)
        sound = not reading.faults
        self.use.setEnabled(sound and self._allowed)
        if not self._allowed:
            self.status.show_text(tr(NOT_NOW), theme.WARNING)
        elif sound:
            self.status.show_text(tr("Sent with the next Arm; the daq checks it again."), theme.DIM)
        else:
            many = len(reading.faults)
            words = tr(
                "✗ {many} value{value} cannot be used", many=many, value="s" if many > 1 else ""
            )
            self.status.show_text(words, theme.ALARM)
        return reading

    def _explain(self, reading: FormReading) -> None:
        """Show what the chosen policy keeps, and the windows of the nuclides."""
        peaks = [window for window in reading.windows if window.kind == "photopeak"]
        windows = ", ".join(f"{w.name} {w.lld_keV:g}–{w.uld_keV:g} keV" for w in peaks)
        policy = reading.changes.get("policy")
        parts = [POLICY_WORDS[policy].sentence] if policy else []
        parts += (
            [tr("SPECT photopeaks, each with its scatter windows: {windows}", windows=windows)]
            if windows
            else []
        )
        refused = reading.faults.get(NUCLIDES, "")  # too long for its field
        self.preview.show_text(refused or "\n".join(parts), theme.ALARM if refused else theme.DIM)

    def allow(self, *, allowed: bool) -> None:
        """Follow the run's state: nothing can be set while a run is armed or running."""
        if allowed != self._allowed:
            self._allowed = allowed
            self.check()

    def _accept(self) -> None:
        reading = self.check()
        if reading.faults or not self._allowed:
            return
        self._desk.set_sorting(reading.changes)
        self.accept()

    def _drop(self) -> None:
        self._desk.set_sorting({})
        self.accept()


def _words_of(name: str) -> tuple[str, str, str]:
    """Return a field's caption, unit and explanation."""
    if name in NUMBERS:
        number = NUMBERS[name]
        return tr(number.caption), number.unit, tr(number.teaches)
    if name == NUCLIDES:
        teaches = tr(
            "Nuclides imaged by their singles, separated by commas: photopeak "
            "windows ± 10 % with\na scatter window at either side. One line only: "
            "Lu-177@208"
        )
        return tr("SPECT nuclides"), "", teaches
    explained = {
        "policy": tr("What becomes of multiples; each entry's tooltip says exactly what is kept."),
        "delay_sides": tr("A two-sided delayed window counts the randoms twice."),
        "triples": tr("Whether triples of singles are written into the list-mode log."),
    }
    return tr(CHOICE_ROWS[name][0]), "", explained[name]


def _windows(base: SortSettings | None, changes: dict[str, Any]) -> tuple[EnergyWindow, ...]:
    """Return the further windows with which the form starts: those set here before come first."""
    if "windows" in changes:
        return msgspec.convert(changes["windows"], tuple[EnergyWindow, ...])
    return base.windows if base else ()


def _texts(base: SortSettings | None, changes: dict[str, Any]) -> dict[str, str]:
    """Return the form's first content: what was set here before, otherwise the known settings."""
    known = {name: getattr(base, name) for name in base.__struct_fields__} if base else {}
    values = known | changes
    texts = {
        name: f"{values[name] / number.per_unit:.12g}"
        for name, number in NUMBERS.items()
        if name in values
    }
    for name in ("policy", "delay_sides"):
        texts[name] = str(values.get(name, ""))
    if "triples" in values:
        texts["triples"] = "yes" if values["triples"] else "no"
    return texts


def _text_of(editor: QtWidgets.QWidget) -> str:
    if isinstance(editor, QtWidgets.QComboBox):
        return str(editor.currentData() or "")
    return str(editor.text())


def _mark(editor: QtWidgets.QWidget, *, faulty: bool) -> None:
    if bool(editor.property("faulty")) != faulty:
        editor.setProperty("faulty", faulty)
        editor.style().unpolish(editor)
        editor.style().polish(editor)
