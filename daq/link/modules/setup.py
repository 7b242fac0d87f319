"""The settings of modules before a run: registers from the scanner's preset, and the bias."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from daq.errors import DaqError
from hw.machines.emulated_bias import BIAS_MV
from hw.scanner.description import RAW_POSITION_BINS, Scanner
from hw.wire.control import REGISTERS, DataPath
from hw.wire.protocol import TICK_PS_NUM, TICK_PS_SHIFT

DataPathName = Literal["serial", "ethernet", "ring"]

TELEMETRY_MS = 250
SLEW_OF_EMULATED_BIAS = REGISTERS["bias_slew"].max


@dataclass(frozen=True)
class ModuleSetup:
    """The settings that every module gets.

    registers : by name, except ``module``, which differs for each
    bias_mV : at the reference temperature; 0 leaves the bias off, and no run can begin
    """

    registers: dict[str, int] = field(default_factory=dict)
    bias_mV: int = BIAS_MV

    def of(self, module: int) -> dict[str, int]:
        """Return the registers of one module."""
        return {"module": module, **self.registers}

    def with_registers(self, **values: int) -> ModuleSetup:
        """Return the setup with some registers changed."""
        return replace(self, registers={**self.registers, **values})


class SetupError(DaqError):
    """A setting that no module accepts."""


def check_bounds(name: str, value: int) -> None:
    """Refuse a register's value that no module accepts, naming the allowed range."""
    register = REGISTERS[name]
    if not register.min <= value <= register.max:
        unit = f" {register.unit}" if register.unit else ""
        raise SetupError(
            f"{name} is {value}{unit}, allowed is {register.min} to {register.max}{unit}"
        )


def setup_of(
    scanner: Scanner,
    *,
    data_path: DataPathName,
    trigger_keV: float,
    queue_words: int | None = None,
    bias_mV: int = BIAS_MV,
) -> ModuleSetup:
    """Return the settings of a scanner's modules.

    Parameters
    ----------
    data_path : how data leave the modules
    trigger_keV : hits below are dropped in the module
    queue_words : most event words in a frame; None for the firmware's own value
    bias_mV : of the detectors, in mV

    Raises
    ------
    SetupError
        a value is out of its register's range.
    """
    response = scanner.response
    raw = response.position_readout == "raw"
    busy_ps = round(1000 * max(response.dead_time_ns, response.integration_ns))
    registers = {
        "data_path": int(DataPath[data_path]),
        "telemetry_ms": TELEMETRY_MS,
        "energy_threshold": math.floor(10 * trigger_keV),
        "dead_time_ticks": -(-(busy_ps << TICK_PS_SHIFT) // TICK_PS_NUM),
        "dead_time_scope": 0,
        "paralysable": int(response.dead_time_model == "paralysable"),
        "channels": RAW_POSITION_BINS**2 if raw else scanner.crystals_per_module,
        # The detector's marks begin with the run: one SYNC pulse is all there is before its frame.
        "sync_lock_count": 1,
    }
    if queue_words is not None:
        registers["queue_words"] = queue_words
    for name, value in registers.items():
        check_bounds(name, value)
    return ModuleSetup(registers, bias_mV)
