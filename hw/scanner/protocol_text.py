"""Scan protocols as TOML text: reads and checks them, explains what is wrong, and writes them.

Those that come with the package lie beside the presets, one file each, named after the protocol.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from hw.bounded_files import FileRefused, read_text, toml_in
from hw.errors import TomoshibiError
from hw.messages.scan_protocol import ScanProtocol
from hw.scanner.description import Scanner
from hw.scanner.table_words import explain, key_mistake

PROTOCOL_FOLDER = Path(__file__).with_name("protocols")
MOST_BYTES = 64 * 1024


class ProtocolError(TomoshibiError, ValueError):
    """A protocol that cannot be read, found, used or kept; the message says what to do."""


def parse_protocol(text: str, *, source: str = "protocol") -> ScanProtocol:
    """Return the protocol that a TOML text describes; ``source`` is its name in errors.

    Raises
    ------
    ProtocolError
        naming the key, the value found, the bound and the remedy.
    """
    try:
        return protocol_of(toml_in(text), source=source)
    except FileRefused as error:
        raise ProtocolError(f"{source}: {error}; correct that line") from error


def protocol_of(values: Any, *, source: str = "protocol") -> ScanProtocol:
    """Return the protocol in plain values, as a file or a client has it; raises ProtocolError."""
    if not isinstance(values, dict):
        raise ProtocolError(f"{source}: a table of a protocol's keys is needed, not {values!r:.60}")
    mistake = key_mistake(values, ScanProtocol, of="protocols")
    if mistake is not None:
        raise ProtocolError(f"{source}: {mistake}")
    try:
        return msgspec.convert(values, ScanProtocol)
    except msgspec.ValidationError as error:
        words, _, _ = str(error).partition(" - at `")
        ours = not words.startswith(_OF_TYPES)
        told = words if ours else explain(str(error), values, ScanProtocol)
        raise ProtocolError(f"{source}: {told}") from error


_OF_TYPES = ("Expected", "Invalid enum", "Object")
"""How msgspec's own complaints begin; others are ours, and say where and what."""


def read_protocol(path: Path) -> ScanProtocol:
    """Return the protocol in a file; raises ProtocolError naming the file."""
    try:
        text = read_text(path, most_bytes=MOST_BYTES)
    except FileRefused as error:
        raise ProtocolError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    return parse_protocol(text, source=str(path))


def shipped_protocols() -> list[ScanProtocol]:
    """Return the protocols that come with the package, by name."""
    paths = sorted(PROTOCOL_FOLDER.glob("*.toml"), key=lambda path: path.stem)
    return [read_protocol(path) for path in paths]


def why_not_for(protocol: ScanProtocol, scanner: Scanner) -> str:
    """Return why a protocol is not for a scanner, "" if it is."""
    if protocol.modality != scanner.modality:
        return f"{protocol.label} is for {protocol.modality}, {scanner.name} is {scanner.modality}"
    if protocol.scanners and scanner.name not in protocol.scanners:
        return f"{protocol.label} is for {', '.join(protocol.scanners)}, not for {scanner.name}"
    return ""


# --- writing --------------------------------------------------------------------------------------


def protocol_text(protocol: ScanProtocol) -> str:
    """Return a protocol as TOML, without what is as it would be anyway."""
    lines: list[str] = []
    tables: list[str] = []
    for field in msgspec.structs.fields(protocol):
        value = getattr(protocol, field.name)
        if field.name != "version" and not field.required and value == field.default:
            continue
        if isinstance(value, msgspec.Struct):
            tables += _table(field.name, value)
        else:
            lines.append(f"{field.name} = {_value(value)}")
    return "\n".join([*lines, *tables, ""])


def _table(name: str, content: msgspec.Struct) -> list[str]:
    lines = ["", f"[{name}]"]
    nested: list[str] = []
    for field in msgspec.structs.fields(content):
        value = getattr(content, field.name)
        if value == field.default:
            continue
        if field.name == "windows" and value:
            nested += [line for one in value for line in _window(f"{name}.{field.name}", one)]
        else:
            lines.append(f"{field.name} = {_value(value)}")
    return [*lines, *nested]


def _window(name: str, window: msgspec.Struct) -> list[str]:
    lines = ["", f"[[{name}]]"]
    for field in msgspec.structs.fields(window):
        value = getattr(window, field.name)
        if field.required or value != field.default:
            lines.append(f"{field.name} = {_value(value)}")
    return lines


def _value(value: Any) -> str:
    """Write a value: JSON's strings, booleans, numbers and lists are TOML's.

    JSON writes a whole float without a point only where Python does, and no text of a protocol
    holds control characters, which TOML would have escaped.
    """
    plain = list(value) if isinstance(value, tuple) else value
    return json.dumps(plain, ensure_ascii=False)
