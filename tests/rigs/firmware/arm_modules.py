"""The ARM image in QEMU for tests: a machine, a session, and hits with known frames."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from daq.link.serial.datagrams import DatagramReceiver
from daq.link.serial.line_errors import CommandRefused
from daq.link.serial.memory_ring import RingReceiver
from daq.link.serial.session import ModuleSession
from hw.machines.build import Image, build
from hw.machines.qemu import Qemu
from hw.machines.toolchain import missing
from hw.wire.control import FAULTS, STRUCTS, BiasState, DataPath
from hw.wire.protocol import HEADER_BYTES, HEADER_DTYPE
from oracles.firmware_reference import ReferenceRun, Settings
from rigs.firmware.events import mark, random_hits

BIAS_MV = 56_000
OF_THE_WEATHER = ("temperature", "bias", "epoch", "crc")
"""Fields of a frame's header that the board's weather decides, and what follows from them."""

needs_qemu = [
    pytest.mark.qemu,
    pytest.mark.skipif(bool(missing("qemu")), reason=missing("qemu")),
]


@functools.cache
def arm_image(*defines: str) -> Image:
    """Return the ARM image, or a variant of it."""
    return build("mps2", defines=defines)


@dataclass
class ArmModule:
    """A module running in QEMU, and its host side.

    frames : all received, by either path; notices : names and payloads in order
    """

    machine: Qemu
    session: ModuleSession
    frames: list[bytes] = field(default_factory=list)
    notices: list[tuple[str, np.void]] = field(default_factory=list)

    @property
    def window(self) -> Any:
        return self.machine.window

    def prepare(self, path: DataPath, **registers: int) -> None:
        """Set registers, switch the bias on and open the data path."""
        settings = {"data_path": int(path), "bias_slew": 100_000, **registers}
        for name, value in settings.items():
            self.session.write(name, value)
        self.bias_on()

    def bias_on(self) -> None:
        self.session.command("bias", target_mV=BIAS_MV)
        on = int(BiasState.on)
        self.session.wait_for(lambda t: t["bias_state"] == on, within_s=10, what="bias")

    def begin(self, run_tag: int = 7, *, periods: int = 0, first_sequence: int = 0) -> None:
        self.session.command(
            "run", run_tag=run_tag, periods=periods, first_sequence=first_sequence, reserved=0
        )
        wait_until(lambda: self.window.gate == run_tag, "the gate")

    def put(self, words: npt.NDArray[np.uint64], *, within_s: float = 20.0) -> None:
        """Queue words like a detector that waits for room."""
        until = time.monotonic() + within_s
        while words.size:
            words = words[self.window.put(words) :]
            assert time.monotonic() < until, f"{words.size} words found no room"
            time.sleep(0 if words.size == 0 else 0.001)

    def wait_frames(self, count: int, *, within_s: float = 20.0) -> list[bytes]:
        wait_until(lambda: len(self.frames) >= count, f"{count} frames", within_s=within_s)
        return self.frames

    def report(self) -> dict[str, int]:
        fields = self.session.command("report").fields
        return {name: int(fields[name]) for name in STRUCTS["report"].names or ()}

    def faults(self) -> list[str]:
        """Return the names of the faults in the log, the newest first."""
        return [FAULTS[int(entry["fault"])].name for entry in self.fault_entries()]

    def fault_entries(self) -> list[np.void]:
        """Return the log's entries, the newest first."""
        entries: list[np.void] = []
        count = 1
        while len(entries) < count:
            try:
                reply = self.session.command("fault_log", index=len(entries), reserved=0)
            except CommandRefused:  # the log is empty
                break
            count = reply.detail
            entries.append(reply.fields)
        return entries


@contextlib.contextmanager
def arm_module(
    folder: Path,
    *,
    path: DataPath = DataPath.ring,
    image: Image | None = None,
    icount: bool = False,
    world: dict[str, int] | None = None,
    **session: Any,
) -> Iterator[ArmModule]:
    """Run a module in QEMU with a session and a receiver for its data path."""
    frames: list[bytes] = []
    notices: list[tuple[str, np.void]] = []
    with contextlib.ExitStack() as stack:
        receiver = None
        take: list[Callable[[bytes], None]] = []
        if path == DataPath.ethernet:
            receiver = DatagramReceiver(0, take=lambda frame: take[0](frame), module=0)
        machine = Qemu(
            folder=folder,
            image=image or arm_image(),
            icount=icount,
            datagram_port=receiver.port if receiver else None,
        )
        machine.window.world.update(world or {})
        stack.enter_context(machine)
        opened = stack.enter_context(
            ModuleSession.open(
                lambda: machine.serial_url,
                module=0,
                on_frame=frames.append,
                on_notice=lambda name, payload: notices.append((name, payload.copy())),
                **session,
            )
        )
        take.append(opened.connection.take_frame)
        if receiver is not None:
            opened.connection.poller.add(receiver)
            stack.callback(receiver.close)
        if path == DataPath.ring:
            opened.connection.poller.add(
                RingReceiver(machine.window, take=opened.connection.take_frame)
            )
        yield ArmModule(machine, opened, frames, notices)


def wait_until(holds: Callable[[], bool], what: str, *, within_s: float = 10.0) -> None:
    """Poll until ``holds`` is true; fail with ``what`` after the time limit."""
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, f"{what}: not within {within_s:g} s"
        time.sleep(0.002)


def periods_of_hits(
    seed: int, periods: int, hits: int, *, first: int = 0, synced: bool = True
) -> list[npt.NDArray[np.uint64]]:
    """Return the words of each period, ending with its mark; the last mark is flagged as last."""
    rng = np.random.default_rng(seed)
    made = []
    for period in range(first, first + periods):
        flags = int(synced) | (2 if period == first + periods - 1 else 0)
        made.append(np.append(random_hits(rng, hits), np.uint64(mark(period, flags=flags))))
    return made


def expected(words: list[npt.NDArray[np.uint64]], settings: Settings, **run: Any) -> ReferenceRun:
    """Return the reference's result for all words."""
    reference = ReferenceRun(settings, **run)
    for period in words:
        reference.take(period)
    return reference


def assert_same_frames(got: list[bytes], wanted: list[bytes]) -> None:
    """Compare frames bit by bit, except for fields that depend on the weather."""
    assert len(got) == len(wanted)
    for number, (frame, reference) in enumerate(zip(got, wanted, strict=True)):
        assert frame[HEADER_BYTES:] == reference[HEADER_BYTES:], f"words of frame {number}"
        header, known = header_of(frame), header_of(reference)
        for name in HEADER_DTYPE.names or ():
            if name not in OF_THE_WEATHER:
                assert header[name] == known[name], f"{name} of frame {number}"


def header_of(frame: bytes) -> np.void:
    """Return a frame's header."""
    return np.frombuffer(frame, HEADER_DTYPE, 1)[0]  # type: ignore[no-any-return]
