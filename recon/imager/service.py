"""The live imager process: coincidence batches in, images and reports out.

It connects to the daq's coincidence plane (PULL, bounded queue) and reports plane, and binds the
image plane (XPUB). Nothing waits for it: the daq counts what its queue cannot take, and sequence
numbers show the gaps here. It serves any number of runs; a RunBegin of another run resets it, one
of the same run may change how that is imaged. New subscribers get the newest image at once.
A PET run whose sensitivity is not known yet waits for it beside the serving thread, with its events
(:mod:`recon.imager.preparation`). ``leave()``, SIGTERM or SIGINT end it within half a second: all
waits are bounded and long computations poll whether to stop.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

import msgspec
import zmq

from hw.free_memory import keep_what_is_loaded
from hw.messages.base import MessageError
from hw.messages.codec import decode, encode
from hw.messages.endpoints import Endpoints
from hw.messages.imager import CoincidenceBatch, ImagerReport, RunBegin, RunEnd, SinglesBatch
from hw.messages.live_settings import LiveSettings
from hw.messages.pictures import ImageMessage
from hw.scanner.description import ScannerError
from hw.scanner.preset_file import parse_scanner
from recon.core.grid import ReconError
from recon.imager.pet_run import PetLiveRun
from recon.imager.preparation import Held, RunInWaiting, what_it_depends_on
from recon.imager.run_base import LiveRun
from recon.imager.spect_run import SpectLiveRun
from recon.imager.warm_up import warm_kernels, warm_live, warm_live_scatter, warm_spect
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines

QUEUE = 512
"""Batches queued on this side; as many wait in the daq."""

POLL_S = 0.05
REPORT_S = 1.0
LINGER_MS = 100
BATCHES_PER_TURN = 200
SUBSCRIBED = b"\x01"

Clock = Callable[[], float]


@dataclass(frozen=True)
class Pace:
    """How often images are made.

    period_s : from image to image
    budget_s : projector time within it; filters come on top
    catch_up_s : time that new events may take when there are many, at the cost of older ones
    threads : of the projector during the run
    """

    period_s: float = 0.08
    budget_s: float = 0.02
    catch_up_s: float = 0.08
    threads: int = 1


def _is_same(begin: RunBegin, known: RunBegin) -> bool:
    """Whether it is the run that is known: armed anew, it may have another calibration."""
    return (begin.run, begin.calibration) == (known.run, known.calibration)


class LiveService:
    """Serves runs until told to leave. ``leave`` may be called from a signal handler."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        pace: Pace | None = None,
        live: LiveSettings | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Bind and connect; ``live`` overrides the runs' own settings."""
        self._pace = pace or Pace()
        self._live = live
        self._clock = clock
        self._leave = False
        self.serving = False
        self._run: LiveRun | None = None
        self._waiting: RunInWaiting | None = None
        self._imager: LiveImager[CrystalLines] | None = None
        self._imager_key: tuple[object, ...] = ()
        self._last: bytes | None = None
        self._words = ""
        self._refused = ""
        self._reported = -math.inf
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._batches = _socket(context, zmq.PULL, QUEUE)
        self._reports = _socket(context, zmq.PUSH, 10)
        self._images = _socket(context, zmq.XPUB, 2)
        self._images.setsockopt(zmq.XPUB_VERBOSE, 1)  # every subscriber is told of, not the first
        endpoints.connect(self._batches, "coincidences")
        endpoints.connect(self._reports, "reports")
        endpoints.bind(self._images, "images")
        self._poller = zmq.Poller()
        self._poller.register(self._batches, zmq.POLLIN)
        self._poller.register(self._images, zmq.POLLIN)

    def leave(self) -> None:
        """Stop serving soon."""
        self._leave = True

    def serve(self) -> None:
        """Serve runs until ``leave()``."""
        self.serving = True
        next_image = self._clock()
        try:
            while not self._leave:
                self._receive(min(POLL_S, max(0.0, next_image - self._clock())))
                self._look_at_waiting()
                now = self._clock()
                if now >= next_image:
                    next_image = now + self._pace.period_s
                    self._make_image()
                if now - self._reported >= REPORT_S:
                    self._reported = now
                    self._report()
        finally:
            self.close()

    def close(self) -> None:
        """Close sockets and threads."""
        self._end_present()
        if self._imager is not None:
            self._imager.close()
        for socket in (self._batches, self._reports, self._images):
            socket.close(linger=LINGER_MS)

    def _receive(self, wait_s: float) -> None:
        """Take in what has come, waiting at most ``wait_s`` for the first message."""
        ready = dict(self._poller.poll(int(wait_s * 1000) + 1))
        if self._images in ready:
            self._greet()
        for _ in range(BATCHES_PER_TURN if self._batches in ready else 0):
            if self._leave or not self._batches.poll(0):
                return
            self._handle(self._batches.recv_multipart())

    def _greet(self) -> None:
        """Send the newest image to new subscribers (and, again, to all)."""
        subscribed = False
        while self._images.poll(0):
            subscribed |= self._images.recv().startswith(SUBSCRIBED)
        if subscribed and self._last is not None:
            self._images.send(self._last, zmq.NOBLOCK)

    @contextlib.contextmanager
    def _telling_errors(self) -> Iterator[None]:
        """Tell an error with the next report: what one message does wrong ends nothing else."""
        try:
            yield
        except (MessageError, ReconError, ScannerError) as error:
            self._words = str(error)

    def _handle(self, parts: list[bytes]) -> None:
        with self._telling_errors():
            message = decode(parts[0])
            if isinstance(message, RunBegin):
                self._begin(message)
            elif isinstance(message, RunEnd | CoincidenceBatch | SinglesBatch):
                if self._waiting is not None:
                    self._waiting.keep(message, parts[1:])
                else:
                    self._use(message, parts[1:])

    def _use(self, message: Held, parts: list[bytes]) -> None:
        """Use a batch for the image, or finish it."""
        if self._run is None:
            return
        if not isinstance(message, RunEnd):
            self._run.take(message, parts)
        else:
            final = self._run.end(message, stopped=self._must_end)
            if final is not None:
                self._publish(final)
                self._report()

    def _must_end(self) -> bool:
        """Report once a second while the final image is made; return whether to abandon it.

        That is so if the process must leave, or the next run waits.
        """
        if (now := self._clock()) - self._reported >= REPORT_S:
            self._reported = now
            self._greet()
            self._report()
        return self._leave or bool(self._batches.poll(0))

    def _begin(self, begin: RunBegin) -> None:
        """Begin a run unless it was refused before; the current run gets its changes."""
        if begin.run == self._refused:
            return
        if self._live is not None:
            activity = self._live.activity or begin.live.activity
            live = msgspec.structs.replace(self._live, activity=activity)
            begin = msgspec.structs.replace(begin, live=live)
        if self._run is not None and _is_same(begin, self._run.begin):
            self._run.restate(begin)
            return
        if self._waiting is not None and _is_same(begin, self._waiting.begin):
            self._waiting.begin = begin
            return
        self._end_present()
        self._refused = begin.run
        scanner = parse_scanner(begin.scanner_toml)
        if scanner.modality == "SPECT":
            self._run = SpectLiveRun(begin, clock=self._clock, threads=self._pace.threads)
        elif self._imager is not None and self._imager_key == what_it_depends_on(begin):
            self._image_pet(begin, self._imager)
        else:
            self._waiting = RunInWaiting(begin, scanner)
        self._refused = ""

    def _end_present(self) -> None:
        """End what is imaged, or prepared, at present."""
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None
        if self._run is not None:
            self._run.close()
            self._run = None

    def _image_pet(self, begin: RunBegin, imager: LiveImager[CrystalLines]) -> None:
        self._run = PetLiveRun(begin, imager, clock=self._clock)

    def _look_at_waiting(self) -> None:
        """Begin the run that waits, if its imager is ready, with all that came meanwhile."""
        waiting = self._waiting
        if waiting is None:
            return
        prepared = waiting.prepared()
        if prepared is None:
            if waiting.failed:
                self._words, self._refused = waiting.failed, waiting.begin.run
                self._waiting = None
            return
        self._waiting = None
        if self._imager is not None:
            self._imager.close()
            self._imager = None  # its memory is free before that of the next is taken
        imager = LiveImager(
            CrystalLines(prepared.system),
            prepared.sensitivity,
            clock=self._clock,
            threads=self._pace.threads,
        )
        self._imager, self._imager_key = imager, what_it_depends_on(waiting.begin)
        with self._telling_errors():
            self._image_pet(waiting.begin, imager)
        if waiting.dropped:
            self._words = f"{waiting.dropped} batches came too early and had no room to wait"
        for message, parts in waiting.held():
            with self._telling_errors():
                self._use(message, parts)

    def _make_image(self) -> None:
        if self._run is None:
            return
        image = self._run.image(budget_s=self._pace.budget_s, catch_up_s=self._pace.catch_up_s)
        if image is not None:
            self._publish(image)
        self._run.catch_up()

    def _publish(self, image: ImageMessage) -> None:
        self._last = encode(image)
        self._images.send(self._last, zmq.NOBLOCK)

    def _report(self) -> None:
        report = ImagerReport(run="")
        if (told_by := self._run or self._waiting) is not None:
            report = told_by.report()
        words, self._words = (report.message, self._words), ""
        report.message = "; ".join(one for one in words if one)
        try:
            self._reports.send(encode(report), zmq.NOBLOCK)
        except zmq.Again:
            return  # no daq: it will hear the next one


def _socket(context: zmq.Context[zmq.Socket[bytes]], kind: int, queue: int) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, queue)
    socket.setsockopt(zmq.RCVHWM, queue)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    return socket


LOAD = {"PET": (warm_live, warm_live_scatter), "SPECT": (warm_spect,), "": (warm_kernels,)}


def run_imager(
    endpoints: Endpoints,
    *,
    pace: Pace | None = None,
    live: LiveSettings | None = None,
    modality: str = "",
) -> None:
    """Run the imager process until it is told to leave; installs handlers for its signals.

    modality : "PET" or "SPECT" loads the kernels of such runs only; "" those of all
    """
    service = LiveService(endpoints, pace=pace, live=live)
    if threading.current_thread() is threading.main_thread():

        def leave(signum: int, frame: FrameType | None) -> None:
            service.leave()
            if not service.serving:  # loading kernels takes a second or more, and asks nobody
                raise SystemExit

        signal.signal(signal.SIGTERM, leave)
        signal.signal(signal.SIGINT, leave)
    try:
        for load_kernels in LOAD[modality]:
            load_kernels()
    except SystemExit:
        service.close()
        raise
    keep_what_is_loaded()
    service.serve()
