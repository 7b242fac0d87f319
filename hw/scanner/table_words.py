"""What is wrong with a TOML file of ours, in the words of whoever wrote it: key, value, remedy."""

from __future__ import annotations

import difflib
import re
import types
import typing
from typing import Any

import msgspec


def key_mistake(
    document: dict[str, Any], table: type[msgspec.Struct], *, of: str, at: str = ""
) -> str | None:
    """Return what is wrong with the keys of a table and those within it, or None.

    of : what such files are called, in the plural
    """
    fields = {field.name: field for field in msgspec.structs.fields(table)}
    for key in document:
        if key not in fields:
            return f"{at}{_short(key)} is not a key of {of}; {_nearest(key, list(fields))}"
    for key, field in fields.items():
        if key not in document:
            if not field.required:
                continue
            return f"{at}{key} is missing: add it (see a shipped one for its meaning)"
        value, kind = document[key], _one_type(field.type)
        if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            mistake = key_mistake(value, kind, of=of, at=f"{at}{key}.")
            if mistake is not None:
                return mistake
    return None


def _one_type(kind: Any) -> Any:
    """Return ``Collimator`` for ``Collimator | None``; any other type as it is."""
    kinds = [one for one in getattr(kind, "__args__", ()) if one is not type(None)]
    union = isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union
    return kinds[0] if union and len(kinds) == 1 else kind


def _nearest(key: str, known: list[str]) -> str:
    guess = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {guess[0]}?" if guess else f"known here are {', '.join(known)}"


def explain(complaint: str, document: dict[str, Any], root: type[msgspec.Struct]) -> str:
    """Turn msgspec's complaint, which has bound and path, into one that has the value too.

    root : what the whole document was to be
    """
    what, _, where = complaint.rpartition(" - at ")
    path = where.strip("`").removeprefix("$.")
    found = _short(repr(_value_at(document, path)))
    if what.startswith("Invalid enum value"):
        what = f"Expected one of {', '.join(_choices(path, root))}"
    wanted = (what[0].lower() + what[1:]).replace("`", "").replace("object", "table")
    return f"{path} = {found}: {wanted}; correct the value of {path}"


def _value_at(document: Any, path: str) -> object:
    """Return the document's value at a path such as ``image.shape[0]``."""
    for key, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        document = document[int(index)] if index else document[key]
    return document


def _choices(path: str, root: type[msgspec.Struct]) -> list[str]:
    """Return the words allowed for a key whose type is a ``Literal``."""
    kind: Any = root
    for key in re.findall(r"(\w+)|\[\d+\]", path):
        if not key:  # an item of a list of tables
            kind = typing.get_args(_one_type(kind))[0]
            continue
        kind = _one_type({f.name: f.type for f in msgspec.structs.fields(_one_type(kind))}[key])
    return [repr(word) for word in typing.get_args(kind)]


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
