"""Scanner presets as TOML files: finds, reads and checks them, and explains what is wrong."""

from __future__ import annotations

import difflib
import re
import types
from pathlib import Path
from typing import Any

import msgspec

from hw.bounded_files import FileRefused, read_text, toml_in
from hw.scanner.checks import contradiction
from hw.scanner.description import Scanner, ScannerError

PRESET_FOLDER = Path(__file__).with_name("presets")


def scanner_names() -> list[str]:
    """Return the names of the presets included in the package, sorted."""
    return sorted(path.stem for path in PRESET_FOLDER.glob("*.toml"))


def load_scanner(name_or_path: str | Path) -> Scanner:
    """Load a preset by name (``"caremibrain"``) or from a TOML file (``"./mine.toml"``).

    Raises
    ------
    ScannerError
        naming the file, the key, the value found, the bound and the remedy.
    """
    path = _preset_path(name_or_path)
    return parse_scanner(_read(path), source=str(path))


def scanner_to_toml_text(name_or_path: str | Path) -> str:
    """Return a preset's checked TOML text exactly as in the file (for a run's provenance)."""
    path = _preset_path(name_or_path)
    text = _read(path)
    parse_scanner(text, source=str(path))
    return text


def parse_scanner(text: str, *, source: str = "scanner preset") -> Scanner:
    """Return the scanner that a TOML text describes; ``source`` is its name in errors."""
    document = _parse_toml(text, source)
    mistake = _key_mistake(document, Scanner)
    if mistake is not None:
        raise ScannerError(f"{source}: {mistake}")
    try:
        scanner = msgspec.convert(document, Scanner)
    except msgspec.ValidationError as error:
        raise ScannerError(f"{source}: {_explain(str(error), document)}") from error
    complaint = contradiction(scanner)
    if complaint is not None:
        raise ScannerError(f"{source}: {complaint}")
    return scanner


def _preset_path(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix == ".toml" or len(path.parts) > 1:
        return path
    preset = PRESET_FOLDER / f"{path}.toml"
    if not preset.is_file():
        raise ScannerError(
            f"unknown scanner {str(name_or_path)!r}: the presets are {', '.join(scanner_names())}; "
            "for a file of your own give its path, ending in .toml"
        )
    return preset


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except FileRefused as error:
        raise ScannerError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def _parse_toml(text: str, source: str) -> dict[str, Any]:
    try:
        return toml_in(text)
    except FileRefused as error:
        raise ScannerError(f"{source}: {error}; correct that line") from error


def _key_mistake(document: dict[str, Any], table: type[msgspec.Struct], at: str = "") -> str | None:
    """Return what is wrong with the keys of a table and those within it, or None."""
    fields = {field.name: field for field in msgspec.structs.fields(table)}
    for key in document:
        if key not in fields:
            return f"{at}{_short(key)} is not a key of presets; {_nearest(key, list(fields))}"
    for key, field in fields.items():
        if key not in document:
            if not field.required:
                continue
            return f"{at}{key} is missing: add it (see a shipped preset for its meaning)"
        value, kind = document[key], _one_type(field.type)
        if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            mistake = _key_mistake(value, kind, f"{at}{key}.")
            if mistake is not None:
                return mistake
    return None


def _one_type(kind: Any) -> Any:
    """Return ``Collimator`` for ``Collimator | None``; any other type as it is."""
    kinds = [one for one in getattr(kind, "__args__", ()) if one is not type(None)]
    return kinds[0] if isinstance(kind, types.UnionType) and len(kinds) == 1 else kind


def _nearest(key: str, known: list[str]) -> str:
    guess = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {guess[0]}?" if guess else f"known here are {', '.join(known)}"


def _explain(complaint: str, document: dict[str, Any]) -> str:
    """Turn msgspec's complaint, which has bound and path, into one that has the value too."""
    what, _, where = complaint.rpartition(" - at ")
    path = where.strip("`").removeprefix("$.")
    found = _short(repr(_value_at(document, path)))
    if what.startswith("Invalid enum value"):
        what = f"Expected one of {', '.join(_choices(path))}"
    wanted = (what[0].lower() + what[1:]).replace("`", "").replace("object", "table")
    return f"{path} = {found}: {wanted}; correct the value of {path}"


def _value_at(document: Any, path: str) -> object:
    """Return the document's value at a path such as ``image.shape[0]``."""
    for key, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        document = document[int(index)] if index else document[key]
    return document


def _choices(path: str) -> list[str]:
    """Return the words allowed for a key whose type is a ``Literal``."""
    kind: Any = Scanner
    for key in path.split("."):
        kind = _one_type({f.name: f.type for f in msgspec.structs.fields(kind)}[key])
    return [repr(word) for word in kind.__args__]


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
