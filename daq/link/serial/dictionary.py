"""The data dictionary that a module serves: the names in its firmware, and whether host and
firmware agree; the first exchange with a module.

The dictionary is read in pieces and checked by length and CRC-32C against the module's identity.
The schema's CRC tells whether host and firmware give every byte the same meaning; if it differs,
the dictionary shows in words what does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import crc32c
import numpy as np

from daq.link.serial.line_errors import FirmwareMismatch, NoAnswer, SerialLinkError
from daq.link.serial.line_statistics import LinkStatistics
from hw.bounded_files import json_in
from hw.wire.control import (
    COMMANDS,
    DEFINITION,
    FAULTS,
    MAX_PAYLOAD,
    REGISTERS,
    SCHEMA_CRC,
    VERSION,
    Board,
)
from hw.wire.protocol import VERSION as FRAME_VERSION

MOST_BYTES = 1 << 20
PIECE_BYTES = MAX_PAYLOAD - 4
_STATUS_TEXTS = {entry["value"]: entry["text"] for entry in DEFINITION["status"]}
_KNOWN: dict[tuple[int, int], Dictionary] = {}
_MOST_KNOWN = 16


@dataclass(frozen=True)
class Dictionary:
    """A firmware's description of itself; ``content`` is the JSON as received."""

    content: dict[str, Any]

    def names(self, table: str) -> dict[str, int]:
        """Return names and codes of "commands", "notices", "registers" or "faults"."""
        key = "address" if table == "registers" else "code"
        return {entry["name"]: int(entry[key]) for entry in self.content.get(table, [])}

    def differences(self) -> list[str]:
        """Describe how the firmware's definitions differ from this program's, by name."""
        words = []
        faults = {fault.name: fault.value for fault in FAULTS.values()}
        ours = {
            "commands": {spec.name: spec.code for spec in COMMANDS.values()},
            "registers": {spec.name: spec.address for spec in REGISTERS.values()},
            "faults": faults,
        }
        for table, known in ours.items():
            theirs = self.names(table)
            gone = sorted(set(known) - set(theirs))
            new = sorted(set(theirs) - set(known))
            moved = sorted(name for name in set(known) & set(theirs) if known[name] != theirs[name])
            for what, names in (("lacks", gone), ("adds", new), ("renumbers", moved)):
                if names:
                    words.append(f"it {what} the {table} {', '.join(names[:8])}")
        return words


def status_text(status: int) -> str:
    """Return a reply status in words."""
    return str(_STATUS_TEXTS.get(status, f"status {status}, which this program does not know"))


def board_name(board: int) -> str:
    """Return a board's name."""
    known = {int(entry): entry.name for entry in Board}
    return known.get(board, f"board {board}")


def known_dictionary(identity: np.void) -> Dictionary | None:
    """Return the dictionary if one with the same identity was read before."""
    return _KNOWN.get((int(identity["dictionary_crc"]), int(identity["dictionary_bytes"])))


def parse_dictionary(where: str, identity: np.void, data: bytes) -> Dictionary:
    """Return the dictionary encoded in the bytes.

    Raises
    ------
    FirmwareMismatch
        length, CRC or form are not as the identity says.
    """
    length, crc = int(identity["dictionary_bytes"]), int(identity["dictionary_crc"])
    if len(data) != length or crc32c.crc32c(data) != crc:
        raise FirmwareMismatch(
            f"{where}: its dictionary has {len(data)} bytes with CRC {crc32c.crc32c(data):#010x}, "
            f"its identity promises {length} with {crc:#010x}: the firmware is damaged; flash it"
        )
    try:
        content = json_in(data)
        dictionary = Dictionary(content)
        dictionary.differences()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FirmwareMismatch(
            f"{where}: its dictionary is not what this program can read ({error}); flash it"
        ) from error
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[crc, length] = dictionary
    return dictionary


def versions_differ(identity: np.void) -> bool:
    """Return whether the versions differ so much that not even the dictionary can be read."""
    return int(identity["control_version"]) != VERSION


