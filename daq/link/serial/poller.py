"""One thread that reads the lines of all modules of a process.

With a thread for each of 48 modules, checking every 2 ms, 24 000 wake-ups a second would be spent
passing the interpreter's lock around. One thread waits for all ports at once (epoll), reads
everything from each that is ready, and goes back to waiting: at once while little comes, so that a
command's answer is seen within a fraction of a millisecond; after a pause of 2 ms while much comes,
because many small reads cost three times the throughput of few large ones. Members without a
descriptor (``rfc2217://``, the frame ring) are checked every 2 ms.

Members' methods are called by this thread, one at a time.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from typing import Protocol, Self

NAP_S = 0.002
BULK_BYTES = 8192
IDLE_S = 0.5
_HUNG_UP = select.EPOLLHUP | select.EPOLLERR


class Member(Protocol):
    """Something that a poller serves. ``turn`` and ``tick`` must neither block nor raise."""

    @property
    def descriptor(self) -> int | None:
        """The descriptor to wait for; None: check every 2 ms."""

    def turn(self, *, hung_up: bool) -> int:
        """Read everything available; return the number of bytes."""

    def tick(self, now_s: float) -> float:
        """Do what is due by the monotonic clock; return when something is due next."""


class Poller:
    """Serves members until closed. ``add`` and ``remove`` may be called from any thread.

    After ``remove`` returns, the member is not called again. An exception in a member's callback is
    kept in ``last_failure``, counted in ``failures``, and stops nobody.
    """

    def __init__(self, *, nap_s: float = NAP_S) -> None:
        self.failures = 0
        self.last_failure: Exception | None = None
        self._nap_s = nap_s
        self._lock = threading.RLock()
        self._epoll = select.epoll()
        self._members: list[Member] = []
        self._by_descriptor: dict[int, Member] = {}
        self._asked: list[Member] = []
        self._due_s = 0.0
        self._closing = False
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._epoll.register(self._wake_in, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="serial-link-poller", daemon=True)
        self._thread.start()

    def add(self, member: Member) -> None:
        """Serve a member from now on."""
        with self._lock:
            self._members.append(member)
            descriptor = member.descriptor
            if descriptor is None:
                self._asked.append(member)
            else:
                self._by_descriptor[descriptor] = member
                self._epoll.register(descriptor, select.EPOLLIN)
            self._due_s = 0.0
        self.wake()

    def remove(self, member: Member) -> None:
        """Stop serving a member; harmless for one that is not served."""
        with self._lock:
            if member not in self._members:
                return
            self._members.remove(member)
            if member in self._asked:
                self._asked.remove(member)
            for descriptor in [d for d, m in self._by_descriptor.items() if m is member]:
                del self._by_descriptor[descriptor]
                with contextlib.suppress(OSError, ValueError):
                    self._epoll.unregister(descriptor)

    def wants_to_write(self, member: Member, wants: bool) -> None:
        """Choose whether the member's ``turn`` is called when its descriptor takes bytes, too."""
        with self._lock:
            for descriptor, served in self._by_descriptor.items():
                if served is member:
                    extra = select.EPOLLOUT if wants else 0
                    self._epoll.modify(descriptor, select.EPOLLIN | extra)

    def wake(self) -> None:
        """Make the thread check its members' timers now."""
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._wake_out, b"x")

    @property
    def is_this_thread(self) -> bool:
        """Whether the caller runs in the poller's thread, where nothing may wait."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """End the thread. May be called twice."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
        self.wake()
        if not self.is_this_thread:
            self._thread.join(5.0)
        self._epoll.close()
        os.close(self._wake_in)
        os.close(self._wake_out)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._closing:
            wait_s = min(max(self._due_s - time.monotonic(), 0.0), IDLE_S)
            if self._asked:
                wait_s = min(wait_s, self._nap_s)
            if self._turn(self._epoll.poll(wait_s)) > BULK_BYTES:
                time.sleep(self._nap_s)

    def _serve(self, member: Member, *, hung_up: bool) -> int:
        try:
            return member.turn(hung_up=hung_up)
        except Exception as error:  # noqa: BLE001  a callback's fault must not stop the others
            self.failures += 1
            self.last_failure = error
            return 0

    def _turn(self, ready: list[tuple[int, int]]) -> int:
        size = 0
        with self._lock:
            for descriptor, mask in ready:
                member = self._by_descriptor.get(descriptor)
                if member is not None:
                    size += self._serve(member, hung_up=bool(mask & _HUNG_UP))
                elif descriptor == self._wake_in:
                    os.read(self._wake_in, 4096)
            for member in tuple(self._asked):
                size += self._serve(member, hung_up=False)
            now_s = time.monotonic()
            if now_s >= self._due_s and self._members:
                self._due_s = min(member.tick(now_s) for member in tuple(self._members))
            elif not self._members:
                self._due_s = now_s + IDLE_S
        return size
