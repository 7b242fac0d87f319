"""The top of the console: the run's state, and the four commands that change it.

The daq's state machine alone enables the buttons: without telemetry there is no state, so there is
nothing to click.
"""

from __future__ import annotations

import time

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.app.control_button import ControlButton
from gui.app.hold_button import HOLD_S, HoldButton
from gui.app.run_words import reason_of, silence_of
from gui.kit import theme
from gui.kit.panels import CalmLabel, ElidedLabel, ReasonLabel
from gui.kit.product_mark import PRODUCT, Mark
from gui.kit.wording import age_text, clock_text
from gui.kit.words import mark, tr
from gui.link.command_desk import ALLOWED, CommandDesk
from gui.link.control_share import ControlShare
from gui.link.daq_view import Link, LinkState
from gui.modules.bias_off import BiasOffButton, BiasSwitch
from hw.messages.telemetry import Telemetry

BUTTONS = (
    (
        "arm",
        mark("Arm"),
        "F5",
        mark("Prepare a run: make its folder, check source, disk and settings."),
    ),
    ("start", mark("Start"), "F6", mark("Begin acquisition: detector time starts at zero.")),
    (
        "stop",
        mark("Stop"),
        "F7",
        mark("End the run: the source finishes, all data are written, the books closed."),
    ),
    (
        "reset",
        mark("Reset"),
        "F8",
        mark("Put the run away, or clear a latched error, and return to idle."),
    ),
)
HELD = ("stop", "reset")
"""What ends or discards: by mouse and by key, these must be held."""


AGAIN = mark("Again")
AGAIN_TEACHES = mark("After a closed run, Again: arm the same once more, for the same patient.")
DOUBLE_CLICK_S = 0.8
"""So soon after *Again*, a click on Start in its place was meant for the same button."""

_WIDE_PX, _NARROW_PX = 1400, 1200
_WALL_SHOWN_S = 2.0  # wall time is told where the source lags behind it by more


def _column(*widgets: QtWidgets.QWidget, spacing: int = 1) -> QtWidgets.QVBoxLayout:
    column = QtWidgets.QVBoxLayout()
    column.setSpacing(spacing)
    column.addStretch(1)
    for widget in widgets:
        column.addWidget(widget)
    column.addStretch(1)
    return column


def _rule() -> QtWidgets.QFrame:
    rule = QtWidgets.QFrame()
    rule.setFixedWidth(1)
    rule.setStyleSheet(f"background: {theme.LINE};")
    return rule


