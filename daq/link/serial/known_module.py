"""What a module has told of itself, and whether it has restarted since.

A restart is noticed even if it is not announced. The count of starts in a module's identity begins
again with the supply, so after a power cycle it can be the same. Three more things cannot happen
without a restart: the module's counter goes back; its count of good commands has not grown although
another was done; a HELLO comes unasked during a session, with a number that does not follow the
last notice's. None of this depends on the host's clock: a busy host, or a simulated module that
stands still for a while, does not look like a restart.
"""

from __future__ import annotations

import numpy as np

from daq.link.serial.dictionary import Dictionary, understands
from hw.wire.control import COUNTER_HZ

_BACKWARDS = COUNTER_HZ // 100  # two threads may take two messages in the other order


class StartWatch:
    """Notices restarts of a module from what was last seen of it.

    suspicious : it has restarted since ``begin`` was called; commands : its count as last seen
    missed : notices that did not come, by their numbers
    """

    def __init__(self) -> None:
        self.missed = 0
        self.begin()

    def begin(self) -> None:
        """Forget the numbers of the last start."""
        self.suspicious = False
        self._counter = self.commands = 0
        self._notice: int | None = None

    def see_counter(self, counter: int) -> bool:
        """Note the module's counter; return whether it went back."""
        last, self._counter = self._counter, counter
        back = counter < last - _BACKWARDS
        self.suspicious |= back
        return back

    def see_commands(self, commands: int, *, least: int | None = None) -> None:
        """Note its count of good commands; ``least``: its minimum, None for the last one seen."""
        self.suspicious |= commands < (self.commands if least is None else least)
        self.commands = max(self.commands, commands) if least is not None else commands

    def see_hello(self, number: int) -> None:
        """Note an unasked HELLO's number, before ``see_notice`` does."""
        last = self._notice
        follows = last is not None and 0 < (number - last) & 0xFFFF < 0x8000
        self.suspicious |= not follows

    def see_notice(self, number: int) -> None:
        """Note a notice's number; count those missing before it."""
        if self._notice is not None:
            missed = (number - self._notice - 1) & 0xFFFF
            self.missed += missed if missed < 0x8000 else 0
        self._notice = number


class KnownModule:
    """A module as it has described itself.

    identity, dictionary : what it reported of itself; telemetry : its latest, None before the first
    starts : number of its starts noticed
    foreign : whether it has another schema: it takes frozen commands, and its notices are not read
    ask_who : whether to ask for its identity, since it may have restarted
    """

    identity: np.void
    dictionary: Dictionary

    def __init__(self) -> None:
        self.telemetry: np.void | None = None
        self.starts = 0
        self.foreign = self.ask_who = False
        self.watch = StartWatch()

    @property
    def met(self) -> bool:
        """Whether its identity is known."""
        return hasattr(self, "identity")

    def meet(self, identity: np.void) -> bool:
        """Note which module answers; return whether it has restarted since it was last seen."""
        known = self.identity if self.met else None
        self.identity = identity
        self.foreign = not understands(identity)
        if known is None:
            self.starts = 1
            return False
        changed = any(known[name] != identity[name] for name in ("resets", "build"))
        if not (changed or self.watch.suspicious):
            return False
        self.watch.begin()
        self.starts += 1
        return True

    def see_counter(self, counter: int) -> None:
        """Note its counter as a beat read it."""
        self.ask_who |= self.watch.see_counter(counter)

    def see_telemetry(self, record: np.void) -> None:
        """Keep its telemetry, and look for signs of a restart in it."""
        self.telemetry = record
        self.watch.see_commands(int(record["commands"]))
        self.watch.see_counter(int(record["counter"]))
        restarted = bool(record["resets"] != self.identity["resets"])
        self.ask_who |= restarted or self.watch.suspicious
