"""Puts frames of a run that was resumed back into their order before they are recorded.

What was queued for the daq that died arrives first, what it lost is sent again behind it. Frames
ahead of what their module's raw log holds are held back until those between have come, or a bound
of bytes is reached. Modules come back at different times, so those that are far ahead of others
wait for them: else the others would be taken for stalled, and their events for late. What the raw
log holds already is left out. Frames that are of no use are left to the check.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from daq.path.frame_check import Frame
from hw.wire.protocol import FLAG_FIRST, HEADER_BYTES, HEADER_DTYPE

MOST_BYTES = 256 * 2**20
_NUMBERS = 1 << 32

AHEAD = 64
"""Periods that a module may be ahead of the slowest one: a third of the stall bound."""


class Resequencer:
    """Of one run. ``held``: the number of frames held back; ``again``: those left out.

    Parameters
    ----------
    next_sequence : (modules,) the number that each module's next frame has
    newest_period : (modules,) the period of each module's newest frame in the raw log, -1 for none
    lacking : by module, the numbers before that which the raw log has not: they are let through
    """

    def __init__(
        self,
        next_sequence: npt.NDArray[np.int64],
        newest_period: npt.NDArray[np.int64],
        *,
        run_tag: int,
        lacking: Sequence[Collection[int]] = (),
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.held = self.again = 0
        self._lacking = [set(numbers) for numbers in lacking] or [set() for _ in next_sequence]
        self._newest = [int(period) for period in newest_period]
        self._next = [int(number) for number in next_sequence]
        self._run_tag, self._most_bytes = run_tag, most_bytes
        self._waiting: list[dict[int, tuple[int, Frame]]] = [{} for _ in self._next]
        self._ready: list[deque[tuple[int, Frame]]] = [deque() for _ in self._next]
        self._bytes = 0

    def push(self, frames: Iterable[Frame]) -> list[Frame]:
        """Return the frames that may be recorded now, in order."""
        out: list[Frame] = []
        for frame in frames:
            self._take(frame, out)
        if self._bytes > self._most_bytes:
            return [*out, *self.flush()]
        return [*out, *self._released(min(self._newest, default=0) + AHEAD)]

    def _released(self, until: float) -> list[Frame]:
        """Return the frames up to a period that are ready, the modules' in step."""
        released: list[tuple[int, Frame]] = []
        for ready in self._ready:
            while ready and ready[0][0] <= until:
                released.append(ready.popleft())
        released.sort(key=lambda one: one[0])
        out = [frame for _, frame in released]
        self._bytes -= sum(map(len, out))
        self.held -= len(out)
        return out

    def _take(self, frame: Frame, out: list[Frame]) -> None:
        header = np.frombuffer(frame, HEADER_DTYPE, 1)[0] if len(frame) >= HEADER_BYTES else None
        if header is None or header["run_tag"] != self._run_tag:
            out.append(frame)
            return
        module, number = int(header["module"]), int(header["sequence"])
        if module >= len(self._next):
            out.append(frame)
            return
        period, old = int(header["frame_id"]), _is_old(number, self._next[module])
        if old and number in self._lacking[module]:
            self._lacking[module].remove(number)
            out.append(frame)
            return
        if old and period <= self._newest[module]:
            self.again += 1
            return
        if old or header["flags"] & FLAG_FIRST:  # the module began anew
            self._next[module] = number
        if number in self._waiting[module]:
            self.again += 1
            return
        self._bytes += len(frame)
        self.held += 1
        if number == self._next[module]:
            self._pass(module, period, frame)
            self._follow(module)
        else:
            self._waiting[module][number] = period, frame

    def _pass(self, module: int, period: int, frame: Frame) -> None:
        self._ready[module].append((period, frame))
        self._newest[module] = max(self._newest[module], period)
        self._next[module] = (self._next[module] + 1) % _NUMBERS

    def _follow(self, module: int) -> None:
        """Pass what was held back and comes next."""
        waiting = self._waiting[module]
        while (found := waiting.pop(self._next[module], None)) is not None:
            self._pass(module, *found)

    def flush(self) -> list[Frame]:
        """Return all frames held back: those missing will not come."""
        for module, waiting in enumerate(self._waiting):
            begin = self._next[module]
            for number in sorted(waiting, key=lambda n: (n - begin) % _NUMBERS):
                self._next[module] = number
                self._pass(module, *waiting[number])
            waiting.clear()
        return self._released(math.inf)


def _is_old(number: int, expected: int) -> bool:
    """Whether a number lies before the expected one, wrapping round."""
    return (number - expected) % _NUMBERS >= _NUMBERS // 2
