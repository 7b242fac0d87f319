"""The firmware's core inside the test's process: every function and struct of it, through cffi.

``CoreBoard`` is a module on a board whose clock only moves when the test moves it. ``lib`` has all
functions of the core's headers, ``module`` is the ``struct module`` with all of its parts, and
``window`` is the board's shared memory, so that hits go in and frames come out as elsewhere.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cffi
import crc32c
import numpy as np
from cobs import cobs

from hw.machines.build import Image
from hw.machines.memory_window import Window
from hw.wire.control import (
    COMMANDS,
    COUNTER_HZ,
    MAGIC,
    MESSAGE_BYTES,
    MESSAGE_DTYPE,
    VERSION,
    WINDOW,
    MessageKind,
    ResetCause,
)

TICKS_PER_MS = COUNTER_HZ // 1000
NO_CUT = 0xFFFFFFFF
ADC = ("bias_mV", "current_nA", "temperature_cC", "supply_mV")
_ASSERTION = re.compile(r"typedef char tomoshibi_assert_.*?;", re.DOTALL)


def _without_bodies(text: str) -> str:
    """Drop inline functions, which cffi cannot read; keep structs and enums."""
    kept, rest = [], text
    while (begin := rest.find("static inline")) >= 0:
        kept.append(rest[:begin])
        at = rest.index("{", begin) + 1
        depth = 1
        while depth:
            depth += {"{": 1, "}": -1}.get(rest[at], 0)
            at += 1
        rest = rest[at:]
    return "".join([*kept, rest])


class CoreLibrary:
    """The loaded shared library of core and test board, one for all tests."""

    def __init__(self, image: Image) -> None:
        declarations = (image.folder / "tomoshibi-test.cdef").read_text(encoding="utf-8")
        self.ffi: Any = cffi.FFI()
        self.ffi.cdef(_without_bodies(_ASSERTION.sub("", declarations)))
        self.lib: Any = self.ffi.dlopen(str(image.path), self.ffi.RTLD_LAZY)
        self.build_id = image.build_id
        self.path: Path = image.path


class CoreBoard:
    """A new board: time 0, non-volatile memory erased, normal conditions, the module not started.

    lib, ffi : cffi's; ``lib.crc32c(0, b"123456789", 9)``
    module : ``struct module *``; ``core.module.bias.state``
    board : ``struct test_board *``: what the test sets and what the firmware did
    window : hits, frames, world page and non-volatile memory (``window.bytes``)
    """

    def __init__(self, library: CoreLibrary) -> None:
        self.library = library
        self.ffi, self.lib = library.ffi, library.lib
        self.lib.test_new_board()
        self.module = self.lib.test_module()
        self.board = self.lib.test_board()
        memory = self.ffi.buffer(self.lib.test_window(), WINDOW["bytes"])
        self.window = Window(memory)
        self.window.set_up()
        self.lib.test_forget_module()
        self._packet = bytearray()
        self._sequence = 0
        self.started = False

    # --- power and time --------------------------------------------------------------------

    def start(self, cause: int = int(ResetCause.power_on), *, slot: int = 0) -> None:
        """Start again after a reset: the module's memory is lost, the window is kept."""
        self.board.starts = 1 if cause == ResetCause.power_on else self.board.starts + 1
        self.board.reset_cause, self.board.running_slot = cause, slot
        self.board.resets = self.board.downs = self.board.boots = 0
        self.board.nv_budget = NO_CUT
        self.lib.test_forget_module()
        self.lib.module_start(self.module)
        self.started = True

    def forget_line(self) -> None:
        """Discard what was sent but not read yet, as without power."""
        lost = self.ffi.new("uint8_t[]", 1 << 16)
        while self.lib.hal_serial_read(lost, len(lost)):
            pass

    def turn(self, ticks: int = TICKS_PER_MS) -> None:
        """Advance the clock, then do one turn of the main loop."""
        self.lib.test_turns(1, ticks)

    def run_for(self, milliseconds: float, *, step_us: int = 1000) -> float:
        """Run for this long; end early if the firmware asks for a reset, power-down or boot.

        Returns
        -------
        milliseconds run
        """
        turns = round(milliseconds * 1000 / step_us)
        return self.lib.test_turns(turns, step_us * TICKS_PER_MS // 1000) * step_us / 1000

    @property
    def asked_to_stop(self) -> bool:
        """Whether the firmware asked for a reset, the end of a brown-out, or another image."""
        return bool(self.lib.test_asked_to_stop())

    def set_adc(self, name: str, value: int | None) -> None:
        """Fix the reading of a converter (``ADC``); None restores the board model's value."""
        index = ADC.index(name)
        self.board.adc_is_set &= ~(1 << index)
        if value is not None:
            self.board.adc[index] = value
            self.board.adc_is_set |= 1 << index

    def cut_power_after(self, nv_bytes: int) -> None:
        """Let only this many bytes written (and sectors erased) reach the non-volatile memory."""
        self.board.nv_budget = nv_bytes

    # --- the serial line -------------------------------------------------------------------

    def serial_in(self, raw: bytes) -> None:
        """Put bytes on the line to the module."""
        if self.lib.test_serial_put(raw, len(raw)) != len(raw):
            raise ValueError(f"{len(raw)} bytes do not fit on the line: let the module turn first")

    def serial_out(self) -> bytes:
        """Take all bytes that the module has sent on the line."""
        buffer = self.ffi.new("uint8_t[]", 1 << 20)
        pieces = []
        while count := self.lib.test_serial_get(buffer, len(buffer)):
            pieces.append(bytes(self.ffi.buffer(buffer, count)))
        return b"".join(pieces)

    def packets(self) -> list[bytes]:
        """Take all whole packets that the module has sent, decoded, without empty ones."""
        self._packet += self.serial_out()
        *whole, rest = bytes(self._packet).split(b"\0")
        self._packet = bytearray(rest)
        return [cobs.decode(packet) for packet in whole if packet]

    def messages(self) -> list[tuple[np.void, bytes]]:
        """Take all control messages that the module has sent: header and payload, checked."""
        found = []
        for packet in self.packets():
            header = np.frombuffer(packet, MESSAGE_DTYPE, 1)[0]
            if header["magic"] != MAGIC:
                continue
            payload = packet[MESSAGE_BYTES:]
            crc = crc32c.crc32c(payload, crc32c.crc32c(packet[:12]))
            assert header["crc"] == crc, f"the module sent a message with a wrong CRC: {packet!r}"
            assert header["length"] == len(payload)
            found.append((header, payload))
        return found

    def datagrams(self) -> list[bytes]:
        """Take all datagrams that the module has sent."""
        buffer = self.ffi.new("uint8_t[2048]")
        found = []
        while count := self.lib.test_datagram_get(buffer, 2048):
            found.append(bytes(self.ffi.buffer(buffer, count)))
        return found

    def send(
        self, name: str, tail: bytes = b"", *, sequence: int | None = None, **fields: int
    ) -> int:
        """Put a command on the line; return its sequence number."""
        spec = COMMANDS[name]
        payload = np.zeros((), spec.request)
        for field, value in fields.items():
            payload[field] = value
        if sequence is None:
            self._sequence = sequence = (self._sequence + 1) & 0xFFFF
        body = (payload.tobytes() if spec.request.itemsize else b"") + tail
        self.serial_in(command_packet(spec.code, body, sequence))
        return sequence

    def command(
        self, name: str, tail: bytes = b"", *, sequence: int | None = None, **fields: int
    ) -> tuple[int, int, bytes]:
        """Send a command and turn until its reply arrives (at most 50 ms of board time).

        Returns
        -------
        status, detail, rest of the reply; other messages meanwhile are lost
        """
        number = self.send(name, tail, sequence=sequence, **fields)
        for _ in range(50):
            self.turn()
            for header, payload in self.messages():
                if header["kind"] == MessageKind.reply and header["sequence"] == number:
                    status, detail = np.frombuffer(payload, "<u2", 2)
                    return int(status), int(detail), payload[4:]
        raise AssertionError(f"no reply to {name} within 50 ms")


def command_packet(code: int, payload: bytes, sequence: int) -> bytes:
    """Return a command as sent on the line: COBS and a zero byte."""
    header = np.zeros((), MESSAGE_DTYPE)
    header["magic"], header["version"], header["kind"] = MAGIC, VERSION, MessageKind.command
    header["sequence"], header["code"], header["length"] = sequence, code, len(payload)
    header["crc"] = crc32c.crc32c(payload, crc32c.crc32c(header.tobytes()[:12]))
    return bytes(cobs.encode(header.tobytes() + payload)) + b"\0"
