"""The emergency Bias OFF: a red button and a key, always in reach, never confirmed.

It switches off the bias of all modules at once, as often as it is pressed, even if the daq seems
silent. The outcome stays in view below its name: sent, refused or not answered, and then what the
modules measure until all are off. If no module has a bias the button is grey and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit import theme
from gui.kit.words import mark, tr
from gui.link.command_desk import CommandDesk, Pending
from gui.link.daq_view import Link
from hw.messages.modules import ModuleState

KEY = "F9"
OFF_BELOW_MV = 1000
"""A module's bias is off below 1 V and not ordered (docs/firmware.md)."""

OLD_AFTER_S = 2.0
"""What the link process has not told anew for so long is no longer known."""

TEACHES = mark(
    "Switch the bias of ALL modules off, at once, without a question.\nKey: {key}, in any window"
)
WHY_NOT = mark("Grey: no module with our firmware is there, so there is no bias to switch off.")


@dataclass(frozen=True)
class Shown:
    """What the buttons show below their name; ``able``: whether a bias can be switched off."""

    words: str
    able: bool = True
    reason: str = ""


NO_MODULES = Shown(mark("no modules"), able=False)


class BiasSwitch:
    """The order that all the buttons share; :meth:`act` gives it."""

    def __init__(self, desk: CommandDesk) -> None:
        self._desk = desk
        self._order: Pending | None = None
        self._was_off = False
        self.shown = NO_MODULES

    def act(self) -> None:
        """Switch off all bias, unless there is none."""
        if self.shown.able:
            self._was_off = False
            self._order = self._desk.order("bias", modules=[], values={"target_mV": 0})
            self.shown = Shown(tr("sent …"))

    def refresh(self, link: Link) -> None:
        """Follow the outcome of the order, and what the modules measure."""
        modules = link.modules.modules if link.modules is not None else []
        old = link.modules_age_s > OLD_AFTER_S
        self.shown = self._look(modules, old=old) if modules else NO_MODULES

    def _look(self, modules: list[ModuleState], *, old: bool) -> Shown:
        heard = [state for state in modules if state.link.connected and not old]
        unheard = len(modules) - len(heard)
        most_mV = max((state.bias_mV for state in heard), default=0)
        measured = f"{most_mV / 1000:.1f} V" if heard else "? V"
        if self._was_off and any(state.bias_state == "on" for state in heard):
            self._order, self._was_off = None, False  # a person has switched it on again
        order = self._order
        if order is None:
            return Shown(f"{KEY}   {measured}")
        if order.outcome == "":
            return Shown(tr("sent …"))
        if order.outcome == "failed":
            return Shown(tr("✗ FAILED {measured}", measured=measured), reason=order.reason)
        if order.outcome == "unanswered":
            return Shown(tr("✗ NO ANSWER"), reason=tr("no answer from the daq"))
        if unheard:
            return Shown(
                tr("✗ {unheard} UNHEARD", unheard=unheard),
                reason=tr("{unheard} modules do not answer", unheard=unheard),
            )
        self._was_off = most_mV < OFF_BELOW_MV
        return Shown(tr("✓ all off") if self._was_off else f"↘ {measured}")


class BiasOffButton(QtWidgets.QPushButton):
    """One button; it acts when pressed, not when released."""

    def __init__(self, switch: BiasSwitch) -> None:
        super().__init__()
        self._switch = switch
        self._shown: Shown | None = None
        self.setObjectName("emergency")
        self.setFont(theme.font(theme.SMALL_PX, bold=True))
        self.setFixedSize(100, 52)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(tr("Bias OFF, all modules"))
        self.pressed.connect(self._act)
        self.refresh()

    def _act(self) -> None:
        self._switch.act()
        self.refresh()

    def refresh(self) -> None:
        """Show the state of the switch."""
        shown = self._switch.shown
        if shown != self._shown:
            self._shown = shown
            self.setText(tr("BIAS OFF\n{words}", words=tr(shown.words)))
            self.setEnabled(shown.able)
            words = (tr(TEACHES, key=KEY), tr(WHY_NOT) if not shown.able else "", shown.reason)
            self.setToolTip("\n".join(filter(None, words)))
