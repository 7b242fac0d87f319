"""The table of commands for firmware: what each must look like, and where its fields lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from hw.wire.control import COMMANDS, STRUCTS, CommandSpec, State
from hw.wire.generate.c_header import c_define

_TAIL_UNITS = {"": 0, "bytes": 1, "u2": 2}


def command_table() -> str:
    """Return ``COMMANDS(X)`` and the offset of every field of a request and of a reply."""
    rows = [f"    X({_row(spec)})" for spec in COMMANDS.values()]
    lines = [
        "/* X(name, code, states as bits, bytes of the request, unit of what may follow or 0) */",
        "#define TOMOSHIBI_COMMANDS(X) \\",
        " \\\n".join(rows),
        "/* REQUEST_x: a field's place in the payload; REPLY_x: behind status and detail */",
    ]
    for spec in COMMANDS.values():
        lines += _offsets("REQUEST", spec, spec.request)
        lines += _offsets("REPLY", spec, spec.reply)
    return "\n".join([*lines, ""])


def _row(spec: CommandSpec) -> str:
    states = spec.states or tuple(state.name for state in State)
    mask = sum(1 << State[name] for name in states)
    tail = _TAIL_UNITS[spec.request_tail]
    return f"{spec.name}, {spec.code}u, 0x{mask:02X}u, {spec.request.itemsize}u, {tail}u"


def _offsets(prefix: str, spec: CommandSpec, dtype: np.dtype[Any]) -> list[str]:
    """One definition a field; a whole structure has its own C struct and needs none."""
    if any(dtype is struct for struct in STRUCTS.values()):
        return []
    return [
        c_define(f"{prefix}_{spec.name.upper()}_{name.upper()}", f"{field[1]}u")
        for name, field in (dtype.fields or {}).items()
        if not name.startswith("reserved")
    ]
