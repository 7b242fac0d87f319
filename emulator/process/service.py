"""The emulator process: waits for Start, streams frames in real time, reports, waits again.

In front of firmware modules (``hits`` in the configuration) it writes hits and period marks to
their windows instead, and they make the frames.

Promises: Stop ends a run with a LAST frame from every module and a report of what was really sent.
Shutdown, SIGTERM, SIGINT and the parent's death do the same and end the process within half a
second, without LAST frames if the receiver takes nothing. Nothing is dropped to keep pace: where
the Monte Carlo or the receiver is too slow, emulated time falls behind the wall clock, the lag is
reported, and the activity stays as it was.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec
import numpy as np

from emulator.config import EmulationError, EmulatorConfig, check_hit_fault
from emulator.detector.digitizer import DEAD, PILED_UP
from emulator.detector.truth_file import open_truth
from emulator.engines.emulation import Emulation, rehearse
from emulator.engines.instrument import Instrument, moving
from emulator.engines.pace import at_its_pace
from emulator.engines.prepare import prepare
from emulator.fault_kinds import Fault
from emulator.process.data_link import DataLink
from emulator.process.hit_writer import HitWriter
from emulator.process.run_faults import FaultDesk, RunFaults, check_faults
from emulator.process.settings_check import check_links
from emulator.slices import PERIOD_S, SliceAhead, SliceHits
from hw.messages.endpoints import Endpoints, default_base
from hw.messages.source import (
    FaultOrder,
    Hello,
    OnDisk,
    Resume,
    SendAgain,
    Shutdown,
    SourceReport,
    Start,
    Stop,
)
from hw.messages.source_link import SourceLink
from hw.wire.protocol import MAX_EVENTS


class Pacer:
    """Paces periods of equal length; the ``first`` one starts when created, or at ``begin``."""

    def __init__(
        self,
        period_s: float,
        *,
        real_time: bool,
        first: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lag_s = 0.0
        self.max_lag_s = 0.0
        self._period_s = period_s
        self._real_time = real_time
        self._clock = clock
        self._first = first
        self.begin()

    def begin(self) -> None:
        """Let the first period begin now."""
        self._start_s = self._clock() - self._first * self._period_s

    def wait_s(self, period: int) -> float:
        """Return the time until this period ends on the wall clock; 0 if it has ended."""
        if not self._real_time:
            return 0.0
        return max(0.0, self._due_s(period) - self._clock())

    def sent(self, period: int) -> None:
        """Note that the period has been sent; updates ``lag_s`` and ``max_lag_s``."""
        if self._real_time:
            self.lag_s = max(0.0, self._clock() - self._due_s(period))
            self.max_lag_s = max(self.max_lag_s, self.lag_s)

    def _due_s(self, period: int) -> float:
        return self._start_s + (period + 1) * self._period_s


_IDLE_POLL_S = 0.1


class EmulatorService:
    """Serves runs until told to stop. ``leave`` may be called from a signal handler."""

    def __init__(self, config: EmulatorConfig, instrument: Instrument, *, remark: str = "") -> None:
        self._config, self._instrument = config, instrument
        endpoints = Endpoints(config.endpoint or default_base())
        scanner = instrument.scanner
        check_faults(config.faults, scanner)
        hello = Hello(
            kind="emulator",
            scanner=scanner.name,
            modules=0 if config.hits else scanner.n_modules,
            pid=os.getpid(),
            serial=instrument.serial,
            labels={"activity_MBq": config.activity_Bq / 1e6},
            remark=remark,
            keeps=not config.hits,
        )
        self._link = SourceLink(endpoints, hello)
        self._data_address = endpoints.of("data")
        self._data: DataLink | None = None
        self._leave = False
        self._stop = False
        self._next_start: Start | None = None
        self._report: SourceReport | None = None
        self._runs = 0
        self._desk = (
            FaultDesk(scanner, refuse=check_hit_fault) if config.hits else FaultDesk(scanner)
        )

    def leave(self) -> None:
        """Ask the service to end soon."""
        self._leave = True

    def serve(self) -> None:
        """Serve runs until Shutdown, ``leave()`` or the parent's death.

        A Start during a run ends that run first, since a restarted daq begins afresh.
        """
        try:
            while not self._leaving():
                self._take_orders(_IDLE_POLL_S)
                if self._next_start is not None and not self._leaving():
                    order, self._next_start = self._next_start, None
                    self._run(order)
        finally:
            self._close_data()
            self._link.close()

    def _run(self, order: Start) -> None:
        self._close_data()
        self._stop = False
        try:
            instrument = moving(self._instrument, order.orbit)
        except EmulationError as error:
            self._report_failure(order, str(error))
            return
        modules, hits = instrument.scanner.n_modules, None
        if self._config.hits:
            hits = self._open_hits(order)
            if hits is None:
                return
        self._data = DataLink(self._data_address, 0 if hits else modules)
        standing = self._desk.standing()
        run = _Run(self._config, instrument, order, self._data, self._runs, standing, hits)
        self._desk.run = run.faults
        self._runs += 1
        self._report = None
        self._link.beat.running = True
        self._link.introduce(msgspec.structs.replace(self._link.hello, run_tag=order.run_tag))
        try:
            self._stream(run)
            self._report = run.report()
            self._link.report(self._report)
        finally:
            self._link.beat.running = False
            self._forget_run()
            self._desk.run = None
            run.close()

    def _open_hits(self, order: Start) -> HitWriter | None:
        """Return the hit writer once all modules accept the run's hits; else report why they
        do not, and return None."""
        modules = self._instrument.scanner.n_modules
        real_time = self._config.pace == "real-time"
        hits = HitWriter(Path(self._config.hits), modules, real_time=real_time)
        failed = "the run was ended before the modules took hits"
        try:
            if hits.wait_for_gates(order.run_tag, self._gives_up_waiting):
                return hits
        except EmulationError as error:
            failed = str(error)
        hits.close()
        self._report_failure(order, failed)
        return None

    def _report_failure(self, order: Start, why: str) -> None:
        none = [0] * self._instrument.scanner.n_modules
        self._link.report(
            SourceReport(
                run_tag=order.run_tag,
                singles_emitted=none,
                frames_sent=none,
                dead_events=none,
                hits_offered=none,
                failed=why,
            )
        )

    def _gives_up_waiting(self) -> bool:
        self._take_orders()
        return self._ending()

    def _close_data(self) -> None:
        """Close the last run's sockets. Not at its end: a receiver whose queue is full drops
        unread data when the sender closes the connection."""
        if self._data is not None:
            self._data.close()
            self._data = None

    def _stream(self, run: _Run) -> None:
        for hits in run.faults.stream(run.ahead):
            if hits.index == 0:  # time begins when the source can send: what it took is no lag
                run.pacer.begin()
            self._wait_until_due(run, hits.index)
            last = self._ending() or hits.index >= run.last_period
            if not run.send_period(hits, last=last, give_up=self._take_orders):
                return
            self._link.beat.detector_time_s = (hits.index + 1) * PERIOD_S
            self._link.beat.lag_s = run.pacer.lag_s
            if last:
                return

    def _wait_until_due(self, run: _Run, period: int) -> None:
        while True:
            wait_s = min(run.pacer.wait_s(period), _IDLE_POLL_S)
            self._take_orders(math.ceil(wait_s * 1000) / 1000)
            if wait_s == 0.0 or self._leaving():
                return

    def _take_orders(self, timeout_s: float = 0.0) -> bool:
        """Handle the daq's orders; return whether to abandon the current work at once."""
        for order in self._link.poll(timeout_s):
            self._stop |= isinstance(order, Stop)
            self._leave |= isinstance(order, Shutdown)
            if isinstance(order, FaultOrder):
                self._link.answer(self._desk.obey(order))
            if isinstance(order, OnDisk | Resume | SendAgain):
                self._keep_or_send_again(order)
            if isinstance(order, Start):
                self._next_start = order
        return self._leaving()

    def _keep_or_send_again(self, order: OnDisk | Resume | SendAgain) -> None:
        if self._data is None or order.run_tag != self._link.hello.run_tag:
            return
        if isinstance(order, OnDisk):
            self._data.release(order)
        elif isinstance(order, SendAgain):
            self._data.send_lacking(order, self._leaving)
        else:
            self._data.send_again(order, self._leaving)
            if not self._link.beat.running and self._report is not None:
                self._link.report(self._report)
        self._forget_run()

    def _forget_run(self) -> None:
        """A run that is over and on the disk needs nothing more from here."""
        if not self._link.beat.running and self._data is not None and not self._data.kept.bytes:
            self._link.introduce(msgspec.structs.replace(self._link.hello, run_tag=0))

    def _ending(self) -> bool:
        return self._stop or self._next_start is not None or self._leaving()

    def _leaving(self) -> bool:
        return self._leave


