"""How many events a second come through a module's data paths, nothing lost.

Hits go in through the detector's queue, a bounded number ahead of what has arrived; frames come out
by the path, are checked (length, CRC-32C, sequence) and counted. A figure stands for hits that all
came out or are counted as lost: the books must close.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from daq.cli.bench.firmware_speed import benched_machine, benched_session

if TYPE_CHECKING:
    from daq.link.serial.datagrams import DatagramReceiver
    from daq.link.serial.frame_books import FrameBooks
    from daq.link.serial.session import ModuleSession
    from hw.machines.machine import Machine

_BIAS_MV = 56_000
_WITHIN_S = 60.0
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
    RuntimeError : hits and words of the module's own books differ
    """
    takers: list[Callable[[bytes], None]] = []
    with contextlib.ExitStack() as stack:
        receiver = _datagrams(stack, takers) if path == "ethernet" else None
        port = receiver.port if receiver else None
        machine = stack.enter_context(benched_machine(target, port))
        session = stack.enter_context(benched_session(machine))
        takers.append(session.take_frame)
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
    """Bind a receiver before there is a session that takes its frames."""
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
        session.poller.add(RingReceiver(machine.window, take=session.take_frame))
    if receiver is not None:
        session.poller.add(receiver)
    session.command("run", run_tag=1, periods=0, first_sequence=0, reserved=0)


def _last_frame(session: ModuleSession, producer: _Producer) -> float:
    """Wait for LAST, or until nothing comes any more; return when the last frame came."""
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
