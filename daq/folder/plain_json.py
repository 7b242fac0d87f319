"""JSON as a run has it, in its files and in the heads and ends of its logs.

JSON has no infinite number and no NaN. Where a value is one, null is written, and ``not_finite``
beside it says where it was and what it was; where an old file has one, null is read.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from daq.errors import LogError
from hw.bounded_files import FileRefused, json_in, read_bytes


def json_text(value: dict[str, Any], *, indent: int | None = None) -> str:
    """Return an object as JSON text; raises TypeError for what JSON has no form for."""
    try:
        return _text(value, indent)
    except ValueError:
        return _text(_finite(value), indent)


def _text(value: dict[str, Any], indent: int | None) -> str:
    return json.dumps(
        value,
        ensure_ascii=False,
        indent=indent,
        sort_keys=indent is None,
        default=_plain,
        allow_nan=False,
    )


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, str] = {}

    def plain(inner: Any, place: str) -> Any:
        if isinstance(inner, np.generic):
            inner = inner.item()
        if isinstance(inner, dict):
            return {key: plain(one, f"{place}.{key}") for key, one in inner.items()}
        if isinstance(inner, list | tuple):
            return [plain(one, f"{place}[{k}]") for k, one in enumerate(inner)]
        if isinstance(inner, float) and not math.isfinite(inner):
            found[place.removeprefix(".")] = str(inner)
            return None
        return inner

    return {**plain(value, ""), "not_finite": found}


def object_in(content: bytes) -> dict[str, Any]:
    """Return the object in a JSON text, NaN as None; raises FileRefused."""
    found = json_in(content, constant=lambda _: None)
    if not isinstance(found, dict):
        raise FileRefused("it is no JSON object")
    return found


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of a run.

    Raises
    ------
    LogError
        if it is no plain file of bounded size, or holds anything else.
    """
    try:
        if path.is_symlink():
            raise FileRefused("it is a link, not a file")
        return object_in(read_bytes(path))
    except (FileRefused, OSError) as error:
        raise LogError(f"{os.fsdecode(path)}: {error}") from error
