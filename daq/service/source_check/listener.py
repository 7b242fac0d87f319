"""Stands where the daq would, welcomes sources, starts them, and takes what they send."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import zmq

from daq.errors import ServiceError
from daq.service.data_sources import Sources
from daq.service.sockets import bind_service
from daq.service.source_check.source_check import SourceCheck
from hw.messages.endpoints import Endpoints
from hw.messages.sort_settings import SortSettings
from hw.messages.source import Shutdown, Start, Stop
from hw.scanner.description import Scanner

MOST_FRAMES = 512
LOOK_MS = 50
GRACE_S = 5.0
"""So long after Stop the last frames and reports are waited for; and after the last frame that
came, for a source that ends by itself."""

MOST_TOLD = 10
"""Frames of a verdict are told one by one until there are more."""

Said = Callable[[str], None]


@dataclass(frozen=True)
class Bounds:
    """How long to wait for sources, and to listen to them (s); both are bounds of wall time."""

    wait_s: float
    seconds: float


def listen(
    endpoints: Endpoints,
    scanner: Scanner,
    settings: SortSettings,
    bounds: Bounds,
    *,
    say: Said,
    each_frame: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[SourceCheck, list[str]]:
    """Start the sources that come and check what they send; return the check, and what their
    messages were refused for.

    Parameters
    ----------
    endpoints : where the daq would be
    scanner, settings : that the source is to be, and the windows that its singles are judged by
    bounds : of waiting and listening
    say : is told what happens, in words
    each_frame : whether to say the verdict on each frame, not only on those refused
    stopped : polled; True ends the run early

    Raises
    ------
    ServiceError
        if a daq has the endpoint, or no source of this scanner came.
    """
    sockets = bind_service(endpoints)
    try:
        sources = Sources(sockets.source)
        refusals = _wait(sources, scanner, bounds, say, stopped)
        check = SourceCheck(scanner, settings, int.from_bytes(os.urandom(4)) | 1)
        sources.send_all(Start(run_tag=check.run_tag, duration_s=bounds.seconds))
        say(f"started with run_tag {check.run_tag}, duration_s {bounds.seconds:g}")
        _Listening(check, sources, sockets.data, say, each_frame).until_done(bounds, stopped)
        refusals += sources.take_refusals()
        sources.send_all(Shutdown())
        return check, refusals
    finally:
        sockets.close()


def _wait(
    sources: Sources, scanner: Scanner, bounds: Bounds, say: Said, stopped: Callable[[], bool]
) -> list[str]:
    """Wait until the sources are the scanner's, saying why they are not; return refusals."""
    until, told, refusals = time.monotonic() + bounds.wait_s, "", list[str]()
    while True:
        new, _ = sources.poll()
        for source in new:
            say(
                f"Hello: kind {source.hello.kind}, scanner {source.hello.scanner}, "
                f"{source.hello.modules} modules"
            )
        for words in sources.take_refusals():
            refusals.append(words)
            say(words)
        why = sources.mismatch(scanner)
        if why is None:
            return refusals
        if sources.present and why.text != told:
            told = why.text
            say(f"not yet: {told}")
        if time.monotonic() > until or stopped():
            raise ServiceError(
                f"no source of {scanner.name} with {scanner.n_modules} modules came within "
                f"{bounds.wait_s:g} s" + (f": {told}" if told else "; does it say Hello?")
            )
        time.sleep(0.02)


@dataclass
class _Listening:
    """A run that is listened to and written nowhere."""

    check: SourceCheck
    sources: Sources
    data: zmq.Socket[bytes]
    say: Said
    each_frame: bool
    came: int = 0

    def until_done(self, bounds: Bounds, stopped: Callable[[], bool]) -> None:
        """Listen until all have ended and reported, or nothing comes any more."""
        began = heard = time.monotonic()
        ends = began + bounds.seconds + 2 * GRACE_S
        asked = False
        while not (self.check.all_ended and self.sources.all_reported):
            frames = list(self._frames())
            _, reports = self.sources.poll()
            self.check.reports += [arrived.report for arrived in reports]
            now = time.monotonic()
            if frames or reports:
                heard = now
                self._judge(frames)
                continue
            if not asked and (stopped() or now > ends):
                asked, heard = True, now
                self.sources.send_all(Stop())
            if now - heard > GRACE_S and (asked or self.sources.all_reported or self.came):
                return
            if now - heard > bounds.wait_s:
                return

    def _frames(self) -> Iterator[bytes]:
        if not self.data.poll(LOOK_MS):
            return
        for _ in range(MOST_FRAMES):
            try:
                yield self.data.recv(zmq.NOBLOCK)
            except zmq.Again:
                return

    def _judge(self, frames: list[bytes]) -> None:
        checked, refused = self.check.take(frames)
        if self.each_frame:
            for h in checked.headers:
                self.say(
                    f"module {h['module']} sequence {h['sequence']} period {h['frame_id']}: "
                    f"ACCEPTED, {h['event_count']} words"
                )
        for one, words in refused:
            if self.each_frame or self.check.checker.verdicts[one.verdict] <= MOST_TOLD:
                self.say(f"frame {one.place}: {one.verdict.name}: {words}")
        self.came += len(frames)
