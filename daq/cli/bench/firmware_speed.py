"""The firmware's benchmark: the native build and the ARM image in QEMU, driven by the serial link.

It measures boot time, round trips, sizes, and the events per second through a module's data paths.
Nothing else should run: on two cores the machine, the poller's thread and the producer share them.

Hits go in through the detector's queue, a bounded number ahead of what has arrived; frames come out
through the path, are checked (length, CRC-32C, sequence) and counted. All hits behind a figure came
out or are counted as lost: the books must close.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from daq.link.serial.datagrams import DatagramReceiver
    from daq.link.serial.frame_books import FrameBooks
    from daq.link.serial.session import ModuleSession
    from hw.machines.machine import Machine

PATHS = ("ring", "ethernet", "serial")
GOALS_PER_S = {
    "qemu": {"ring": 3.6e6, "ethernet": 1.4e6, "serial": 0.1e6},
    "native": {"serial": 3.5e6},
}
"""Goals, from the prototype; the other figures have none."""

_WITHIN_S = 60.0


def measure_firmware(
    *, targets: tuple[str, ...] = ("native", "qemu"), seconds: float = 1.0, passes: int = 3
) -> dict[str, Any]:
    """Return speed and size of the firmware, by target.

    seconds : approximate duration of each measurement of a data path
    passes : their number; the median counts

    Returns
    -------
    dict
        by target: ``boot_to_hello_ms``, ``round_trip_p50_ms``, ``round_trip_p99_ms``,
        ``events_per_s_<path>``, ``lost_frames_<path>``; of ``qemu`` also ``code_bytes``,
        ``ram_bytes``, ``stack_bound_bytes``, ``stack_bytes`` (deepest that was seen)
    """
    return {target: _measure(target, seconds, passes) for target in targets}


def _measure(target: str, seconds: float, passes: int) -> dict[str, float]:

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

    A pty loses what is sent before it is opened, so HELLO is requested as well.
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


_BIAS_MV = 56_000
_HITS_A_PERIOD = 10_000
_AHEAD_HITS = 300_000
_SILENCE_S = 3.0
_SETTINGS = {
    "bias_slew": 100_000,
    "host_timeout_ms": 60_000,
    "dead_time_ticks": 0,
    "energy_threshold": 0,
    "sync_lock_count": 1,
}


@dataclass(frozen=True)
class PathFigures:
    """events_per_s : that arrived; lost_frames : that did not; stack_bytes : deepest stack seen."""

    events_per_s: float
    lost_frames: int
    stack_bytes: int


def measure_path(target: str, path: str, *, seconds: float) -> PathFigures:
    """Drive one module for about ``seconds`` and count what arrives.

    Raises
    ------
    RuntimeError : hits and words in the module's own books differ
    """
    takers: list[Callable[[bytes], None]] = []
    with contextlib.ExitStack() as stack:
        receiver = _datagrams(stack, takers) if path == "ethernet" else None
        port = receiver.port if receiver else None
        machine = stack.enter_context(benched_machine(target, port))
        session = stack.enter_context(benched_session(machine))
        takers.append(session.connection.take_frame)
        _open_path(session, machine, path, receiver)
        producer = _Producer(machine, session.books, seconds)
        began = time.perf_counter()
        producer.start()
        ended_s = _last_frame(session, producer)
        report = session.command("report").fields
        session.close_books(report)
        if int(report["words"]) != producer.hits or int(report["frames_dropped"]):
            raise RuntimeError(f"{target}, {path}: {producer.hits} hits in, the report: {report}")
        rate = session.books.words / (ended_s - began)
        return PathFigures(rate, session.books.lost_frames, _stack(session))


def _datagrams(
    stack: contextlib.ExitStack, takers: list[Callable[[bytes], None]]
) -> DatagramReceiver:
    """Bind a receiver before there is a session to take its frames."""
    from daq.link.serial.datagrams import DatagramReceiver

    receiver = DatagramReceiver(0, take=lambda frame: takers[0](frame), module=0)
    stack.callback(receiver.close)
    return receiver


def _open_path(
    session: ModuleSession, machine: Machine, path: str, receiver: DatagramReceiver | None
) -> None:
    from daq.link.serial.memory_ring import RingReceiver
    from hw.wire.control import BiasState, DataPath

    for name, value in {**_SETTINGS, "data_path": int(DataPath[path])}.items():
        session.write(name, value)
    session.command("bias", target_mV=_BIAS_MV)
    session.wait_for(
        lambda t: bool(t["bias_state"] == BiasState.on), within_s=_WITHIN_S, what="bias"
    )
    if path == "ring":
        ring = RingReceiver(machine.window, take=session.connection.take_frame)
        session.connection.poller.add(ring)
    if receiver is not None:
        session.connection.poller.add(receiver)
    session.command("run", run_tag=1, periods=0, first_sequence=0, reserved=0)


def _last_frame(session: ModuleSession, producer: _Producer) -> float:
    """Wait for LAST, or until nothing more comes; return when the last frame came."""
    frames, latest, books = 0, time.perf_counter(), session.books
    while not books.ended and (producer.is_alive() or time.perf_counter() - latest < _SILENCE_S):
        if books.frames != frames:
            frames, latest = books.frames, time.perf_counter()
        time.sleep(0.0005)
    return time.perf_counter() if books.ended else latest


def _stack(session: ModuleSession) -> int:
    time.sleep(1.05)  # the firmware looks at it once a second
    return int(session.ask_telemetry()["stack_bytes"])


class _Producer(threading.Thread):
    """The detector: periods of hits and marks, never far ahead of the frames that have arrived."""

    def __init__(self, machine: Machine, books: FrameBooks, seconds: float) -> None:
        super().__init__(daemon=True)
        self.hits = self.periods = 0
        self._window, self._books, self._seconds = machine.window, books, seconds

    def run(self) -> None:
        until, period = time.perf_counter() + self._seconds, _period(_HITS_A_PERIOD)
        last = False
        while not last:
            last = time.perf_counter() > until
            period[-1] = _mark(self.periods, last=last)
            self._put(period)
            self.periods += 1
            self.hits += _HITS_A_PERIOD
            self._wait_for_frames()

    def _put(self, words: npt.NDArray[np.uint64]) -> None:
        until = time.perf_counter() + _WITHIN_S
        while words.size and time.perf_counter() < until:
            words = words[self._window.put(words) :]
            if words.size:
                time.sleep(0.001)

    def _wait_for_frames(self) -> None:
        until = time.perf_counter() + _SILENCE_S
        while self.hits - self._books.words - self._books.lost_words > _AHEAD_HITS:
            if time.perf_counter() > until:
                return  # the frames were lost, and with them what would tell
            time.sleep(0.0002)


def _period(hits: int) -> npt.NDArray[np.uint64]:
    from hw.wire.protocol import pack_words

    rng = np.random.default_rng(1)
    words = pack_words(
        time_ticks=np.sort(rng.integers(0, 1 << 28, hits)),
        crystal=rng.integers(0, 4096, hits),
        energy_dkeV=rng.integers(4000, 6000, hits),
    )
    return np.append(words, np.uint64(0))


def _mark(period: int, *, last: bool) -> np.uint64:
    from hw.wire.control import MARK_LAST, MARK_SYNCED
    from hw.wire.protocol import WORD_FIELDS, WORD_KINDS

    flags = MARK_SYNCED | (MARK_LAST if last else 0)
    kind = WORD_KINDS["sync"] << WORD_FIELDS["kind"].shift
    return np.uint64(kind | flags << WORD_FIELDS["flags"].shift | period)
