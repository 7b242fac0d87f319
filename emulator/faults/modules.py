"""Faults that show in a module's headers: SYNC, temperature and epoch, counters, power.

They are set before each period's triggers are digitized and depend on the period alone.
"""

from __future__ import annotations

import math

import numpy as np

from emulator.detector.framing import TEMPERATURE_C, ModuleState
from emulator.faults.schedule import Entry, FaultSchedule
from emulator.slices import PERIOD_S

_THERMAL = ("temperature_drift", "temperature_sine")


class ModuleFaults:
    """Sets the header contents of one run's modules.

    gain : (modules,) f8, relative gain at the present temperature
    off : (modules,) bool, without power in the present period
    """

    def __init__(self, schedule: FaultSchedule, module: ModuleState) -> None:
        modules = len(module.sequence)
        self.gain = np.ones(modules)
        self.off = np.zeros(modules, np.bool_)
        self._schedule = schedule
        self._module = module
        self._epoch_C = module.temperature_C.copy()
        self._band_K = np.full(modules, np.inf)

    def begin(self, period: int, *, last: bool) -> None:
        """Set everything for a period. In the ``last`` one every module has power, so that the
        end of a run is always seen."""
        if period == 0:
            for entry in self._schedule.on(0, "counter_wrap"):
                self._module.sequence[entry.modules] = 2**32 - int(entry.fault.amounts["before"])
                entry.done += int(entry.modules.sum())
        self._set_power(period, last)
        self._set_clock(period)
        self._set_temperature(period)

    def _set_power(self, period: int, last: bool) -> None:
        off = np.zeros_like(self.off)
        for entry in self._schedule.on(period, "module_reset"):
            off |= entry.modules
            entry.done += int(entry.modules.sum()) if period == entry.begin else 0
        if last:
            off[:] = False
        self._module.begin_anew(self.off & ~off)
        self.off = off

    def _set_clock(self, period: int) -> None:
        module = self._module
        module.sync_lost[:] = False
        for entry in self._schedule.on(period, "clock_drift"):
            module.sync_lost |= entry.modules
            entry.done += int((entry.modules & ~self.off).sum())
        module.leap[:] = 0
        for entry in self._schedule.on(period, "clock_leap"):
            module.leap[entry.modules] += int(entry.fault.amounts["periods"])
            entry.done += int((entry.modules & ~self.off).sum())

    def _set_temperature(self, period: int) -> None:
        module, entries = self._module, self._schedule.on(period, *_THERMAL)
        module.temperature_C[:] = TEMPERATURE_C
        self.gain[:] = 1.0
        for entry in entries:
            rise_K = _rise_K(entry, period)
            module.temperature_C[entry.modules] += rise_K
            self.gain[entry.modules] *= 1.0 + entry.fault.amounts["percent_per_K"] / 100 * rise_K
            self._band_K[entry.modules] = entry.fault.amounts["band"]
            entry.done += int((entry.modules & ~self.off).sum())
        self.gain = np.maximum(self.gain, 0.0)
        self._count_epochs()

    def _count_epochs(self) -> None:
        """Start a new epoch in modules whose temperature left the band around the last epoch's."""
        module = self._module
        outside = np.abs(module.temperature_C - self._epoch_C) > self._band_K
        module.epoch += outside
        self._epoch_C[outside] = module.temperature_C[outside]


def _rise_K(entry: Entry, period: int) -> float:
    """Return the temperature's rise above its usual value at the middle of a period."""
    amounts, time_s = entry.fault.amounts, entry.seconds_on(period) + PERIOD_S / 2
    if entry.fault.kind == "temperature_drift":
        return amounts["K_per_s"] * time_s
    return amounts["K"] * math.sin(2 * math.pi * time_s / amounts["period"])
