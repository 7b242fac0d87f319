"""Commands out, replies in: one at a time, repeated if no reply comes, done exactly once.

The module remembers its last command by sequence number and CRC and answers a repeat from memory.
That holds only while nothing else is sent between a command and its repeat, so beats and other
background questions go out only while no command waits. They are never repeated, so a command may
follow at once. Sequence numbers begin anywhere: a module that outlived its last host must not
mistake our first command for that host's last.

Round trips count only if the command was sent once (Karn and Partridge, *Improving round-trip time
estimates in reliable transport protocols*, SIGCOMM 1987): after a repeat nobody knows which copy
was answered. The functions at the end pack commands into their payload's bytes and replies into
named numbers.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from daq.link.serial.line_errors import LinkLost, NoAnswer, SerialLinkError
from daq.link.serial.line_statistics import LinkStatistics
from daq.link.serial.packets import COMMAND, ControlMessage, encode_message
from daq.link.serial.transcript import Transcript
from hw.wire.control import COMMANDS, MAX_PAYLOAD, REGISTERS, VERSION, CommandSpec

_FRESH = b"\0"
"""Sent before each command, so that damaged bytes waiting in the module do not spoil it as well."""


@dataclass
class _Waiting:
    sequence: int
    code: int
    sent_ns: int = 0
    received_ns: int = 0
    payload: bytes | None = None
    failed: SerialLinkError | None = None
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Answer:
    """A reply's payload and its time of arrival, monotonic ns; ``tries``: how often the command was
    sent.
    """

    payload: bytes
    sent_ns: int
    received_ns: int
    tries: int


class Exchange:
    """Commands and replies of one module, by sequence number. The poller's thread calls
    ``take_reply``.
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        statistics: LinkStatistics,
        transcript: Transcript,
        *,
        sequence: int | None = None,
    ) -> None:
        self._send, self._statistics, self._transcript = send, statistics, transcript
        self._lock = threading.Lock()
        self._sequence = secrets.randbits(16) if sequence is None else sequence
        self._waiting: _Waiting | None = None
        self._background: _Waiting | None = None

    def ask(self, code: int, payload: bytes, *, timeout_s: float, tries: int) -> Answer:
        """Send a command and wait for its reply. The caller ensures that only one is under way.

        Raises
        ------
        NoAnswer
            no reply within ``tries`` × ``timeout_s``; the command was done once, or not at all.
        LinkLost
            the line was lost meanwhile; likewise.
        """
        with self._lock:
            waiting = self._waiting = _Waiting(self._next_sequence(), code)
        message = ControlMessage(VERSION, COMMAND, waiting.sequence, code, payload)
        data = _FRESH + encode_message(COMMAND, waiting.sequence, code, payload)
        try:
            for attempt in range(1, tries + 1):
                self._put(waiting, message, data, again=attempt > 1)
                if waiting.done.wait(timeout_s):
                    return self._answer(waiting, attempt)
        finally:
            with self._lock:
                self._waiting = None
        self._statistics.timeouts += 1
        raise NoAnswer(f"no reply within {tries} × {timeout_s:g} s")

    def mention(self, code: int, payload: bytes) -> bool:
        """Send a background question, once; return False while a command waits."""
        with self._lock:
            if self._waiting is not None:
                return False
            asked = _Waiting(self._next_sequence(), code, time.monotonic_ns())
            self._background = asked
            message = ControlMessage(VERSION, COMMAND, asked.sequence, code, payload)
            self._transcript.sent(message)
            self._send(_FRESH + encode_message(COMMAND, asked.sequence, code, payload))
        return True

    @property
    def unanswered(self) -> bool:
        """Whether the last background question is still unanswered."""
        return self._background is not None

    def take_reply(self, message: ControlMessage) -> Answer | None:
        """Accept a reply; return it if it answers a background question."""
        now = time.monotonic_ns()
        with self._lock:
            waiting, asked = self._waiting, self._background
            if _answers(message, waiting):
                assert waiting is not None
                waiting.received_ns, waiting.payload = now, message.payload
                waiting.done.set()
                return None
            if not _answers(message, asked):
                self._statistics.late_replies += 1
                return None
            assert asked is not None
            self._background = None
        self._statistics.round_trips_s.append((now - asked.sent_ns) * 1e-9)
        return Answer(message.payload, asked.sent_ns, now, 1)

    def fail(self, words: str) -> None:
        """Make a waiting caller fail: no reply will come."""
        with self._lock:
            self._background = None
            if self._waiting is not None:
                self._waiting.failed = LinkLost(words)
                self._waiting.done.set()

    def _next_sequence(self) -> int:
        self._sequence = (self._sequence + 1) & 0xFFFF
        return self._sequence

    def _put(self, waiting: _Waiting, message: ControlMessage, data: bytes, *, again: bool) -> None:
        self._transcript.sent(message)
        if again:
            self._statistics.retransmits += 1
        else:
            self._statistics.commands += 1
            waiting.sent_ns = time.monotonic_ns()
        self._send(data)

    def _answer(self, waiting: _Waiting, attempt: int) -> Answer:
        if waiting.failed is not None:
            raise waiting.failed
        assert waiting.payload is not None
        if attempt == 1:
            took = (waiting.received_ns - waiting.sent_ns) * 1e-9
            self._statistics.round_trips_s.append(took)
        return Answer(waiting.payload, waiting.sent_ns, waiting.received_ns, attempt)


