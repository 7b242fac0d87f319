"""The firmware's benchmark: the native build and the ARM image in QEMU, driven by the serial link.

Boot, round trips, sizes; the data paths' rates are ``bench_firmware_paths``'s. Measured beside
nothing else; on two cores the machine, the poller's thread and the producer share them.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from daq.link.serial.session import ModuleSession
    from hw.machines.machine import Machine

PATHS = ("ring", "ethernet", "serial")
GOALS_PER_S = {
    "qemu": {"ring": 3.6e6, "ethernet": 1.4e6, "serial": 0.1e6},
    "native": {"serial": 3.5e6},
}
"""Of the prototype: what is to be reached; the rest has no goal."""

_WITHIN_S = 60.0


def measure_firmware(
    *, targets: tuple[str, ...] = ("native", "qemu"), seconds: float = 1.0, passes: int = 3
) -> dict[str, Any]:
    """Return speed and size of the firmware by target.

    seconds : about how long each measurement of a data path lasts
    passes : of which the median counts

    Returns
    -------
    dict
        by target: ``boot_to_hello_ms``, ``round_trip_p50_ms``, ``round_trip_p99_ms``,
        ``events_per_s_<path>``, ``lost_frames_<path>``; of ``qemu`` also ``code_bytes``,
        ``ram_bytes``, ``stack_bound_bytes``, ``stack_bytes`` (deepest that was seen)
    """
    return {target: _measure(target, seconds, passes) for target in targets}


def _measure(target: str, seconds: float, passes: int) -> dict[str, float]:
    from daq.cli.bench.bench_firmware_paths import measure_path

    boots = [_boot_ms(target) for _ in range(passes)]
    figures = {"boot_to_hello_ms": statistics.median(boots), **_round_trips(target)}
    for path in PATHS:
        taken = [measure_path(target, path, seconds=seconds) for _ in range(passes)]
        figures[f"events_per_s_{path}"] = statistics.median(t.events_per_s for t in taken)
        figures[f"lost_frames_{path}"] = sum(t.lost_frames for t in taken)
        if target == "qemu":
            deepest = max(t.stack_bytes for t in taken)
            figures["stack_bytes"] = max(figures.get("stack_bytes", 0), deepest)
    if target == "qemu":
        figures |= _sizes()
    return figures


def _sizes() -> dict[str, float]:
    from hw.machines.build import build
    from hw.machines.image_figures import image_figures

    sizes = image_figures(build("mps2"))
    return {
        "code_bytes": sizes.code,
        "ram_bytes": sizes.ram,
        "stack_bound_bytes": sizes.stack,
    }


@contextlib.contextmanager
def benched_machine(target: str, datagram_port: int | None = None) -> Iterator[Machine]:
    """Make a machine (not started) on a window of its own."""
    from hw.machines.native import Native
    from hw.machines.qemu import Qemu

    kind = {"native": Native, "qemu": Qemu}[target]
    with tempfile.TemporaryDirectory(prefix="tomoshibi-") as folder:
        machine: Machine = kind(folder=Path(folder), datagram_port=datagram_port)
        try:
            yield machine
        finally:
            machine.close()


def _boot_ms(target: str) -> float:
    """Return the time from starting the process to its first words, building not included.

    A pty loses what is said before it is opened, so HELLO is asked for as well.
    """
    import serial

    from daq.link.serial.packets import COMMAND, ControlMessage, PacketReader, encode_message
    from hw.machines.build import build
    from hw.wire.control import COMMANDS

    build("native" if target == "native" else "mps2")
    with benched_machine(target) as machine:
        began = time.perf_counter()
        machine.start()
        reader = PacketReader()
        with serial.serial_for_url(machine.serial_url, timeout=0.001) as line:
            line.write(encode_message(COMMAND, 1, COMMANDS["hello"].code))
            while time.perf_counter() - began < _WITHIN_S:
                if any(isinstance(p, ControlMessage) for p in reader.feed(line.read(4096))):
                    return 1e3 * (time.perf_counter() - began)
    raise RuntimeError(f"{target}: no HELLO within {_WITHIN_S:g} s")


def _round_trips(target: str, count: int = 2000) -> dict[str, float]:
    """Return the time from a command to its reply, one at a time."""
    with benched_machine(target) as machine, benched_session(machine) as session:
        taken = [session.command("beat", host_time_ns=1).round_trip_s for _ in range(count)]
    return {
        "round_trip_p50_ms": 1e3 * float(np.percentile(taken, 50)),
        "round_trip_p99_ms": 1e3 * float(np.percentile(taken, 99)),
    }


@contextlib.contextmanager
def benched_session(machine: Machine) -> Iterator[ModuleSession]:
    """Start a machine and open its line."""
    from daq.link.serial.session import ModuleSession

    machine.start()
    with ModuleSession.open(machine.serial_url) as session:
        yield session
