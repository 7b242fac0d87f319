"""Data frames from the memory shared by host and module (``hw.machines.memory_window``).

A poller checks every 2 ms, takes all frames and frees their space. A damaged ring is emptied and
counted; the frames in it show as lost by their numbers. Use it only with the data path ``ring``: on
the others the module itself takes the frames from this memory and sends them.
"""

from __future__ import annotations

from collections.abc import Callable

from hw.machines.memory_window import Window, WindowError


class RingReceiver:
    """Serves one module's frame ring. frames : taken; damaged : how often the ring was"""

    def __init__(self, window: Window, *, take: Callable[[bytes], None]) -> None:
        self.frames = self.damaged = 0
        self.last_error = ""
        self._window, self._take = window, take

    @property
    def descriptor(self) -> int | None:
        return None

    def turn(self, *, hung_up: bool) -> int:
        """Take all frames available."""
        if not self._window.frame_bytes_waiting:
            return 0
        try:
            frames = self._window.take()
        except WindowError as error:
            self.damaged += 1
            self.last_error = str(error)
            return 0
        for frame in frames:
            self._take(frame)
        self.frames += len(frames)
        return sum(map(len, frames))

    def tick(self, now_s: float) -> float:
        """Nothing is due."""
        return now_s + 3600.0
