"""Restoring a lost line: attempts at growing intervals, in a thread of its own.

It waits 0.1 s, then twice as long each time, at most 2 s. Each cause is reported once, not at each
attempt. The thread lives only while the line is lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from daq.link.serial.line_errors import SerialLinkError

FIRST_WAIT_S = 0.1
MOST_WAIT_S = 2.0


class Recovery:
    """Calls ``attempt(number)`` until it no longer raises.

    give_up : called after each failed attempt; failed : called with each new cause
    """

    def __init__(
        self,
        attempt: Callable[[int], None],
        give_up: Callable[[], None],
        failed: Callable[[SerialLinkError], None],
    ) -> None:
        self._attempt, self._give_up, self._failed = attempt, give_up, failed
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._again = False
        self._closing = threading.Event()

    def start(self) -> None:
        """Begin, unless it is under way."""
        with self._lock:
            if self._closing.is_set():
                return
            if self._thread is not None:
                self._again = True  # it has just succeeded and is about to end
                return
            self._thread = threading.Thread(
                target=self._run, name="serial-link-recovery", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """End the attempts and wait, for a bounded time, for the one under way."""
        with self._lock:
            self._closing.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(10.0)

    def _run(self) -> None:
        while self._until_back():
            with self._lock:
                if not self._again:
                    self._thread = None
                    return
                self._again = False

    def _until_back(self) -> bool:
        """Repeat the attempt until it succeeds; return False if told to end."""
        told, wait_s, number = "", FIRST_WAIT_S, 0
        self._give_up()
        while not self._closing.wait(wait_s):
            try:
                self._attempt(number)
                return True
            except SerialLinkError as error:
                if str(error) != told:
                    told = str(error)
                    self._failed(error)
            self._give_up()
            number += 1
            wait_s = min(2.0 * wait_s, MOST_WAIT_S)
        return False
