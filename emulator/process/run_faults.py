"""All faults of one run, in the order of the signal: clocks, crystals, modules, frames, links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from emulator.config import EmulationError, EmulatorConfig
from emulator.engines.emulation import Emulation
from emulator.engines.instrument import Instrument
from emulator.fault_kinds import Fault, FaultError, check_fault
from emulator.faults.clocks import Clocks
from emulator.faults.crystals import CrystalFaults
from emulator.faults.frames import FaultInjector, FaultPlan
from emulator.faults.modules import ModuleFaults
from emulator.faults.schedule import Entry, FaultSchedule
from emulator.slices import SliceHits
from hw.messages.codec import FaultDone
from hw.scanner.description import Scanner


def check_faults(plan: FaultPlan, scanner: Scanner) -> None:
    """Refuse a plan that does not fit the scanner; raises EmulationError."""
    try:
        plan.faults(modules=scanner.n_modules, crystals=scanner.crystals_per_module)
    except FaultError as error:
        raise EmulationError(str(error)) from error


class RunFaults:
    """Does the faults of one run to an emulation's slices and frames.

    ``stream`` the slices, ``disturb`` each before it is digitized, and send what ``sent`` makes of
    its frames. Orders may come at any time.
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
        """Take a fault into the run; raises FaultError."""
        scanner = self._scanner
        check_fault(fault, modules=scanner.n_modules, crystals=scanner.crystals_per_module)
        return self.schedule.set(fault)

    def stream(self, slices: Iterable[SliceHits]) -> Iterator[SliceHits]:
        """Yield the slices; ``disturb`` each before the next is asked for."""
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
        """Yield each module and the frames that it sends in place of the one it made.

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
        """Return the truth of what was done so far."""
        return self.schedule.log()

    def done(self) -> dict[str, int]:
        """Return how often each kind was done."""
        done = Counter({e.fault.kind: 0 for e in self.schedule.entries})
        for entry in self.schedule.entries:
            done[entry.fault.kind] += entry.done
        return dict(done | self._frames.done)
