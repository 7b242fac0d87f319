"""The wire protocol as numpy sees it, read from ``protocol.toml``, the single definition.

Constants, the header dtype and the positions of the fields in an event word. The C header, the
golden vectors and ``docs/protocol.md`` are generated from the same file (``python -m
hw.generate``).
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crc32c
import numpy as np
import numpy.typing as npt

DEFINITION_PATH = Path(__file__).with_name("protocol.toml")
DEFINITION: dict[str, Any] = tomllib.loads(DEFINITION_PATH.read_text(encoding="utf-8"))


def canonical(definition: dict[str, Any]) -> str:
    """Return a definition without its explanatory ``text``: what two sides must agree on.

    Compact JSON with sorted keys, so that moving a field changes it but rewording a comment does
    not.
    """

    def stripped(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: stripped(item) for key, item in value.items() if key != "text"}
        return [stripped(item) for item in value] if isinstance(value, list) else value

    return json.dumps(stripped(definition), sort_keys=True, separators=(",", ":"))


def canonical_definition() -> str:
    """Return the part of the data frames' definition on which two sides must agree."""
    return canonical(DEFINITION)


SCHEMA_CRC: int = crc32c.crc32c(canonical_definition().encode())
"""CRC-32C of the canonical definition: equal on both sides means the same layout of bytes."""

VERSION: int = DEFINITION["protocol"]["version"]
MAGIC: int = DEFINITION["protocol"]["magic"]
TICK_PS_NUM: int = DEFINITION["protocol"]["tick_ps_numerator"]
TICK_PS_SHIFT: int = DEFINITION["protocol"]["tick_ps_shift"]
FRAME_PERIOD_LOG2: int = DEFINITION["protocol"]["frame_period_log2_ticks"]
FRAME_PERIOD_TICKS: int = 1 << FRAME_PERIOD_LOG2
FRAME_PERIOD_PS: int = (FRAME_PERIOD_TICKS * TICK_PS_NUM) >> TICK_PS_SHIFT
MAX_EVENTS: int = DEFINITION["protocol"]["max_events"]

HEADER_DTYPE = np.dtype([(f["name"], "<" + f["type"]) for f in DEFINITION["header"]])
"""64 bytes, packed, little-endian: the header of a data frame."""
HEADER_BYTES = HEADER_DTYPE.itemsize
WORD_BYTES = 8
DEAD_TIME_UNIT_PS = 5_000
"""The unit of a header's ``dead_time``: 5 ns."""

CRC_OFFSET: int = HEADER_DTYPE.fields["crc"][1]  # type: ignore[index]

FRAME_FLAGS: dict[str, int] = {f["name"]: 1 << f["bit"] for f in DEFINITION["frame_flag"]}
FLAG_FIRST = FRAME_FLAGS["first"]
FLAG_LAST = FRAME_FLAGS["last"]
FLAG_SYNC_LOST = FRAME_FLAGS["sync_lost"]
FLAG_OVERFLOW = FRAME_FLAGS["overflow"]

WORD_FLAGS: dict[str, int] = {f["name"]: 1 << f["bit"] for f in DEFINITION["word_flag"]}

WORD_KINDS: dict[str, int] = {k["name"]: k["value"] for k in DEFINITION["word_kind"]}
KIND_SINGLE = WORD_KINDS["single"]


@dataclass(frozen=True)
class WordField:
    """Where a field stands in a 64-bit event word: ``(word >> shift) & mask``."""

    name: str
    bits: int
    shift: int

    @property
    def mask(self) -> int:
        return (1 << self.bits) - 1


def _word_fields() -> dict[str, WordField]:
    fields, shift = {}, 64
    for entry in DEFINITION["word"]:
        shift -= entry["bits"]
        fields[entry["name"]] = WordField(entry["name"], entry["bits"], shift)
    if shift != 0:
        raise ValueError(f"{DEFINITION_PATH}: the word's fields make {64 - shift} bits, not 64")
    return fields


WORD_FIELDS = _word_fields()
KIND_SHIFT = WORD_FIELDS["kind"].shift
DOI_SHIFT, DOI_MASK = WORD_FIELDS["doi"].shift, WORD_FIELDS["doi"].mask
FLAGS_SHIFT, FLAGS_MASK = WORD_FIELDS["flags"].shift, WORD_FIELDS["flags"].mask
CRYSTAL_SHIFT, CRYSTAL_MASK = WORD_FIELDS["crystal"].shift, WORD_FIELDS["crystal"].mask
ENERGY_SHIFT, ENERGY_MASK = WORD_FIELDS["energy"].shift, WORD_FIELDS["energy"].mask
ENERGY_SATURATED = ENERGY_MASK
TIME_MASK = WORD_FIELDS["time"].mask

if HEADER_BYTES != 64:
    raise ValueError(f"{DEFINITION_PATH}: the header is {HEADER_BYTES} bytes, not 64")


def ticks_to_ps(ticks: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Convert ticks of 625/32 ps to whole picoseconds (floor), without overflow up to 106 days."""
    ticks = np.asarray(ticks, dtype=np.int64)
    low = (ticks & (2**TICK_PS_SHIFT - 1)) * TICK_PS_NUM >> TICK_PS_SHIFT
    return np.asarray((ticks >> TICK_PS_SHIFT) * TICK_PS_NUM + low, dtype=np.int64)


def ps_to_ticks(time_ps: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Convert picoseconds to ticks (floor), as a time-to-digital converter counts them."""
    time_ps = np.asarray(time_ps, dtype=np.int64)
    whole, rest = np.divmod(time_ps, TICK_PS_NUM)
    return np.asarray((whole << TICK_PS_SHIFT) + (rest << TICK_PS_SHIFT) // TICK_PS_NUM)


def pack_words(
    *,
    time_ticks: npt.ArrayLike,
    crystal: npt.ArrayLike,
    energy_dkeV: npt.ArrayLike,
    doi: npt.ArrayLike = 0,
    flags: npt.ArrayLike = 0,
    kind: int = KIND_SINGLE,
) -> npt.NDArray[np.uint64]:
    """Pack event words (n,) u8.

    Parameters
    ----------
    time_ticks : ticks from the start of the frame's period, < 2**30
    crystal : crystal in the module, < 4096
    energy_dkeV : energy in 0.1 keV; values above 16382 saturate to 16383
    doi, flags : depth bin < 8, flags < 4

    Raises
    ------
    ValueError
        if a field does not fit its bits.
    """
    energy = np.minimum(np.asarray(energy_dkeV, dtype=np.int64), ENERGY_SATURATED)
    values = {"kind": kind, "doi": doi, "flags": flags, "crystal": crystal, "energy": energy}
    values["time"] = time_ticks
    words = np.zeros(np.broadcast(*values.values()).shape, dtype=np.uint64)
    for name, value in values.items():
        field = WORD_FIELDS[name]
        array = np.asarray(value, dtype=np.int64)
        outside = array[(array < 0) | (array > field.mask)]
        if outside.size:
            raise ValueError(f"event word field {name}: {outside[0]} is not in 0..{field.mask}")
        words |= array.astype(np.uint64) << np.uint64(field.shift)
    return words


def unpack_words(words: npt.NDArray[np.uint64]) -> dict[str, npt.NDArray[np.int64]]:
    """Unpack event words (n,) u8 into one int64 array per field (the slow, obvious reference)."""
    return {
        f.name: ((words >> np.uint64(f.shift)) & np.uint64(f.mask)).astype(np.int64)
        for f in WORD_FIELDS.values()
    }
