"""One module: opened, known by name and build, ordered about, listened to, got back when lost.

Promise: ``command`` returns its reply or raises within a bound, and what it asked was done once or
not at all. A module that restarts, a line that breaks and one that comes back are noticed, counted
and told; the session goes on by itself. Callbacks run in the poller's thread: they must be short
and may not send commands. All public methods may be called from any other thread.

Which serial ports this machine has, and which of them have a module behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from serial.tools import list_ports

from daq.link.serial.connection import POLL_S, Connection
from daq.link.serial.exchange import Reply, command_spec, pack_request, register_address
from daq.link.serial.line_errors import (
    CommandRefused,
    FirmwareMismatch,
    LinkLost,
    NoAnswer,
    PortError,
    SerialLinkError,
)
from daq.link.serial.poller import Poller
from hw.wire.control import COMMANDS, SCHEMA_CRC


class ModuleSession(Connection):
    """A module on a serial line; made by ``open``."""

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
        """Have a command done.

        Raises
        ------
        CommandRefused
            the module says why not, and what to do.
        NoAnswer, LinkLost
            nothing came back in time; it was done once, or not at all.
        FirmwareMismatch
            the module is ``foreign`` and the command is not frozen; nothing was sent.
        SerialLinkError
            there is no such command, or its fields are not these.
        """
        spec = command_spec(name)
        payload = pack_request(spec, fields, tail)
        if not self.connected:
            raise LinkLost(f"{self.where} is not connected; wait until it is back")
        if self.foreign and not spec.frozen:
            known = ", ".join(one.name for one in COMMANDS.values() if one.frozen)
            raise FirmwareMismatch(
                f"{self.where} has firmware of another schema ({int(self.identity['schema']):08x}, "
                f"this program {SCHEMA_CRC:08x}): {name} may mean something else to it. It takes "
                f"{known}; flash the firmware of this release for all others"
            )
        if name == "run":  # its first frame may be quicker than its reply
            self.books.open_run(fields["run_tag"], fields["first_sequence"])
        answer = self._ask(spec.code, payload, timeout_s or self.timeout_s, tries or self.tries)
        try:
            reply = self._open(name, answer)
        except CommandRefused:
            if name == "run":
                self.books.withdraw()
            raise
        if name == "bias":
            self.bias_asked_mV = fields["target_mV"]
        return reply

    def read(self, register: str) -> int:
        """Return a register's value."""
        return self.command("read", register=register_address(register))["value"]

    def write(self, register: str, value: int) -> int:
        """Set a register; return what it is now."""
        address = register_address(register)
        return self.command("write", register=address, value=value)["value"]

    def ask_telemetry(self) -> np.void:
        """Ask how the module is now."""
        self.telemetry = self.command("telemetry").fields
        return self.telemetry

    def wait_for(self, holds: Callable[[np.void], bool], *, within_s: float, what: str) -> np.void:
        """Ask for telemetry until ``holds`` does; NoAnswer names ``what`` was waited for."""
        until = time.monotonic() + within_s
        while True:
            telemetry = self.ask_telemetry()
            if holds(telemetry):
                return telemetry
            if time.monotonic() > until:
                raise NoAnswer(f"{self.where}: {what} did not come within {within_s:g} s")
            time.sleep(POLL_S)

    def wait_restart(self, starts: int, *, within_s: float) -> np.void:
        """Wait until ``starts`` has gone beyond that number; return the new identity."""
        until = time.monotonic() + within_s
        while self.starts <= starts or not self.connected:
            if time.monotonic() > until:
                raise NoAnswer(
                    f"{self.where} did not start again within {within_s:g} s; switch its supply "
                    "off and on, and look at its log"
                )
            time.sleep(POLL_S)
        return self.identity

    def refresh_identity(self) -> np.void:
        """Ask the module anew who it is."""
        self._meet(self.command("hello").fields)
        return self.identity

    def reset(self, *, within_s: float = 5.0) -> np.void:
        """Let the module start anew; return its new identity."""
        starts = self.starts
        self.command("reset")
        return self.wait_restart(starts, within_s=within_s)

    def set_baud(self, baud: int) -> None:
        """Change the line's speed; where the new one does not work both go back to the old.

        Raises
        ------
        PortError
            the new speed does not work on this line; the old one is in force again.
        CommandRefused
            the module does not do it.
        """
        old = self.baud
        with self._one_at_a_time:
            self._quiet = True
            try:
                self.command("baud", baud=baud)
                self._try_baud(baud, old)
            finally:
                self._quiet = False
        self._wanted_baud = baud
        self.tell(f"info: {self.where}: {baud} baud")

    def close_books(self, report: np.void | None = None, *, within_s: float = 2.0) -> int:
        """End a run's books once its last frames are in; return how many frames were lost.

        Waits for LAST, or until no frame has come for a while, at most ``within_s``; then counts
        what the module's report has and we have not.
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

    def _try_baud(self, baud: int, old: int) -> None:
        """Speak at the new speed within the module's second, or wait for the old one."""
        time.sleep(0.02)
        try:
            self._line.set_baud(baud)
            self.command("beat", host_time_ns=time.monotonic_ns(), timeout_s=0.2, tries=4)
        except (NoAnswer, PortError) as error:
            self._line.set_baud(old)
            self._hello(within_s=self.hello_s)
            raise PortError(
                f"{self.where}: {baud} baud does not work on this line; {old} is in force again"
            ) from error


_AT_ONCE = 16


@dataclass(frozen=True)
class Found:
    """A port. description : the system's words; identity : of the module that answered, or None;
    problem : why there is none, "" where there is or nobody was asked
    """

    url: str
    description: str
    identity: np.void | None
    problem: str


def discover(*, also: Iterable[str] = (), ask: bool = True, hello_s: float = 1.0) -> list[Found]:
    """List the machine's serial ports and those in ``also`` (URLs that no system lists).

    ask : say HELLO on each; what is no module gets a few bytes that it may not understand
    hello_s : how long to wait for each; they are asked at the same time, 16 at once
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
