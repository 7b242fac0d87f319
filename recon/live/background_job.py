"""Computations beside the live image: each in a thread of its own, at low priority while the run
goes on, told to stop.

Whoever has work of one kind holds a :class:`JobSlot`: one job at a time, whose result is taken by
the image's own thread when it is ready.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from hw.free_memory import give_back_free_memory
from recon.core.grid import ReconError
from recon.em.sensitivity import SensitivityStopped
from recon.scatter.simulation import ScatterStopped

NICENESS = 10
STOP_S = 0.4
Result = TypeVar("Result")
Work = Callable[[Callable[[], bool]], Result]
"""Called with a function that says whether to stop."""


class LiveJob(Generic[Result]):
    """A background computation that starts at once; ``error`` says why there is no result.

    Parameters
    ----------
    work : called with a function that says whether to stop; may raise ReconError
    aside : at low priority; else at that of the process, where nothing else is to be done
    """

    def __init__(self, name: str, work: Work[Result], *, aside: bool = True) -> None:
        self.error = ""
        self._aside = aside
        self._work: Work[Result] | None = work
        self._made: Result | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is still running."""
        return self._thread.is_alive()

    def take(self) -> Result | None:
        """Return the result, once, if it is ready."""
        made, self._made = self._made, None
        return made

    def wait(self, timeout_s: float) -> None:
        """Wait for the end of the work, up to a time limit."""
        self._thread.join(timeout_s)

    def stop(self) -> None:
        """Stop the work; returns after about one part of it."""
        self._stop.set()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        if self._aside:
            with contextlib.suppress(OSError, AttributeError):  # Linux: the priority of this thread
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            self._do()
        except ReconError as error:
            self.error = str(error)
        except (SensitivityStopped, ScatterStopped):
            self.error = "stopped"
        except Exception as error:  # noqa: BLE001  (a defect must be told, not end a thread silently)
            self.error = f"internal error, please report: {error!r}"
        give_back_free_memory()

    def _do(self) -> None:
        """Do the work, and forget it: with it go the events that it was given."""
        work, self._work = self._work, None
        if work is not None:
            self._made = work(self._stop.is_set)


class JobSlot(Generic[Result]):
    """Room for one job; ``error`` says why the last one that ended by itself has no result."""

    def __init__(self, name: str) -> None:
        self.error = ""
        self._name = name
        self._job: LiveJob[Result] | None = None

    @property
    def busy(self) -> bool:
        """Whether a job is under way, or its result has not been taken yet."""
        return self._job is not None

    @property
    def running(self) -> bool:
        """Whether a job is still running."""
        return self._job is not None and self._job.running

    def begin(self, work: Work[Result], *, aside: bool = True) -> None:
        """Start this job in place of the one before; see :class:`LiveJob`."""
        self.stop()
        self._job = LiveJob(self._name, work, aside=aside)

    def take(self) -> Result | None:
        """Return the result, once, if it is ready; the slot is then free."""
        if self._job is None:
            return None
        running, made = self._job.running, self._job.take()
        if made is not None or not running:
            self.error, self._job = self._job.error, None
        return made

    def wait(self, timeout_s: float) -> None:
        """Wait for the end of the work, up to a time limit."""
        if self._job is not None:
            self._job.wait(timeout_s)

    def stop(self) -> None:
        """Stop the work and forget it."""
        if self._job is not None:
            self._job.stop()
            self._job = None
