"""The connection to one module: opened, kept alive, listened to, and restored when it is lost.

A session (``session``) gives its orders over it. The poller's thread receives everything; other
threads ask questions, one at a time, each for a bounded time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

import numpy as np

from daq.link.serial.dictionary import hello, nobody, reached, understands, understood
from daq.link.serial.exchange import (
    STATUS_BYTES,
    Answer,
    Exchange,
    Reply,
    pack_request,
    read_record,
)
from daq.link.serial.frame_books import FrameBooks
from daq.link.serial.known_module import KnownModule
from daq.link.serial.line import Line, Packet
from daq.link.serial.line_errors import LinkLost, NoAnswer, PortError, SerialLinkError
from daq.link.serial.line_statistics import LinkStatistics
from daq.link.serial.module_news import ModuleNews
from daq.link.serial.packets import NOTICE, REPLY, ControlMessage
from daq.link.serial.poller import Poller
from daq.link.serial.ports import BAUD_DEFAULT
from daq.link.serial.recovery import Recovery
from daq.link.serial.requests import Requests
from daq.link.serial.transcript import Dump, Tell
from hw.wire.control import COMMANDS, NOTICES, STRUCTS, VERSION, Status

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

    about : what the module has told of itself
    statistics : the line's; books : its data frames'

    Parameters
    ----------
    url : what pyserial opens, or a function that returns it, called again at each reconnect
    baud : speed at the start, in bits/s
    module : its number in error messages; None where it is not known
    poller : watches the line; None for one of its own
    on_frame : is called with each data frame
    on_notice : is called with each notice's name and record
    on_link : is told whether the module is connected, and in words why
    journal : is called with what a person should know
    transcripts : folder of dumps, or a function called with a reason and the lines
    timeout_s, tries : for a command's reply
    hello_s : how long ``open`` waits for the module
    silence_s : after so long without an answer the module counts as lost
    any_schema : accept a module of another schema too, for frozen commands
    """

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
        self.timeout_s, self.tries, self.hello_s = timeout_s, tries, hello_s
        self.about = KnownModule()
        self.statistics = LinkStatistics()
        self.books = FrameBooks()
        self.news = ModuleNews(module, self.statistics, journal=journal, transcripts=transcripts)
        self.connected = False
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
        self._exchange = Exchange(self._line.send, self.statistics, self.news.transcript)
        self._requests = Requests(
            self._exchange,
            self.statistics,
            where=lambda: self.news.where,
            in_callback=lambda: self.poller.is_this_thread,
            lose=self._lose,
            dump=self.news.dump,
        )
        self._losing = threading.Lock()
        self._recovery = Recovery(self._come_back, self._line.close, self.news.not_back)
        self._quiet = False
        self._beat_due_s = self._heard_s = 0.0
        self._foreign_version = 0

    @classmethod
    def open(cls, url: Url, **options: object) -> Self:
        """Open a module's port, identify the module, and keep the line alive from then on.

        The arguments are those of the class.

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

    # --- frames ----------------------------------------------------------------------------

    def take_frame(self, frame: bytes) -> None:
        """Check and book a frame from any data path and pass it on (poller's thread)."""
        self.news.transcript.frame(len(frame))
        if self.about.foreign:
            return
        good = self.books.accept(frame)
        self.statistics.frames = self.books.frames_ever
        self.statistics.lost_frames = self.books.lost_ever
        self.statistics.invalid_frames = self.books.invalid
        if good and self._on_frame is not None:
            self._on_frame(frame)

    def close(self) -> None:
        """Release the port. May be called twice."""
        self._recovery.close()
        self.connected = self.statistics.connected = False
        self._exchange.fail(f"{self.news.where}: the session was closed")
        self._line.close()
        self.news.close()
        if self._owns_poller:
            self.poller.close()

    # --- asking ----------------------------------------------------------------------------

    def ask(
        self, name: str, payload: bytes, *, timeout_s: float | None = None, tries: int | None = None
    ) -> Reply:
        """Send a command and return its reply.

        Raises
        ------
        CommandRefused, NoAnswer, LinkLost, FirmwareMismatch
        """
        return self._requests.reply(
            name, payload, timeout_s=timeout_s or self.timeout_s, tries=tries or self.tries
        )

    # --- connecting ------------------------------------------------------------------------

    def _connect(self, baud: int) -> None:
        url = self._url if isinstance(self._url, str) else self._url()
        self._line.open(url, baud)
        self._foreign_version = 0
        identity = self._hello(within_s=self.hello_s)
        self.about.foreign = not understands(identity)
        meet = reached if self.any_schema else understood
        self.about.dictionary = meet(self.news.where, identity, self._dictionary_piece)
        beat = self._requests.answer(
            _BEAT.code, _beat_now(), timeout_s=self.timeout_s, tries=self.tries
        )
        self._take_answer(_BEAT.code, beat)
        if not self.about.foreign:
            self._watch_commands()
        self.meet(identity)

    def _hello(self, *, within_s: float) -> np.void:
        """Return the module's identity; what is sent too early is lost, so ask repeatedly."""

        def once() -> np.void:
            return self.ask("hello", b"", tries=1).fields

        def why_not() -> SerialLinkError:
            foreign = self._foreign_version
            return nobody(
                self.news.where, self.statistics, within_s=within_s, foreign_version=foreign
            )

        return hello(once, why_not, within_s=within_s)

    def _dictionary_piece(self, offset: int, count: int) -> bytes:
        payload = pack_request(_DICTIONARY, {"offset": offset, "count": count}, b"")
        return self.ask("dictionary", payload).tail

    def meet(self, identity: np.void) -> None:
        """Note which module answers, and whether it has restarted since it was last seen."""
        if self.about.meet(identity):
            self._began_anew()
        if self.about.foreign and not self.any_schema:
            self._lose("its firmware now has another schema")

    def _watch_commands(self) -> None:
        """Notice a restart while the line was lost, by the module's count of commands."""
        least = self.about.watch.commands + 1  # this one
        commands = int(self.ask("telemetry", b"").fields["commands"])
        self.about.watch.see_commands(commands, least=least)

    def _began_anew(self) -> None:
        """Handle a restart of the module: what it remembered is gone."""
        self.statistics.resets += 1
        self.statistics.clock.begin()
        self.news.started_anew(self.about.identity)

    def _now_connected(self, words: str) -> None:
        self._heard_s = time.monotonic()
        self.connected = self.statistics.connected = True
        self.poller.wake()
        self.news.linked(self.about.identity, words)
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
        with self._requests.alone:
            self._quiet = True
            try:
                self.ask("baud", pack_request(COMMANDS["baud"], {"baud": baud}, b""))
                self._try_baud(baud, old)
            finally:
                self._quiet = False
        self._wanted_baud = baud
        self.news.say(f"{baud} baud")

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
                f"{self.news.where}: {baud} baud does not work on this line; {old} is in force "
                "again"
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
        self.news.link_lost(words)
        if self._on_link is not None:
            self._on_link(False, words)
        self._recovery.start()

    def _come_back(self, attempt: int) -> None:
        """Try once to reconnect, at the previous speed or the one with which the module starts."""
        lost_before = self.books.lost_ever
        self._connect(self._wanted_baud if attempt % 2 == 0 else BAUD_DEFAULT)
        self.statistics.reconnects += 1
        self.news.losses_from(lost_before, self.books.lost_words, time.monotonic())
        self._now_connected(f"connected again at attempt {attempt + 1}")

    # --- listening (poller's thread) ---------------------------------------------------------

    def _take(self, packet: Packet) -> None:
        if isinstance(packet, bytes):
            self.take_frame(packet)
            return
        self.news.transcript.received(packet)
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
                self.about.see_counter(counter)
        elif code == _HELLO.code and len(body) >= _IDENTITY.itemsize:
            self.about.ask_who = False
            self.meet(read_record(_IDENTITY, body))
            self._hand_on("hello", self.about.identity)

    def _take_notice(self, message: ControlMessage) -> None:
        name, dtype = NOTICES.get(message.code, ("", None))
        if dtype is None or len(message.payload) < dtype.itemsize or not self.about.met:
            return
        record = read_record(dtype, message.payload)
        if name == "hello" and self.connected:
            self.about.watch.see_hello(message.sequence)
            self.meet(record)
        self.about.watch.see_notice(message.sequence)
        self.statistics.notices_missed = self.about.watch.missed
        if self.about.foreign and name != "hello":
            return
        if name == "telemetry":
            self.about.see_telemetry(record)
        elif name == "fault":
            self.news.fault(record)
        self._hand_on(name, record)

    def _hand_on(self, name: str, record: np.void) -> None:
        if self._on_notice is not None:
            self._on_notice(name, record)

    def _tick(self, now_s: float) -> float:
        self.news.frames_lost(self.books, now_s)
        if not self.connected or self._quiet or now_s < self._beat_due_s:
            return max(self._beat_due_s, now_s + POLL_S)
        self._beat_due_s = now_s + BEAT_S
        if self._exchange.unanswered:
            self.statistics.silent_beats += 1
            if now_s - self._heard_s > self._silence_s:
                self._lose(f"no reply for {now_s - self._heard_s:.1f} s")
                return self._beat_due_s
        try:
            if self.about.ask_who:
                self._exchange.mention(_HELLO.code, b"")
            else:
                self._exchange.mention(_BEAT.code, _beat_now())
        except LinkLost as error:
            self._line_broke(str(error))
        return self._beat_due_s


def _beat_now() -> bytes:
    return pack_request(_BEAT, {"host_time_ns": time.monotonic_ns()}, b"")
