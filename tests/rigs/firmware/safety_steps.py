"""Steps that the safety tests share: bias on, the fault log, images, the non-volatile memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import crc32c
import numpy as np

from hw.wire.control import (
    FAULTS,
    IMAGE,
    REGISTERS,
    SCHEMA_CRC,
    STRUCTS,
    VERSION,
    WINDOW,
    BiasState,
    Board,
    State,
    Status,
)
from rigs.firmware.core_board import CoreBoard

FAULT = {spec.name: code for code, spec in FAULTS.items()}
SECTOR = 4096
SLOT_OFFSETS = {1: WINDOW["slot_a"], 2: WINDOW["slot_b"]}
IMAGE_HEADER = STRUCTS["image"]
ENTRY = STRUCTS["fault_entry"]


def started(core: CoreBoard) -> CoreBoard:
    """Power on, then one turn: the module waits for commands."""
    core.start()
    core.turn()
    core.messages()
    return core


def write(core: CoreBoard, name: str, value: int) -> int:
    """Write a register, return the status."""
    return core.command("write", register=REGISTERS[name].address, value=value)[0]


def read(core: CoreBoard, name: str) -> int:
    """Read a register."""
    status, _, reply = core.command("read", register=REGISTERS[name].address)
    assert status == Status.ok
    return int(np.frombuffer(reply, "<i4", 1)[0])


def bring_bias_on(core: CoreBoard, millivolt: int = 55_000) -> None:
    """Ramp the bias quickly, with a live host until it is steady."""
    assert write(core, "bias_slew", 100_000) == Status.ok
    assert core.command("bias", target_mV=millivolt)[0] == Status.ok
    for _ in range(10):
        core.run_for(100)
        core.command("beat")
    assert core.module.bias.state == BiasState.on


def fault_log(core: CoreBoard) -> list[np.void]:
    """The fault log read over the serial line, newest first."""
    entries: list[np.void] = []
    there_are = 0
    while True:
        status, detail, reply = core.command("fault_log", index=len(entries))
        if status != Status.ok:
            assert len(entries) == there_are
            return entries
        there_are = detail
        entries.append(np.frombuffer(reply, ENTRY, 1)[0])


def logged(core: CoreBoard) -> list[int]:
    """The faults in the log, newest first, read from the core (no clock needed)."""
    entry = core.ffi.new("struct tomoshibi_fault_entry *")
    found = []
    while core.lib.fault_entry(core.module, len(found), entry):
        found.append(int(entry.fault))
    return found


def is_safe(core: CoreBoard) -> bool:
    """Whether a fault is latched and the bias supply was told 0 V."""
    module = core.module
    return (
        module.faults.latched != 0
        and module.state == State.fault
        and core.board.dac_mV == 0
        and module.bias.state == BiasState.tripped
    )


def image_header(content: bytes, *, damage: str = "", **fields: int) -> np.void:
    """The header of an image of these bytes, valid unless overridden."""
    header = np.zeros((), IMAGE_HEADER)
    header["magic"], header["board"], header["control_version"] = (
        IMAGE["magic"],
        Board.test,
        VERSION,
    )
    header["schema"], header["length"] = SCHEMA_CRC, len(content)
    header["crc"] = crc32c.crc32c(content)
    for name, value in fields.items():
        header[name] = value
    header["header_crc"] = crc32c.crc32c(header.tobytes()[:28])
    if damage == "header_crc":
        header["header_crc"] ^= 1
    return header[()]


def send_image(core: CoreBoard, content: bytes, *, piece: int = 128, **fields: int) -> int:
    """Transfer an image by calls to the core; return the first status that is not ok."""
    lib, module = core.lib, core.module
    header = core.ffi.new("struct tomoshibi_image *")
    core.ffi.buffer(header)[:] = image_header(content, **fields).tobytes()
    slot, following = core.ffi.new("uint32_t *"), core.ffi.new("uint32_t *")
    status = lib.update_begin(module, header, slot)
    for at in range(0, len(content), piece):
        if status != Status.ok:
            return int(status)
        part = content[at : at + piece]
        status = lib.update_data(module, at, part, len(part), following)
    return int(lib.update_end(module, slot)) if status == Status.ok else int(status)


def slot_is_whole(core: CoreBoard, slot: int) -> bool:
    """Whether a slot holds a runnable image, judged without the firmware's code."""
    memory = core.window.bytes[SLOT_OFFSETS[slot] :]
    header = memory[:32].view(IMAGE_HEADER)[0]
    return bool(
        header["magic"] == IMAGE["magic"]
        and crc32c.crc32c(header.tobytes()[:28]) == header["header_crc"]
        and 0 < header["length"] <= IMAGE["max_bytes"]
        and crc32c.crc32c(memory[32 : 32 + header["length"]].tobytes()) == header["crc"]
    )


class Memories:
    """Contents of the module's memory, the non-volatile memory and the starts of the slots."""

    def __init__(self, core: CoreBoard) -> None:
        spans = [(WINDOW["nv"], WINDOW["nv_bytes"])]
        spans += [(offset, SECTOR) for offset in SLOT_OFFSETS.values()]
        self._kept = {at: core.window.bytes[at : at + count].copy() for at, count in spans}
        self._module = bytes(core.ffi.buffer(core.module))

    def put_back(self, core: CoreBoard) -> None:
        """Restore these contents."""
        for at, content in self._kept.items():
            core.window.bytes[at : at + len(content)] = content
        core.ffi.buffer(core.module)[:] = self._module

    def slots_are_in(self, core: CoreBoard) -> bool:
        """Whether the boot record and both slots hold this now."""
        record = WINDOW["nv"] + 2 * SECTOR
        spans = [(record, self._kept[WINDOW["nv"]][2 * SECTOR : 4 * SECTOR])]
        spans += [(at, self._kept[at]) for at in SLOT_OFFSETS.values()]
        return all((core.window.bytes[at : at + len(c)] == c).all() for at, c in spans)


@contextmanager
def power_cut_after(core: CoreBoard, nv_bytes: int) -> Iterator[None]:
    """Inside, the memory accepts this many bytes and no more; after it, those are what is left.

    Writes that come too late have no effect and are not judged.
    """
    overwrites = core.board.nv_overwrites
    core.cut_power_after(nv_bytes)
    yield
    if core.board.nv_budget == 0:
        core.board.nv_overwrites = overwrites
    core.cut_power_after(0xFFFFFFFF)
