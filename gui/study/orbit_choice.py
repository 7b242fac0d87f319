"""The choice of a SPECT scanner's orbit for the next Arm; the daq knows what the scanner can do."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit.words import mark, tr
from gui.link.command_desk import CommandDesk
from hw.messages.telemetry import Telemetry

AS_SET = mark("as it is set at the scanner")
KINDS = {"fixed": mark("stands"), "step": mark("steps"), "turn": mark("turns")}
"""In the words of ``hw/scanner/orbit.py``, and of people."""

TEACHES = mark(
    "How the scanner moves in the next run: stands at an angle; stands at each of so many angles "
    "over its range; or goes to and fro without stopping."
)


class OrbitChoice(QtWidgets.QWidget):
    """What to do and its numbers; it goes with the next Arm, over the protocol's orbit."""

    def __init__(self, desk: CommandDesk) -> None:
        super().__init__()
        self._desk, self._set = desk, False
        self.kind = QtWidgets.QComboBox()
        self.kind.addItem(_as_it_was(""), "")
        for kind, words in KINDS.items():
            self.kind.addItem(tr(words), kind)
        self.kind.setMinimumContentsLength(8)
        policy = QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.kind.setSizeAdjustPolicy(policy)
        self.kind.setToolTip(tr(TEACHES))
        self.kind.setAccessibleName(tr("Orbit"))
        self.angle = _number(tr("angle"), " °", -360.0, 720.0, 0.0)
        self.steps = _number(tr("number of angles"), "", 1, 1000, 32)
        self.dwell = _number(tr("time at each angle"), " s", 0.1, 3600.0, 10.0)
        self.speed = _number(tr("speed"), " °/s", 0.1, 360.0, 6.0)
        self._of = {"fixed": (self.angle,), "step": (self.steps, self.dwell), "turn": (self.speed,)}
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.kind, 1)
        for box in (self.angle, self.steps, self.dwell, self.speed):
            row.addWidget(box)
            box.valueChanged.connect(self._choose)
        self.kind.activated.connect(self._choose)
        self._show_numbers()

    def text(self) -> str:
        """Return the chosen orbit, "" for none."""
        kind = self.kind.currentData()
        numbers = {
            "fixed": f"fixed:{self.angle.value():g}",
            "step": f"step:{self.steps.value():.0f}x{self.dwell.value():g}s",
            "turn": f"turn:{self.speed.value():g}deg/s",
        }
        return numbers.get(kind, "")

    def refresh(self, telemetry: Telemetry | None) -> None:
        """Be there for a SPECT scanner; name the orbit that the daq has."""
        known = telemetry is not None and telemetry.settings is not None
        spect = known and not telemetry.settings.sorts_coincidences  # type: ignore[union-attr]
        if self.isHidden() == spect:
            self.setVisible(spect)
        if self._set and not self._desk.orbit:
            self._set = False
            self.kind.setCurrentIndex(0)
            self._show_numbers()
        first = _as_it_was(telemetry.orbit if telemetry is not None else "")
        if self.kind.itemText(0) != first:
            self.kind.setItemText(0, first)

    def _choose(self) -> None:
        orbit = self.text()
        self._set = bool(orbit)
        self._desk.set_orbit({"orbit": orbit} if orbit else {})
        self._show_numbers()

    def _show_numbers(self) -> None:
        for kind, boxes in self._of.items():
            for box in boxes:
                box.setVisible(kind == self.kind.currentData())


def _as_it_was(orbit: str) -> str:
    return tr("as it was: {value}", value=orbit or tr(AS_SET))


def _number(
    name: str, unit: str, least: float, most: float, usual: float
) -> QtWidgets.QDoubleSpinBox:
    box = QtWidgets.QDoubleSpinBox()
    box.setDecimals(1 if unit else 0)
    box.setRange(least, most)
    box.setValue(usual)
    box.setSuffix(unit)
    box.setFocusPolicy(QtCore.Qt.FocusPolicy.ClickFocus)
    box.setAccessibleName(name)
    box.setToolTip(name)
    return box