def understands(identity: np.void) -> bool:
    """Return whether this program and a module with this identity agree on the meaning of all
    bytes.
    """
    theirs = (int(identity["protocol_version"]), int(identity["control_version"]))
    return theirs == (FRAME_VERSION, VERSION) and int(identity["schema"]) == SCHEMA_CRC


def check_identity(where: str, identity: np.void, dictionary: Dictionary | None) -> None:
    """Refuse a firmware whose bytes this program would misread.

    Raises
    ------
    FirmwareMismatch
        naming versions and schemas of both sides and, if known, what differs.
    """
    if understands(identity):
        return
    differences = dictionary.differences() if dictionary is not None else []
    detail = f" ({'; '.join(differences)})" if differences else ""
    same = "" if versions_differ(identity) else " (tomoshibi firmware flash)"
    raise FirmwareMismatch(
        f"{where} runs firmware build {int(identity['build']):08x} with frame protocol "
        f"{int(identity['protocol_version'])}, control protocol "
        f"{int(identity['control_version'])} and schema {int(identity['schema']):08x}; this "
        f"program speaks {FRAME_VERSION}, {VERSION} and {SCHEMA_CRC:08x}{detail}. Flash the "
        f"firmware of this release{same}, or use the program that belongs to that firmware"
    )


def read_dictionary(
    where: str, identity: np.void, piece: Callable[[int, int], bytes]
) -> Dictionary:
    """Read the dictionary announced by an identity, piece by piece, and check it.

    piece : requests (offset, count); returns the bytes

    Raises
    ------
    FirmwareMismatch
        it is not as the identity says.
    """
    length = int(identity["dictionary_bytes"])
    if not 0 < length <= MOST_BYTES:
        raise FirmwareMismatch(
            f"{where}: its dictionary is said to have {length} bytes, 1 to {MOST_BYTES} are "
            "possible: the firmware is damaged; flash it"
        )
    data = b""
    while len(data) < length:
        more = piece(len(data), min(PIECE_BYTES, length - len(data)))
        if not more:
            break
        data += more
    return parse_dictionary(where, identity, data)


def hello(
    ask: Callable[[], np.void], why_not: Callable[[], SerialLinkError], *, within_s: float
) -> np.void:
    """Ask for a HELLO until one comes: what is sent too early is lost.

    ask : asks once; raises NoAnswer
    """
    until = time.monotonic() + within_s
    while True:
        try:
            return ask()
        except NoAnswer as error:
            if time.monotonic() > until:
                raise why_not() from error


def understood(where: str, identity: np.void, piece: Callable[[int, int], bytes]) -> Dictionary:
    """Return the dictionary of a module that this program understands completely.

    Raises
    ------
    FirmwareMismatch
        it does not, or the dictionary is damaged.
    """
    dictionary = None
    if not versions_differ(identity):
        dictionary = known_dictionary(identity) or read_dictionary(where, identity, piece)
    check_identity(where, identity, dictionary)
    assert dictionary is not None
    return dictionary


def reached(where: str, identity: np.void, piece: Callable[[int, int], bytes]) -> Dictionary:
    """Return the dictionary of a module of any schema that can at least be updated.

    It is empty if it cannot be read: firmware that is to be replaced need not be intact.

    Raises
    ------
    FirmwareMismatch
        its control version is another.
    """
    if versions_differ(identity):
        check_identity(where, identity, None)
    try:
        return known_dictionary(identity) or read_dictionary(where, identity, piece)
    except FirmwareMismatch:
        return Dictionary({})


def nobody(
    where: str, statistics: LinkStatistics, *, within_s: float, foreign_version: int
) -> SerialLinkError:
    """Return the error for a missing HELLO, with the cause as far as the line shows it.

    foreign_version : control protocol of the messages that did come, 0 for none
    """
    if foreign_version:
        return FirmwareMismatch(
            f"{where} speaks control protocol {foreign_version}, this program {VERSION}: flash the "
            "firmware of this release, or use the program that belongs to that firmware"
        )
    came = statistics.bytes_in
    hint = (
        f"{came} bytes came, none of them its answer: is the speed right ({statistics.baud} baud)?"
        if came
        else "not one byte came: is it powered, and is this its port?"
    )
    return NoAnswer(f"{where}: no HELLO within {within_s:g} s; {hint}")
