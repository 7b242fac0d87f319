"""Carries out a person's orders for modules: bias, registers, faults, scans, updates.

Each order becomes a task of each module that it names. Quick ones are answered when all are done;
scans and updates are answered when they have begun, and report progress in scans and journal.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from daq.link.modules.linked_module import LinkedModule, naming
from daq.link.modules.setup import SetupError, check_bounds
from daq.link.serial.line_errors import ImageRefused, SerialLinkError
from daq.link.serial.scans import breakdown_mV, scan_bias, scan_threshold
from daq.link.serial.session import ModuleSession
from daq.link.serial.transcript import Tell
from daq.link.serial.update import check_image_file, update_firmware
from hw.bounded_files import FileRefused, read_bytes
from hw.messages.modules import ModuleAnswer, ModuleOrder, ModuleScan, ScanPoint
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice
from hw.wire.control import REGISTERS

Values = dict[str, Any]
LONG = ("update", "scan_threshold", "scan_bias")
"""Orders that are answered when they have begun, and that must wait for the end of a run."""
_STEPS_PERCENT = 10


class OrderError(SerialLinkError):
    """An order that cannot be carried out; the message says why and what to do."""


@dataclass
class _Under:
    order: ModuleOrder
    tasks: dict[int, Future[Any]] = field(default_factory=dict)


class ModuleDesk:
    """Carries out orders. ``scans``: the last scan of each kind of each module; ``running``:
    whether a run is under way.
    """

    def __init__(self, modules: dict[int, LinkedModule], tell: Tell) -> None:
        self.running = False
        self.scans: dict[tuple[int, str], ModuleScan] = {}
        self._modules = modules
        self._tell = tell
        self._waiting: list[_Under] = []
        self._stop_scans = threading.Event()

    def obey(self, order: ModuleOrder) -> ModuleAnswer | None:
        """Begin an order; return the answer if it is known at once."""
        try:
            chosen = self._chosen(order)
            if order.action == "scan_stop":
                self._stop_scans.set()
                return ModuleAnswer(id=order.id, accepted=True)
            work = self._work(order)
            if order.action in LONG:
                self._check_free(order, chosen)
        except OrderError as error:
            return ModuleAnswer(id=order.id, accepted=False, reason=str(error))
        self._stop_scans.clear()
        tasks = {linked.module: self._begin(linked, work) for linked in chosen}
        if order.action in LONG:
            return ModuleAnswer(id=order.id, accepted=True)
        self._waiting.append(_Under(order, tasks))
        return None

    def answers(self) -> list[ModuleAnswer]:
        """Return the answers to orders that have since been carried out or have failed."""
        done = [u for u in self._waiting if all(task.done() for task in u.tasks.values())]
        self._waiting = [u for u in self._waiting if u not in done]
        return [_answer(under) for under in done]

    def stop(self) -> None:
        """End scans: the process is ending."""
        self._stop_scans.set()

    def _chosen(self, order: ModuleOrder) -> list[LinkedModule]:
        unknown = [m for m in order.modules if m not in self._modules]
        if unknown:
            raise OrderError(f"no module {unknown[0]} on this link; it has {_span(self._modules)}")
        return [self._modules[m] for m in order.modules or self._modules]

    def _check_free(self, order: ModuleOrder, chosen: list[LinkedModule]) -> None:
        what = order.action.replace("_", " ")
        if self.running:
            raise OrderError(f"{what}: a run is under way; stop it first")
        for linked in chosen:
            if not linked.connected:
                raise OrderError(f"{what}: module {linked.module}: {linked.not_ready}")
            if linked.busy:
                raise OrderError(f"{what}: module {linked.module} is busy; try again in a moment")

    @staticmethod
    def _begin(
        linked: LinkedModule, work: Callable[[LinkedModule, ModuleSession], Values]
    ) -> Future[Any]:
        def task() -> Values:
            session = linked.session
            if session is None:
                raise OrderError(linked.words)
            return work(linked, session)

        return linked.begin(task)

    # --- what each action does (in threads) ---------------------------------------------------

    def _work(self, order: ModuleOrder) -> Callable[[LinkedModule, ModuleSession], Values]:
        """Return the task for each module; raises OrderError if values are missing."""
        values, action = order.values, order.action
        if action == "bias":
            target_mV = _whole(order, "target_mV")
            return lambda linked, session: _set_bias(linked, session, target_mV)
        if action == "write":
            _check_registers(values)
            registers = {name: _in_bounds(name, _whole(order, name)) for name in values}
            return lambda linked, session: _write(linked, session, registers)
        if action == "read":
            _check_registers(values)
            return lambda linked, session: _read(linked, session, list(values))
        if action == "update":
            image = _image(values)
            return lambda linked, session: self._update(linked, session, image)
        if action in ("scan_threshold", "scan_bias"):
            steps = {name: _whole(order, name) for name in ("from_mV", "to_mV", "step_mV")}
            kind = action.removeprefix("scan_")
            return lambda linked, session: self._scan(linked, session, kind, steps)
        command = {"confirm": "update_confirm"}.get(action, action)
        return lambda linked, session: _command(session, command)

    def _update(self, linked: LinkedModule, session: ModuleSession, image: bytes) -> Values:
        name, told = f"module {linked.module}", -1

        def progress(done: int, total: int) -> None:
            nonlocal told
            percent = 100 * done // max(total, 1)
            if percent // _STEPS_PERCENT > told:
                told = percent // _STEPS_PERCENT
                self._tell(JournalLine("info", f"{name}: update {percent} %"))

        try:
            identity = update_firmware(session, image, progress=progress)
        except SerialLinkError as error:
            self._tell(notice("module.update_failed", module=linked.module, why=error))
            raise
        build = f"{int(identity['build']):08x}"
        self._tell(JournalLine("info", f"{name}: runs firmware {build} now"))
        return {}

    def _scan(
        self, linked: LinkedModule, session: ModuleSession, kind: Any, steps: dict[str, int]
    ) -> Values:
        count = abs(steps["to_mV"] - steps["from_mV"]) // max(steps["step_mV"], 1) + 1
        scan = ModuleScan(module=linked.module, kind=kind, steps=count)
        self.scans[linked.module, kind] = scan
        points = scan_threshold if kind == "threshold" else scan_bias
        try:
            found = cast("Generator[ScanPoint]", points(session, **steps))
            with contextlib.closing(found):
                for point in found:
                    scan.points = [*scan.points, point]
                    if self._stop_scans.is_set():
                        break
        except SerialLinkError as error:
            scan.failed = str(error)
            values = {"module": linked.module, "kind": kind, "why": error}
            self._tell(notice("module.scan_failed", **values))
            raise
        finally:
            scan.found = _found(kind, scan.points)
            scan.done = True
        return {}


def _found(kind: str, points: list[ScanPoint]) -> dict[str, float]:
    """Return a scan's result: for a bias scan the breakdown voltage, if it was crossed."""
    breakdown = breakdown_mV(points) if kind == "bias" else None
    return {} if breakdown is None else {"breakdown_mV": breakdown}


