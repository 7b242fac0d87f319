"""The link process's loop: between the daq's source plane and the modules.

No run begins before every module is ready (``Hello.not_ready`` says which is not). A run ends
within a second of Stop, with a report of what each module really sent. The loop never waits for a
module: the daq hears from the link four times a second, whatever the lines do.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import msgspec

from daq.link.modules.frame_sender import FrameSender
from daq.link.modules.joint_run import LinkRun
from daq.link.modules.linked_module import LinkedModule, ModulePort
from daq.link.modules.order_desk import ModuleDesk
from daq.link.modules.setup import ModuleSetup
from daq.link.modules.states import state_of
from daq.link.serial.poller import Poller
from hw.messages.codec import AnyMessage
from hw.messages.endpoints import Endpoints
from hw.messages.modules import ModuleOrder, ModuleStates
from hw.messages.source import Hello, OnDisk, Resume, SendAgain, Shutdown, SourceReport, Start, Stop
from hw.messages.source_link import SourceLink
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice
from hw.scanner.description import Scanner
from hw.service_manager import ServiceManager

TURN_S = 0.01
STEP_S = 0.04
STATES_S = 0.25
LEAVE_S = 1.0
MOST_LINES = 1000


class LinkService:
    """Serves runs until told to leave. ``leave`` may be called from a signal handler.

    Parameters
    ----------
    endpoints : where the other processes are
    scanner : whose modules they are
    ports : of the modules to serve
    setup : settings to write to each module before a run
    transcripts : folder for dumps of a line after a fault; None for none
    say : is called with each line of the journal too, for the terminal
    """

    def __init__(
        self,
        endpoints: Endpoints,
        scanner: Scanner,
        ports: Sequence[ModulePort],
        setup: ModuleSetup,
        *,
        transcripts: Path | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._n_modules = scanner.n_modules
        self._say = say
        self._lines: deque[JournalLine] = deque(maxlen=MOST_LINES)
        self._poller = Poller()
        self._pool = ThreadPoolExecutor(len(ports) + 2, thread_name_prefix="module")
        self._sender = FrameSender(endpoints.of("data"), [port.module for port in ports])
        self.modules = {
            port.module: LinkedModule(
                port,
                setup,
                poller=self._poller,
                pool=self._pool,
                sender=self._sender,
                journal=self._tell,
                transcripts=transcripts,
            )
            for port in ports
        }
        hello = Hello(
            kind="firmware", scanner=scanner.name, modules=len(ports), pid=os.getpid(),
            not_ready="the modules are being brought up",
            needs_detector=any(port.emulated for port in ports), keeps=True,
        )  # fmt: skip
        self._link = SourceLink(endpoints, hello)
        self._desk = ModuleDesk(self.modules, self._tell)
        self._run: LinkRun | None = None
        self._next_start: Start | None = None
        self._report: SourceReport | None = None
        self._tag = 0
        self._manager = ServiceManager.of(os.environ)
        self._leave = False
        self._was_ready = False
        self._states_s = self._step_s = 0.0

    def leave(self) -> None:
        """Make ``serve`` return soon."""
        self._leave = True

    def serve(self) -> None:
        """Serve until Shutdown or ``leave()`` (a launcher's death is a SIGTERM); bias off then."""
        self._manager.ready()
        try:
            while not self._leave:
                self._manager.alive(time.monotonic())
                self.turn()
        finally:
            self._manager.leaving()
            self.close()

    def turn(self) -> None:
        """Do one turn of the loop."""
        for order in self._link.poll(TURN_S):
            self._obey(order)
        now = time.monotonic()
        if now >= self._step_s:
            self._step_s = now + STEP_S
            for linked in self.modules.values():
                linked.step()
        self._advance_run(now)
        for answer in self._desk.answers():
            self._link.answer(answer)
        if now >= self._states_s:
            self._states_s = now + STATES_S
            self._tell_states()

    # --- orders and runs ----------------------------------------------------------------------

    def _obey(self, order: AnyMessage) -> None:
        if isinstance(order, Start):
            self._next_start = order
            if self._run is not None:
                self._run.stop(time.monotonic())  # a daq that was restarted begins anew
        elif isinstance(order, Stop) and self._run is not None:
            self._run.stop(time.monotonic())
        elif isinstance(order, Shutdown):
            self._leave = True
        elif isinstance(order, ModuleOrder):
            answer = self._desk.obey(order)
            if answer is not None:
                self._link.answer(answer)
        elif (
            isinstance(order, OnDisk | Resume | SendAgain)
            and order.run_tag == self._link.hello.run_tag
        ):
            self._keep_or_send_again(order)

    def _keep_or_send_again(self, order: OnDisk | Resume | SendAgain) -> None:
        if isinstance(order, OnDisk):
            self._sender.release(order)
            return
        if isinstance(order, SendAgain):
            self._sender.send_lacking(order)
            return
        self._tell(notice("link.sends_again"))
        self._sender.send_again(order)
        if self._run is None and self._report is not None:
            self._link.report(self._report)

    def _advance_run(self, now: float) -> None:
        if self._run is None and self._next_start is not None:
            order, self._next_start = self._next_start, None
            modules = list(self.modules.values())
            self._sender.forget()
            self._report, self._tag = None, order.run_tag
            self._run = LinkRun(order, modules, n_modules=self._n_modules)
        if self._run is not None:
            self._run.advance(now)
            if self._run.ended:
                self._tell_states()  # its lines come before its report, which ends its journal
                self._report, self._run = self._run.report(), None
                self._link.report(self._report)
        self._link.beat.running = self._desk.running = self._run is not None

    # --- what is told -------------------------------------------------------------------------

    def _tell(self, line: JournalLine) -> None:
        """Keep a line for the journal; may be called from any thread."""
        self._lines.append(line)
        self._say(f"{line.severity}: {line.text}")

    def _tell_states(self) -> None:
        words = self._not_ready()  # in a run too: the next may be asked for as soon as it ends
        if self._run is None and self._sender.all_on_disk:
            self._tag = 0
        self._link.introduce(
            msgspec.structs.replace(self._link.hello, not_ready=words, run_tag=self._tag)
        )
        if not words and not self._was_ready:
            self._tell(notice("module.all_ready", count=len(self.modules)))
        self._was_ready = not words
        lines = (
            [self._lines.popleft() for _ in range(len(self._lines))] if self._link.welcomed else []
        )
        self._link.tell(
            ModuleStates(
                modules=[state_of(linked) for linked in self.modules.values()],
                scans=list(self._desk.scans.values()),
                log=lines,
                wall_ns=time.monotonic_ns(),
            )
        )

    def _not_ready(self) -> str:
        """Return which modules cannot begin a run, and why the first cannot; "" for none."""
        found = {linked.module: linked.not_ready for linked in self.modules.values()}
        lacking = {module: words for module, words in found.items() if words}
        if not lacking:
            return ""
        first, words = next(iter(lacking.items()))
        others = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        return f"module {first}{others}: {words}"

    # --- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Switch the bias off, close the lines and the sockets; bounded."""
        self._desk.stop()
        modules = self.modules.values()
        for linked in modules:
            linked.leaving = True
        there = [linked for linked in modules if linked.connected]
        for farewell in ("abort_run", "switch_off"):  # behind what is under way: the last order
            wait([linked.begin(getattr(linked, farewell)) for linked in there], timeout=LEAVE_S)
        wait([self._pool.submit(linked.close) for linked in modules], timeout=LEAVE_S)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._poller.close()
        self._sender.close()
        self._link.close()
