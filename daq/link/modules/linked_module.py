"""One module on the link: its line, and what to do with it next.

The service's loop calls ``step`` often, and it never waits. Whatever does (opening the line,
bringing the module up, joining a run, a person's order) is a task in a thread, one at a time for
each module. A module that was reset, unplugged or faulted is brought up again as soon as possible
and, while a run goes on, joins it again with a FIRST frame. After a fault that a person had to
clear, the bias stays off until a person ramps it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from daq.link.modules.bring_up import bring_up, clears_itself, latched_fault
from daq.link.modules.frame_sender import FrameSender
from daq.link.modules.run_outcome import GIVEN_UP, ModuleRun
from daq.link.modules.setup import ModuleSetup
from daq.link.serial.line_errors import CommandRefused, SerialLinkError
from daq.link.serial.poller import Member, Poller
from daq.link.serial.session import ModuleSession
from daq.link.serial.transcript import Tell
from hw.messages.modules import LinkState
from hw.notices.catalogue import notice
from hw.wire.control import BiasState, ResetCause, State, fault_words

RETRY_S = 1.0
STATISTICS_S = 2.0
HasRoom = Callable[[], bool]


@dataclass(frozen=True)
class ModulePort:
    """Where a module is.

    machine : "serial", "native" or "qemu"
    url : what pyserial opens, or a function that returns it each time if it may change
    receiver : makes the receiver of its data path from the session and a function that tells
        whether there is room for frames; None if the path is the serial line
    emulated : whether an emulator is its detector, which ends runs by its last mark
    """

    module: int
    url: str | Callable[[], str]
    machine: str = "serial"
    baud: int = 115_200
    receiver: Callable[[ModuleSession, HasRoom], Member] | None = None
    emulated: bool = False

    @property
    def address(self) -> str:
        """The present URL, "" if there is none because its machine is dead."""
        if isinstance(self.url, str):
            return self.url
        with suppress(SerialLinkError):
            return self.url()
        return ""


def naming(module: int, words: str) -> str:
    """Return an error's message, preceded by the module's name unless it begins with it."""
    return words if words.startswith(f"module {module}") else f"module {module}: {words}"


class LinkedModule:
    """One module.

    words : why it is not ready, "" if it is
    holds_bias : whether only a person may switch the bias on
    leaving : whether the link process is ending, so that nothing is brought up any more

    Parameters
    ----------
    port : which module, and where its line is
    setup : settings to write before a run
    poller : watches its line
    pool : runs what would hold up the loop, such as opening and setting up
    sender : sends its frames on
    journal : is called with what a person should know
    transcripts : folder for dumps of the line after a fault; None for none
    clock : monotonic, in seconds
    """

    def __init__(
        self,
        port: ModulePort,
        setup: ModuleSetup,
        *,
        poller: Poller,
        pool: ThreadPoolExecutor,
        sender: FrameSender,
        journal: Tell,
        transcripts: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.port = port
        self.module = port.module
        self.setup = setup
        self.session: ModuleSession | None = None
        self.registers: dict[str, int] = {}
        self.run: ModuleRun | None = None
        self.words = "not contacted yet"
        self.holds_bias = self.leaving = False
        self._poller, self._pool, self._sender = poller, pool, sender
        self._tell, self._transcripts, self._clock = journal, transcripts, clock
        self._task: Future[Any] | None = None
        self._receiver: Member | None = None
        self._statistics = LinkState(url="", connected=False)
        self._statistics_s = 0.0
        self._starts = 0
        self._retry_s = 0.0

    # --- what the loop sees -------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a task is under way."""
        return self._task is not None and not self._task.done()

    @property
    def connected(self) -> bool:
        """Whether the line is open and the module answers."""
        return self.session is not None and self.session.connected

    @property
    def telemetry(self) -> np.void | None:
        """The newest telemetry, None before the first."""
        return None if self.session is None else self.session.telemetry

    def link_state(self) -> LinkState:
        """Return the state of the line; its statistics are computed every 2 s."""
        session, now = self.session, self._clock()
        if session is None:
            return LinkState(url=self.port.address, connected=False)
        if now >= self._statistics_s or session.connected != self._statistics.connected:
            self._statistics = session.statistics.link_state()
            self._statistics_s = now + STATISTICS_S
        return self._statistics

    @property
    def not_ready(self) -> str:
        """Why no run can begin with the module now; "" if one can."""
        if self.words:
            return self.words
        telemetry = self.telemetry
        if not self.connected or telemetry is None:
            return "it does not answer"
        fault = latched_fault(telemetry)
        if fault:
            return fault_words(fault)
        if telemetry["bias_state"] != BiasState.on:
            return "the bias is not on: ramp it"
        return ""

    def step(self) -> None:
        """Begin what is due; never waits."""
        if self.leaving or self.busy or self._clock() < self._retry_s:
            return
        self._collect()
        if self.session is None:
            self.begin(self._open)
        elif not self.connected:
            self.words = "it does not answer"
        elif self._fresh or (self.words and not self._blocked()):
            self.begin(self._bring_up)
        elif self._blocked():
            self.words, self.holds_bias = self._blocked(), True
        elif self._should_join():
            self.begin(self._join)

    def begin(self, task: Callable[[], Any]) -> Future[Any]:
        """Begin a task; the caller has checked that none is under way, or waits its turn."""
        before = self._task

        def work() -> Any:
            if before is not None:
                with suppress(SerialLinkError):
                    before.result()
            return task()

        self._task = self._pool.submit(work)
        return self._task

    def _collect(self) -> None:
        """Check how the last task ended; a failed one is repeated a little later."""
        task, self._task = self._task, None
        if task is None:
            return
        error = task.exception()
        if error is None:
            return
        self._retry_s = self._clock() + RETRY_S
        if not isinstance(error, SerialLinkError):
            self._tell(notice("module.defect", module=self.module, error=repr(error)))

    @property
    def _fresh(self) -> bool:
        """Whether the module has restarted since it was last brought up."""
        return self.session is not None and self.session.starts != self._starts

    def _still_runs(self, session: ModuleSession) -> bool:
        """Ask whether the module is still in the run, and note it if it is not."""
        run = self.run
        if run is None or not run.joined:
            return False
        report = session.command("report").fields
        if int(report["run_tag"]) == run.run_tag:
            run.take_report(report)
            state = session.command("telemetry")["state"]
            return run.is_over or state in (State.running, State.stopping)
        cause = ResetCause(int(session.identity["reset_cause"])).name.replace("_", " ")
        self._tell(notice("module.restarted", module=self.module, cause=cause))
        run.began_anew()
        return False

    def _blocked(self) -> str:
        """Return the latched fault that only a person may clear, in words; "" for none."""
        telemetry = self.telemetry
        fault = 0 if telemetry is None else latched_fault(telemetry)
        return "" if not fault or clears_itself(fault) else fault_words(fault)

    # --- tasks (in threads) -------------------------------------------------------------------

    def _open(self) -> None:
        try:
            self.session = ModuleSession.open(
                self.port.url,
                baud=self.port.baud,
                module=self.module,
                poller=self._poller,
                on_frame=lambda frame: self._sender.send(self.module, frame),
                on_notice=self._take_notice,
                journal=self._tell,
                transcripts=self._transcripts,
            )
        except SerialLinkError as error:
            self._complain(str(error))
            raise
        self._add_receiver(self.session)

    def _bring_up(self) -> None:
        session = self._open_session()
        self._starts = session.starts
        try:
            if self._still_runs(session):
                self._complain("")
                return
            setup = replace(self.setup, bias_mV=0) if self.holds_bias else self.setup
            self.registers = bring_up(session, setup, self.module, give_up=lambda: self.leaving)
        except SerialLinkError as error:
            self._complain(str(error))
            raise
        self._complain("")
        identity = session.identity
        self._tell(
            notice(
                "module.set" if setup.bias_mV else "module.set_without_bias",
                module=self.module, build=f"{int(identity['build']):08x}",
                bias_V=f"{setup.bias_mV / 1000:g}",
            )
        )  # fmt: skip

    def _should_join(self) -> bool:
        run = self.run
        return run is not None and not run.joined and not run.closing and not self.not_ready

    def _join(self) -> None:
        session, run = self._open_session(), self.run
        if run is None or run.joined:
            return
        again = run.joins > 0
        session.command("run", run_tag=run.run_tag, periods=run.periods, first_sequence=0)
        run.joined, run.ended, run.joins = True, 0, run.joins + 1
        if again:
            self._tell(notice("module.takes_part_again", module=self.module))

    def _open_session(self) -> ModuleSession:
        if self.session is None:
            raise SerialLinkError(f"module {self.module}: the line is not open: {self.words}")
        return self.session

    def _add_receiver(self, session: ModuleSession) -> None:
        """Listen to a data path other than the serial line."""
        if self.port.receiver is not None:
            self._receiver = self.port.receiver(session, lambda: self._sender.has_room)
            self._poller.add(self._receiver)

    def _complain(self, words: str) -> None:
        """Remember why the module is not ready, and report it once."""
        if words and words != self.words and not self.leaving:
            self._tell(notice("module.not_ready", why=naming(self.module, words)))
        self.words = words

    # --- runs ---------------------------------------------------------------------------------

    def begin_run(self, run_tag: int, periods: int) -> None:
        """Take part in a run from now on: ``step`` joins it."""
        self.run = ModuleRun(run_tag, periods, bias_mV=self.setup.bias_mV)
        self._retry_s = 0.0

    def stop_run(self) -> None:
        """End the module's part with the period under way (a task)."""
        self._end_run("stop")

    def abort_run(self) -> None:
        """End the module's part at once (a task)."""
        self._end_run("abort")

    def _end_run(self, command: str) -> None:
        if self.run is None or self.run.is_over or not self.connected:
            return
        with suppress(CommandRefused):  # it has just ended
            self._open_session().command(command, tries=2)

    def fetch_report(self) -> None:
        """Ask for the module's books of the run (a task); without an answer, those sent at the end
        are kept.
        """
        if self.run is None or not self.run.joins or not self.connected:
            return
        with suppress(SerialLinkError):
            reply = self._open_session().command("report", tries=2)
            self.run.take_report(reply.fields)

    @property
    def frames_missing(self) -> bool:
        """Whether frames counted in the module's report are still on their way."""
        if self.session is None or self.run is None or self.run.report is None:
            return False
        return self.session.books.missing(self.run.report) > 0

    def close_books(self) -> tuple[int, int]:
        """Return the (frames, words) that the module sent in the run, as far as known."""
        if self.session is None or self.run is None or not self.run.joins:
            return 0, 0
        books = self.session.books
        if self.run.report is not None:
            books.close(self.run.report)
        return books.frames + books.lost_frames, books.words + books.lost_words

    # --- what comes (in the poller's thread) --------------------------------------------------

    def _take_notice(self, name: str, payload: np.void) -> None:
        if name == "run_ended" and self.run is not None:
            self.run.take_report(payload)
            if self.run.ended == GIVEN_UP:
                self._tell(notice("module.gave_up", module=self.module))

    # --- the end ------------------------------------------------------------------------------

    def switch_off(self) -> None:
        """Switch the bias off (a task), if the module still answers."""
        if self.session is not None and self.connected:
            with suppress(SerialLinkError):
                self.session.command("bias", target_mV=0, tries=2)

    def close(self) -> None:
        """Close the line."""
        if self._receiver is not None:
            self._poller.remove(self._receiver)
        if self.session is not None:
            self.session.close()
