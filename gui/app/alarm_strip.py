"""The alarm that waits for an answer, on every page: shape, word, place and colour say how bad it
is.

F10, or the button, acknowledges it, and every console shows that. The cause may persist: the strip
then stays until it is gone. A shelved alarm comes back by itself. A sound, if switched on, is
played once for each new alarm, and again every 10 s for one of high priority.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.app.journal_panel import local_time
from gui.kit import theme
from gui.kit.panels import CalmLabel, ElidedLabel
from gui.kit.theme import Look
from gui.kit.told import told
from gui.kit.wording import grouped
from gui.kit.words import mark, spoken, tr
from gui.link.command_desk import CommandDesk
from hw.messages.telemetry import Alarm, Telemetry
from hw.notices.catalogue import catalogue

KEY = "F10"
ASIDE_MIN = 10
SOUND_EVERY_S = 10.0
HEIGHT_PX = theme.TOUCH_PX + 4

PRIORITY_LOOKS = {
    "high": Look(mark("HIGH"), "◆", theme.ALARM),
    "medium": Look(mark("MEDIUM"), "▲", theme.WARNING),
    "low": Look(mark("LOW"), "●", theme.NOTICE),
}


class AlarmStrip(QtWidgets.QFrame):
    """One line; hidden when nothing waits for an answer and no cause persists."""

    def __init__(
        self,
        desk: CommandDesk,
        *,
        sound: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it; ``sound`` is called for each sound, None for none."""
        super().__init__()
        self._desk, self._sound, self._clock = desk, sound, clock
        self._alarm: Alarm | None = None
        self._heard, self._sounded_s = -1, clock()
        self.setObjectName("panel")
        self.setAccessibleName(tr("Alarms"))
        self.setFixedHeight(HEIGHT_PX)
        self.look = CalmLabel(size_px=theme.BASE_PX + 1, bold=True)
        self.words = ElidedLabel(size_px=theme.BASE_PX, bold=True)
        self.facts = ElidedLabel(size_px=theme.SMALL_PX)
        self.facts.setObjectName("dim")
        right = QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter
        self.facts.setAlignment(right)
        self.answer = self._button(
            tr("Acknowledge {key}", key=KEY), tr("Somebody has seen it; kept in the journal")
        )
        self.answer.clicked.connect(lambda _checked=False: self.acknowledge())
        self.aside = self._button(
            tr("Aside {aside_min} min", aside_min=ASIDE_MIN),
            tr("Put it behind the others; it comes back"),
        )
        self.aside.clicked.connect(lambda _checked=False: self._put_aside())
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(10, 2, 4, 2)
        row.setSpacing(10)
        for widget, share in (
            (self.look, 0), (self.words, 5), (self.facts, 4), (self.answer, 0), (self.aside, 0),
        ):  # fmt: skip
            row.addWidget(widget, share)
        self.hide()

    def refresh(self, telemetry: Telemetry | None) -> None:
        """Show the worst alarm that is not shelved."""
        alarms = telemetry.alarms if telemetry is not None else []
        self._alarm = alarms[0] if alarms else None
        if self._alarm is None or telemetry is None:
            self.hide()
            return
        self._show(self._alarm, len(alarms) - 1 + telemetry.alarms_hidden)
        self._make_sound(alarms)
        self.show()

    def acknowledge(self) -> None:
        """Acknowledge the alarm that is shown."""
        if self._alarm is not None and not self._alarm.answered_by:
            self._desk.answer_alarms("acknowledge", {"numbers": [self._alarm.number]})

    def _put_aside(self) -> None:
        if self._alarm is not None:
            args = {"numbers": [self._alarm.number], "minutes": ASIDE_MIN}
            self._desk.answer_alarms("shelve", args)

    def _show(self, alarm: Alarm, more: int) -> None:
        look = PRIORITY_LOOKS[alarm.priority]
        waits = not alarm.answered_by
        self.look.show_text(look.text, look.colour if waits else theme.DIM)
        self.words.show_text(alarm_words(alarm), theme.TEXT if waits else theme.DIM)
        self.words.setToolTip(alarm_help(alarm))
        facts = alarm_facts(alarm)
        self.facts.show_text(
            tr("{more} more, key 8 · {facts}", facts=facts, more=more) if more else facts
        )
        self.answer.setEnabled(waits)
        self.aside.setEnabled(alarm.shelved_s == 0)

    def _make_sound(self, alarms: list[Alarm]) -> None:
        """Call for attention once for what is new, and again where a bad one goes unanswered."""
        waiting = [alarm for alarm in alarms if not alarm.answered_by and not alarm.shelved_s]
        newest = max((alarm.number for alarm in waiting), default=-1)
        urgent = any(alarm.priority == "high" for alarm in waiting)
        due = urgent and self._clock() - self._sounded_s >= SOUND_EVERY_S
        if newest > self._heard or due:
            self._sounded_s = self._clock()
            if self._sound is not None:
                self._sound()
        self._heard = max(self._heard, newest)

    def _button(self, words: str, teaches: str) -> QtWidgets.QPushButton:
        button = QtWidgets.QPushButton(words)
        button.setToolTip(teaches)
        button.setFont(theme.font(theme.SMALL_PX, bold=True))
        button.setFocusPolicy(theme.NO_FOCUS)
        button.setFixedHeight(theme.TOUCH_PX)
        return button


def alarm_words(alarm: Alarm) -> str:
    """Return an alarm's text from the catalogue, or as the daq sent it."""
    return told(alarm.id, alarm.values, alarm.text)


def alarm_help(alarm: Alarm) -> str:
    """Return an alarm's text, cause and remedy."""
    entry = catalogue(spoken()).get(alarm.id)
    lines = [alarm_words(alarm)]
    if entry is not None:
        lines += [
            tr("Cause: {means}", means=entry.means) if entry.means else "",
            tr("Do: {do}", do=entry.do) if entry.do else "",
        ]
    return "\n".join(line for line in lines if line)


def alarm_facts(alarm: Alarm) -> str:
    """Say since when an alarm stands, how often it came, and what is left of it."""
    parts = [tr("since {local_time}", local_time=local_time(alarm.first_wall))]
    if alarm.count > 1:
        parts.append(
            tr(
                "×{count}, last {local_time}",
                count=grouped(alarm.count),
                local_time=local_time(alarm.last_wall),
            )
        )
    if alarm.first_out:
        parts.append(tr("came first"))
    parts.append(tr("cause still there") if alarm.stands else tr("cause gone"))
    if alarm.answered_by:
        parts.append(tr("acknowledged by {answered_by}", answered_by=alarm.answered_by))
    if alarm.shelved_s:
        parts.append(tr("aside for {value:.0f} min", value=alarm.shelved_s / 60))
    return " · ".join(parts)
