"""Whether a module has started anew since we last knew it, also where no one told us.

The count of starts in its identity begins anew with the supply, so after a power cycle it can be
the same. Three more things cannot happen without a start: its counter goes back, its count of good
commands is no greater although one more was done, and a HELLO comes unasked in the middle of a
session, its number not going on from the last notice's. Nothing here depends on the host's clock:
a busy host, or a simulated module that stands still for a while, is no start.
"""

from __future__ import annotations

from hw.wire.control import COUNTER_HZ

_BACKWARDS = COUNTER_HZ // 100  # two threads may take two messages in the other order


class StartWatch:
    """What was last seen of a module.

    suspicious : it has begun anew since ``begin`` was called; commands : its count as last seen
    missed : notices that did not come, by their numbers
    """

    def __init__(self) -> None:
        self.missed = 0
        self.begin()

    def begin(self) -> None:
        """Forget the last start's numbers."""
        self.suspicious = False
        self._counter = self.commands = 0
        self._notice: int | None = None

    def see_counter(self, counter: int) -> bool:
        """Take the module's counter; return whether it went back."""
        last, self._counter = self._counter, counter
        back = counter < last - _BACKWARDS
        self.suspicious |= back
        return back

    def see_commands(self, commands: int, *, least: int | None = None) -> None:
        """Take its count of good commands; ``least``: what it must be, None: as last seen."""
        self.suspicious |= commands < (self.commands if least is None else least)
        self.commands = max(self.commands, commands) if least is not None else commands

    def see_hello(self, number: int) -> None:
        """Take an unasked HELLO's number, before ``see_notice`` does."""
        last = self._notice
        follows = last is not None and 0 < (number - last) & 0xFFFF < 0x8000
        self.suspicious |= not follows

    def see_notice(self, number: int) -> None:
        """Take a notice's number; count those that are missing before it."""
        if self._notice is not None:
            missed = (number - self._notice - 1) & 0xFFFF
            self.missed += missed if missed < 0x8000 else 0
        self._notice = number
