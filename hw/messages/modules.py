"""Messages about detector modules that run our firmware: their state, and orders to them.

The link process (``tomoshibi link``) sends ``ModuleStates`` to the daq, which publishes them on the
*modules* plane for displays. Orders go the other way: a client's ``module`` command to the daq,
``ModuleOrder`` to the link process, and ``ModuleAnswer`` back.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from hw.messages.base import Message
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


class LinkState(msgspec.Struct, kw_only=True):
    """The state of the serial line to one module.

    url : the port as pyserial names it
    connected : whether the module answers
    round_trip_ms : p50 and p99 of the last commands
    retransmits, timeouts, invalid_packets, reconnects, lost_frames : since the process started
    offset_ms, drift_ppm : the module's counter against this machine's clock, by robust regression;
        drift_sigma_ppm its standard error, None if too little is known
    """

    url: str
    connected: bool
    baud: int = 0
    round_trip_ms: tuple[float, float] = (0.0, 0.0)
    bytes_in: int = 0
    bytes_out: int = 0
    retransmits: int = 0
    timeouts: int = 0
    invalid_packets: int = 0
    reconnects: int = 0
    frames: int = 0
    lost_frames: int = 0
    offset_ms: float | None = None
    drift_ppm: float | None = None
    drift_sigma_ppm: float | None = None


class ModuleState(msgspec.Struct, kw_only=True):
    """The state of one module, in the terms of docs/protocol.md.

    machine : "serial", "native" or "qemu"
    state, bias_state, fault : names; fault_text the latched fault in words, "" for none
    registers : by name, as last read
    """

    module: int
    machine: str
    link: LinkState
    state: str = "unknown"
    bias_state: str = "unknown"
    locked: bool = False
    interlock_closed: bool = True
    fault: str = ""
    fault_text: str = ""
    bias_mV: int = 0
    target_mV: int = 0
    current_nA: int = 0
    supply_mV: int = 0
    temperature_C: float = 0.0
    hit_rate: float = 0.0
    word_rate: float = 0.0
    scaler_Hz: float = 0.0
    queue_bytes: int = 0
    resets: int = 0
    reset_cause: str = ""
    slot: str = ""
    confirmed: bool = True
    build: str = ""
    serial_number: int = 0
    epoch: int = 0
    counters: dict[str, int] = {}
    registers: dict[str, int] = {}


class ScanPoint(msgspec.Struct, kw_only=True, array_like=True):
    """One point of a scan: x in mV, y in Hz (threshold scan) or nA (bias scan)."""

    x: float
    y: float


class ModuleScan(msgspec.Struct, kw_only=True):
    """A scan, complete or as far as it has got.

    kind : "threshold" (scaler rate against comparator threshold) or "bias" (current against
        voltage: the I-V curve)
    found : what the scan found, such as breakdown_mV
    """

    module: int
    kind: Literal["threshold", "bias"]
    points: list[ScanPoint] = []
    steps: int = 0
    done: bool = False
    failed: str = ""
    found: dict[str, float] = {}


# --- modules: link process (DEALER) <-> daq (ROUTER); daq (PUB) -> displays, latest only --------


class ModuleStates(Message):
    """Link process to daq, four times a second, and daq to displays: all modules.

    log : lines for the journal since the previous message
    wall_ns : CLOCK_MONOTONIC of this state
    """

    modules: list[ModuleState]
    scans: list[ModuleScan] = []
    log: list[JournalLine] = []
    wall_ns: int = 0


class ModuleOrder(Message):
    """Daq to the link process: do something to modules.

    id : chosen by the daq, repeated in the answer
    modules : which ones; [] for all
    values : parameters of the action: ``target_mV``; ``register`` names to values (write) or
        registers (read); ``path`` of an image (update); ``from_mV``, ``to_mV``, ``step_mV`` (scans)
    """

    id: int
    action: ModuleAction
    modules: list[int] = []
    values: dict[str, int | float | str] = {}


class ModuleAnswer(Message):
    """Link process to daq: the outcome of a ModuleOrder; ``values``: what was read, per module."""

    id: int
    accepted: bool
    reason: str = ""
    values: dict[str, dict[str, int]] = {}
