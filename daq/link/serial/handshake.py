"""The first words with a module: its dictionary, and why nobody answers."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from daq.link.serial.dictionary import (
    MOST_BYTES,
    PIECE_BYTES,
    Dictionary,
    check_identity,
    known_dictionary,
    parse_dictionary,
    versions_differ,
)
from daq.link.serial.line_errors import FirmwareMismatch, NoAnswer, SerialLinkError
from daq.link.serial.line_statistics import LinkStatistics
from hw.wire.control import VERSION


def read_dictionary(
    where: str, identity: np.void, piece: Callable[[int, int], bytes]
) -> Dictionary:
    """Read the dictionary that an identity promises, piece by piece, and check it.

    piece : asks for (offset, count); returns the bytes

    Raises
    ------
    FirmwareMismatch
        it is not what the identity promises.
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
    """Ask who is there until somebody says so: what is written too early is lost.

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
    """Return the dictionary of a module whose bytes we read as it means them.

    Raises
    ------
    FirmwareMismatch
        we would not, or its dictionary is damaged.
    """
    dictionary = None
    if not versions_differ(identity):
        dictionary = known_dictionary(identity) or read_dictionary(where, identity, piece)
    check_identity(where, identity, dictionary)
    assert dictionary is not None
    return dictionary


def reached(where: str, identity: np.void, piece: Callable[[int, int], bytes]) -> Dictionary:
    """Return the dictionary of a module that we can at least update, of whatever schema.

    An empty one where it cannot be read: what is to be replaced need not be whole.

    Raises
    ------
    FirmwareMismatch
        its control version is another one.
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
    """Return why no HELLO came, as far as the line shows it.

    foreign_version : control protocol of messages that did come, 0: none
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
