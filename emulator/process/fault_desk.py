"""Takes orders for faults: into the run that goes on, or for the next one where there is none."""

from __future__ import annotations

from collections.abc import Callable

from emulator.fault_kinds import Fault, FaultError, describe_kinds, parse_fault
from emulator.process.run_faults import RunFaults
from hw.messages.codec import FaultAnswer, FaultOrder
from hw.scanner.description import Scanner


class FaultDesk:
    """Obeys FaultOrders. ``run``: the faults of the run that goes on; None between runs.

    A fault set between runs is for the next one only, like one that is set during a run.
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
        """Hand over the faults that were set for the next run."""
        faults, self._next = list(self._next.values()), {}
        return faults

    def obey(self, order: FaultOrder) -> FaultAnswer:
        """Do what is ordered; the answer says why not where it cannot be done."""
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
