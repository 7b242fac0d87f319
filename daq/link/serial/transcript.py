"""The last 1024 messages on a line, kept raw and put into words only on request.

Data frames are not listed one by one, which would push the commands out within seconds: those
between two messages are one line. Each dump is a file of its own in the session's folder; at most
64 are kept, and the oldest are deleted. ``Chronicle`` combines journal lines, transcript and dumps.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from daq.link.serial.dictionary import status_text
from daq.link.serial.packets import COMMAND, REPLY, ControlMessage
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice
from hw.wire.control import COMMANDS, NOTICES, CommandSpec, Status

MESSAGES = 1024
MOST_DUMPS = 64
_COMMAND_OF_CODE: dict[int, CommandSpec] = {spec.code: spec for spec in COMMANDS.values()}
_MOST_FIELDS = 12


class Transcript:
    """The messages on one line. All methods may be called from any thread."""

    def __init__(self, *, messages: int = MESSAGES) -> None:
        self._lock = threading.Lock()
        self._entries: deque[tuple[int, str, ControlMessage | str]] = deque(maxlen=messages)
        self._frames = self._frame_bytes = self._noted = 0
        self._frames_until_ns = 0

    def sent(self, message: ControlMessage) -> None:
        """Note a command sent."""
        self._add("->", message)

    def received(self, message: ControlMessage) -> None:
        """Note a message received."""
        self._add("<-", message)

    def event(self, words: str) -> None:
        """Note an event of the line itself."""
        self._add("--", words)

    def frame(self, size: int) -> None:
        """Count a data frame received."""
        self._frames += 1
        self._frame_bytes += size
        self._frames_until_ns = time.monotonic_ns()

    def lines(self) -> list[str]:
        """Return everything in words, oldest first; times in seconds before now."""
        now = time.monotonic_ns()
        with self._lock:
            self._flush_frames()
            entries = list(self._entries)
        return [f"{(at - now) * 1e-9:12.6f} {way} {in_words(what)}" for at, way, what in entries]

    def since(self, number: int) -> tuple[list[tuple[float, str, str]], int]:
        """Return (monotonic s, way, words) of what was noted from a running number on and is still
        kept, and the number for the next call.
        """
        with self._lock:
            self._flush_frames()
            fresh = min(self._noted - number, len(self._entries))
            entries = list(self._entries)[len(self._entries) - fresh :]
            noted = self._noted
        return [(at * 1e-9, way, in_words(what)) for at, way, what in entries], noted

    def dump(self, folder: Path, name: str, reason: str) -> Path:
        """Write it into a new file ``<name>-<time>.txt``; return the file."""
        folder.mkdir(parents=True, exist_ok=True)
        stamp = f"{time.time_ns() // 1000:020d}"
        path = folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}-{stamp}.txt"
        text = "\n".join((f"{reason}", *self.lines())) + "\n"
        try:
            path.write_text(text, encoding="utf-8")
        except OSError:
            path.unlink(missing_ok=True)  # half of it, or nothing
            raise
        for old in sorted(folder.glob("*.txt"), key=lambda file: file.name[-24:])[:-MOST_DUMPS]:
            old.unlink(missing_ok=True)
        return path

    def _add(self, way: str, what: ControlMessage | str) -> None:
        with self._lock:
            self._flush_frames()
            self._noted += 1
            self._entries.append((time.monotonic_ns(), way, what))

    def _flush_frames(self) -> None:
        if self._frames:
            words = f"{self._frames} data frames, {self._frame_bytes} bytes"
            self._frames = self._frame_bytes = 0
            self._noted += 1
            self._entries.append((self._frames_until_ns, "<-", words))


def in_words(what: ControlMessage | str) -> str:
    """Describe a message in the words of docs/protocol.md."""
    if isinstance(what, str):
        return what
    if what.kind in (COMMAND, REPLY):
        spec = _COMMAND_OF_CODE.get(what.code)
        name = spec.name if spec else f"command {what.code}"
        words = _command_words(what, spec) if what.kind == COMMAND else _reply_words(what, spec)
        kind = "command" if what.kind == COMMAND else "reply"
        return f"{kind} {name} #{what.sequence}{words}"
    known = NOTICES.get(what.code)
    name = known[0] if known else f"{what.code}"
    fields = _fields_words(known[1], what.payload) if known else ""
    return f"notice {name} #{what.sequence}{fields}"


def _command_words(what: ControlMessage, spec: CommandSpec | None) -> str:
    return _fields_words(spec.request, what.payload) if spec else ""


def _reply_words(what: ControlMessage, spec: CommandSpec | None) -> str:
    status = int.from_bytes(what.payload[:2], "little")
    detail = int.from_bytes(what.payload[2:4], "little")
    if status != Status.ok:
        return f": refused, {status_text(status)}, detail {detail}"
    return ": ok" + (_fields_words(spec.reply, what.payload[4:]) if spec else "")


def _fields_words(dtype: np.dtype[np.void], payload: bytes) -> str:
    if not dtype.names or len(payload) < dtype.itemsize:
        return f" ({len(payload)} bytes)" if payload else ""
    record = np.frombuffer(payload, dtype=dtype, count=1)[0]
    shown = [
        f"{name}={int(record[name])}" for name in dtype.names if not name.startswith("reserved")
    ]
    more = f" +{len(payload) - dtype.itemsize} bytes" if len(payload) > dtype.itemsize else ""
    return " " + " ".join(shown[:_MOST_FIELDS]) + (" …" if len(shown) > _MOST_FIELDS else "") + more


Dump = Path | Callable[[str, list[str]], None]
Tell = Callable[[JournalLine], None]
"""Called with a line for the journal."""


class Chronicle:
    """Writes to the journal and dumps the transcript. May be called from any thread.

    name : of the dumps' files; journal : called with its lines; transcripts : folder
        of dumps, a function called with the reason and the lines, or None
    """

    def __init__(self, name: str, *, journal: Tell | None, transcripts: Dump | None) -> None:
        self.transcript = Transcript()
        self._name, self._journal, self._transcripts = name, journal, transcripts
        self._threads: list[threading.Thread] = []

    def tell(self, line: JournalLine) -> None:
        """Write a line into the journal and the transcript."""
        self.transcript.event(f"{line.severity}: {line.text}")
        if self._journal is not None:
            self._journal(line)

    def dump(self, reason: str) -> Path | None:
        """Write the last 1024 messages to a file; return it, if there is one.

        A disk that refuses it is noted in the journal; nothing else suffers.
        """
        if self._transcripts is None:
            return None
        try:
            if isinstance(self._transcripts, Path):
                return self.transcript.dump(self._transcripts, self._name, reason)
            self._transcripts(reason, self.transcript.lines())
        except OSError as error:
            where = self._transcripts if isinstance(self._transcripts, Path) else "its place"
            self.tell(notice("module.no_transcript", where=where, why=error.strerror))
        return None

    def dump_aside(self, reason: str) -> None:
        """Dump without delaying the caller, which may be the poller."""
        if self._transcripts is not None:
            thread = threading.Thread(target=self.dump, args=(reason,), daemon=True)
            self._threads = [*(one for one in self._threads if one.is_alive()), thread]
            thread.start()

    def close(self) -> None:
        """Wait, for a bounded time, until everything is written."""
        for thread in self._threads:
            thread.join(5.0)
