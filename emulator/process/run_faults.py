"""The faults of one run, applied in signal order: clocks, crystals, modules, frames, links.

A fault ordered during a run applies to it; one ordered between runs applies to the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from emulator.config import EmulationError, EmulatorConfig
from emulator.engines.emulation import Emulation
from emulator.engines.instrument import Instrument
from emulator.fault_kinds import (
    Fault,
    FaultError,
    FaultPlan,
    check_fault,
    describe_kinds,
    parse_fault,
)
from emulator.faults.clocks import Clocks
from emulator.faults.crystals import CrystalFaults
from emulator.faults.frames import FaultInjector
from emulator.faults.modules import ModuleFaults
from emulator.faults.schedule import Entry, FaultSchedule
from emulator.slices import SliceHits
from hw.messages.source import FaultAnswer, FaultDone, FaultOrder
from hw.scanner.description import Scanner


def check_faults(plan: FaultPlan, scanner: Scanner) -> None:
    """Raise EmulationError if the plan does not fit the scanner."""
    try:
        plan.faults(modules=scanner.n_modules, crystals=scanner.crystals_per_module)
    except FaultError as error:
        raise EmulationError(str(error)) from error


class RunFaults:
    """Applies the faults of one run to an emulation's slices and frames.

    Pass the slices through ``stream``, ``disturb`` each before it is digitized, and send what
    ``sent`` makes of its frames. Orders may come at any time.

    Parameters
    ----------
    emulation : whose slices and frames they are
    config : has the planned faults
    seed : of the random numbers of faulty crystals
    standing : faults that were on before the run
    labelled : whether the slices carry the truth
    """

    def __init__(
        self,
        emulation: Emulation,
        instrument: Instrument,
        config: EmulatorConfig,
        *,
        seed: int,
        standing: Iterable[Fault] = (),
        labelled: bool = False,
    ) -> None:
        scanner, plan = instrument.scanner, config.faults
        modules, crystals = scanner.n_modules, scanner.crystals_per_module
        faults = [*plan.faults(modules=modules, crystals=crystals), *standing]
        self.schedule = FaultSchedule(faults, modules=modules)
        self._scanner = scanner
        self._emulation = emulation
        self._clocks = Clocks(self.schedule, modules)
        self._crystals = CrystalFaults(
            scanner, self.schedule, trigger_keV=config.trigger_keV, seed=seed, labelled=labelled
        )
        self._modules = ModuleFaults(self.schedule, emulation.framer.module)
        self._frames = FaultInjector(self.schedule, exact=plan.exact.items(), seed=plan.seed)

    def set(self, fault: Fault) -> Entry:
        """Add a fault to the run; raises FaultError."""
        scanner = self._scanner
        check_fault(fault, modules=scanner.n_modules, crystals=scanner.crystals_per_module)
        return self.schedule.set(fault)

    def stream(self, slices: Iterable[SliceHits]) -> Iterator[SliceHits]:
        """Yield the slices; ``disturb`` each before requesting the next."""
        return self._clocks.stream(slices)

    def disturb(self, hits: SliceHits, *, last: bool) -> SliceHits:
        """Return the slice as the faulty modules see it, and prepare the modules' headers."""
        period = hits.index
        self.schedule.period = period + 1
        hits = self._clocks.shift(hits)
        self._modules.begin(period, last=last)
        self._crystals.gain = self._modules.gain
        self._emulation.digitizer.off[:] = self._modules.off
        self._frames.begin(period)
        return self._crystals.disturb(hits)

    def sent(
        self, period: int, frames: Iterable[memoryview]
    ) -> Iterator[tuple[int, Sequence[bytes | memoryview]]]:
        """Yield each module and the frames it sends in place of the one it made.

        frames : of all modules, as ``Emulation.digitize`` returned them
        """
        for module, frame in enumerate(frames):
            if not frame:
                continue  # a module without power
            if self._frames.idle:
                yield module, [frame]
            else:
                yield module, self._frames.apply(module, period, bytes(frame))

    def log(self) -> list[FaultDone]:
        """Return a log of the faults applied so far."""
        return self.schedule.log()

    def done(self) -> dict[str, int]:
        """Return how often each kind of fault was applied."""
        done = Counter({e.fault.kind: 0 for e in self.schedule.entries})
        for entry in self.schedule.entries:
            done[entry.fault.kind] += entry.done
        return dict(done | self._frames.done)


class FaultDesk:
    """Carries out FaultOrders. ``run``: the faults of the current run; None between runs.

    A fault lasts for one run: the current one, or the next if ordered between runs.
    ``refuse`` raises FaultError for faults that this emulator cannot do.
    """

    def __init__(
        self, scanner: Scanner, *, refuse: Callable[[Fault], None] = lambda fault: None
    ) -> None:
        self.run: RunFaults | None = None
        self._scanner = scanner
        self._refuse = refuse
        self._next: dict[int, Fault] = {}  # by number, which stays when others are cleared

    def standing(self) -> list[Fault]:
        """Return the faults ordered for the next run and forget them."""
        faults, self._next = list(self._next.values()), {}
        return faults

    def obey(self, order: FaultOrder) -> FaultAnswer:
        """Carry out an order; if it cannot be done, the answer says why."""
        try:
            if order.action == "set":
                self._set(order.text)
            elif order.action == "clear":
                self._clear(order.text)
        except FaultError as error:
            return FaultAnswer(id=order.id, accepted=False, reason=str(error), faults=self._words())
        kinds = describe_kinds() if order.action == "list" else {}
        return FaultAnswer(id=order.id, accepted=True, faults=self._words(), kinds=kinds)

    def _set(self, text: str) -> None:
        scanner = self._scanner
        fault = parse_fault(text, modules=scanner.n_modules, crystals=scanner.crystals_per_module)
        self._refuse(fault)
        if self.run is None:
            self._next[max(self._next, default=0) + 1] = fault
        else:
            self.run.set(fault)

    def _clear(self, text: str) -> None:
        if text != "all" and not text.isdecimal():
            raise FaultError(f"clear {text!r}: give a fault's number, or all")
        number = None if text == "all" else int(text)
        if self.run is not None:
            self.run.schedule.clear(number)
        elif number is None:
            self._next.clear()
        elif self._next.pop(number, None) is None:
            raise FaultError(f"no fault {number} is set; `tomoshibi fault list` has those set")

    def _words(self) -> list[str]:
        if self.run is None:
            return [f"{n} {f.describe()} (next run)" for n, f in self._next.items()]
        return [f"{e.number} {e.fault.describe()}" for e in self.run.schedule.pending()]
