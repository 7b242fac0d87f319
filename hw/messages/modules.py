"""Messages about detector modules that run our firmware: their state, and orders to them.

The link process (``tomoshibi link``) sends ``ModuleStates`` to the daq, which publishes them on the
*modules* plane for displays. Orders go the other way: a client's ``module`` command to the daq,
``ModuleOrder`` to the link process, and ``ModuleAnswer`` back.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from hw.messages.base import Message
from hw.messages.bounds import (
    MOST_MODULES,
    Count,
    Counts,
    Finite,
    Integer,
    ModuleNumber,
    Modules,
    Name,
    Numbers,
    Text,
)
from hw.messages.telemetry import JournalLine

ModuleAction = Literal[
    "bias",
    "write",
    "read",
    "clear_fault",
    "save",
    "reset",
    "update",
    "confirm",
    "scan_threshold",
    "scan_bias",
    "scan_stop",
]


LOW_BIAS_MV = 500
"""Further than this below what was asked as the run began, a module's bias is too low: a seventh of
the emulated SiPMs' gain. What following the temperature needs (22 mV/K) stays within it.
"""


class LinkState(msgspec.Struct, kw_only=True):
    """The state of the serial line to one module.

    url : the port as pyserial names it
    connected : whether the module answers
    round_trip_ms : p50 and p99 of the last commands
    retransmits, timeouts, invalid_packets, reconnects, lost_frames : since the process started
    offset_ms, drift_ppm : the module's counter against this machine's clock, by robust regression;
        drift_sigma_ppm its standard error, None if too little is known
    """

    url: Name
    connected: bool
    baud: Integer = 0
    round_trip_ms: tuple[Finite, Finite] = (0.0, 0.0)
    bytes_in: Integer = 0
    bytes_out: Integer = 0
    retransmits: Integer = 0
    timeouts: Integer = 0
    invalid_packets: Integer = 0
    reconnects: Integer = 0
    frames: Integer = 0
    lost_frames: Integer = 0
    offset_ms: Finite | None = None
    drift_ppm: Finite | None = None
    drift_sigma_ppm: Finite | None = None


class ModuleState(msgspec.Struct, kw_only=True):
    """The state of one module, in the terms of docs/protocol.md.

    machine : "serial", "native" or "qemu"
    state, bias_state, fault : names; fault_text the latched fault in words, "" for none
    asked_mV : in a run, the bias that was asked for as the run began, whatever was ordered since
    registers : by name, as last read
    """

    module: ModuleNumber
    machine: Name
    link: LinkState
    state: Name = "unknown"
    bias_state: Name = "unknown"
    locked: bool = False
    interlock_closed: bool = True
    fault: Name = ""
    fault_text: Text = ""
    bias_mV: Integer = 0
    target_mV: Integer = 0
    asked_mV: Integer = 0
    current_nA: Integer = 0
    supply_mV: Integer = 0
    temperature_C: Finite = 0.0
    hit_rate: Finite = 0.0
    word_rate: Finite = 0.0
    scaler_Hz: Finite = 0.0
    queue_bytes: Integer = 0
    resets: Integer = 0
    reset_cause: Name = ""
    slot: Name = ""
    confirmed: bool = True
    build: Name = ""
    serial_number: Integer = 0
    epoch: Integer = 0
    counters: Counts = {}
    registers: Counts = {}

    @property
    def lacks_bias(self) -> bool:
        """Whether it takes part in a run with less bias than the run began with."""
        return self.bias_mV + LOW_BIAS_MV < self.asked_mV


class ScanPoint(msgspec.Struct, kw_only=True, array_like=True):
    """One point of a scan: x in mV, y in Hz (threshold scan) or nA (bias scan)."""

    x: Finite
    y: Finite


class ModuleScan(msgspec.Struct, kw_only=True):
    """A scan, complete or as far as it has got.

    kind : "threshold" (scaler rate against comparator threshold) or "bias" (current against
        voltage: the I-V curve)
    found : what the scan found, such as breakdown_mV
    """

    module: ModuleNumber
    kind: Literal["threshold", "bias"]
    points: Annotated[list[ScanPoint], msgspec.Meta(max_length=10_000)] = []
    steps: Count = 0
    done: bool = False
    failed: Text = ""
    found: Numbers = {}


# --- modules: link process (DEALER) <-> daq (ROUTER); daq (PUB) -> displays, latest only --------


class ModuleStates(Message):
    """Link process to daq, four times a second, and daq to displays: all modules.

    log : lines for the journal since the previous message
    wall_ns : CLOCK_MONOTONIC of this state
    """

    modules: Annotated[list[ModuleState], msgspec.Meta(max_length=MOST_MODULES)]
    scans: Annotated[list[ModuleScan], msgspec.Meta(max_length=MOST_MODULES)] = []
    log: Annotated[list[JournalLine], msgspec.Meta(max_length=1000)] = []
    wall_ns: Integer = 0


class ModuleOrder(Message):
    """Daq to the link process: do something to modules.

    id : chosen by the daq, repeated in the answer
    modules : which ones; [] for all
    values : parameters of the action: ``target_mV``; ``register`` names to values (write) or
        registers (read); ``path`` of an image (update); ``from_mV``, ``to_mV``, ``step_mV`` (scans)
    """

    id: Count
    action: ModuleAction
    modules: Modules = []
    values: Annotated[dict[Name, Integer | Finite | Text], msgspec.Meta(max_length=1000)] = {}


class ModuleAnswer(Message):
    """Link process to daq: the outcome of a ModuleOrder; ``values``: what was read, per module."""

    id: Count
    accepted: bool
    reason: Text = ""
    values: Annotated[dict[Name, Counts], msgspec.Meta(max_length=MOST_MODULES)] = {}
