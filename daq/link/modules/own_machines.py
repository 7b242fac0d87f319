"""The machines that a link process runs itself: one per module, all stopped with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from daq.link.modules.linked_module import HasRoom, ModulePort
from daq.link.modules.setup import DataPathName
from daq.link.serial.datagrams import DatagramReceiver
from daq.link.serial.line_errors import PortError
from daq.link.serial.memory_ring import RingReceiver
from daq.link.serial.poller import Member
from daq.link.serial.session import ModuleSession
from hw.machines.build import Image, build
from hw.machines.machine import Machine, MachineError, Started
from hw.machines.memory_window import Window
from hw.machines.native import Native
from hw.machines.qemu import Qemu
from hw.wire.control import WINDOW

Say = Callable[[str], None]


class PatientRing(RingReceiver):
    """A frame ring that is not read while there is no room for its frames: its module waits."""

    def __init__(self, window: Window, *, take: Callable[[bytes], None], has_room: HasRoom) -> None:
        super().__init__(window, take=take)
        self._has_room = has_room

    def turn(self, *, hung_up: bool) -> int:
        """Take all frames available, if there is room for them."""
        return super().turn(hung_up=hung_up) if self._has_room() else 0


class MachineRing(Started):
    """Machines of modules 0 to n − 1, the first ``arm`` of them ARM images in QEMU.

    Start it in a thread that lives as long as the machines. ``say`` is called with progress
    messages.

    Parameters
    ----------
    folder : for the machines' windows and logs
    modules : how many machines
    arm : how many of them are ARM images
    data_path : how data leave the modules
    say : is called with progress messages
    """

    def __init__(
        self, folder: Path, *, modules: int, arm: int, data_path: DataPathName, say: Say
    ) -> None:
        self.machines: list[Machine] = []
        self._folder = folder
        self._modules, self._arm = modules, min(arm, modules)
        self._data_path = data_path
        self._say = say
        self._receivers: dict[int, DatagramReceiver] = {}
        self._take: dict[int, Callable[[bytes], None]] = {}

    def start(self) -> None:
        """Build what is needed and start all machines."""
        self._check_room()
        arm = self._build("mps2", "ARM image") if self._arm else None
        native = self._build("native", "native image") if self._arm < self._modules else None
        for module in range(self._modules):
            self.machines.append(self._machine(module, arm, native))
            self.machines[-1].start()
        words = [f"{self._arm} ARM images in QEMU"] if arm else []
        words += [f"{self._modules - self._arm} native processes"] if native else []
        self._say(f"modules started: {' and '.join(words)}")

    def _check_room(self) -> None:
        """Refuse a disk that is too small: writing to a window without space kills the process
        (SIGBUS).
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        there = sum(512 * path.stat().st_blocks for path in self._folder.glob("module-*.window"))
        needed = self._modules * WINDOW["bytes"] - there
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise MachineError(
                f"{self._folder}: {free >> 20} MiB free, the windows of {self._modules} modules "
                f"take {needed >> 20} MiB; make room, or let --folder (or TMPDIR) name another disk"
            )

    def _build(self, target: str, words: str) -> Image:
        self._say(f"building the {words}")
        return build(target)  # type: ignore[arg-type]

    def _machine(self, module: int, arm: Image | None, native: Image | None) -> Machine:
        port = self._datagram_port(module)
        if arm is not None and module < self._arm:
            return Qemu(module=module, folder=self._folder, image=arm, datagram_port=port)
        return Native(module=module, folder=self._folder, image=native, datagram_port=port)

    def _datagram_port(self, module: int) -> int | None:
        if self._data_path != "ethernet":
            return None

        def take(frame: bytes) -> None:
            self._take[module](frame)

        self._receivers[module] = DatagramReceiver(0, take=take, module=module)
        return self._receivers[module].port

    def ports(self) -> list[ModulePort]:
        """Return the ports of the modules."""
        return [
            ModulePort(
                machine.module,
                partial(_address, machine),
                machine=machine.kind,
                receiver=self._receiver_of(machine),
                emulated=True,
            )
            for machine in self.machines
        ]

    def _receiver_of(self, machine: Machine) -> Callable[[ModuleSession, HasRoom], Member] | None:
        if self._data_path == "ring":
            return lambda session, has_room: PatientRing(
                machine.window, take=session.connection.take_frame, has_room=has_room
            )
        if self._data_path == "ethernet":
            receiver = self._receivers[machine.module]

            def listen(session: ModuleSession, has_room: HasRoom) -> Member:
                self._take[machine.module] = session.connection.take_frame
                return receiver

            return listen
        return None

    def close(self) -> None:
        """Stop all machines."""
        for machine in self.machines:
            machine.close()
        self.machines.clear()
        for receiver in self._receivers.values():
            receiver.close()
        self._receivers.clear()


def _address(machine: Machine) -> str:
    """Return the address of a machine's serial port; PortError if the machine is dead."""
    if not machine.alive:
        raise PortError(
            f"the {machine.kind} machine of module {machine.module} ended by itself: see "
            f"{machine.log}, then start the link process again"
        )
    return machine.serial_url