class _Run:
    """One run's emulation, pacing and faults."""

    def __init__(
        self,
        config: EmulatorConfig,
        instrument: Instrument,
        order: Start,
        data: DataLink,
        number: int,
        standing: list[Fault],
        hits: HitWriter | None,
    ) -> None:
        self.seed = config.seed + number
        self._run_tag = order.run_tag
        self._emulation = Emulation(
            instrument,
            activity_Bq=config.activity_Bq,
            seed=self.seed,
            run_tag=order.run_tag,
            queue_words=config.queue_words if hits is None else MAX_EVENTS,
            origins=bool(config.truth),
            dead_time=hits is None,
        )
        self._hits = hits
        self._truth = open_truth(config.truth, order, config.scanner) if config.truth else None
        self.last_period = math.inf
        if order.duration_s > 0:
            self.last_period = max(0, math.ceil(order.duration_s / PERIOD_S - 1e-9) - 1)
        self.faults = RunFaults(
            self._emulation,
            instrument,
            config,
            seed=self.seed,
            standing=standing,
            labelled=bool(config.truth),
        )
        self._data = data
        self.ahead = SliceAhead(
            self._emulation.emulate_slice, threads=config.threads,
            look_ahead_s=config.look_ahead_s, first=order.first_period,
        )  # fmt: skip
        self._emulation.begin_at(order.first_period)
        real_time = config.pace == "real-time"
        self.pacer = Pacer(PERIOD_S, real_time=real_time, first=order.first_period)

    def send_period(self, hits: SliceHits, *, last: bool, give_up: Callable[[], bool]) -> bool:
        """Digitize one slice and send its frames, or its hits; False if given up."""
        hits = self.faults.disturb(hits, last=last)
        if self._hits is not None:
            return self._send_hits(self._hits, hits, last=last, give_up=give_up)
        made = self._emulation.digitize(hits, last=last)
        if self._truth is not None:
            self._truth.append(hits, made, self._emulation.digitizer)
        for module, frames in self.faults.sent(hits.index, made):
            if not all(self._data.send(module, frame, give_up) for frame in frames):
                return False
        self.pacer.sent(hits.index)
        return True

    def _send_hits(
        self, writer: HitWriter, hits: SliceHits, *, last: bool, give_up: Callable[[], bool]
    ) -> bool:
        emulation = self._emulation
        emulation.convert(hits, last=last)
        sent = writer.write(
            hits.index,
            emulation.digitizer,
            emulation.framer.module,
            last=last,
            give_up=give_up,
        )
        self.pacer.sent(hits.index)
        return sent

    def close(self) -> None:
        """Stop the threads, close the truth file and release the modules."""
        self.ahead.close()
        if self._hits is not None:
            self._hits.close()
        if self._truth is not None:
            self._truth.close({"periods": self._emulation.totals.periods})

    def report(self) -> SourceReport:
        """Return what was really sent: frames and event words as made, before any fault; hits
        instead of frames in front of firmware modules."""
        totals = self._emulation.totals
        truth = totals.truth() | {"seed": float(self.seed), "messages": float(sum(self._data.sent))}
        framer = self._emulation.framer
        dead_events = totals.counts[:, DEAD] + totals.counts[:, PILED_UP]
        if self._hits is not None:
            dead_events = np.zeros_like(dead_events)  # in no header: the modules count their own
        return SourceReport(
            run_tag=self._run_tag,
            singles_emitted=framer.words_made.tolist(),
            frames_sent=framer.frames_made.tolist(),
            dead_events=dead_events.tolist(),
            hits_offered=[] if self._hits is None else self._hits.offered.tolist(),
            faults=self.faults.done(),
            fault_log=self.faults.log(),
            truth=truth,
            max_lag_s=self.pacer.max_lag_s,
        )


def run_emulator(
    config: EmulatorConfig,
    *,
    progress: Callable[[float], None] | None = None,
    ready: Callable[[EmulatorConfig, str], None] | None = None,
) -> None:
    """Run the emulator process until it is told to stop; installs its signal handlers.

    ``progress`` is called with the share done while an event library is made, ``ready`` once all
    is accepted and prepared, with the configuration that this machine follows and a remark on it.

    Raises
    ------
    EmulationError, PhantomError, ScannerError, NuclideError, EndpointError
        if the configuration cannot be emulated, before anything is connected.
    """
    instrument = prepare(config, progress=progress)
    rehearse(instrument)
    config, remark = at_its_pace(config, instrument)
    check_links(instrument, config)
    service = EmulatorService(config, instrument, remark=remark)
    if threading.current_thread() is threading.main_thread():

        def leave(signum: int, frame: FrameType | None) -> None:
            service.leave()

        signal.signal(signal.SIGTERM, leave)
        signal.signal(signal.SIGINT, leave)
    if ready is not None:
        ready(config, remark)
    service.serve()
