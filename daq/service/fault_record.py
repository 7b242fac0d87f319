"""What was done to a run on purpose, as its sources reported it: ``faults.json`` in its folder."""

from __future__ import annotations

from pathlib import Path

import msgspec

from daq.service.module_watch import named
from daq.service.run import write_json
from hw.messages.codec import FaultDone, SourceReport
from hw.wire.protocol import FRAME_PERIOD_PS

FILE_NAME = "faults.json"
PERIOD_S = FRAME_PERIOD_PS * 1e-12


def write_faults(folder: Path, reports: list[SourceReport]) -> None:
    """Write the file where a source reported any fault; raises StorageError."""
    faults = [msgspec.to_builtins(fault) for report in reports for fault in report.fault_log]
    if faults:
        write_json(folder / FILE_NAME, {"period_s": PERIOD_S, "faults": faults})


def read_faults(folder: Path) -> list[FaultDone]:
    """Return what was done to a run on purpose; nothing where it has no such file."""
    path = folder / FILE_NAME
    if not path.is_file():
        return []
    content = msgspec.json.decode(path.read_bytes())
    return msgspec.convert(content["faults"], list[FaultDone])


def describe_fault(fault: FaultDone) -> str:
    """Return one fault in words."""
    begin_s, end_s = fault.begin_period * PERIOD_S, fault.end_period * PERIOD_S
    return (
        f"{fault.text}, {named(fault.modules)}, from {begin_s:.2f} to {end_s:.2f} s, "
        f"{fault.done} times"
    )