def _set_bias(linked: LinkedModule, session: ModuleSession, target_mV: int) -> Values:
    session.command("bias", target_mV=target_mV)
    linked.setup = replace(linked.setup, bias_mV=target_mV)
    linked.holds_bias = False
    return {}


def _write(linked: LinkedModule, session: ModuleSession, registers: dict[str, int]) -> Values:
    written = {name: session.write(name, value) for name, value in registers.items()}
    linked.setup = linked.setup.with_registers(**written)
    linked.registers = {**linked.registers, **written}
    return written


def _read(linked: LinkedModule, session: ModuleSession, names: list[str]) -> Values:
    read = {name: session.read(name) for name in names or REGISTERS}
    linked.registers = {**linked.registers, **read}
    return read


def _command(session: ModuleSession, command: str) -> Values:
    session.command(command)
    return {}


def _whole(order: ModuleOrder, name: str) -> int:
    value = order.values.get(name)
    if not isinstance(value, int | float) or value != int(value):
        what = order.action.replace("_", " ")
        raise OrderError(f"{what}: {name} is {value!r}; give a whole number, such as {name}=100")
    return int(value)


def _check_registers(names: Any) -> None:
    for name in names:
        if name not in REGISTERS:
            raise OrderError(f"no register {name!r}; there are {', '.join(REGISTERS)}")


def _in_bounds(name: str, value: int) -> int:
    """Return a register's new value; raises OrderError if it cannot have it."""
    register = REGISTERS[name]
    if register.read_only:
        raise OrderError(f"{name} can only be read")
    try:
        check_bounds(name, value)
    except SetupError as error:
        raise OrderError(str(error)) from error
    return value


def _image(values: dict[str, Any]) -> bytes:
    path = values.get("path")
    if not isinstance(path, str) or not path:
        raise OrderError("update: give the image, path=FILE (`tomoshibi firmware build`)")
    try:
        check_image_file(Path(path))
        return read_bytes(Path(path))
    except ImageRefused as error:
        raise OrderError(f"update: {error}") from error
    except FileRefused as error:
        raise OrderError(f"update: {path}: {error}") from error


def _span(modules: dict[int, LinkedModule]) -> str:
    numbers = sorted(modules)
    whole = numbers == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if whole else ", ".join(map(str, numbers))


def _answer(under: _Under) -> ModuleAnswer:
    failed = {m: task.exception() for m, task in under.tasks.items()}
    reasons = [naming(m, str(error)) for m, error in failed.items() if error is not None]
    values = {str(m): task.result() for m, task in under.tasks.items() if failed[m] is None}
    return ModuleAnswer(
        id=under.order.id,
        accepted=bool(values),
        reason="; ".join(reasons[:4]) + (" …" if len(reasons) > 4 else ""),
        values={m: read for m, read in values.items() if read},
    )
