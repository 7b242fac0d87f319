"""Scanner presets as TOML files: finds, reads and checks them, and explains what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from hw.bounded_files import FileRefused, read_text, toml_in
from hw.scanner.checks import contradiction
from hw.scanner.description import Scanner, ScannerError
from hw.scanner.table_words import explain, key_mistake

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
    mistake = key_mistake(document, Scanner, of="presets")
    if mistake is not None:
        raise ScannerError(f"{source}: {mistake}")
    try:
        scanner = msgspec.convert(document, Scanner)
    except msgspec.ValidationError as error:
        raise ScannerError(f"{source}: {explain(str(error), document, Scanner)}") from error
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
