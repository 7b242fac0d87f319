"""The detector in front of firmware modules: writes each period's hits and mark to their windows.

Promises: nothing is written before every module has opened its gate for the run. A mark follows the
hits of its period and is never dropped while the module lives. When a queue is full, an emulator in
real time drops whole hits, counted in the queue; a fast one waits. A module that takes nothing for
``FULL_S`` is no longer waited for until it does, so that the others can go on. The hits are those
that the bias lets the SiPMs make, as the board shows it when they are written (``detector/bias``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError
from emulator.detector.bias import gain_at, with_gain
from emulator.detector.digitizer import EMITTED, HEADER_WORDS, Digitizer
from emulator.detector.framing import ModuleState
from hw.machines.emulated_bias import overvoltage_mV
from hw.machines.memory_window import Window, WindowError
from hw.wire.control import MARK_LAST, MARK_SYNCED
from hw.wire.protocol import FLAGS_SHIFT, KIND_SHIFT, TIME_MASK, WORD_KINDS

GATES_S = 15.0
FULL_S = 5.0
_WAIT_S = 0.001

GiveUp = Callable[[], bool]
"""Looks for orders; returns whether to give up at once what is being done."""


def window_path(folder: Path, module: int) -> Path:
    """Return the path of a module's window."""
    return folder / f"module-{module:03d}.window"


def mark_word(period: int, *, synced: bool, last: bool) -> np.uint64:
    """Return the mark that ends a period."""
    flags = MARK_SYNCED * synced | MARK_LAST * last
    return np.uint64(WORD_KINDS["sync"] << KIND_SHIFT | flags << FLAGS_SHIFT | period & TIME_MASK)


class HitWriter:
    """Writes the hits of one run.

    offered : (modules,) i8, hits offered to each module, including those it had no room for; not
        those that its SiPMs did not make for want of bias
    """

    def __init__(self, folder: Path, modules: int, *, real_time: bool) -> None:
        self.offered = np.zeros(modules, np.int64)
        self._folder = folder
        self._real_time = real_time
        self._windows: list[Window] = []
        self._off = np.zeros(modules, np.bool_)
        self._stuck = np.zeros(modules, np.bool_)
        self._temperature_cC: list[int | None] = [None] * modules

    def wait_for_gates(self, run_tag: int, give_up: GiveUp) -> bool:
        """Wait until every module accepts the run's hits; False if given up.

        Raises
        ------
        EmulationError
            if windows are absent or gates stay closed, naming the modules.
        """
        deadline = time.monotonic() + GATES_S
        while True:
            closed = self._closed(run_tag)
            if not closed:
                return True
            if give_up():
                return False
            if time.monotonic() > deadline:
                raise EmulationError(f"after {GATES_S:g} s {closed}")
            time.sleep(_WAIT_S)

    def _closed(self, run_tag: int) -> str:
        """Name the modules that do not accept hits of the run; "" for none."""
        try:
            for module in range(len(self._windows), len(self.offered)):
                self._windows.append(Window.open(window_path(self._folder, module)))
        except WindowError as error:
            return f"a module's window cannot be used: {error}"
        closed = [str(m) for m, window in enumerate(self._windows) if window.gate != run_tag]
        if not closed:
            return ""
        return f"modules {', '.join(closed)} take no hits: are they in the run?"

    def write(
        self,
        period: int,
        digitized: Digitizer,
        module: ModuleState,
        *,
        last: bool,
        give_up: GiveUp,
    ) -> bool:
        """Write one period's hits and marks for all powered modules; False if given up.

        Parameters
        ----------
        period : its number in the run
        digitized : its words, module by module
        module : the state of all modules: lost SYNC, leaps of time, gain
        last : whether the run ends with it
        give_up : whether to stop waiting for room
        """
        self._set_weather(module, digitized.off)
        self.offered += digitized.counts[:, EMITTED]
        first = digitized.first_word
        for m in np.flatnonzero(~digitized.off).tolist():
            made = digitized.words[first[m] + HEADER_WORDS : first[m + 1]]
            words = with_gain(made, self._gain(m))
            self.offered[m] -= len(made) - len(words)
            synced = not module.sync_lost[m]
            mark = mark_word(period + int(module.leap[m]), synced=synced, last=last)
            if not self._put(m, words, mark, give_up):
                return False
        return True

    def _gain(self, m: int) -> float:
        world = self._windows[m].world
        return gain_at(
            overvoltage_mV(
                world["shown_bias_mV"],
                breakdown_mV=world["breakdown_mV"],
                temperature_cC=world["ambient_cC"],
            )
        )

    def _put(self, m: int, words: npt.NDArray[np.uint64], mark: np.uint64, give_up: GiveUp) -> bool:
        window = self._windows[m]
        marked = np.append(words, mark)
        if window.hit_room >= len(marked):
            self._stuck[m] = False
            window.put(marked)
            return True
        if self._real_time or self._stuck[m]:
            room = max(window.hit_room - 1, 0)
            kept = words[:room]
            window.count_lost(len(words) - len(kept))
            marked = np.append(kept, mark)
        return self._wait_and_put(m, marked, give_up)

    def _wait_and_put(self, m: int, marked: npt.NDArray[np.uint64], give_up: GiveUp) -> bool:
        """Write words as room becomes free; those a stuck module does not take count as lost."""
        window = self._windows[m]
        deadline = time.monotonic() + (0.0 if self._stuck[m] else FULL_S)
        while len(marked := marked[window.put(marked) :]):
            if give_up():
                return False
            if time.monotonic() >= deadline:
                self._stuck[m] = True
                window.count_lost(len(marked) - 1)
                return True
            time.sleep(_WAIT_S)
        return True

    def _set_weather(self, module: ModuleState, off: npt.NDArray[np.bool_]) -> None:
        """Update the temperature and supply voltage that the boards see, if changed."""
        temperature_cC = np.rint(module.temperature_C * 100).astype(np.int64).tolist()
        for m, window in enumerate(self._windows):
            if self._temperature_cC[m] != temperature_cC[m]:
                self._temperature_cC[m] = temperature_cC[m]
                window.world["ambient_cC"] = temperature_cC[m]
            if off[m] != self._off[m]:
                window.world["power"] = int(not off[m])
        self._off[:] = off

    def close(self) -> None:
        """Restore power to every module and release the windows."""
        for m, window in enumerate(self._windows):
            if self._off[m]:
                window.world["power"] = 1
            window.close()
        self._windows.clear()
