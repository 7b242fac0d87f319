"""Tables of the messages between processes, made from the structs that define them.

Headings are those files' own section comments (``# --- plane: who -> whom ---``), the text is from
the structs' docstrings, types and defaults from the structs themselves.
"""

from __future__ import annotations

import inspect
import re
import typing

import msgspec

from hw.messages import codec, commands, imager, modules, pictures, source, telemetry
from hw.messages.scan_protocol import RunUntil
from hw.messages.sort_settings import SortSettings

_SECTION = re.compile(r"^# --- (.+?) -+$", re.MULTILINE)
_CLASS = re.compile(r"^class (\w+)\(", re.MULTILINE)
_PARTS: tuple[type[msgspec.Struct], ...] = (
    telemetry.JournalEntry,
    telemetry.Alarm,
    telemetry.Interruption,
    telemetry.StartCheck,
    source.FaultDone,
    SortSettings,
    RunUntil,
    pictures.DynamicFrame,
    pictures.RegionReading,
    modules.ModuleState,
    modules.LinkState,
    modules.ModuleScan,
    modules.ScanPoint,
)
"""Structs inside messages: they have no type and version of their own."""


def message_tables() -> str:
    """Return Markdown: a section per plane, with a heading and a table for each message."""
    known = {kind.__name__: kind for kind in typing.get_args(codec.AnyMessage)}
    parts = (source, commands, imager, telemetry, pictures, modules)
    text_of_all = "".join(inspect.getsource(part) for part in parts)
    blocks = []
    for title, text in _sections(text_of_all):
        blocks.append(f"## {title[0].upper()}{title[1:]}")
        blocks += [_message(known.pop(name)) for name in _CLASS.findall(text) if name in known]
    if known:
        raise ValueError(f"{codec.__file__}: {sorted(known)} stand under no `# ---` heading")
    return "\n\n".join([*blocks, "## Parts of messages", *(_message(kind) for kind in _PARTS)])


def _sections(source: str) -> list[tuple[str, str]]:
    pieces = _SECTION.split(source)[1:]
    return [
        (title.replace("<->", "↔").replace("->", "→"), text)
        for title, text in zip(pieces[::2], pieces[1::2], strict=True)
    ]


def _message(kind: type[msgspec.Struct]) -> str:
    text = inspect.cleandoc(kind.__doc__ or "")
    fields = [field for field in msgspec.structs.fields(kind) if field.name != "version"]
    rows = [f"| `{f.name}` | {_type_name(f.type)} | {_default(f)} |" for f in fields]
    lines = [f"### `{kind.__name__}`", "", _paragraphs(text), ""]
    if rows:
        return "\n".join([*lines, "| field | type | default |", "|---|---|---|", *rows])
    return "\n".join([*lines, "No fields."])


def _paragraphs(text: str) -> str:
    """Turn a docstring's ``field : what`` lines into a list, leaving the rest as it is."""
    lines = text.replace("``", "`").splitlines()
    return "\n".join(
        re.sub(r"^([\w, ]+?) : ", lambda found: f"- `{found[1]}`: ", line) for line in lines
    )


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{field.default_factory()!r}`"
    return "required" if field.default is msgspec.NODEFAULT else f"`{field.default!r}`"


def _type_name(kind: object) -> str:
    """Return a type as written in code, with its bounds in words."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return ", ".join([_type_name(arguments[0]), *_bounds(arguments[1])])
    if origin is typing.Literal:
        return "one of " + ", ".join(f"`{value!r}`" for value in arguments)
    if arguments:
        name = getattr(origin, "__name__", str(origin))
        inner = [_plain_name(argument) for argument in arguments]
        return f"`{' or '.join(inner)}`" if "Union" in name else f"`{name}[{', '.join(inner)}]`"
    return f"`{_plain_name(kind)}`"


def _bounds(meta: msgspec.Meta) -> list[str]:
    limits = {">": meta.gt, "≥": meta.ge, "<": meta.lt, "≤": meta.le}
    return [f"{sign} {limit:,}" for sign, limit in limits.items() if limit is not None]


def _plain_name(kind: object) -> str:
    if kind is type(None):
        return "None"
    if typing.get_args(kind):
        return _type_name(kind).strip("`")
    return getattr(kind, "__name__", str(kind).removeprefix("typing."))
