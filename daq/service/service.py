"""The daq service: one process, one loop, owner of the run.

Every turn (about 10 ms): record the data frames that have come, sort for a while, pass the
coincidences on, serve commands, sources and the imager, and publish telemetry. Nothing in the loop
waits for another process; every queue is bounded (daq/service/sockets.py), and so is what is taken
from each in one turn (daq/service/entrance/inbox.py). An error of ours in one part of the loop is
told and taints the run, and keeps no other part from its work.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import zmq

from daq.errors import DaqError
from daq.folder.run_config import RunConfig
from daq.replay.run_recovery import open_runs
from daq.service.data_sources import MOST_SOURCES, Source, Sources
from daq.service.entrance.commands import Commands
from daq.service.entrance.control_desk import ControlDesk
from daq.service.entrance.door import Door
from daq.service.entrance.given_paths import GivenPaths
from daq.service.event_stream import EventStream
from daq.service.imager_link import ImagerLink
from daq.service.left_over import LeftOver
from daq.service.life.run_parts import MIN_FREE_BYTES
from daq.service.run_life import RunLife
from daq.service.sockets import bind_service
from daq.service.status import compose_projections, compose_telemetry
from hw.errors import TomoshibiError
from hw.messages.codec import encode
from hw.messages.endpoints import Endpoints
from hw.messages.source import OnDisk, Resume, SendAgain, Shutdown
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice
from hw.service_manager import ServiceManager

TURN_S = 0.010
LEAST_TURN_S = 0.002
"""Messages wake the loop, but not more often than this; a flood of them does not wake it at all."""

TELEMETRY_S, BUSY_TELEMETRY_S = 0.050, 0.5
PICTURES_S = 0.25
BEGIN_REPEAT_S = 1.0
ON_DISK_S = 0.1
RESUME_S = 5.0
"""A run whose sources go on with it within this time is resumed, any other recovered."""

LOOK_S = 1.0
AUTOMATIC_S = 0.1
SAY_EVERY_S = 5.0
IMAGER_ENTRIES = 20
"""That are journalled in 10 s; what is beyond is counted."""

MAX_FRAMES_A_TURN, MAX_BYTES_A_TURN = 4096, 4 * 2**20
SORT_S = 0.020
"""Sorting has so much of a turn: data and commands are served however much there is to sort."""

BUSY_WAIT = 3.0
"""While more data wait than a turn takes, and their source cannot, sorting waits for so many times
as long as it took: what waits in queues can be lost, what is recorded cannot.
"""


class DaqService:
    """Runs until told to leave. An ``arm`` command without a configuration arms ``template``, later
    the last configuration armed. With ``automatic`` it arms and starts when the scanner's sources
    are attached, and leaves after the run; ``say`` is told what it waits for.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        runs_root: Path,
        template: RunConfig | None = None,
        min_free_bytes: int = MIN_FREE_BYTES,
    ) -> None:
        self.stray_frames = 0
        self.automatic = False
        self.say: Callable[[str], None] = lambda words: None
        given = GivenPaths(endpoints, runs_root, template)
        self.left_over = LeftOver(runs_root)
        self._to_resume: dict[int, Path] | None = None
        self._resume_until_s = 0.0
        self._sockets = bind_service(endpoints)
        self._door = Door(runs_root, secured=endpoints.base.startswith("tcp"))
        self.sources = Sources(self._sockets.source)
        self.imager = ImagerLink(self._sockets.coincidences, self._sockets.reports)
        self.life = RunLife(
            runs_root,
            sources=self.sources,
            imager=self.imager,
            events=EventStream(self._sockets.events),
            on_end=lambda well, words: self._commands.answer_waiting(well, words),
            template=template,
            min_free_bytes=min_free_bytes,
        )
        self._desk = ControlDesk(self._sockets.control, self.life.journal, see=self._door.see)
        self._commands = Commands(
            self._desk,
            life=self.life,
            sources=self.sources,
            imager=self.imager,
            door=self._door,
            given=given,
            leave=self.leave,
        )
        self._manager = ServiceManager.of(os.environ)
        self._leave = False
        self._due: dict[str, float] = {}
        self._defects: set[str] = set()
        self._sort_again_s = 0.0
        self._poller = zmq.Poller()
        for socket in (self._sockets.control, self._sockets.source, self._sockets.reports):
            self._poller.register(socket, zmq.POLLIN)

    def leave(self) -> None:
        """Make the loop close an open run quickly and return (safe in a signal handler)."""
        self._leave = True

    def serve(self) -> None:
        """Run until :meth:`leave` or a shutdown command; always closes an open run.

        The last telemetry and pictures say how it ended: displays wait for them.
        """
        self.life.journal.tell(notice("daq.ready", folder=self.life.runs_root))
        if self._sockets.doorman.remark:
            self.life.journal.tell(notice("files.few", words=self._sockets.doorman.remark))
        self._safely("looking for runs to go on with", self._look_for_open_runs)
        self._resume_until_s = time.monotonic() + RESUME_S
        self._manager.ready()
        try:
            while not (self._leave and self._has_closed()):
                began = time.monotonic()
                self._manager.alive(began)
                if not self.turn():
                    self._rest(began)
            self._safely("telemetry", self._publish_telemetry)
            self._safely("pictures", self._publish_pictures)
        finally:
            self._manager.leaving()
            self.left_over.end()
            self.life.manifests.end()
            self.sources.send_all(Shutdown())
            self._sockets.close()
            self._door.close()

    def _look_for_open_runs(self) -> None:
        self._to_resume = open_runs(self.life.runs_root)

    def _has_closed(self) -> bool:
        """Close what is open, quickly; return whether that is done."""
        try:
            return self.life.hurry()
        except Exception as error:  # noqa: BLE001  (a defect of ours must not keep us here for ever)
            self.life.fail(f"internal error in leaving, please report: {error!r}")
            return True

    def _rest(self, began: float) -> None:
        """Wait until the next turn, or for a message; what floods us is served at our own pace."""
        flooded = self._desk.cut or self.sources.cut or self.imager.cut
        time.sleep(max(0.0, began + (TURN_S if flooded else LEAST_TURN_S) - time.monotonic()))
        if not flooded:
            self._poller.poll(int(TURN_S * 1000))

    def turn(self) -> bool:
        """Do one turn of the loop; return whether more data are already waiting."""
        full = False
        try:
            full = self._take_data()
        except Exception as error:  # noqa: BLE001  (as below)
            self._note_defect("taking data", error)
        self._safely("commands", self._commands.serve)
        self._safely("sources", self._serve_sources)
        self._safely("the imager's reports", self._serve_imager)
        now = time.monotonic()
        self._safely("run control", lambda: self.life.supervise(now))
        if self._is_due("begin", now, BEGIN_REPEAT_S):
            self._safely("announcing the run", self.life.announce)
        if self._is_due("look", now, LOOK_S):
            self._look_around()
        if self._is_due("on disk", now, ON_DISK_S):
            self._safely("telling what is on the disk", self._tell_on_disk)
        less = self.life.run is not None and self.life.run.load.shows_less
        if self._is_due("telemetry", now, BUSY_TELEMETRY_S if less else TELEMETRY_S):
            self._safely("telemetry", self._publish_telemetry)
        if not less and self._is_due("pictures", now, PICTURES_S):
            self._safely("pictures", self._publish_pictures)
        if self.automatic and self._is_due("automatic", now, AUTOMATIC_S):
            self._safely("starting by itself", lambda: self._advance_automatic(now))
        return full

    def _safely(self, what: str, step: Callable[[], object]) -> None:
        """Do a part of a turn; an error of ours in it keeps no other part from its work."""
        try:
            step()
        except Exception as error:  # noqa: BLE001  (a defect of ours must not take the daq down)
            self._note_defect(what, error)

    def _note_defect(self, what: str, error: Exception) -> None:
        if what not in self._defects:
            self._defects.add(what)
            traceback.print_exception(error)
        try:
            self.life.defect(what, error)
        except Exception as second:  # noqa: BLE001  (nor may one in telling of it)
            traceback.print_exception(second)

    def _is_due(self, what: str, now: float, every_s: float) -> bool:
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every_s
        return True

    def _publish_telemetry(self) -> None:
        telemetry = compose_telemetry(self.life, self.sources, stray_frames=self.stray_frames)
        lease = self._commands.lease
        telemetry.control, telemetry.control_asked = lease.holder, lease.asking
        self._sockets.telemetry.send(encode(telemetry), zmq.NOBLOCK)

    def _publish_pictures(self) -> None:
        pictures = compose_projections(self.life)
        if pictures is not None:
            self._sockets.projections.send(encode(pictures), zmq.NOBLOCK)

    def _advance_automatic(self, now: float) -> None:
        """Arm and start once the scanner's sources are there; leave when the run is over."""
        if self.life.state in ("closed", "error"):
            self.leave()
        if self.life.state != "idle":
            return
        missing = self._missing()
        if missing:
            if self._is_due("say", now, SAY_EVERY_S):
                self.say(f"waiting: {missing}")
                self.life.journal.tell(notice("daq.waiting", missing=missing), kind="waiting")
            return
        try:
            self.life.arm(None)
            self.life.start()
        except TomoshibiError as error:
            self.life.fail(str(error))

    def _missing(self) -> str:
        """Return what the template's run still waits for, in words; "" for nothing."""
        template = self.life.template
        why = None if template is None else self.sources.mismatch(template.scanner())
        return why.text if why else ""

    # --- data and sources ---------------------------------------------------------------------

    def _take_data(self) -> bool:
        """Record what came, then sort; return whether more of either is waiting."""
        frames: list[bytes] = []
        full = False
        if not self.life.blocked:
            frames, full = self._receive()
        if not self.life.takes_data:
            self.stray_frames += len(frames)
        elif frames or self.life.blocked:
            self.life.take(frames)
        return self._sort(busy=full and self.sources.cannot_wait) or full

    def _sort(self, *, busy: bool) -> bool:
        """Sort for a while; return whether there is more to do now."""
        begin = time.monotonic()
        if busy and begin < self._sort_again_s:
            return True
        more = self.life.sort(SORT_S)
        end = time.monotonic()
        self._sort_again_s = end + BUSY_WAIT * (end - begin)
        return more

    def _receive(self) -> tuple[list[bytes], bool]:
        """Return the frames that are there, up to a bound, and whether it was reached."""
        frames: list[bytes] = []
        receive, size = self._sockets.data.recv, 0
        try:
            while len(frames) < MAX_FRAMES_A_TURN and size < MAX_BYTES_A_TURN:
                frames.append(receive(zmq.NOBLOCK))
                size += len(frames[-1])
        except zmq.Again:
            return frames, False
        return frames, True

    def _serve_imager(self) -> None:
        for words in self.imager.poll(self.life.run):
            line = notice("imager.says", words=words)
            self.life.journal.tell(line, kind="imager", burst=IMAGER_ENTRIES)

    def _serve_sources(self) -> None:
        new, reports = self.sources.poll()
        for source in new:
            hello = source.hello
            late = self.life.came_too_late(hello.run_tag)
            line = notice(
                "source.too_late" if late else "source.attached",
                kind=hello.kind, modules=hello.modules,
            )  # fmt: skip
            self.life.journal.tell(line, kind="source attached", burst=MOST_SOURCES)
            self.life.source_back(source)
            if not source.woke_up:  # else this daq has, or will get, all that it sent
                self._resume(source)
        for identity, report in reports:
            refused = self.life.take_report(report)
            if refused:
                self.sources.refuse(identity, refused)
        for words in self.sources.take_refusals():
            line = notice("source.refused", words=words)
            self.life.journal.tell(line, kind="refused on the source plane")
        self._commands.poll_relays()
        for states in self.sources.take_states():
            self._sockets.modules.send(encode(states), zmq.NOBLOCK)
            for line in states.log:
                self.life.module_news(line)

    def _resume(self, source: Source) -> None:
        """Go on with the run that a source is sending, if a daq that died has left it open."""
        tag, life = source.hello.run_tag, self.life
        folder = self._to_resume.pop(tag, None) if self._to_resume else None
        if folder is not None and life.state == "idle":
            try:
                life.resume(folder)
                self.sources.go_on(tag)
            except Exception as error:  # noqa: BLE001  (a damaged folder must not end the service)
                why = error if isinstance(error, DaqError) else f"internal error: {error!r}"
                life.journal.tell(notice("run.not_resumed", run=folder.name, why=why))
        if life.run is None or life.state != "running" or life.run.run_tag != tag:
            return
        marks = life.run.recorded_marks
        self.sources.send_all(
            Resume(run_tag=tag, sequences=marks[:, 0].tolist(), periods=marks[:, 1].tolist()),
            to=lambda hello: hello.keeps and hello.run_tag == tag,
        )

    def _tell_on_disk(self) -> None:
        """Tell the sources what they need not keep any more, and ask for what lacks."""
        run = self.life.run
        if run is None:
            return
        lacking = run.ask_again()
        if any(lacking):
            order = SendAgain(run_tag=run.run_tag, sequences=lacking)
            self.sources.send_all(order, to=lambda hello: hello.keeps)
        marks = run.take_on_disk()
        if marks is None:
            return
        sequences, periods = marks.T.tolist()
        self.sources.send_all(
            OnDisk(run_tag=run.run_tag, sequences=sequences, periods=periods),
            to=lambda hello: hello.keeps,
        )

    def _look_around(self) -> None:
        self._safely("watching the disk", self.life.watch_disk)
        self._safely("looking after sources", self._look_after_sources)
        self._safely("recovering runs", self._recover)
        self._safely("keeping journals", self._keep_journals)

    def _keep_journals(self) -> None:
        for plane, count in self._sockets.doorman.take_refused().items():
            most = self._sockets.doorman.most[plane]
            line = notice("connections.shut", count=count, plane=plane, most=most)
            self.life.journal.tell(line, kind=f"connections to {plane}")
        self.life.journal.tell_repeated()
        if trouble := self.life.manifests.take_error():
            self.life.journal.tell(notice("disk.fails", words=trouble))
        if trouble := self._door.news():
            self.life.journal.tell(notice("disk.fails", words=f"journal of commands: {trouble}"))

    def _look_after_sources(self) -> None:
        """Tell who is silent; one that has reported its run may leave."""
        for source in self.sources.newly_lost():
            if source.reported:
                self.life.journal.tell(notice("source.left", kind=source.hello.kind))
            else:
                self.life.source_lost(source)
        self.life.take_back()

    def _recover(self) -> None:
        if self._to_resume is not None and time.monotonic() > self._resume_until_s:
            self._to_resume = None
            self._tell_left_over(self.left_over.begin())
        self._tell_left_over(self.left_over.look())

    def _tell_left_over(self, lines: list[JournalLine]) -> None:
        for line in lines:
            self.life.journal.tell(line)
            self.life.explain(line)
