"""The host end of a module's serial line, for tests of machines: commands out, messages in."""

from __future__ import annotations

import time
from typing import Self

import numpy as np
import serial
from cobs import cobs

from hw.wire.control import (
    COMMANDS,
    MAGIC,
    MESSAGE_BYTES,
    MESSAGE_DTYPE,
    NOTICES,
    REGISTERS,
    STRUCTS,
    MessageKind,
)
from rigs.firmware.core_board import command_packet


class Line:
    """An open serial port; every wait ends after ``within_s`` with an AssertionError."""

    def __init__(self, url: str) -> None:
        exclusive = {} if "://" in url else {"exclusive": True}
        self.port = serial.serial_for_url(url, timeout=0.01, **exclusive)
        self._rest = b""
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.port.close()

    def messages(self) -> list[tuple[np.void, bytes]]:
        """Return the control messages received, waiting at most 10 ms."""
        *whole, self._rest = (self._rest + self.port.read(self.port.in_waiting or 1)).split(b"\0")
        found = []
        for packet in whole:
            try:
                decoded = cobs.decode(packet)
            except cobs.DecodeError:
                continue  # the first packet after opening may have begun before
            if len(decoded) >= MESSAGE_BYTES:
                header = np.frombuffer(decoded, MESSAGE_DTYPE, 1)[0]
                if header["magic"] == MAGIC:
                    found.append((header, decoded[MESSAGE_BYTES:]))
        return found

    def notice(self, name: str, *, within_s: float = 3.0) -> np.void:
        """Return the next notice with this name."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            for header, payload in self.messages():
                if header["kind"] == MessageKind.notice:
                    known, dtype = NOTICES[int(header["code"])]
                    if known == name:
                        return np.frombuffer(payload, dtype, 1)[0]
        raise AssertionError(f"no notice {name!r} within {within_s} s")

    def command(
        self, name: str, tail: bytes = b"", *, within_s: float = 2.0, **fields: int
    ) -> tuple[int, bytes]:
        """Send a command; return its reply's status and what follows the detail."""
        spec = COMMANDS[name]
        payload = np.zeros((), spec.request)
        for field, value in fields.items():
            payload[field] = value
        body = payload.tobytes() if spec.request.itemsize else b""
        body += tail
        self._sequence += 1
        self.port.write(command_packet(spec.code, body, self._sequence))
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            for header, payload_back in self.messages():
                if (header["kind"], header["sequence"]) == (MessageKind.reply, self._sequence):
                    return int(np.frombuffer(payload_back, "<u2", 1)[0]), payload_back[4:]
        raise AssertionError(f"no reply to {name!r} within {within_s} s")

    def write_register(self, name: str, value: int) -> None:
        """Set a register; this must succeed."""
        status, _ = self.command("write", register=REGISTERS[name].address, value=value)
        assert status == 0, f"{name} = {value}: status {status}"

    def identity(self) -> np.void:
        """Ask for the module's identity."""
        status, reply = self.command("hello")
        assert status == 0
        return np.frombuffer(reply, STRUCTS["identity"], 1)[0]

    def telemetry(self) -> np.void:
        """Ask for the module's telemetry."""
        _, reply = self.command("telemetry")
        return np.frombuffer(reply, STRUCTS["telemetry"], 1)[0]

    def bias_on(self, millivolt: int = 56_000, *, within_s: float = 3.0) -> None:
        """Ramp the bias as fast as allowed and wait until it is steady."""
        self.write_register("bias_slew", 100_000)
        assert self.command("bias", target_mV=millivolt)[0] == 0
        deadline = time.monotonic() + within_s
        while self.telemetry()["bias_state"] != 2:
            assert time.monotonic() < deadline, f"bias is not on within {within_s} s"