def _answers(message: ControlMessage, waiting: _Waiting | None) -> bool:
    return (
        waiting is not None
        and message.sequence == waiting.sequence
        and message.code == waiting.code
        and len(message.payload) >= 4
    )


STATUS_BYTES = 4


@dataclass(frozen=True)
class Reply:
    """The reply to a command that was done.

    fields : the command's reply fields; ``reply["value"]`` is ``int(reply.fields["value"])``
    tail : bytes after them; detail : the status's own number
    round_trip_s : from the command's first byte to its reply, 0 where it had to be repeated
    """

    fields: np.void
    tail: bytes
    detail: int
    round_trip_s: float

    def __getitem__(self, name: str) -> int:
        return int(self.fields[name])


def command_spec(name: str) -> CommandSpec:
    """Return a command by name; for an unknown one, SerialLinkError lists the commands."""
    try:
        return COMMANDS[name]
    except KeyError:
        known = ", ".join(COMMANDS)
        raise SerialLinkError(f"there is no command {name!r}; there are {known}") from None


def register_address(register: str) -> int:
    """Return a register's address; for an unknown one, SerialLinkError lists the registers."""
    try:
        return REGISTERS[register].address
    except KeyError:
        known = ", ".join(REGISTERS)
        raise SerialLinkError(f"there is no register {register!r}; there are {known}") from None


def pack_request(spec: CommandSpec, fields: dict[str, int], tail: bytes) -> bytes:
    """Return a command's payload; ``reserved`` fields may be left out.

    Raises
    ------
    SerialLinkError
        a field is missing, unknown or out of its type's range, or the payload is too long.
    """
    record = np.zeros((), dtype=spec.request)
    names = spec.request.names or ()
    wanted = {name for name in names if not name.startswith("reserved")}
    unknown, missing = set(fields) - set(names), wanted - set(fields)
    if unknown or missing or (tail and not spec.request_tail):
        takes = ", ".join((*names, spec.request_tail)).rstrip(", ") or "nothing"
        raise SerialLinkError(
            f"command {spec.name} takes {takes}; given were {sorted(fields)} and {len(tail)} bytes"
        )
    for name, value in fields.items():
        bounds = np.iinfo(spec.request[name])
        if not bounds.min <= int(value) <= bounds.max:
            raise SerialLinkError(
                f"command {spec.name}: {name} is {value}, allowed is {bounds.min} to {bounds.max}"
            )
        record[name] = value
    payload = record.tobytes() + tail
    if len(payload) > MAX_PAYLOAD:
        raise SerialLinkError(
            f"command {spec.name}: {len(payload)} bytes of payload, {MAX_PAYLOAD} are the most"
        )
    return payload


def open_reply(spec: CommandSpec, payload: bytes, round_trip_s: float) -> Reply:
    """Return the reply in an ``ok`` payload.

    Raises
    ------
    SerialLinkError
        it is too short for its fields: firmware and program do not match.
    """
    body = payload[STATUS_BYTES:]
    size = spec.reply.itemsize
    if len(body) < size or (len(body) > size and not spec.reply_tail):
        raise SerialLinkError(
            f"the reply to {spec.name} has {len(body)} bytes, {size} are expected: firmware and "
            "program do not belong together; update one of them"
        )
    detail = int.from_bytes(payload[2:4], "little")
    return Reply(read_record(spec.reply, body), body[size:], detail, round_trip_s)


def read_record(dtype: np.dtype[np.void], data: bytes) -> np.void:
    """Return the first record in bytes that are long enough (a copy)."""
    if not dtype.names:
        return np.zeros((), dtype=[])[()]  # type: ignore[return-value]
    record: np.void = np.frombuffer(data, dtype=dtype, count=1)[0].copy()
    return record
