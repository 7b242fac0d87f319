"""The connection to one module: opened, kept alive, listened to, and restored when it is lost.

A session (``session``) gives its orders over it. The poller's thread receives everything; other
threads ask questions, one at a time, each for a bounded time.

A restart of the module is noticed even if it is not announced. The count of starts in its identity
begins again with the supply, so after a power cycle it can be the same. Three more things cannot
happen without a restart: the module's counter goes back; its count of good commands has not grown
although another was done; a HELLO comes unasked during a session, with a number that does not
follow the last notice's. None of this depends on the host's clock: a busy host, or a simulated
module that stands still for a while, does not look like a restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np

from daq.link.serial.dictionary import (
    Dictionary,
    hello,
    nobody,
    reached,
    status_text,
    understands,
    understood,
)
from daq.link.serial.exchange import (
    STATUS_BYTES,
    Answer,
    Exchange,
    Reply,
    command_spec,
    open_reply,
    pack_request,
    read_record,
)
from daq.link.serial.frame_books import FrameBooks
from daq.link.serial.line import Line, Packet
from daq.link.serial.line_errors import (
    CommandRefused,
    FirmwareMismatch,
    LinkLost,
    NoAnswer,
    PortError,
    SerialLinkError,
    remedy_for,
)
from daq.link.serial.line_statistics import LinkStatistics
from daq.link.serial.packets import NOTICE, REPLY, ControlMessage
from daq.link.serial.poller import Poller
from daq.link.serial.ports import BAUD_DEFAULT
from daq.link.serial.recovery import Recovery
from daq.link.serial.transcript import Chronicle, Dump, Tell
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice
from hw.wire.control import (
    COMMANDS,
    COUNTER_HZ,
    NOTICES,
    STRUCTS,
    VERSION,
    ResetCause,
    Status,
    fault_words,
)

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


BEAT_S = 0.5
SILENCE_S = 3.0
POLL_S = 0.02
_IDENTITY = STRUCTS["identity"]
_BEAT = COMMANDS["beat"]
_HELLO = COMMANDS["hello"]
_DICTIONARY = COMMANDS["dictionary"]
Url = str | Callable[[], str]


class Connection:
    """A module on a serial line; made by ``open``.

    identity, dictionary : what it reported of itself; telemetry : its latest, None before the first
    statistics : the line's; books : its data frames'; starts : number of its starts noticed

    Parameters
    ----------
    url : of the port, or a call that returns the present one
    baud : the wanted rate, in bits/s
    module : its number; None for whichever answers
    poller : watches the line; None for one of its own
    on_frame : is called with each data frame
    on_notice : is called with each notice's name and record
    on_link : is told whether the module is connected, and in words why
    journal : is called with what a person should know
    transcripts : takes a dump of the line after a fault
    timeout_s : for one answer
    tries : of a request before it fails
    hello_s : how long ``open`` waits for the module
    silence_s : after so long without an answer the module counts as lost
    any_schema : accept firmware whose dictionary differs from this program's
    """

    identity: np.void
    dictionary: Dictionary

    def __init__(
        self,
        url: Url,
        *,
        baud: int = BAUD_DEFAULT,
        module: int | None = None,
        poller: Poller | None = None,
        on_frame: Callable[[bytes], None] | None = None,
        on_notice: Callable[[str, np.void], None] | None = None,
        on_link: Callable[[bool, str], None] | None = None,
        journal: Tell | None = None,
        transcripts: Dump | None = None,
        timeout_s: float = 0.25,
        tries: int = 4,
        hello_s: float = 5.0,
        silence_s: float = SILENCE_S,
        any_schema: bool = False,
    ) -> None:
        self.module, self.timeout_s, self.tries, self.hello_s = module, timeout_s, tries, hello_s
        self.telemetry: np.void | None = None
        self.statistics = LinkStatistics()
        self.books = FrameBooks()
        name = "module" if module is None else f"module-{module:03d}"
        self._chronicle = Chronicle(name, journal=journal, transcripts=transcripts)
        self.transcript = self._chronicle.transcript
        self.connected = False
        self.starts = 0
        self.any_schema = any_schema
        self._url, self._wanted_baud, self._silence_s = url, baud, silence_s
        self._on_frame, self._on_notice, self._on_link = on_frame, on_notice, on_link
        self._owns_poller = poller is None
        self.poller = poller or Poller()
        self._line = Line(
            self.poller,
            self.statistics,
            take=self._take,
            when_broken=self._line_broke,
            tick=self._tick,
        )
        self._exchange = Exchange(self._line.send, self.statistics, self.transcript)
        self._one_at_a_time = threading.RLock()
        self._losing = threading.Lock()
        self._recovery = Recovery(self._come_back, self._line.close, self._not_back)
        self._quiet = self._ask_who = False
        self._beat_due_s = self._heard_s = 0.0
        self._watch = StartWatch()
        self._foreign_version, self._unread = 0, False
        self._told_lost = (0, 0, 0.0)

    @classmethod
    def open(cls, url: Url, **options: object) -> Self:
        """Open a module's port, identify the module, and keep the line alive from then on.

        url : what pyserial opens, or a function that returns it, called again at each reconnect
        baud, module : speed at start; index of the module for error messages
        poller : shared by the sessions of a process; None for one of its own
        on_frame, on_notice, on_link : callbacks, see the module's docstring
        journal : called with the lines for a journal
        transcripts : folder of dumps, or a function called with a reason and the lines
        timeout_s, tries : for a command's reply; hello_s : bound for the first one
        any_schema : accept a module of another schema too, for frozen commands; see ``foreign``

        Raises
        ------
        PortBusy, PortError, NoAnswer, FirmwareMismatch, LinkLost
        """
        connection = cls(url, **options)  # type: ignore[arg-type]
        try:
            connection._connect(connection._wanted_baud)
        except BaseException:
            connection.close()
            raise
        connection._now_connected("connected")
        return connection

    # --- what is known ---------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The port as it was last opened."""
        return self.statistics.url

    @property
    def baud(self) -> int:
        """The line's present speed."""
        return self.statistics.baud

    @property
    def where(self) -> str:
        """This module's name in error messages."""
        return "{module} on {port}".format(**self._named)

    @property
    def _named(self) -> dict[str, str]:
        """This module's name, as the values of a message."""
        name = "the module" if self.module is None else f"module {self.module}"
        return {"module": name, "port": self.url or "its port"}

    @property
    def foreign(self) -> bool:
        """Whether the module has another schema: it takes frozen commands, and its notices are not
        read.
        """
        return self._unread

    # --- frames ----------------------------------------------------------------------------

    def take_frame(self, frame: bytes) -> None:
        """Check and book a frame from any data path and pass it on (poller's thread)."""
        self.transcript.frame(len(frame))
        if self._unread:
            return
        good = self.books.accept(frame)
        self.statistics.frames = self.books.frames_ever
        self.statistics.lost_frames = self.books.lost_ever
        self.statistics.invalid_frames = self.books.invalid
        if good and self._on_frame is not None:
            self._on_frame(frame)

    # --- what happened ---------------------------------------------------------------------

    def dump(self, reason: str) -> Path | None:
        """Write the last 1024 messages to a file; return the file, if there is one."""
        return self._chronicle.dump(f"{self.where}: {reason}")

    def tell(self, line: JournalLine) -> None:
        """Write a line into the journal and the transcript."""
        self._chronicle.tell(line)

    def say(self, words: str) -> None:
        """Write of an event."""
        self.tell(JournalLine("info", f"{self.where}: {words}"))

    def close(self) -> None:
        """Release the port. May be called twice."""
        self._recovery.close()
        self.connected = self.statistics.connected = False
        self._exchange.fail(f"{self.where}: the session was closed")
        self._line.close()
        self._chronicle.close()
        if self._owns_poller:
            self.poller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- asking ----------------------------------------------------------------------------

    def ask(
        self, name: str, payload: bytes, *, timeout_s: float | None = None, tries: int | None = None
    ) -> Reply:
        """Send a command and return its reply.

        Raises
        ------
        CommandRefused, NoAnswer, LinkLost, FirmwareMismatch
        """
        code = command_spec(name).code
        answer = self._ask(code, payload, timeout_s or self.timeout_s, tries or self.tries)
        return self._open(name, answer)

    def _ask(self, code: int, payload: bytes, timeout_s: float, tries: int) -> Answer:
        if self.poller.is_this_thread:
            raise SerialLinkError(f"{self.where}: a callback may not send commands; hand it over")
        with self._one_at_a_time:
            try:
                return self._exchange.ask(code, payload, timeout_s=timeout_s, tries=tries)
            except (NoAnswer, LinkLost) as error:
                if isinstance(error, LinkLost):
                    self._lose(str(error))
                raise type(error)(f"{self.where}: {error}") from error

    def _open(self, name: str, answer: Answer) -> Reply:
        status = int.from_bytes(answer.payload[:2], "little")
        detail = int.from_bytes(answer.payload[2:4], "little")
        if status != Status.ok:
            raise self._refusal(name, status, detail)
        took = (answer.received_ns - answer.sent_ns) * 1e-9 if answer.tries == 1 else 0.0
        return open_reply(command_spec(name), answer.payload, took)

    def _refusal(self, name: str, status: int, detail: int) -> SerialLinkError:
        self.statistics.refusals += 1
        words = status_text(status)
        if status not in {int(known) for known in Status}:
            return FirmwareMismatch(f"{self.where} answered {name} with {words}")
        remedy = remedy_for(status, detail)
        said = f"{words}; {remedy}" if remedy else words
        error = CommandRefused(self.where, name, status, detail, said)
        self.dump(f"refused {name}: {words}")
        return error

    # --- connecting ------------------------------------------------------------------------

    def _connect(self, baud: int) -> None:
        url = self._url if isinstance(self._url, str) else self._url()
        self._line.open(url, baud)
        self._foreign_version = 0
        identity = self._hello(within_s=self.hello_s)
        self._unread = not understands(identity)
        meet = reached if self.any_schema else understood
        self.dictionary = meet(self.where, identity, self._dictionary_piece)
        beat = self._ask(_BEAT.code, _beat_now(), self.timeout_s, self.tries)
        self._take_answer(_BEAT.code, beat)
        if not self._unread:
            self._watch_commands()
        self.meet(identity)

    def _hello(self, *, within_s: float) -> np.void:
        """Return the module's identity; what is sent too early is lost, so ask repeatedly."""

        def once() -> np.void:
            return self.ask("hello", b"", tries=1).fields

        def why_not() -> SerialLinkError:
            foreign = self._foreign_version
            return nobody(self.where, self.statistics, within_s=within_s, foreign_version=foreign)

        return hello(once, why_not, within_s=within_s)

    def _dictionary_piece(self, offset: int, count: int) -> bytes:
        payload = pack_request(_DICTIONARY, {"offset": offset, "count": count}, b"")
        return self.ask("dictionary", payload).tail

    def meet(self, identity: np.void) -> None:
        """Note which module answers, and whether it has restarted since it was last seen."""
        known = getattr(self, "identity", None)
        self.identity = identity
        self._unread = not understands(identity)
        if known is None:
            self.starts = 1
        elif self._watch.suspicious or any(known[n] != identity[n] for n in ("resets", "build")):
            self._began_anew()
        if self._unread and not self.any_schema:
            self._lose("its firmware now has another schema")

    def _watch_commands(self) -> None:
        """Notice a restart while the line was lost, by the module's count of commands."""
        least = self._watch.commands + 1  # this one
        commands = int(self.ask("telemetry", b"").fields["commands"])
        self._watch.see_commands(commands, least=least)

    def _began_anew(self) -> None:
        """Handle a restart of the module: what it remembered is gone."""
        self._watch.begin()
        self.starts += 1
        self.statistics.resets += 1
        self.statistics.clock.begin()
        causes = {int(cause): cause.name for cause in ResetCause}
        cause = causes.get(int(self.identity["reset_cause"]), "unknown cause")
        self.tell(notice("module.started_anew", **self._named, cause=cause))

    def _now_connected(self, words: str) -> None:
        self._heard_s = time.monotonic()
        self.connected = self.statistics.connected = True
        self.poller.wake()
        build = f"{int(self.identity['build']):08x}"
        self.tell(notice("module.linked", **self._named, how=words, build=build))
        if self._on_link is not None:
            self._on_link(True, words)
        if self._line.broken:  # before anybody was there to notice
            self._lose("the port went away")

    # --- the line's speed ------------------------------------------------------------------

    def set_baud(self, baud: int) -> None:
        """Change the line's speed; if the new one does not work, both sides return to the old.

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
                self.ask("baud", pack_request(COMMANDS["baud"], {"baud": baud}, b""))
                self._try_baud(baud, old)
            finally:
                self._quiet = False
        self._wanted_baud = baud
        self.say(f"{baud} baud")

    def _try_baud(self, baud: int, old: int) -> None:
        """Talk at the new speed within the module's second of grace, or wait for the old one."""
        time.sleep(0.02)
        try:
            self._line.set_baud(baud)
            self.ask("beat", _beat_now(), timeout_s=0.2, tries=4)
        except (NoAnswer, PortError) as error:
            self._line.set_baud(old)
            self._hello(within_s=self.hello_s)
            raise PortError(
                f"{self.where}: {baud} baud does not work on this line; {old} is in force again"
            ) from error

    # --- losing and coming back ------------------------------------------------------------

    def _line_broke(self, words: str) -> None:
        self._exchange.fail(words)
        self._lose(words)

    def _lose(self, words: str) -> None:
        """Begin to reconnect; once for each loss."""
        with self._losing:
            if not self.connected:
                return
            self.connected = self.statistics.connected = False
        self._exchange.fail(words)
        self.tell(notice("module.link_lost", **self._named, why=words))
        self._chronicle.dump_aside(f"{self.where}: link lost: {words}")
        if self._on_link is not None:
            self._on_link(False, words)
        self._recovery.start()

    def _not_back(self, error: SerialLinkError) -> None:
        """Tell of an attempt that failed; time does not mend another firmware."""
        if isinstance(error, FirmwareMismatch):
            self.tell(notice("module.other_firmware", **self._named, why=error))
        else:
            self.say(f"not back yet: {error}")

    def _come_back(self, attempt: int) -> None:
        """Try once to reconnect, at the previous speed or the one with which the module starts."""
        before = (self.books.frames_ever, self.books.lost_ever)
        self._connect(self._wanted_baud if attempt % 2 == 0 else BAUD_DEFAULT)
        self.statistics.reconnects += 1
        self._told_lost = (before[1], self.books.lost_words, time.monotonic())
        self._now_connected(f"connected again at attempt {attempt + 1}")

    # --- listening (poller's thread) ---------------------------------------------------------

    def _take(self, packet: Packet) -> None:
        if isinstance(packet, bytes):
            self.take_frame(packet)
            return
        self.transcript.received(packet)
        if packet.version != VERSION:
            self._foreign_version = packet.version
            self.statistics.foreign_messages += 1
        elif packet.kind == REPLY:
            self._heard_s = time.monotonic()
            answer = self._exchange.take_reply(packet)
            if answer is not None:
                self._take_answer(packet.code, answer)
        elif packet.kind == NOTICE:
            self._take_notice(packet)

    def _take_answer(self, code: int, answer: Answer) -> None:
        if int.from_bytes(answer.payload[:2], "little") != Status.ok:
            return
        body = answer.payload[STATUS_BYTES:]
        if code == _BEAT.code and len(body) >= _BEAT.reply.itemsize:
            counter = int(read_record(_BEAT.reply, body)["counter"])
            self.statistics.clock.add(answer.sent_ns, answer.received_ns, counter)
            if answer.tries == 1:  # a repeat's counter is that of the first time
                self._ask_who |= self._watch.see_counter(counter)
        elif code == _HELLO.code and len(body) >= _IDENTITY.itemsize:
            self._ask_who = False
            self.meet(read_record(_IDENTITY, body))
            self._hand_on("hello", self.identity)

    def _take_notice(self, message: ControlMessage) -> None:
        name, dtype = NOTICES.get(message.code, ("", None))
        if dtype is None or len(message.payload) < dtype.itemsize or not hasattr(self, "identity"):
            return
        record = read_record(dtype, message.payload)
        if name == "hello" and self.connected:
            self._watch.see_hello(message.sequence)
            self.meet(record)
        self._watch.see_notice(message.sequence)
        self.statistics.notices_missed = self._watch.missed
        if self._unread and name != "hello":
            return
        if name == "telemetry":
            self.telemetry = record
            self._watch.see_commands(int(record["commands"]))
            self._ask_who |= bool(record["resets"] != self.identity["resets"])
            self._watch.see_counter(int(record["counter"]))
            self._ask_who |= self._watch.suspicious
        elif name == "fault":
            self._note_fault(record)
        self._hand_on(name, record)

    def _note_fault(self, entry: np.void) -> None:
        words = fault_words(int(entry["fault"]))
        limits = {"measured": int(entry["value"]), "allowed": int(entry["limit"])}
        self.tell(notice("module.fault", **self._named, fault=words, **limits))
        self._chronicle.dump_aside(f"{self.where}: fault: {words}")

    def _hand_on(self, name: str, record: np.void) -> None:
        if self._on_notice is not None:
            self._on_notice(name, record)

    def _tick(self, now_s: float) -> float:
        self._tell_losses(now_s)
        if not self.connected or self._quiet or now_s < self._beat_due_s:
            return max(self._beat_due_s, now_s + POLL_S)
        self._beat_due_s = now_s + BEAT_S
        if self._exchange.unanswered:
            self.statistics.silent_beats += 1
            if now_s - self._heard_s > self._silence_s:
                self._lose(f"no reply for {now_s - self._heard_s:.1f} s")
                return self._beat_due_s
        try:
            if self._ask_who:
                self._exchange.mention(_HELLO.code, b"")
            else:
                self._exchange.mention(_BEAT.code, _beat_now())
        except LinkLost as error:
            self._line_broke(str(error))
        return self._beat_due_s

    def _tell_losses(self, now_s: float) -> None:
        """Journal new losses, at most once a second."""
        frames, words, told_s = self._told_lost
        if self.books.lost_ever > frames and now_s - told_s >= 1.0:
            more = {"count": self.books.lost_ever - frames}
            more["words"] = max(0, self.books.lost_words - words)
            self.tell(notice("module.frames_lost", **self._named, **more))
            self._told_lost = (self.books.lost_ever, self.books.lost_words, now_s)


def _beat_now() -> bytes:
    return pack_request(_BEAT, {"host_time_ns": time.monotonic_ns()}, b"")
