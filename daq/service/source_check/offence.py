"""What is wrong with a frame that was refused: the first field that offends, where it lies, what it
is and what it had to be."""

from __future__ import annotations

import numpy as np

from daq.path.frame_check import Verdict
from daq.path.link_state import LEAP_PERIODS, WINDOW
from hw.arrays import Records
from hw.wire.frames import frame_crc
from hw.wire.protocol import (
    CRC_OFFSET,
    HEADER_BYTES,
    HEADER_DTYPE,
    MAGIC,
    MAX_EVENTS,
    VERSION,
    WORD_BYTES,
)


def offence(frame: bytes, verdict: Verdict, *, run_tag: int, links: Records) -> str:
    """Return the first offending field of a refused frame, in words.

    links : (modules,) LINK, as they stood about when it came
    """
    if verdict is Verdict.TRUNCATED:
        return f"its length is {len(frame)} bytes, a header alone has {HEADER_BYTES}"
    header = np.frombuffer(frame[:HEADER_BYTES], HEADER_DTYPE)[0]
    words = _WORDS[verdict]
    return f"{words[0]} (byte {_place(words[0])}) " + words[1](frame, header, run_tag, links)


def _place(field: str) -> int:
    return int(HEADER_DTYPE.fields[field][1])  # type: ignore[index]


def _magic(frame: bytes, h: np.void, run_tag: int, links: Records) -> str:
    turned = int.from_bytes(frame[:4], "big") == MAGIC
    return f"is {int(h['magic']):#010x}, must be {MAGIC:#010x}" + (
        ": the bytes are turned round, all is little-endian" if turned else ""
    )


def _version(frame: bytes, h: np.void, run_tag: int, links: Records) -> str:
    return f"is {int(h['version'])}, this program takes {VERSION} only"


def _length(frame: bytes, h: np.void, run_tag: int, links: Records) -> str:
    count = int(h["event_count"])
    if count > MAX_EVENTS:
        return f"is {count}, at most {MAX_EVENTS} words fit into a frame"
    wanted = HEADER_BYTES + WORD_BYTES * count
    return f"is {count}: that is {wanted} bytes, {len(frame)} came"


def _crc(frame: bytes, h: np.void, run_tag: int, links: Records) -> str:
    right = frame_crc(frame[:HEADER_BYTES], frame[HEADER_BYTES:])
    header_alone = frame_crc(frame[:HEADER_BYTES], b"")
    words = f"is {int(h['crc']):#010x}, computed over bytes 0 to {CRC_OFFSET - 1} and the payload "
    words += f"it is {right:#010x}"
    return words + (": the payload was left out" if h["crc"] == header_alone else "")


def _run_tag(frame: bytes, h: np.void, run_tag: int, links: Records) -> str:
    return f"is {int(h['run_tag'])}, Start said {run_tag}"


def _module(frame: bytes, h: np.void, run_tag: int, links: Records) -> str:
    return f"is {int(h['module'])}, the scanner has 0 to {len(links) - 1}"


def _sequence(frame: bytes, h: np.void, run_tag: int, links: Records) -> str:
    expected = int(links[h["module"]]["next_sequence"])
    return (
        f"is {int(h['sequence'])} where about {expected} was next: it came before, or is more than "
        f"{WINDOW} numbers old"
    )


def _period(frame: bytes, h: np.void, run_tag: int, links: Records) -> str:
    return (
        f"is {int(h['frame_id'])} at sequence {int(h['sequence'])}: more than {LEAP_PERIODS} from "
        "what the number says, and far ahead of the other modules. A run begins at period 0"
    )


_WORDS = {
    Verdict.BAD_MAGIC: ("magic", _magic),
    Verdict.BAD_VERSION: ("version", _version),
    Verdict.BAD_LENGTH: ("event_count", _length),
    Verdict.BAD_CRC: ("crc", _crc),
    Verdict.OTHER_RUN: ("run_tag", _run_tag),
    Verdict.UNKNOWN_MODULE: ("module", _module),
    Verdict.DUPLICATE: ("sequence", _sequence),
    Verdict.OUT_OF_STEP: ("frame_id", _period),
}