class RunBar(QtWidgets.QFrame):
    """Product, state and reason, commands, clock, the run's facts, condition and link."""

    def __init__(self, desk: CommandDesk, switch: BiasSwitch, share: ControlShare) -> None:
        super().__init__()
        self._desk, self._share = desk, share
        self.control = ControlButton(share)
        self.bias_off = BiasOffButton(switch)
        self._state: str = ""
        self._clock, self._again_s = time.monotonic, float("-inf")
        self.setObjectName("panel")
        self.setFixedHeight(74)
        self.buttons: dict[str, QtWidgets.QPushButton] = {}
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(12, 4, 12, 4)
        row.setSpacing(12)
        self._row = row
        for part in (
            self._brand(),
            self._state_block(),
            self._command_block(),
            self._clock_block(),
            self._facts_block(),
            self._health_block(),
            self._emergency_block(),
        ):
            if row.count():
                row.addWidget(_rule())
            row.addLayout(part, self._shares.get(part, 0))

    def _brand(self) -> QtWidgets.QLayout:
        self._shares: dict[QtWidgets.QLayout, int] = {}
        row = QtWidgets.QHBoxLayout()
        row.setSpacing(8)
        mark = Mark(34)
        row.addWidget(mark)
        name = CalmLabel(PRODUCT, size_px=17, bold=True)
        name.setStyleSheet(f"color: {theme.LAMP};")
        self.what = CalmLabel(tr("PET console"), size_px=theme.SMALL_PX)
        self.what.setObjectName("dim")
        row.addLayout(_column(name, self.what))
        self._spared: list[QtWidgets.QWidget] = [mark, name, self.what]
        return row

    def _state_block(self) -> QtWidgets.QLayout:
        self.state = CalmLabel(size_px=theme.STATE_PX, bold=True)
        self.state.setMinimumWidth(196)
        self.reason = ReasonLabel(size_px=theme.SMALL_PX)
        column = _column(self.state, self.reason)
        self._shares[column] = 2
        return column

    def _command_block(self) -> QtWidgets.QLayout:
        row = QtWidgets.QHBoxLayout()
        row.setSpacing(6)
        for name, caption, key, teaches in BUTTONS:
            button = (
                self._held_button(name, tr(caption)) if name in HELD else QtWidgets.QPushButton()
            )
            button.setFixedSize(70, theme.TOUCH_PX)
            button.setFont(theme.font(13, bold=True))
            teaches = tr(teaches) + (f"\n{tr(AGAIN_TEACHES)}" if name == "start" else "")
            how = (
                tr("Hold the button or {key} for {hold_s:g} s", key=key, hold_s=HOLD_S)
                if name in HELD
                else tr("Key: {key}", key=key)
            )
            button.setToolTip(f"{teaches}\n{how}")
            button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
            button.setEnabled(False)
            if name not in HELD:
                button.clicked.connect(lambda _checked=False, name=name: self._command(name))
                shortcut = QtGui.QShortcut(QtGui.QKeySequence(key), self, button.click)
                shortcut.setAutoRepeat(False)  # a key that is held arms or starts once
            self.buttons[name] = button
            row.addWidget(button)
        self.notice = ElidedLabel(size_px=theme.SMALL_PX)
        column = QtWidgets.QVBoxLayout()
        column.setSpacing(3)
        column.addStretch(1)
        column.addLayout(row)
        column.addWidget(self.notice)
        column.addStretch(1)
        return column

    def _command(self, name: str) -> None:
        """Send a command; after a closed run, Start's place arms the same again."""
        if name == "start" and self._state == "closed":
            self._again_s = self._clock()
            self._desk.again()
        elif name != "start" or self._clock() - self._again_s > DOUBLE_CLICK_S:
            self._desk.send(name)

    def _held_button(self, name: str, caption: str) -> HoldButton:
        button = HoldButton(caption)
        button.held.connect(lambda: self._desk.send(name))
        return button

    @property
    def held_keys(self) -> dict[str, HoldButton]:
        """The buttons that must be held, by their keys."""
        return {key: self.buttons[name] for name, _, key, _ in BUTTONS if name in HELD}

    def _clock_block(self) -> QtWidgets.QLayout:
        self.elapsed = CalmLabel("00:00", size_px=theme.VALUE_PX, bold=True)
        self.elapsed.setMinimumWidth(112)
        self.elapsed.setToolTip(tr("Detector time of the run: what has been measured"))
        self.duration = CalmLabel(size_px=theme.SMALL_PX)
        self.duration.setObjectName("dim")
        self.progress = QtWidgets.QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        return _column(self.elapsed, self.progress, self.duration, spacing=2)

    def _facts_block(self) -> QtWidgets.QLayout:
        grid = QtWidgets.QGridLayout()
        grid.setSpacing(1)
        grid.setHorizontalSpacing(8)
        self.facts: dict[str, ElidedLabel] = {}
        grid.setRowStretch(0, 1)
        for row, name in enumerate((mark("Run"), mark("Scanner"), mark("Source")), start=1):
            caption = CalmLabel(tr(name), size_px=theme.SMALL_PX)
            caption.setObjectName("dim")
            self.facts[name] = ElidedLabel(size_px=theme.BASE_PX)
            self._spared.append(caption)
            grid.addWidget(caption, row, 0)
            grid.addWidget(self.facts[name], row, 1)
        grid.setRowStretch(4, 1)
        grid.setColumnStretch(1, 1)
        self._shares[grid] = 3
        return grid

    def _health_block(self) -> QtWidgets.QLayout:
        self.link = CalmLabel(size_px=13, bold=True)
        self.link.setMinimumWidth(132)
        self.link.setToolTip(
            tr(
                "CONNECTED: telemetry arrives, about 20 times a second.\nNO DATA: none "
                "for more than a second; what is shown is the past."
            )
        )
        self.condition = CalmLabel(size_px=13, bold=True)
        self.condition.setToolTip(
            tr(
                "Condition of this run's data.\nGOOD: complete and nothing lost.\nTAINTED: "
                "data were lost or late; the counters say how many.\nINCOMPLETE: the run "
                "did not end as it should."
            )
        )
        return _column(self.link, self.condition, self.control, spacing=2)

    def _emergency_block(self) -> QtWidgets.QLayout:
        return _column(self.bias_off)

    def refresh(self, link: Link) -> None:
        """Show the current state."""
        self.bias_off.refresh()
        self.control.refresh()
        self._refresh_link(link)
        state = link.state
        if link.telemetry is not None:
            self._refresh_run(link.telemetry)
        self._refresh_state(link, state)
        self._refresh_condition(link.telemetry, current=state == "connected")
        self._refresh_buttons(link.telemetry if state == "connected" else None)
        notice = self._desk.notice
        colour = theme.SEVERITY_LOOKS[notice.severity].colour
        self.notice.show_text(notice.text, colour)

    def _refresh_state(self, link: Link, state: LinkState) -> None:
        telemetry = link.telemetry
        if telemetry is None:
            self.state.show_text(theme.UNKNOWN_STATE.text, theme.UNKNOWN_STATE.colour)
            self.reason.show_text(link.fault or tr("no daq heard yet"), theme.DIM)
            return
        look = theme.STATE_LOOKS[telemetry.state]
        if state == "connected":
            silence = silence_of(telemetry)
            alarmed = telemetry.state == "error" or bool(silence)
            self.state.show_text(look.text, theme.ALARM if silence else look.colour)
            colour = theme.ALARM if alarmed else theme.DIM
            self.reason.show_text(silence or reason_of(telemetry), colour)
        else:
            self.state.show_text(f"{look.word}?", theme.FAINT)
            reason = link.fault or tr("last known state, {age} old", age=age_text(link.age_s))
            self.reason.show_text(reason, theme.WARNING)

    def _refresh_run(self, telemetry: Telemetry) -> None:
        measured_s, set_s = telemetry.detector_time_s, telemetry.duration_s
        self.elapsed.show_text(clock_text(measured_s))
        self.progress.setValue(int(1000 * min(1.0, measured_s / set_s)) if set_s > 0 else 0)
        words = tr("of {clock}", clock=clock_text(set_s)) if set_s > 0 else tr("no set duration")
        if telemetry.elapsed_s - measured_s > _WALL_SHOWN_S:
            words += tr(" · wall {clock}", clock=clock_text(telemetry.elapsed_s))
        self.duration.show_text(words)
        by = f" · {telemetry.protocol}" if telemetry.protocol else ""
        self.facts["Run"].show_text(f"{telemetry.run or tr('none')}{by}")
        if telemetry.settings is not None:
            of_pairs = telemetry.settings.sorts_coincidences
            self.what.show_text(tr("PET console") if of_pairs else tr("SPECT console"))
        title = telemetry.scanner_title.partition(":")[0]
        self.facts["Scanner"].show_text(title or telemetry.scanner or "–")
        self.facts["Source"].show_text(telemetry.source or tr("none connected"))

    def _refresh_condition(self, telemetry: Telemetry | None, *, current: bool) -> None:
        if telemetry is None or not telemetry.run:
            self.condition.show_text("")
            return
        look = theme.CONDITION_LOOKS[telemetry.condition]
        if current:
            self.condition.show_text(look.text, look.colour)
        else:
            self.condition.show_text(f"{look.word}?", theme.FAINT)

    def _refresh_link(self, link: Link) -> None:
        if link.fault:
            self.link.show_text(tr("✗ NOT READABLE"), theme.ALARM)
        elif link.state == "connected":
            self.link.show_text(tr("● CONNECTED"), theme.GOOD)
        elif link.state == "waiting":
            self.link.show_text(tr("○ WAITING"), theme.WARNING)
        else:
            self.link.show_text(tr("✗ NO DATA"), theme.ALARM)

    def _refresh_buttons(self, telemetry: Telemetry | None) -> None:
        allowed = ALLOWED[telemetry.state] if telemetry else frozenset()
        self._state = telemetry.state if telemetry else ""
        if self._state == "closed":
            allowed |= {"start"}
        if not self._share.may_command:
            allowed = frozenset()
        for name, caption, _key, _teaches in BUTTONS:
            pending = self._desk.is_pending(name)
            button = self.buttons[name]
            if name == "start" and self._state == "closed":
                caption, pending = AGAIN, self._desk.is_pending("again")
            enabled = name in allowed and not pending
            if button.isEnabled() != enabled:
                button.setEnabled(enabled)
            text = f"{tr(caption)} …" if pending else tr(caption)
            if isinstance(button, HoldButton):
                button.show_caption(text)
            elif button.text() != text:
                button.setText(text)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        """When the window is narrow, hide brand and captions: state, commands and Bias OFF need the
        room.
        """
        super().resizeEvent(event)
        width = self.width()
        self._row.setSpacing(12 if width >= _WIDE_PX else 6)
        for widget in self._spared:
            widget.setVisible(width >= _NARROW_PX)

    def minimumSizeHint(self) -> QtCore.QSize:
        """Let the window determine the width."""
        return QtCore.QSize(900, 74)
