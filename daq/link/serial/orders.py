"""Commands as their payload's bytes, and what comes back as numbers with names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daq.link.serial.line_errors import SerialLinkError
from hw.wire.control import COMMANDS, MAX_PAYLOAD, REGISTERS, CommandSpec

STATUS_BYTES = 4


@dataclass(frozen=True)
class Reply:
    """The reply to a command that was done.

    fields : the command's reply fields; ``reply["value"]`` is ``int(reply.fields["value"])``
    tail : bytes behind them; detail : the status's own number
    round_trip_s : from the command's first byte to its reply, 0 where it had to be repeated
    """

    fields: np.void
    tail: bytes
    detail: int
    round_trip_s: float

    def __getitem__(self, name: str) -> int:
        return int(self.fields[name])

    @property
    def tail_u2(self) -> npt.NDArray[np.uint16]:
        """The tail as unsigned 16-bit numbers."""
        return np.frombuffer(self.tail, dtype="<u2")


def command_spec(name: str) -> CommandSpec:
    """Return a command by name; SerialLinkError names those that there are."""
    try:
        return COMMANDS[name]
    except KeyError:
        known = ", ".join(COMMANDS)
        raise SerialLinkError(f"there is no command {name!r}; there are {known}") from None


def register_address(register: str) -> int:
    """Return a register's address; SerialLinkError names those that there are."""
    try:
        return REGISTERS[register].address
    except KeyError:
        known = ", ".join(REGISTERS)
        raise SerialLinkError(f"there is no register {register!r}; there are {known}") from None


def pack_request(spec: CommandSpec, fields: dict[str, int], tail: bytes) -> bytes:
    """Return a command's payload; ``reserved`` fields may be left out.

    Raises
    ------
    SerialLinkError
        a field is missing, unknown or does not fit its type, or the payload is too long.
    """
    record = np.zeros((), dtype=spec.request)
    names = spec.request.names or ()
    wanted = {name for name in names if not name.startswith("reserved")}
    unknown, missing = set(fields) - set(names), wanted - set(fields)
    if unknown or missing or (tail and not spec.request_tail):
        takes = ", ".join((*names, spec.request_tail)).rstrip(", ") or "nothing"
        raise SerialLinkError(
            f"command {spec.name} takes {takes}; given were {sorted(fields)} and {len(tail)} bytes"
        )
    for name, value in fields.items():
        bounds = np.iinfo(spec.request[name])
        if not bounds.min <= int(value) <= bounds.max:
            raise SerialLinkError(
                f"command {spec.name}: {name} is {value}, allowed is {bounds.min} to {bounds.max}"
            )
        record[name] = value
    payload = record.tobytes() + tail
    if len(payload) > MAX_PAYLOAD:
        raise SerialLinkError(
            f"command {spec.name}: {len(payload)} bytes of payload, {MAX_PAYLOAD} are the most"
        )
    return payload


def open_reply(spec: CommandSpec, payload: bytes, round_trip_s: float) -> Reply:
    """Return the reply in an ``ok`` payload.

    Raises
    ------
    SerialLinkError
        it is shorter than its fields: firmware and program do not agree.
    """
    body = payload[STATUS_BYTES:]
    size = spec.reply.itemsize
    if len(body) < size or (len(body) > size and not spec.reply_tail):
        raise SerialLinkError(
            f"the reply to {spec.name} has {len(body)} bytes, {size} are expected: firmware and "
            "program do not belong together; update one of them"
        )
    detail = int.from_bytes(payload[2:4], "little")
    return Reply(read_record(spec.reply, body), body[size:], detail, round_trip_s)


def read_record(dtype: np.dtype[np.void], data: bytes) -> np.void:
    """Return the first record in bytes that are long enough (a copy)."""
    if not dtype.names:
        return np.zeros((), dtype=[])[()]  # type: ignore[return-value]
    record: np.void = np.frombuffer(data, dtype=dtype, count=1)[0].copy()
    return record
