"""Follow a running system's events: prompts, delayeds, windowed singles, triples or angles.

Subscribes to the event plane, shows how many events come and how many were lost, and optionally
writes them to a file. It ends with the run, after --count events or --seconds, or by Ctrl-C;
however it ends, the file is complete. The run is not affected: a slow tap loses events, and shows
how many.
"""

from __future__ import annotations

import argparse
import math
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.common import (
    CommandError,
    add_json_option,
    finish,
    positive,
    tell,
)
from daq.cli.progress import ProgressLine
from daq.cli.which_system import add_running_option, endpoint_of

if TYPE_CHECKING:
    from daq.client.event_reader import EventReader
    from daq.folder.event_file import EventFile
    from daq.folder.listmode_log import Records

EXAMPLES = """\
examples:
  tomoshibi tap prompts
  tomoshibi tap singles --seconds 10 --output lutetium.npy
  tomoshibi tap delayeds --count 1000000 --output randoms.tmlm --json

in Python:
  with EventReader(Endpoints(default_base()), "prompts") as events:   # daq.client.event_reader
      records = events.read(timeout_s=1.0)
"""

LOOK_S = 0.1
TELL_S = 1.0
GONE_S = 3.0
"""After so long without a daq, the run followed cannot go on: a new daq does not have the old run.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("kind", choices=("prompts", "delayeds", "singles", "triples", "angles"),
                        help="what to follow")  # fmt: skip
    parser.add_argument("--count", type=_count, metavar="N", help="end after N events")
    parser.add_argument("--seconds", type=positive, metavar="S", help="end after S seconds")
    parser.add_argument("--output", type=Path, metavar="FILE",
                        help="write to FILE: .npy, .tmlm or (singles, angles) .tmws")  # fmt: skip
    add_running_option(parser)
    add_json_option(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text}: a whole number above 0 is needed")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Follow until the end; print what came."""
    from daq.client.event_reader import EventReader
    from daq.folder.event_file import check_event_file
    from hw.messages.endpoints import Endpoints

    if options.output is not None:
        check_event_file(options.output, options.kind)
    options.endpoint = endpoint_of(options)
    began = time.monotonic()
    with EventReader(Endpoints(options.endpoint), options.kind) as events:
        tap = Tap(events, options)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: tap.leave())
        try:
            tap.follow()
        finally:
            tap.close()
        return tap.report(time.monotonic() - began)


class Tap:
    """Takes events until the count or the time is reached, or the run ends."""

    def __init__(self, events: EventReader, options: argparse.Namespace) -> None:
        self.taken = 0
        self._leave = False
        self._linked_s = time.monotonic()
        self._events = events
        self._options = options
        self._file: EventFile | None = None

    def leave(self) -> None:
        """Make :meth:`follow` end between two messages (safe in a signal handler)."""
        self._leave = True

    def follow(self) -> None:
        """Take what comes."""
        options = self._options
        tell(f"waiting for {options.kind} at {options.endpoint}; Ctrl-C ends")
        end_s = time.monotonic() + (options.seconds or math.inf)
        told_s, told = time.monotonic(), 0
        line = ProgressLine(options.kind)
        while (now := time.monotonic()) < end_s and not self._is_over():
            if now - told_s >= TELL_S:
                line.say(self._rate((self.taken - told) / (now - told_s)))
                told_s, told = now, self.taken
            records = self._events.read(timeout_s=LOOK_S)
            if records is not None:
                self._take(records)
        line.done()

    def _is_over(self) -> bool:
        if self._events.linked or not self._events.tally.run:
            self._linked_s = time.monotonic()
        if time.monotonic() - self._linked_s > GONE_S:
            raise CommandError(
                f"the daq at {self._options.endpoint} is gone: what was received of "
                f"{self._events.tally.run} ({self.taken} {self._options.kind}) is kept"
            )
        enough = self._options.count is not None and self.taken >= self._options.count
        return self._leave or enough or self._events.tally.finished

    def _take(self, records: Records) -> None:
        from daq.folder.event_file import open_event_file

        options = self._options
        if options.count is not None:
            records = records[: options.count - self.taken]
        self.taken += len(records)
        if options.output is None:
            return
        if self._file is None:
            self._file = open_event_file(options.output, options.kind, self._events.tally.run)
        if len(records):
            self._file.append(records)

    def _rate(self, per_s: float) -> str:
        tally, kind = self._events.tally, self._options.kind
        if not tally.run:
            return "no run yet" if self._events.linked else "no daq yet"
        return f"{tally.run}: {per_s:.0f}/s, {self.taken} {kind}, {tally.lost} lost"

    def close(self) -> None:
        """Complete the file."""
        if self._file is not None:
            self._file.close()

    def report(self, seconds: float) -> int:
        """Print the result; return the exit status: 0 if nothing was lost."""
        options, tally = self._options, self._events.tally
        written = str(options.output) if self._file is not None else ""
        result = {
            "run": tally.run,
            "kind": options.kind,
            "records": self.taken,
            "lost": tally.lost,
            "before": tally.joined_after,
            "seconds": round(seconds, 3),
            "per_s": round(self.taken / max(seconds, 1e-9), 1),
            "complete": tally.finished and not tally.lost and not tally.joined_after,
            "output": written,
        }
        text = (
            f"{tally.run or 'no run'}: {self.taken} {options.kind} in {seconds:.1f} s, "
            f"{tally.lost} lost, {tally.joined_after} had gone by before"
            + (f"; written to {written}" if written else "")
        )
        finish(options, result, text)
        return 1 if tally.lost else 0
