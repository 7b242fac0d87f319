"""The sources of data that announced themselves: emulator, firmware's link process, replay.

A source says Hello until welcomed, then Heartbeat once a second; one that is silent for
``LOST_AFTER_S`` is lost, which is reported once. It is remembered for ``FORGET_AFTER_S``: if it
wakes up (a suspended laptop, a debugger), it counts as new again without another Hello, and its
report is not missed. At most ``MOST_SOURCES`` are remembered: of those lost, the one lost longest
gives its place to a newcomer, unless it takes part in the run.

A source takes part in a run if it was sent the Start that names the run's tag, or, in a run that
goes on after the daq died, if its Hello names it; one report from each is taken. What is refused is
answered with a Refused and told once, never dropped in silence.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import zmq

from daq.service.entrance.inbox import Inbox
from hw.messages.base import Message, MessageError
from hw.messages.codec import AnyMessage, decode, encode
from hw.messages.modules import ModuleAnswer, ModuleStates
from hw.messages.source import (
    FaultAnswer,
    Heartbeat,
    Hello,
    Refused,
    SourceReport,
    Start,
    Welcome,
)
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice
from hw.scanner.description import Scanner

LOST_AFTER_S = 3.0
FORGET_AFTER_S = 3600.0
MOST_SOURCES = 32
BEHIND_S = 0.1
REPLAY = "replay"
"""The kind of a source that reads a file: it has all it sends, however long that takes."""

REFUSE_EVERY_S = 5.0
_MOST_REFUSED = 256

Answer = TypeVar("Answer", FaultAnswer, ModuleAnswer)


def _to_all(hello: Hello) -> bool:
    return True


@dataclass(eq=False)
class Source:
    """A source.

    seen_s : monotonic time of its last message
    woke_up : whether it was lost and is the same process, which still has its connections
    run_tag : of the run in which it takes part, or took part last; 0 for none
    report : of that run, if it has come; it may come again
    states : of its modules, the newest; None where none run our firmware
    """

    hello: Hello
    seen_s: float
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    lost: bool = False
    woke_up: bool = False
    run_tag: int = 0
    report: SourceReport | None = None
    states: ModuleStates | None = None

    def take_part(self, run_tag: int) -> None:
        """Let it take part in a run."""
        self.run_tag, self.report = run_tag, None

    @property
    def reported(self) -> bool:
        """Whether its report has come."""
        return self.report is not None


class Arrived(NamedTuple):
    """A report, and the identity of the source that sent it."""

    identity: bytes
    report: SourceReport


def _what(source: Source) -> tuple[str, str, int]:
    return source.hello.kind, source.hello.scanner, source.hello.modules


class Sources:
    """Serves the source plane; never blocks."""

    def __init__(
        self, socket: zmq.Socket[bytes], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._socket = socket
        self._inbox = Inbox(socket)
        self._clock = clock
        self._sources: dict[bytes, Source] = {}
        self._answers: list[FaultAnswer | ModuleAnswer] = []
        self._states: list[ModuleStates] = []
        self._run_tag, self._goes_on = 0, False
        self._refused: dict[bytes, float] = {}
        self._told: list[str] = []
        self.invalid_messages = 0

    def take_answers(self, kind: type[Answer]) -> list[Answer]:
        """Return the answers to a kind of order received since the last call."""
        taken = [answer for answer in self._answers if isinstance(answer, kind)]
        self._answers = [answer for answer in self._answers if not isinstance(answer, kind)]
        return taken

    def take_states(self) -> list[ModuleStates]:
        """Return the modules' states received since the last call, in order."""
        states, self._states = self._states, []
        return states

    def take_refusals(self) -> list[str]:
        """Return what was refused since the last call, in words; of one source, once in a while."""
        told, self._told = self._told, []
        return told

    def poll(self) -> tuple[list[Source], list[Arrived]]:
        """Receive what has come, within a turn's bounds; return new sources and reports."""
        new: list[Source] = []
        reports: list[Arrived] = []
        for identity, *parts in self._inbox.take():
            try:
                message = decode(parts[-1] if parts else b"")
                source, is_new = self._known(identity, message)
                if is_new:
                    new.append(source)
                if isinstance(message, SourceReport):
                    if self._is_news(source, message):
                        reports.append(Arrived(identity, message))
                else:
                    self._keep(source, message)
            except MessageError as error:
                self.invalid_messages += 1
                self.refuse(identity, str(error))
        return new, reports

    @property
    def cut(self) -> bool:
        """Whether the last poll ended at a bound, so that more may be waiting."""
        return self._inbox.cut

    def _known(self, identity: bytes, message: AnyMessage) -> tuple[Source, bool]:
        """Return the source that sent a message, and whether it is new; raises MessageError."""
        source = self._sources.get(identity)
        is_new = source is None or source.lost
        if source is None:
            if not isinstance(message, Hello):
                kind = type(message).__name__
                raise MessageError(f"{kind} from a source that is not known: say Hello first")
            self._make_room()
            source = self._sources[identity] = Source(message, self._clock())
        source.woke_up = source.woke_up or source.lost
        source.seen_s, source.lost = self._clock(), False
        if isinstance(message, Hello):
            self._send(identity, Welcome())
        return source, is_new

    def _make_room(self) -> None:
        """Forget the source lost longest if there are too many, of those that take no part in the
        run if there are any; raises MessageError.
        """
        if len(self._sources) < MOST_SOURCES:
            return
        lost = {key: source for key, source in self._sources.items() if source.lost}
        if not lost:
            raise MessageError(
                f"{len(self._sources)} sources are attached already, no more are taken: end those "
                "that are not needed, and wait a few seconds"
            )
        del self._sources[min(lost, key=lambda k: (self.takes_part(lost[k]), lost[k].seen_s))]

    def takes_part(self, source: Source) -> bool:
        """Whether a source was started for the present run, or the last one."""
        return source.run_tag == self._run_tag != 0

    def _is_news(self, source: Source, report: SourceReport) -> bool:
        """Whether a report is to be handed on: not where it comes again, nor before the run that it
        is about goes on, as it will be asked for again. Raises MessageError for any other that is
        not a source's one and only.
        """
        early = report.run_tag == source.hello.run_tag != self._run_tag
        if early or report == source.report:
            return False
        if not report.run_tag or source.run_tag != report.run_tag:
            raise MessageError(
                f"a SourceReport of run tag {report.run_tag}, in which {source.hello.kind} takes "
                "no part: only a source that was started may report"
            )
        if source.reported:
            raise MessageError(f"another SourceReport of {source.hello.kind}: one is taken")
        source.report = report
        return True

    def refuse(self, identity: bytes, words: str) -> None:
        """Answer a source that what it sent is not taken, and tell it, once in a while."""
        now = self._clock()
        if now - self._refused.get(identity, -REFUSE_EVERY_S) < REFUSE_EVERY_S:
            return
        known = identity in self._refused
        if not known and len(self._refused) >= _MOST_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[identity] = now
        self._send(identity, Refused(reason=words))
        if not known:
            source = self._sources.get(identity)
            who = source.hello.kind if source else "somebody unknown"
            self._told.append(f"refused on the source plane, from {who}: {words}")

    def _keep(self, source: Source, message: AnyMessage) -> None:
        if isinstance(message, Hello):
            source.hello = message
            self._let_go_on(source)
        elif isinstance(message, Heartbeat):
            source.heartbeat = message
        elif isinstance(message, FaultAnswer | ModuleAnswer):
            self._answers.append(message)
        elif isinstance(message, ModuleStates):
            self._states.append(message)
            source.states = message
        else:
            raise MessageError(f"a source does not send {type(message).__name__}")

    def go_on(self, run_tag: int) -> None:
        """Let sources that are sending a run take part in it, now and whenever they appear."""
        self._run_tag, self._goes_on = run_tag, True
        for source in self._sources.values():
            self._let_go_on(source)

    def _let_go_on(self, source: Source) -> None:
        tag = self._run_tag
        if self._goes_on and source.hello.run_tag == tag != source.run_tag:
            source.take_part(tag)

    def newly_lost(self) -> list[Source]:
        """Return the sources that have now been silent for too long."""
        now = self._clock()
        self._refused = {k: s for k, s in self._refused.items() if s > now - FORGET_AFTER_S}
        forgotten = [k for k, s in self._sources.items() if s.seen_s < now - FORGET_AFTER_S]
        for key in forgotten:
            del self._sources[key]
        lost = [source for source in self.present if source.seen_s < now - LOST_AFTER_S]
        for source in lost:
            source.lost = True
        return lost

    def send_all(self, message: Message, *, to: Callable[[Hello], bool] = _to_all) -> int:
        """Send a message to every source that ``to`` selects, even lost ones; return how many of
        them are alive.
        """
        chosen = {key: source for key, source in self._sources.items() if to(source.hello)}
        for identity, source in chosen.items():
            if isinstance(message, Start):
                self._run_tag, self._goes_on = message.run_tag, False
                source.take_part(message.run_tag)
            self._send(identity, message)
        return sum(not source.lost for source in chosen.values())

    def start_late(self, order: Start) -> list[Source]:
        """Start sources that come in place of lost ones which took part in the run, of the same
        kind and as many modules; return them.
        """
        gone = [s for s in self._taking_part if s.lost and not s.reported]
        started = []
        for identity, source in self._sources.items():
            if source.lost or source.run_tag == order.run_tag:
                continue
            alike = [s for s in gone if _what(s) == _what(source)]
            if alike:
                gone.remove(alike[0])
                alike[0].run_tag = 0
                source.take_part(order.run_tag)
                self._send(identity, order)
                started.append(source)
        return started

    def _send(self, identity: bytes, message: Message) -> None:
        try:
            self._socket.send_multipart([identity, encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError:
            self.invalid_messages += 1  # its queue is full or it is gone: newly_lost will tell

    @property
    def present(self) -> list[Source]:
        """The sources that are alive."""
        return [source for source in self._sources.values() if not source.lost]

    def taking_part(self) -> list[tuple[Source, float]]:
        """Return the sources of the run, and for how long (s) each has been silent."""
        now = self._clock()
        return [(source, now - source.seen_s) for source in self._taking_part]

    @property
    def expected(self) -> int:
        """How many sources take part in the run and can still report, or have."""
        return sum(s.reported or not s.lost for s in self._taking_part)

    @property
    def all_reported(self) -> bool:
        """Whether every source that takes part has reported, except those lost."""
        reported = [s.reported for s in self._taking_part if s.reported or not s.lost]
        return bool(reported) and all(reported)

    @property
    def _taking_part(self) -> list[Source]:
        return [source for source in self._sources.values() if self.takes_part(source)]

    @property
    def serial(self) -> str:
        """The instrument's serial number; "" where the sources name none, or not the same."""
        named = {source.hello.serial for source in self.present if source.hello.serial}
        return named.pop() if len(named) == 1 else ""

    @property
    def labels(self) -> dict[str, float]:
        """The labels that the sources give a run."""
        return {key: it for s in self.present for key, it in s.hello.labels.items()}

    @property
    def remarks(self) -> list[str]:
        """What a person should know before a run."""
        return [source.hello.remark for source in self.present if source.hello.remark]

    def not_ready(self) -> list[str]:
        """Return why sources cannot begin a run now, in words; [] if all can."""
        hellos = [source.hello for source in self.present]
        words = [hello.not_ready for hello in hellos if hello.not_ready]
        detector = any(hello.modules == 0 for hello in hellos)
        if any(hello.needs_detector for hello in hellos) and not detector:
            words.append("the modules have no detector: start `tomoshibi emulate --hits FOLDER`")
        return words

    def mismatch(self, scanner: Scanner) -> JournalLine | None:
        """Return why the sources are not this scanner, ready to begin; None if they are."""
        if not self.present:
            return notice("refused.no_source")
        found = sorted({source.hello.scanner for source in self.present})
        modules = sum(source.hello.modules for source in self.present)
        if found != [scanner.name] or modules != scanner.n_modules:
            return notice(
                "refused.other_scanner", sources=", ".join(found), modules=modules,
                scanner=scanner.name, wanted=scanner.n_modules,
            )  # fmt: skip
        why = "; ".join(self.not_ready())
        return notice("refused.not_ready", why=why) if why else None

    def describe(self) -> str:
        """Return the sources in words."""
        return ", ".join(f"{s.hello.kind} ({s.hello.scanner})" for s in self.present) or "none"

    def modules_live(self) -> int:
        """Return how many modules could measure: those of the sources that are alive; of a link
        process to our firmware those that answer it without a fault."""
        live = 0
        for source in self.present:
            told = source.states
            if told is None:
                live += source.hello.modules
            else:
                live += sum(one.link.connected and not one.fault for one in told.modules)
        return live

    @property
    def cannot_wait(self) -> bool:
        """Whether a source is behind real time, or may lose what it cannot send at once: one that
        is neither, such as a fast emulation, is better held back.
        """
        return any(
            source.heartbeat.lag_s > BEHIND_S
            or not (source.hello.keeps or source.hello.kind == REPLAY)
            for source in self.present
        )

    def lag_s(self) -> float:
        """Return how far the slowest source's time is behind the wall clock."""
        return max((s.heartbeat.lag_s for s in self.present), default=0.0)
