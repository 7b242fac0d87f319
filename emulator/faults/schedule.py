"""When each fault of a run begins and ends, in frame periods, and a log of what was done.

Times are detector time only: an order given during a run takes effect with the next period not yet
made. A fault that has ended or been cleared stays in the log.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emulator.fault_kinds import KINDS, Fault, FaultError
from emulator.slices import PERIOD_S
from hw.messages.source import FaultDone


@dataclass(eq=False)
class Entry:
    """One fault of a run: what, since when, and how often it was applied.

    modules : (modules,) bool
    end : first period without it; math.inf if it lasts until cleared
    """

    number: int
    fault: Fault
    modules: npt.NDArray[np.bool_]
    begin: int
    end: float
    done: int = 0

    def is_on(self, period: int) -> bool:
        """Whether the fault is on in a period."""
        return self.begin <= period < self.end

    def seconds_on(self, period: int) -> float:
        """Return the detector time from the fault's start to the start of a period, s."""
        return (period - self.begin) * PERIOD_S


class FaultSchedule:
    """All faults of one run. ``period`` is the next one to be made."""

    def __init__(self, faults: Iterable[Fault], *, modules: int) -> None:
        self.period = 0
        self.entries: list[Entry] = []
        self._modules = modules
        for fault in faults:
            self.set(fault)

    def set(self, fault: Fault) -> Entry:
        """Add a fault to the schedule.

        Raises
        ------
        FaultError
            if its time has passed, or it can only begin with the run.
        """
        begin = self.period if fault.at_s is None else round(fault.at_s / PERIOD_S)
        if begin < self.period:
            raise FaultError(
                f"fault {fault.describe()}: the run is at {self.period * PERIOD_S:.2f} s already; "
                "leave @TIME out, or give a later one"
            )
        if KINDS[fault.kind].at_start and begin > 0:
            raise FaultError(
                f"fault {fault.describe()}: it can only begin with the run; set it "
                "before the run, or with --fault"
            )
        for_s = fault.for_s or fault.amounts.get("off", 0.0)
        end = begin + max(1, round(for_s / PERIOD_S)) if for_s else math.inf
        chosen = np.zeros(self._modules, np.bool_)
        chosen[list(fault.modules) if fault.modules else slice(None)] = True
        entry = Entry(len(self.entries) + 1, fault, chosen, begin, end)
        self.entries.append(entry)
        return entry

    def clear(self, number: int | None) -> None:
        """End a fault, or all of them (None), from the next period on; raises FaultError."""
        chosen = [e for e in self.entries if number in (None, e.number) and e.end > self.period]
        if number is not None and not chosen:
            raise FaultError(f"no fault {number} is set; `tomoshibi fault list` has those set")
        for entry in chosen:
            entry.end = max(self.period, entry.begin)  # one still to come: never on

    def on(self, period: int, *kinds: str) -> list[Entry]:
        """Return the faults of the given kinds that are on in a period, in the order set."""
        return [e for e in self.entries if e.is_on(period) and e.fault.kind in kinds]

    def pending(self) -> list[Entry]:
        """Return the faults that are on or yet to begin."""
        return [e for e in self.entries if e.end > max(self.period, e.begin)]

    def log(self) -> list[FaultDone]:
        """Return the truth so far: each fault that was on, with its periods and count."""
        return [
            FaultDone(
                number=e.number,
                kind=e.fault.kind,
                text=e.fault.describe(),
                modules=np.flatnonzero(e.modules).tolist(),
                begin_period=e.begin,
                end_period=int(min(e.end, self.period)),
                amounts=e.fault.amounts,
                done=e.done,
            )
            for e in self.entries
            if e.begin < min(e.end, self.period)
        ]
