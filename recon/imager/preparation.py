"""What a PET run's imager needs first, made beside the serving thread, and what waits for it.

Block efficiency and sensitivity of a scanner that is new to this machine take seconds to minutes.
Meanwhile the service goes on reporting and obeying. A run's newest batches wait here, in at most
``WAITING_BYTES``; those dropped before them are caught up from the run's list, as by any imager
that joins late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from hw.messages.imager import CoincidenceBatch, ImagerReport, RunBegin, RunEnd, SinglesBatch
from hw.scanner.description import Scanner
from recon.core.grid import Image
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity_cache import sensitivity as sensitivity_image
from recon.live.background_job import JobSlot

WAITING_BYTES = 64 << 20
"""Some 15 s of 100 k prompts/s."""

FINISHING = 1e-3
"""Share of the final image told as done while an ended run still waits: it grows towards this."""

Stopped = Callable[[], bool]
Held = RunEnd | CoincidenceBatch | SinglesBatch


class ImagerTables(NamedTuple):
    """The tables of a scanner with a run's settings, and its sensitivity."""

    system: ReconSystem
    sensitivity: Image


class RunInWaiting:
    """A run whose imager is being prepared.

    begin : the run's latest announcement dropped : number of batches there was no room for
    """

    def __init__(self, begin: RunBegin, scanner: Scanner) -> None:
        self.begin = begin
        self.dropped = 0
        self._held: deque[tuple[Held, list[bytes]]] = deque()
        self._bytes = 0
        self._ended = self._told = False
        self._asked = 0
        self._job: JobSlot[ImagerTables] = JobSlot("preparation")
        self._job.begin(_preparing(begin, scanner))

    def close(self) -> None:
        """Stop preparing."""
        self._job.stop()

    def keep(self, message: Held, parts: list[bytes]) -> None:
        """Keep a batch, or the run's end; when there is no room the oldest batches are dropped."""
        if message.run != self.begin.run or self._ended:
            return
        self._ended = isinstance(message, RunEnd)
        self._held.append((message, parts))
        self._bytes += sum(map(len, parts))
        while self._bytes > WAITING_BYTES and len(self._held) > 1:
            _, gone = self._held.popleft()
            self._bytes -= sum(map(len, gone))
            self.dropped += 1

    def prepared(self) -> ImagerTables | None:
        """Return what was prepared, once; None while it is not ready."""
        return self._job.take()

    @property
    def failed(self) -> str:
        """Why it could not be prepared; "" if nothing went wrong."""
        return "" if self._job.busy else self._job.error

    def held(self) -> deque[tuple[Held, list[bytes]]]:
        """Return what came in the meantime, in order."""
        return self._held

    def report(self) -> ImagerReport:
        """Return a sign of life; once the run has ended and is waited for, with its progress."""
        words = "" if self._told else "the sensitivity is being computed; the run's events wait"
        self._told = True
        self._asked += self._ended
        return ImagerReport(
            run=self.begin.run if self._ended else "",
            finishing=FINISHING * (1.0 - 0.9**self._asked),
            message=words,
        )


def what_it_depends_on(begin: RunBegin) -> tuple[object, ...]:
    """Return a key that is the same for runs that need the same preparation."""
    settings = begin.settings
    return (
        begin.scanner_toml, settings.window_ps, settings.min_sector_difference, settings.lld_keV,
        settings.uld_keV,
    )  # fmt: skip


def _preparing(begin: RunBegin, scanner: Scanner) -> Callable[[Stopped], ImagerTables]:
    settings = begin.settings

    def work(stopped: Stopped) -> ImagerTables:
        system = ReconSystem.of(
            scanner,
            window_ps=settings.window_ps,
            min_sector_difference=settings.min_sector_difference,
            energies_keV=(settings.lld_keV, settings.uld_keV),
        )
        return ImagerTables(system, sensitivity_image(system, stopped=stopped))

    return work
