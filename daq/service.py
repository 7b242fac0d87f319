"""The daq service: one process, one loop, owner of the run.

Every turn (about 10 ms): take all data frames that have come, log and sort them, pass the
coincidences on, serve commands, sources and the imager, publish telemetry. Nothing in the loop
waits for another process; every queue is bounded (daq/sockets.py).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import zmq

from daq.closing import Closing
from daq.errors import DaqError, RunError, StorageError
from daq.imager_link import ImagerLink
from daq.journal import Journal
from daq.run import Run
from daq.run_config import RunConfig, config_from_args
from daq.run_control import RunControl
from daq.sockets import bind_service
from daq.sources import Sources
from daq.status import compose_telemetry
from daq.wall_clock import WallClock
from daq.watch import RunWatch
from hw.endpoints import Endpoints
from hw.messages import Command, MessageError, Reply, Shutdown, Start, Stop, decode_as, encode
from hw.settings import SettingsError

TURN_S = 0.010
TELEMETRY_S = 0.050
BEGIN_REPEAT_S = 1.0
MAX_FRAMES_A_TURN = 4096
MIN_FREE_BYTES = 256 * 2**20
HURRIED_DRAIN_S = 0.8


class DaqService:
    """Runs until told to leave. ``template`` is armed where a command brings no configuration (it
    is the last one armed, later);
    with ``automatic`` set it arms and starts when a source attaches, and leaves after the run."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        runs_root: Path,
        template: RunConfig | None = None,
        min_free_bytes: int = MIN_FREE_BYTES,
    ) -> None:
        self.runs_root = runs_root
        self.template = template
        self.control = RunControl()
        self.journal = Journal()
        self.run: Run | None = None
        self.disk_free = 0
        self.stray_frames = 0
        self.automatic = False
        self._min_free_bytes = min_free_bytes
        self._sockets = bind_service(endpoints)
        self.sources = Sources(self._sockets.source)
        self.imager = ImagerLink(self._sockets.coincidences, self._sockets.reports)
        self._clock = WallClock()
        self._watch = RunWatch()
        self._closing: Closing | None = None
        self._waiting: list[tuple[bytes, int]] = []
        self._leave = False
        self._due = {"telemetry": 0.0, "begin": 0.0, "slow": 0.0}
        self._poller = zmq.Poller()
        for socket in (self._sockets.control, self._sockets.source, self._sockets.reports):
            self._poller.register(socket, zmq.POLLIN)
        self._commands: dict[str, Callable[[Command], dict[str, Any] | None]] = {
            "ping": lambda command: {},
            "arm": self._arm,
            "start": self._start,
            "stop": self._stop,
            "reset": self._reset,
            "status": self._status,
            "shutdown": self._shutdown,
        }

    def leave(self) -> None:
        """Ask the loop to close an open run quickly and return (safe in a signal handler)."""
        self._leave = True

    def serve(self) -> None:
        """Work until :meth:`leave` or a shutdown command; always closes an open run."""
        self.journal.add("info", f"daq ready, runs go to {self.runs_root}")
        try:
            while not (self._leave and self._run_is_over()):
                full = self.turn()
                if not full:
                    self._poller.poll(int(TURN_S * 1000))
        finally:
            self.sources.send_all(Shutdown())
            self._sockets.close()

    def _run_is_over(self) -> bool:
        if self.control.state == "running":
            self._begin_closing("the daq was told to leave", drain_s=HURRIED_DRAIN_S)
        elif self.control.state == "armed":
            self._discard("the daq was told to leave")
        elif self.control.state == "stopping" and self._closing is not None:
            self._closing.hurry(HURRIED_DRAIN_S)
        return self.control.state in ("idle", "closed", "error")

    def turn(self) -> bool:
        """Do one turn of the loop; return whether more data are waiting already."""
        full = self._take_data()
        self._serve_commands()
        self._serve_sources()
        for words in self.imager.poll(self.run):
            self.journal.add("warning", words)
        now = time.monotonic()
        if self._closing is not None:
            self._advance_closing(now)
        if self._is_due("telemetry", now, TELEMETRY_S):
            self._sockets.telemetry.send(encode(compose_telemetry(self)), zmq.NOBLOCK)
        if self.run is not None and self.control.state in ("armed", "running"):
            if self._is_due("begin", now, BEGIN_REPEAT_S):
                self.imager.begin(self.run)
            if self.control.state == "running":
                self._supervise(self.run, now)
        if self.automatic:
            self._advance_automatic()
        return full

    def _advance_automatic(self) -> None:
        """Arm and start by itself once a source is there; leave when the run is over."""
        if self.control.state == "idle" and self.sources.present:
            self._arm(Command(id=0, name="arm"))
            self._start(Command(id=0, name="start"))
        elif self.control.state in ("closed", "error"):
            self.leave()

    def _is_due(self, what: str, now: float, every_s: float) -> bool:
        if now < self._due[what]:
            return False
        self._due[what] = now + every_s
        return True

    # --- data ---------------------------------------------------------------------------------

    def _take_data(self) -> bool:
        frames = self._receive()
        run = self.run
        if run is None or self.control.state not in ("running", "stopping"):
            self.stray_frames += len(frames)
            return len(frames) >= MAX_FRAMES_A_TURN
        if frames and (self._closing is None or not self._closing.drained):
            arrival_ns = time.monotonic_ns()
            try:
                output = run.process(frames)
            except StorageError as error:
                self._fail(str(error))
                return False
            self._watch.data_came(time.monotonic())
            newest_ps = run.pipeline.decoder.newest_ps
            self._clock.observe(arrival_ns=arrival_ns, frame_end_ps=newest_ps)
            wall_ns = self._clock.wall_ns(output.watermark_ps)
            self.imager.batch(run, output, event_wall_ns=wall_ns)
        return len(frames) >= MAX_FRAMES_A_TURN

    def _receive(self) -> list[bytes]:
        frames: list[bytes] = []
        receive = self._sockets.data.recv
        try:
            while len(frames) < MAX_FRAMES_A_TURN:
                frames.append(receive(zmq.NOBLOCK))
        except zmq.Again:
            pass
        return frames

    def _supervise(self, run: Run, now: float) -> None:
        for severity, words in self._watch.look(run, now):
            self.journal.add(severity, words)
        if run.pipeline.decoder.all_ended:
            self._begin_closing("all modules have ended")
        elif len(run.reports) >= len(self.sources.present) > 0:
            self._begin_closing("the sources have finished")
        elif self._watch.given_up(run, now):
            run.taint("incomplete: the source fell silent")
            self._begin_closing("no data for too long")

    # --- sources ------------------------------------------------------------------------------

    def _serve_sources(self) -> None:
        new, reports = self.sources.poll()
        for source in new:
            hello = source.hello
            self.journal.add("info", f"source attached: {hello.kind}, {hello.modules} modules")
        for report in reports:
            if self.run is not None and report.run_tag == self.run.run_tag:
                self.run.reports.append(report)
        now = time.monotonic()
        if not self._is_due("slow", now, 1.0):
            return
        for source in self.sources.newly_lost():
            self.journal.add("alarm", f"source lost: {source.hello.kind} says nothing any more")
            if self.run is not None and self.control.state == "running":
                self.run.taint("incomplete: a source was lost during the run")
        self._watch_disk()

    def _watch_disk(self) -> None:
        try:
            self.runs_root.mkdir(parents=True, exist_ok=True)
            self.disk_free = shutil.disk_usage(self.runs_root).free
        except OSError as error:
            self.journal.add("alarm", f"{self.runs_root}: {error.strerror}")
            return
        if self.disk_free < self._min_free_bytes and self.control.state == "running":
            assert self.run is not None
            words = f"disk nearly full: {self.disk_free / 2**20:.0f} MiB left in {self.runs_root}"
            self.journal.add("alarm", f"{words}; the run is stopped while it can be closed well")
            self.run.taint(f"incomplete: {words}")
            self._begin_closing(words)

    # --- commands -----------------------------------------------------------------------------

    def _serve_commands(self) -> None:
        while self._sockets.control.poll(0):
            identity, *parts = self._sockets.control.recv_multipart()
            try:
                command = decode_as(Command, parts[-1] if parts else b"")
            except MessageError as error:
                self.journal.add("warning", f"a client sent what is no command: {error}")
                continue
            self._reply(identity, self._obey(identity, command))

    def _obey(self, identity: bytes, command: Command) -> Reply:
        try:
            result = self._commands[command.name](command)
        except (DaqError, SettingsError, ValueError) as error:
            self.journal.add("warning", f"{command.name} refused: {error}")
            return Reply(id=command.id, status="failed", reason=str(error))
        if result is None:
            self._waiting.append((identity, command.id))
            return Reply(id=command.id, status="accepted")
        return Reply(id=command.id, status="done", result=result)

    def _reply(self, identity: bytes, reply: Reply) -> None:
        try:
            self._sockets.control.send_multipart([identity, encode(reply)], zmq.NOBLOCK)
        except zmq.ZMQError:
            self.journal.add("warning", f"a client is gone or stuck: reply {reply.id} was dropped")

    def _arm(self, command: Command) -> dict[str, Any]:
        self.control.require("idle", "closed")
        config = config_from_args(command.args) if command.args else self.template
        if config is None:
            raise RunError("arm: no configuration was given and the daq was started without one")
        self._watch_disk()
        if self.disk_free < self._min_free_bytes:
            raise StorageError(
                f"only {self.disk_free / 2**20:.0f} MiB free in {self.runs_root}, a run needs "
                f"{self._min_free_bytes / 2**20:.0f}: free some or choose another --runs folder"
            )
        self.run = Run(config, self.runs_root)
        self.journal.open(self.run.folder)
        self.imager.start(self.run)
        self.template = msgspec.structs.replace(config, name="")  # "arm" alone repeats it
        self.control.to("armed")
        self.journal.add("info", f"armed {self.run.name}: {self.run.scanner.title}")
        return {"run": str(self.run.folder), "name": self.run.name}

    def _start(self, command: Command) -> dict[str, Any]:
        self.control.require("armed")
        assert self.run is not None
        if not self.sources.present:
            raise RunError("no source is attached: start one (`tomoshibi emulate`), then start")
        self._check_sources(self.run)
        self.control.to("running")
        self.run.start()
        self._clock = WallClock()
        self._watch = RunWatch()
        self._watch.data_came(time.monotonic())
        tag, duration_s = self.run.run_tag, self.run.config.duration_s
        self.sources.send_all(Start(run_tag=tag, duration_s=duration_s))
        self.journal.add("info", f"started, source: {self.sources.describe()}")
        return {"run": str(self.run.folder)}

    def _check_sources(self, run: Run) -> None:
        """Refuse to start with sources that are not this run's scanner."""
        scanner = run.scanner
        found = {source.hello.scanner for source in self.sources.present}
        modules = sum(source.hello.modules for source in self.sources.present)
        if found != {scanner.name} or modules != scanner.n_modules:
            raise RunError(
                f"the sources are {', '.join(sorted(found))} with {modules} modules, the run is "
                f"armed for {scanner.name} with {scanner.n_modules}: start the source with "
                f"--preset {scanner.name}, or arm for the other scanner"
            )

    def _stop(self, command: Command) -> None:
        self.control.require("running", "stopping")
        if self.control.state == "running":
            self._begin_closing("stopped by command")

    def _reset(self, command: Command) -> dict[str, Any]:
        self.control.require("armed", "closed", "error")
        if self.control.state == "armed":
            self._discard("reset")
        else:
            self.control.to("idle")
        self.run = None
        return {}

    def _status(self, command: Command) -> dict[str, Any]:
        run = self.run
        return {
            "state": self.control.state,
            "reason": self.control.reason,
            "run": str(run.folder) if run else "",
            "sources": [source.hello.kind for source in self.sources.present],
            "imager": self.imager.present,
            "imager_run": self.imager.run,
        }

    def _shutdown(self, command: Command) -> dict[str, Any]:
        self.leave()
        return {}

    # --- the end of a run ---------------------------------------------------------------------

    def _begin_closing(self, why: str, drain_s: float | None = None) -> None:
        assert self.run is not None
        self.control.to("stopping", why)
        self.journal.add("info", f"stopping: {why}")
        self.sources.send_all(Stop())
        self._closing = Closing(
            time.monotonic(), sources=len(self.sources.present), imager=self.imager.present
        )
        if drain_s is not None:
            self._closing.hurry(drain_s)

    def _advance_closing(self, now: float) -> None:
        run, closing = self.run, self._closing
        assert run is not None
        assert closing is not None
        try:
            if not closing.drained:
                if closing.drain_is_over(run, now, last_data_s=self._watch.last_data_s):
                    self._finish(run, closing, now)
            elif closing.imager_is_done(run, now):
                self._close(run)
        except StorageError as error:
            self._fail(str(error))

    def _finish(self, run: Run, closing: Closing, now: float) -> None:
        closing.drained_at(now)
        output = run.finish()
        wall_ns = self._clock.wall_ns(output.watermark_ps)
        self.imager.batch(run, output, event_wall_ns=wall_ns)
        self.imager.end(run)

    def _close(self, run: Run) -> None:
        for words in self._watch.last_words(run):
            self.journal.add("warning", words)
        summary = run.write_summary()
        self.journal.add(
            "info",
            f"closed {run.name}: {summary['prompts']} prompts, {summary['delayeds']} delayeds, "
            f"{summary['condition']}, books {'close' if summary['conserved'] else 'do not close'}",
        )
        self.control.to("closed", self.control.reason)
        self._end_waiting("done", {"run": str(run.folder)})

    def _fail(self, reason: str) -> None:
        """Latch an error: the run is cut off here, with everything before it safe."""
        self.journal.add("alarm", reason)
        self.control.latch(reason)
        self.sources.send_all(Stop())
        if self.run is not None:
            self.run.taint(f"incomplete: {reason}")
            self.run.abandon()
            self.imager.end(self.run)
            try:
                self.run.write_summary()
            except StorageError as error:
                self.journal.add("alarm", f"no summary either: {error}")
        self._end_waiting("failed", {}, reason)

    def _discard(self, why: str) -> None:
        """Close an armed run that never started; its folder stays, with the reason."""
        assert self.run is not None
        self.run.taint(f"incomplete: never started ({why})")
        self.run.finish()
        self.run.write_summary()
        self.journal.add("info", f"{self.run.name} was never started: {why}")
        self.journal.close()
        self.control.to("idle")

    def _end_waiting(self, status: str, result: dict[str, Any], reason: str = "") -> None:
        for identity, number in self._waiting:
            reply = Reply(id=number, status=status, result=result, reason=reason)  # type: ignore[arg-type]
            self._reply(identity, reply)
        self._waiting.clear()
        self._closing = None
        self.journal.close()
