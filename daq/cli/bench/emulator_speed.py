"""The emulator's benchmark: full Monte Carlo and load mode, the brain phantom in ``caremibrain``.

Each figure is the median of several measurements taken in turn, so that a slow minute of a shared
machine affects all of them. *One core*: Monte Carlo and digitizer one after the other in one
thread. *Two cores*: two threads of Monte Carlo beside the digitizer.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.engines.emulation import Emulation
    from emulator.engines.instrument import Instrument

MONTE_CARLO_BQ = 1e6
LOAD_BQ = 30e6
"""For load mode: 26 M deposits a second; frames have 2000 words, as in the fastest scans."""

_GATE_DECAYS_PER_S = 0.2e6  # two primaries a decay; GATE 10 does 0.04 to 0.2 M/s, the best taken
_QUOTED = "GATE 10 (quoted: 0.04-0.2 M decays/s on one core of this machine), decays_per_s"

RECEIVER = """
import sys, zmq
from hw.wire.protocol import HEADER_BYTES, HEADER_DTYPE, FLAG_LAST
import numpy as np
socket = zmq.Context.instance().socket(zmq.PULL)
socket.setsockopt(zmq.RCVHWM, 1000)
socket.bind(sys.argv[1])
print("bound", flush=True)
modules, words, frames, ended = int(sys.argv[2]), 0, 0, 0
while ended < modules:
    data = socket.recv(copy=False).buffer
    header = np.frombuffer(data[:HEADER_BYTES], HEADER_DTYPE)[0]
    words += int(header["event_count"])
    frames += 1
    ended += bool(header["flags"] & FLAG_LAST)
print(frames, words, flush=True)
"""


def measure_emulator(*, periods: int, passes: int = 5) -> dict[str, Any]:
    """Return decays and singles per second of full Monte Carlo and load mode.

    Returns
    -------
    dict
        ``decays_per_s_*`` and ``singles_per_s_one_core`` of the Monte Carlo to a null sink;
        ``library_singles_per_s*`` of load mode, words in sealed frames to a null sink;
        ``frames_singles_per_s`` of load mode as frames over ZeroMQ into a second process that
        counts them; ``peers``, ``ratio_to``
    """
    carlo, load = _instruments()
    works: dict[str, Callable[[], dict[str, float]]] = {
        "carlo_1": lambda: one_core(carlo, MONTE_CARLO_BQ, periods),
        "carlo_2": lambda: _two_cores(carlo, MONTE_CARLO_BQ, 2 * periods),
        "load_1": lambda: one_core(load, LOAD_BQ, periods),
        "load_2": lambda: _two_cores(load, LOAD_BQ, 2 * periods),
        "frames": lambda: _over_sockets(load, LOAD_BQ, 2 * periods),
    }
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in works}
    for turn in range(passes + 1):
        for name, work in works.items():
            result = work()
            if turn > 0:  # the first turn compiles and touches memory
                taken[name].append(result)
    return _figures({name: _medians(results) for name, results in taken.items()})


def _figures(medians: dict[str, dict[str, float]]) -> dict[str, Any]:
    one, two = medians["carlo_1"], medians["carlo_2"]
    load_one, load_two = medians["load_1"]["singles"], medians["load_2"]["singles"]
    return {
        "decays_per_s_one_core": one["decays"],
        "decays_per_s_two_cores": two["decays"],
        "two_cores_gain": two["decays"] / one["decays"],
        "singles_per_s_one_core": one["singles"],
        "library_singles_per_s": max(load_one, load_two),
        "library_singles_per_s_one_core": load_one,
        "library_singles_per_s_two_cores": load_two,
        "frames_singles_per_s": medians["frames"]["singles"],
        "peers": {_QUOTED: _GATE_DECAYS_PER_S},
        "ratio_to": {"GATE 10 (quoted), one core": one["decays"] / _GATE_DECAYS_PER_S},
    }


def _medians(results: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(r[name] for r in results) for name in results[0]}


def _instruments() -> tuple[Instrument, Instrument]:
    """Return the instruments of full Monte Carlo and of load mode."""
    from emulator.config import EmulatorConfig
    from emulator.engines.library_build import with_library
    from emulator.engines.prepare import prepare

    config = EmulatorConfig(pace="fast", library="auto", threads=2)
    carlo = prepare(EmulatorConfig(pace="fast"))
    return carlo, with_library(carlo, config)


def _emulation(instrument: Instrument, activity_Bq: float) -> Emulation:
    from emulator.engines.emulation import Emulation

    return Emulation(instrument, activity_Bq=activity_Bq, seed=1)


def one_core(instrument: Instrument, activity_Bq: float, periods: int) -> dict[str, float]:
    """Emulate periods of 5.24 ms in one thread; return decays and singles per second."""
    emulation = _emulation(instrument, activity_Bq)
    began = time.perf_counter()
    for index in range(periods):
        emulation.digitize(emulation.emulate_slice(index), last=False)
    return _rates(emulation, time.perf_counter() - began)


def _two_cores(instrument: Instrument, activity_Bq: float, periods: int) -> dict[str, float]:
    from emulator.slices import SliceAhead

    emulation = _emulation(instrument, activity_Bq)
    ahead = SliceAhead(emulation.emulate_slice, threads=2, look_ahead_s=0.05)
    try:
        began = time.perf_counter()
        for _, hits in zip(range(periods), ahead, strict=False):
            emulation.digitize(hits, last=False)
        seconds = time.perf_counter() - began
    finally:
        ahead.close()
    return _rates(emulation, seconds)


def _over_sockets(instrument: Instrument, activity_Bq: float, periods: int) -> dict[str, float]:
    """Send frames over the emulator's own sockets to a second process, which counts them."""
    from emulator.process.data_link import DataLink
    from emulator.slices import SliceAhead

    emulation, modules = _emulation(instrument, activity_Bq), instrument.scanner.n_modules
    with tempfile.TemporaryDirectory(prefix="tomoshibi-") as folder:
        address = f"ipc://{folder}/data"
        command = [sys.executable, "-c", RECEIVER, address, str(modules)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
            assert receiver.stdout is not None
            receiver.stdout.readline()
            link = DataLink(address, modules)
            ahead = SliceAhead(emulation.emulate_slice, threads=1, look_ahead_s=0.05)
            try:
                began = time.perf_counter()
                for index, hits in zip(range(periods), ahead, strict=False):
                    frames = emulation.digitize(hits, last=index == periods - 1)
                    for module, frame in enumerate(frames):
                        link.send(module, frame, lambda: receiver.poll() is not None)
                received = receiver.stdout.readline().split()
                seconds = time.perf_counter() - began
            finally:
                ahead.close()
                link.close()
                receiver.kill()
    rates = _rates(emulation, seconds)
    sent = [float(periods * modules), float(emulation.totals.truth()["emitted"])]
    if [float(number) for number in received] != sent:
        raise RuntimeError(f"sent {sent} frames and singles, the receiver counted {received}")
    return rates


def _rates(emulation: Emulation, seconds: float) -> dict[str, float]:
    truth = emulation.totals.truth()
    return {"decays": truth["decays"] / seconds, "singles": truth["emitted"] / seconds}
