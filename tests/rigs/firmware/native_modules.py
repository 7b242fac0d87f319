"""Steps of the serial link tests: bring a module up, feed it hits, end its run."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from daq.link.serial.session import ModuleSession
from hw.machines.build import Image, build, slot_image
from hw.machines.machine import Machine
from hw.wire.control import MARK_LAST, MARK_SYNCED, SCHEMA_CRC, STRUCTS, BiasState, Board, DataPath
from hw.wire.protocol import WORD_KINDS, pack_words

Words = npt.NDArray[np.uint64]
RUN_TAG = 0x5EED
OTHER_SCHEMA = SCHEMA_CRC ^ 0x5A5A5A5A


def foreign_build() -> tuple[Image, bytes]:
    """Return native firmware that claims another schema, and its update image."""
    image = build("native", defines=[f"TOMOSHIBI_SCHEMA_OVERRIDE={OTHER_SCHEMA:#x}u"])
    body = image.slot_image[STRUCTS["image"].itemsize :]
    wrapped = slot_image(body, board=Board.posix, build_id=image.build_id, schema=OTHER_SCHEMA)
    return image, wrapped


def period_words(rng: np.random.Generator, hits: int) -> Words:
    """Return the hits of a period, in order of time, each above the threshold."""
    return pack_words(
        time_ticks=np.sort(rng.integers(0, 1 << 28, hits)),
        crystal=rng.integers(0, 4096, hits),
        energy_dkeV=rng.integers(1000, 9000, hits),
    )


def mark(period: int, *, last: bool = False) -> Words:
    """Return the mark that ends a period."""
    flags = MARK_SYNCED | (MARK_LAST if last else 0)
    kind = WORD_KINDS["sync"]
    return pack_words(time_ticks=[period], crystal=0, energy_dkeV=0, kind=kind, flags=flags)


def bring_up(session: ModuleSession, *, path: int = DataPath.serial) -> None:
    """Set a module up so that input comes out word by word, and switch its bias on."""
    for register, value in (
        ("data_path", int(path)),
        ("dead_time_ticks", 0),
        ("energy_threshold", 0),
        ("sync_lock_count", 1),
        ("bias_slew", 100_000),
        ("host_timeout_ms", 60_000),
    ):
        session.write(register, value)
    session.command("bias", target_mV=54_000)
    session.wait_for(lambda t: bool(t["bias_state"] == BiasState.on), within_s=10, what="bias")


def begin_run(session: ModuleSession, *, run_tag: int = RUN_TAG, periods: int = 0) -> None:
    """Start a run with frames counted from 0."""
    session.command("run", run_tag=run_tag, periods=periods, first_sequence=0)


def feed(machine: Machine, words: Words, *, within_s: float = 20.0) -> None:
    """Put words into the module's hit ring, waiting for room."""
    until = time.monotonic() + within_s
    while len(words):
        taken = machine.window.put(words)
        words = words[taken:]
        if not taken:
            assert time.monotonic() < until, "the module takes no hits"
            time.sleep(0.001)


def wait_until(holds, *, within_s: float = 10.0) -> None:
    """Wait for a condition; fail if it does not come true."""
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "what was waited for did not come"
        time.sleep(0.005)
