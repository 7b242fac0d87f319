"""The choice of a protocol for the next Arm, from those on this machine that fit the scanner."""

from __future__ import annotations

from typing import Any

import msgspec
from pyqtgraph.Qt import QtGui, QtWidgets

from daq.folder.protocols.shelf import Shelf
from gui.kit import theme
from gui.kit.panels import CalmLabel
from gui.kit.wording import grouped
from gui.kit.words import mark, tr
from gui.link.command_desk import CommandDesk
from hw.messages.scan_protocol import RunUntil, ScanProtocol
from hw.messages.telemetry import Telemetry

NONE = mark("no protocol")
TEACHES = mark(
    "What the next Arm is to be by: nuclide, windows, live image and what "
    "ends the run.\n`tomoshibi protocols save NAME --from RUN` saves one."
)


def fits(protocol: ScanProtocol, telemetry: Telemetry | None) -> bool:
    """Whether a protocol may suit the scanner in the telemetry; the daq has the last word."""
    if telemetry is None or telemetry.settings is None:
        return True
    modality = "PET" if telemetry.settings.sorts_coincidences else "SPECT"
    named = not protocol.scanners or telemetry.scanner in protocol.scanners
    return protocol.modality == modality and (named or not telemetry.scanner)


class ProtocolChoice(QtWidgets.QWidget):
    """A list: the daq's present protocol, none, and the newest version of each protocol."""

    def __init__(self, desk: CommandDesk, shelf: Shelf | None = None) -> None:
        super().__init__()
        self._desk, self._shelf = desk, shelf or Shelf()
        self._scanner: tuple[str, bool] | None = None
        self._set = False
        self.box = QtWidgets.QComboBox()
        self.box.setMinimumHeight(30)
        self.box.setMinimumContentsLength(12)
        policy = QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.box.setSizeAdjustPolicy(policy)
        self.box.setAccessibleName(tr("Protocol"))
        self.box.setToolTip(tr(TEACHES))
        self.box.activated.connect(self._choose)
        self.words = CalmLabel(size_px=theme.SMALL_PX)
        self.words.setWordWrap(True)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.box)
        column.addWidget(self.words)
        self._fill(None)

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        """Read the protocols again: somebody may have saved one."""
        super().showEvent(event)
        self._scanner = None

    def refresh(self, telemetry: Telemetry | None) -> None:
        """Follow the scanner, the daq's present protocol, and the outcome of the choice."""
        scanner = _scanner_of(telemetry)
        if self._scanner != scanner and not self._set:
            self._scanner = scanner
            self._fill(telemetry)
        if self._set and not self._desk.protocol:
            self._set = False
            self.box.setCurrentIndex(0)
        held = telemetry.protocol if telemetry else ""
        first = tr("as it was: {value}", value=held or tr(NONE))
        if self.box.itemText(0) != first:
            self.box.setItemText(0, first)
        self._tell(telemetry)

    def _fill(self, telemetry: Telemetry | None) -> None:
        self.box.clear()
        self.box.addItem(tr("as it was: {none}", none=tr(NONE)))
        self.box.addItem(tr(NONE))
        for one in self._shelf.newest():
            if fits(one.protocol, telemetry):
                title = f": {one.protocol.title}" if one.protocol.title else ""
                self.box.addItem(f"{one.protocol.label}{title}", one.protocol)

    def _choose(self, place: int) -> None:
        """Have the next Arm use the choice; the first line leaves it to the daq."""
        args: dict[str, Any] = {}
        if place > 0:
            protocol = self.box.itemData(place)
            args = {"protocol": None if protocol is None else msgspec.to_builtins(protocol)}
        self._set = bool(args)
        self._desk.set_protocol(args)

    def _tell(self, telemetry: Telemetry | None) -> None:
        protocol = self.box.currentData()
        if self._shelf.faults:
            self.words.show_text(f"⚠ {self._shelf.faults[0]}", theme.WARNING)
        elif protocol is not None:
            self.words.show_text(
                tr("✓ next run {words}", words=until_words(protocol.until)), theme.GOOD
            )
        elif self._set or telemetry is None:
            self.words.show_text("", theme.DIM)
        else:
            self.words.show_text(until_words(telemetry.until), theme.DIM)


def until_words(until: RunUntil) -> str:
    """Return what ends a run, in the current language."""
    parts = []
    if until.duration_s:
        parts.append(f"{until.duration_s:g} s")
    if until.counts:
        parts.append(tr("{counts} counts", counts=grouped(until.counts)))
    if until.noise_percent:
        parts.append(tr("{noise_percent:g} % noise", noise_percent=until.noise_percent))
    if not parts:
        return tr("goes on until stopped")
    return tr("ends after {what}", what=tr(" or ").join(parts))


def _scanner_of(telemetry: Telemetry | None) -> tuple[str, bool] | None:
    if telemetry is None or telemetry.settings is None:
        return ("", True)
    return (telemetry.scanner, telemetry.settings.sorts_coincidences)
