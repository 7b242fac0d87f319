"""A session with one module: identified, commanded, listened to, and reconnected when lost.

``command`` returns its reply or raises within a bound, and what it asked was done once or not at
all. A module that restarts, a line that breaks and one that comes back are noticed, counted and
journalled; the session goes on by itself. Callbacks run in the poller's thread: they must be short
and may not send commands. All public methods may be called from any other thread.

``discover`` lists this machine's serial ports and finds out which of them have a module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
from serial.tools import list_ports

from daq.link.serial.connection import POLL_S, Connection, Url
from daq.link.serial.dictionary import Dictionary
from daq.link.serial.exchange import Reply, command_spec, pack_request, register_address
from daq.link.serial.frame_books import FrameBooks
from daq.link.serial.line_errors import (
    CommandRefused,
    FirmwareMismatch,
    LinkLost,
    NoAnswer,
    SerialLinkError,
)
from daq.link.serial.line_statistics import LinkStatistics
from daq.link.serial.poller import Poller
from hw.wire.control import COMMANDS, SCHEMA_CRC


class ModuleSession:
    """Commands a module over its connection; made by ``open``."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._bias_mV = self._bias_since = 0

    @classmethod
    def open(cls, url: Url, **options: object) -> Self:
        """Open a module's port and identify the module; see :meth:`Connection.open`."""
        return cls(Connection.open(url, **options))

    def close(self) -> None:
        """Release the port. May be called twice."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what is known ---------------------------------------------------------------------

    @property
    def where(self) -> str:
        """This module's name in error messages."""
        return self.connection.news.where

    @property
    def connected(self) -> bool:
        """Whether the line is open and the module answers."""
        return self.connection.connected

    @property
    def identity(self) -> np.void:
        """What the module reported of itself."""
        return self.connection.about.identity

    @property
    def dictionary(self) -> Dictionary:
        """The names in its firmware."""
        return self.connection.about.dictionary

    @property
    def telemetry(self) -> np.void | None:
        """Its latest telemetry, None before the first."""
        return self.connection.about.telemetry

    @property
    def starts(self) -> int:
        """The number of its starts noticed."""
        return self.connection.about.starts

    @property
    def foreign(self) -> bool:
        """Whether it has another schema, and so takes only frozen commands."""
        return self.connection.about.foreign

    @property
    def statistics(self) -> LinkStatistics:
        """How well the line works."""
        return self.connection.statistics

    @property
    def books(self) -> FrameBooks:
        """The books of its data frames."""
        return self.connection.books

    @property
    def bias_asked_mV(self) -> int | None:
        """The bias set since the module's last start, None if none was."""
        return self._bias_mV if self._bias_since == self.starts else None

    # --- orders ----------------------------------------------------------------------------

    def command(
        self,
        name: str,
        tail: bytes = b"",
        *,
        timeout_s: float | None = None,
        tries: int | None = None,
        **fields: int,
    ) -> Reply:
        """Execute a command and return its reply.

        Raises
        ------
        CommandRefused
            the module refused; the message says why, and what to do.
        NoAnswer, LinkLost
            no reply came in time; it was done once, or not at all.
        FirmwareMismatch
            the module is ``foreign`` and the command is not frozen; nothing was sent.
        SerialLinkError
            there is no such command, or it has other fields.
        """
        payload = pack_request(command_spec(name), fields, tail)
        self._check_takes(name)
        starts = self.starts
        if name == "run":  # its first frame may be quicker than its reply
            self.books.open_run(fields["run_tag"], fields["first_sequence"])
        try:
            reply = self.connection.ask(name, payload, timeout_s=timeout_s, tries=tries)
        except CommandRefused:
            if name == "run":
                self.books.withdraw()
            raise
        if name == "bias":
            self._bias_mV, self._bias_since = fields["target_mV"], starts
        return reply

    def _check_takes(self, name: str) -> None:
        """Refuse commands to a module that is not connected, or does not know them for its other
        schema.
        """
        if not self.connected:
            raise LinkLost(f"{self.where} is not connected; wait until it is back")
        if self.foreign and not command_spec(name).frozen:
            known = ", ".join(one.name for one in COMMANDS.values() if one.frozen)
            raise FirmwareMismatch(
                f"{self.where} has firmware of another schema ({int(self.identity['schema']):08x}, "
                f"this program {SCHEMA_CRC:08x}): {name} may mean something else to it. It takes "
                f"{known}; for the others, flash the firmware of this release"
            )

    def read(self, register: str) -> int:
        """Return a register's value."""
        return self.command("read", register=register_address(register))["value"]

    def write(self, register: str, value: int) -> int:
        """Set a register; return its new value."""
        address = register_address(register)
        return self.command("write", register=address, value=value)["value"]

    def ask_telemetry(self) -> np.void:
        """Ask for the module's current telemetry."""
        telemetry = self.command("telemetry").fields
        self.connection.about.telemetry = telemetry
        return telemetry

    def wait_for(self, holds: Callable[[np.void], bool], *, within_s: float, what: str) -> np.void:
        """Ask for telemetry until ``holds`` is true of it; NoAnswer names ``what`` was awaited."""
        until = time.monotonic() + within_s
        while True:
            telemetry = self.ask_telemetry()
            if holds(telemetry):
                return telemetry
            if time.monotonic() > until:
                raise NoAnswer(f"{self.where}: {what} did not come within {within_s:g} s")
            time.sleep(POLL_S)

    def wait_restart(self, starts: int, *, within_s: float) -> np.void:
        """Wait until ``starts`` exceeds that number; return the new identity."""
        until = time.monotonic() + within_s
        while self.starts <= starts or not self.connected:
            if time.monotonic() > until:
                raise NoAnswer(
                    f"{self.where} did not restart within {within_s:g} s; switch its supply "
                    "off and on, and look at its log"
                )
            time.sleep(POLL_S)
        return self.identity

    def refresh_identity(self) -> np.void:
        """Ask the module for its identity again."""
        self.connection.meet(self.command("hello").fields)
        return self.identity

    def reset(self, *, within_s: float = 5.0) -> np.void:
        """Restart the module; return its new identity."""
        starts = self.starts
        self.command("reset")
        return self.wait_restart(starts, within_s=within_s)

    def set_baud(self, baud: int) -> None:
        """Change the line's speed; see :meth:`Connection.set_baud`."""
        self._check_takes("baud")
        self.connection.set_baud(baud)

    def close_books(self, report: np.void | None = None, *, within_s: float = 2.0) -> int:
        """Close a run's books once its last frames are in; return the number of frames lost.

        Waits for LAST, or until no frame has come for a while, at most ``within_s``; then counts
        what the module's report has beyond what came.
        """
        if report is None:
            report = self.command("report").fields
        until, seen, quiet_since = time.monotonic() + within_s, -1, time.monotonic()
        while self.books.missing(report) > 0:
            now = time.monotonic()
            if self.books.frames != seen:
                seen, quiet_since = self.books.frames, now
            if now > until or now - quiet_since > 0.5:
                break
            time.sleep(POLL_S)
        self.books.close(report)
        self.statistics.lost_frames = self.books.lost_ever
        return self.books.lost_frames


