"""Serial numbers of scanners, and the factory calibrations that come with the package.

A serial number names one instrument: its crystals' errors and the calibration that is true of them.
An emulated scanner of a shipped preset has the serial ``NAME-0001`` where no other is asked for. A
user's own preset is another instrument, even under the same name: its serial holds a hash.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec

from hw.scanner.description import Scanner, ScannerError
from hw.scanner.preset_file import load_scanner, scanner_names

CALIBRATION_FOLDER = Path(__file__).with_name("calibrations")
ACTIVITY_SUFFIX = ".activity.json"
"""Of the factor to Bq/mL that lies beside a calibration set of the same name."""

_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


def check_serial(serial: str) -> str:
    """Return the serial number; raises ScannerError where it is none ("" names none)."""
    if serial and not _SERIAL.fullmatch(serial):
        raise ScannerError(
            f"serial number {serial!r}: at most 60 letters, digits, '.', '_' and '-' are needed, "
            "the first a letter or digit, such as caremibrain-0002"
        )
    return serial


def standard_serial(scanner: Scanner) -> str:
    """Return the serial number of the emulated scanner of a preset where none is asked for."""
    values = _what_it_is(scanner)
    if scanner.name in scanner_names() and _what_it_is(load_scanner(scanner.name)) == values:
        return f"{scanner.name}-0001"
    text = msgspec.json.encode(values, order="sorted")
    return f"{scanner.name}-{hashlib.blake2b(text, digest_size=4).hexdigest()}"


def _what_it_is(scanner: Scanner) -> dict[str, Any]:
    """Return a preset without its limits: what is demanded of an instrument does not make it
    another one."""
    values: dict[str, Any] = msgspec.to_builtins(scanner)
    for demanded in ("acceptance", "qc"):
        del values[demanded]
    return values


def serial_of(asked: str, scanner: Scanner) -> str:
    """Return the serial number asked for, or else the preset's; raises ScannerError."""
    return check_serial(asked) or standard_serial(scanner)


def factory_calibration(serial: str) -> Path | None:
    """Return the factory calibration set of a serial number, None where there is none."""
    path = CALIBRATION_FOLDER / f"{check_serial(serial)}.npz"
    return path if serial and path.is_file() else None


def activity_beside(calibration: Path) -> Path | None:
    """Return the activity calibration that lies beside a calibration set, None where none does."""
    path = calibration.with_suffix(ACTIVITY_SUFFIX)
    return path if path.is_file() else None
