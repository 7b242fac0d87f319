"""The event part of a module by itself: hits in, frames out, the clock moved by the test.

Conditions are normal, the bias counts as on and steady; only the run and the outbox turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.wire.control import (
    MARK_SYNCED,
    REGISTERS,
    STRUCTS,
    WINDOW,
    BiasState,
    DataPath,
    State,
    Status,
)
from hw.wire.protocol import TIME_MASK, WORD_FIELDS, WORD_KINDS, pack_words

TICKS_PER_MS = 25_000
WEATHER = {"temperature": 2450, "bias": 5650, "epoch": 3}
Words = npt.NDArray[np.uint64]


def single(time: int, channel: int = 0, energy: int = 5110, **fields: int) -> int:
    """Return a hit with a converter code, in ticks from the period's start."""
    return word("single", crystal=channel, energy=energy, time=time, **fields)


def mark(period: int, *, flags: int = MARK_SYNCED) -> int:
    """Return the mark that ends a period."""
    return word("sync", time=period & TIME_MASK, flags=flags)


def word(kind: str | int, **fields: int) -> int:
    """Return an event word; the kind may be an undefined number."""
    number = WORD_KINDS[kind] if isinstance(kind, str) else kind
    shifts = {f.name: f.shift for f in WORD_FIELDS.values()}
    return sum(value << shifts[name] for name, value in {"kind": number, **fields}.items())


def words_of(*words: int) -> Words:
    """Return words in the ring's form."""
    return np.array(words, np.uint64)


def random_hits(rng: np.random.Generator, count: int, **fields: Any) -> Words:
    """Return hits in order of time, of random channels and codes, in one period."""
    times = np.sort(rng.integers(0, 1 << 28, count))
    chosen = {"crystal": rng.integers(0, 4096, count), "energy_dkeV": rng.integers(0, 9000, count)}
    return pack_words(time_ticks=times, **{**chosen, **fields})


class EventsRig:
    """A started module with its bias on; the data path is the ring by default.

    module : ``struct module *``
    """

    def __init__(self, core: Any, gains: Mapping[int, int] | None = None, **registers: int) -> None:
        self.core, self.lib, self.window = core, core.lib, core.window
        core.start()
        self.module = core.module
        registers = {"data_path": int(DataPath.ring), "host_timeout_ms": 60_000, **registers}
        for name, value in registers.items():
            index = list(REGISTERS).index(name)
            assert self.lib.register_set(self.module, index, value), (name, value)
        for channel, gain in (gains or {}).items():
            self.set_gains(channel, [gain])
        self.module.bias.state = int(BiasState.on)
        self.module.bias.temperature_cC = WEATHER["temperature"]
        self.module.bias.measured_mV = 10 * WEATHER["bias"]
        self.module.bias.epoch = WEATHER["epoch"]

    def set_gains(self, first: int, gains: Sequence[int]) -> int:
        """Write gains of channels from ``first`` on; return the status."""
        raw = np.array(gains, "<u2").tobytes()
        status = self.lib.channels_write(self.module, first, len(gains), raw)
        self.module.bias.epoch = WEATHER["epoch"]
        return int(status)

    def begin(self, run_tag: int = 7, periods: int = 0, first_sequence: int = 0) -> None:
        """Begin a run; it must be accepted."""
        status = self.lib.run_begin(self.module, run_tag, periods, first_sequence)
        assert status == Status.ok, Status(status)

    def put(self, words: Words | Sequence[int]) -> None:
        """Put words into the detector's queue; all must fit."""
        words = np.asarray(words, np.uint64)
        assert self.window.put(words) == len(words)

    def poll(self, milliseconds: float = 0, turns: int = 1) -> None:
        """Advance the clock, then let run and outbox turn."""
        for _ in range(turns):
            self.module.now += int(milliseconds * TICKS_PER_MS)
            self.core.board.counter = self.module.now & 0xFFFFFFFF
            self.lib.run_poll(self.module)
            self.lib.outbox_poll(self.module)

    def feed(self, words: Words | Sequence[int], pieces: Sequence[int] = ()) -> list[bytes]:
        """Put words in chunks, the rest at once; turn until all are taken.

        Returns
        -------
        all frames sent
        """
        words = np.asarray(words, np.uint64)
        frames: list[bytes] = []
        for part in np.split(words, np.cumsum(pieces)[np.cumsum(pieces) < len(words)]):
            self.put(part)
            while self.window.hits_waiting:
                self.poll()
                frames += self.window.take()
        return frames

    @property
    def frame_ring(self) -> npt.NDArray[np.uint32]:
        """The frame ring's counters, to set values that a test could not reach in time."""
        page: npt.NDArray[np.uint32] = self.window.bytes[WINDOW["frame_ring"] :][:4096].view(
            np.uint32
        )
        return page

    @property
    def state(self) -> Any:
        """The module's state."""
        return State(self.module.state)

    def report(self) -> dict[str, int]:
        """Return the books of the present or last run."""
        made = self.core.ffi.new("struct tomoshibi_report *")
        self.lib.run_report(self.module, made)
        raw = bytes(self.core.ffi.buffer(made))
        row = np.frombuffer(raw, STRUCTS["report"])[0]
        return {name: int(row[name]) for name in row.dtype.names}


def books_close(report: Mapping[str, int], *, others: int = 0) -> bool:
    """Whether every hit of a report ended in one counter; ``others``: words that were not hits."""
    counters = ("below", "dead", "lost", "masked", "invalid")
    return report["hits"] == report["words"] - others + sum(report[name] for name in counters)
