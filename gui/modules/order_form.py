"""Orders to modules: bias, thresholds, faults, reset, save, update. Sent, never waited for.

Orders that cannot be undone, or that take a module out of service, need confirmation: bias on,
reset, update. Switching the bias off never does: it must happen at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel, ElidedLabel
from gui.kit.theme import BASE_PX
from gui.kit.words import mark, tr
from hw.messages.modules import ModuleState
from hw.wire.control import REGISTERS

Send = Callable[[str, list[int], dict[str, Any]], None]

ADJUSTED = ("energy_threshold", "comparator_mV", "current_trip_nA", "temperature_trip_cC")
"""Registers that can be set here; for the others use `tomoshibi firmware shell`."""

PLAIN = {
    "clear_fault": (mark("Clear fault"), mark("Leave the fault state, if its cause is gone")),
    "save": (mark("Save"), mark("Keep the registers through power cycles")),
    "confirm": (mark("Confirm image"), mark("The running firmware is good: keep it")),
}


OF_NO_FOCUS = ("bias_off", "reset", "update")
"""Each of these ends what a module does: no stray Space or Enter may reach it."""


class OrderForm(QtWidgets.QWidget):
    """The buttons and fields; ``send`` gets the action, the modules and its values."""

    def __init__(self, send: Send, ask: Callable[[str], bool]) -> None:
        super().__init__()
        self._send = send
        self._ask = ask
        self._modules: list[int] = []
        self.target = CalmLabel(tr("orders go to: all modules"), bold=True)
        self.complaint = ElidedLabel(size_px=BASE_PX)
        self.bias_V = QtWidgets.QLineEdit()
        self.bias_V.setPlaceholderText("V")
        self.bias_V.setAccessibleName(f"{tr('Bias')} V")
        self.register = QtWidgets.QComboBox()
        self.register.setSizeAdjustPolicy(
            QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.register.setMinimumContentsLength(14)
        self.register.setAccessibleName(tr("Register"))
        for name in ADJUSTED:
            spec = REGISTERS[name]
            self.register.addItem(f"{name}  [{spec.unit}]" if spec.unit else name, name)
            self.register.setItemData(self.register.count() - 1, spec.text, 3)
        self.value = QtWidgets.QLineEdit()
        self.value.setAccessibleName(tr("Value of the register"))
        self.buttons: dict[str, QtWidgets.QPushButton] = {}
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(self.target)
        for widgets in self._rows():
            row = QtWidgets.QHBoxLayout()
            row.setSpacing(6)
            for widget, share in widgets:
                row.addWidget(widget, share)
            column.addLayout(row)
        column.addWidget(self.complaint)

    def _rows(self) -> list[list[tuple[QtWidgets.QWidget, int]]]:
        bias_on = self._button(
            "bias_on", tr("Ramp bias"), tr("Ramp to this voltage at the slew limit"), self._ramp
        )
        bias_off = self._button(
            "bias_off", tr("Bias OFF"), tr("Ramp the bias to 0"), self._bias_off
        )
        write = self._button("write", tr("Set"), tr("Set the register"), self._write)
        plain = [
            (self._button(name, tr(title), tr(teaches), lambda _=False, n=name: self._order(n)), 1)
            for name, (title, teaches) in PLAIN.items()
        ]
        reset = self._button("reset", tr("Reset…"), tr("Bias off, then restart"), self._reset)
        update = self._button(
            "update", tr("Update…"), tr("Load another firmware image"), self._update
        )
        return [
            [(CalmLabel(tr("Bias")), 0), (self.bias_V, 1), (bias_on, 1), (bias_off, 1)],
            [(self.register, 3), (self.value, 1), (write, 0)],
            plain,
            [(reset, 1), (update, 1)],
        ]

    def _button(
        self, name: str, title: str, teaches: str, act: Callable[..., None]
    ) -> QtWidgets.QPushButton:
        button = QtWidgets.QPushButton(title)
        button.setToolTip(teaches)
        button.clicked.connect(act)
        if name in OF_NO_FOCUS:
            button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.buttons[name] = button
        return button

    def aim(self, modules: list[int], states: list[ModuleState]) -> None:
        """Send orders to these modules ([]: all)."""
        self._modules = modules
        count = len(modules) or len(states)
        words = ", ".join(map(str, modules[:8])) + (" …" if len(modules) > 8 else "")
        self.target.show_text(
            tr("orders go to: module {words}", words=words)
            if modules
            else tr("orders go to: all {count}", count=count)
        )
        for button in self.buttons.values():
            button.setEnabled(bool(states))

    def _order(self, action: str, **values: Any) -> None:
        self.complaint.show_text("")
        self._send(action, list(self._modules), values)

    def _complain(self, words: str) -> None:
        self.complaint.show_text(f"✗ {words}", theme.ALARM)

    def _named(self) -> str:
        return (
            tr("module {join}", join=", ".join(map(str, self._modules)))
            if self._modules
            else tr("ALL modules")
        )

    def _ramp(self) -> None:
        try:
            target_mV = round(float(self.bias_V.text().replace(",", ".")) * 1000)
        except (ValueError, OverflowError):
            self._complain(tr("the bias is a voltage in V, such as 56.5"))
            return
        highest = REGISTERS["bias_max_mV"].max
        if not 0 <= target_mV <= highest:
            self._complain(tr("the bias must be 0 to {value:g} V", value=highest / 1000))
        elif self._ask(
            tr(
                "Ramp the bias of {named} to {value:g} V?",
                named=self._named(),
                value=target_mV / 1000,
            )
        ):
            self._order("bias", target_mV=target_mV)

    def _bias_off(self) -> None:
        self._order("bias", target_mV=0)

    def _write(self) -> None:
        spec = REGISTERS[str(self.register.currentData())]
        try:
            value = int(self.value.text())
        except ValueError:
            self._complain(
                tr(
                    "{name} is a whole number in {value}",
                    name=spec.name,
                    value=spec.unit or tr("its own unit"),
                )
            )
            return
        if not spec.min <= value <= spec.max:
            self._complain(
                tr(
                    "{name} must be {min} to {max} {unit}",
                    name=spec.name,
                    min=spec.min,
                    max=spec.max,
                    unit=spec.unit,
                )
            )
            return
        self._order("write", **{spec.name: value})

    def _reset(self) -> None:
        if self._ask(
            tr(
                "Reset {named}? Bias goes off, a run loses them until they are back.",
                named=self._named(),
            )
        ):
            self._order("reset")

    def _update(self) -> None:
        path, _ = QtWidgets.QFileDialog.getOpenFileName(
            self, tr("Firmware image"), "", tr("Images (*.tmim *.bin);;All files (*)")
        )
        if path and self._ask(
            tr(
                "Load {path} into {named}? No run is possible meanwhile.",
                path=path,
                named=self._named(),
            )
        ):
            self._order("update", path=path)