_AT_ONCE = 16


@dataclass(frozen=True)
class Found:
    """A port. description : from the system; identity : of the module that answered, or None;
    problem : why none did, "" if one did or none was asked
    """

    url: str
    description: str
    identity: np.void | None
    problem: str


def discover(*, also: Iterable[str] = (), ask: bool = True, hello_s: float = 1.0) -> list[Found]:
    """List the machine's serial ports and those in ``also`` (URLs that no system lists).

    ask : send HELLO on each; other devices get a few bytes that they may not understand
    hello_s : how long to wait for each; up to 16 are asked at the same time
    """
    listed = {port.device: port.description or "" for port in list_ports.comports()}
    words = {**listed, **{url: "" for url in also if url not in listed}}
    if not ask:
        return [Found(url, text, None, "") for url, text in words.items()]
    with Poller() as poller, ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(
            threads.map(lambda item: _ask(item[0], item[1], poller, hello_s), words.items())
        )


def _ask(url: str, description: str, poller: Poller, hello_s: float) -> Found:
    try:
        with ModuleSession.open(url, poller=poller, hello_s=hello_s) as session:
            return Found(url, description, session.identity, "")
    except SerialLinkError as error:
        return Found(url, description, None, str(error))


__all__ = [
    "ModuleSession",
    "Reply",
]
