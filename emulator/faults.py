"""Faults done on purpose to finished frames, so that the receiver's checks can be proved.

A fault is drawn per frame from (seed, module, sequence), or named exactly; the count of what was
done is the truth that a test compares with what was noticed. At most one fault per frame; last
frames are spared, so that a run's end is always seen.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from hw.frames import frame_crc
from hw.protocol import CRC_OFFSET, FLAG_LAST, HEADER_BYTES, HEADER_DTYPE

FaultKind = Literal[
    "corrupt", "drop", "duplicate", "reorder", "wrong_version", "truncate", "unknown_module"
]
FAULT_KINDS: tuple[FaultKind, ...] = (
    "corrupt",
    "drop",
    "duplicate",
    "reorder",
    "wrong_version",
    "truncate",
    "unknown_module",
)
Probability = Annotated[float, Meta(ge=0, le=1)]
_VERSION_OFFSET = HEADER_DTYPE.fields["version"][1]  # type: ignore[index]
_MODULE_OFFSET = HEADER_DTYPE.fields["module"][1]  # type: ignore[index]
_FLAGS_OFFSET = HEADER_DTYPE.fields["flags"][1]  # type: ignore[index]
_UNKNOWN_MODULE = 0xFFFE


class FaultPlan(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which faults to do.

    probability : fault name to probability per frame
    exact : fault name to a list of (module, sequence)
    seed : decides where the probable faults fall
    """

    probability: dict[FaultKind, Probability] = {}
    exact: dict[FaultKind, tuple[tuple[int, int], ...]] = {}
    seed: int = 0


class FaultInjector:
    """Turns each module's frames into what goes out, and counts what was done."""

    def __init__(self, plan: FaultPlan) -> None:
        self.done: Counter[str] = Counter()
        self._plan = plan
        self._exact = {(m, s): kind for kind, where in plan.exact.items() for m, s in where}
        self._held: dict[int, bytes] = {}
        self.idle = not (plan.probability or plan.exact)

    def apply(self, module: int, sequence: int, frame: bytes) -> list[bytes]:
        """Return the frames to send in place of this one, in order.

        A reordered frame is held back and follows the module's next one.
        """
        is_last = bool(frame[_FLAGS_OFFSET] & FLAG_LAST)
        kind = None if is_last else self._choose(module, sequence)
        if kind == "reorder" and module in self._held:
            kind = None
        if kind is not None:
            self.done[kind] += 1
        if kind == "reorder":
            self._held[module] = frame
            return []
        out = _spoil(kind, frame) if kind else [frame]
        held = self._held.pop(module, None)
        if held is None:
            return out
        return [held, *out] if is_last else [*out, held]

    def _choose(self, module: int, sequence: int) -> FaultKind | None:
        exact = self._exact.get((module, sequence))
        if exact is not None or not self._plan.probability:
            return exact
        draw = np.random.Generator(np.random.PCG64([self._plan.seed, module, sequence])).random()
        for kind, probability in self._plan.probability.items():
            draw -= probability
            if draw < 0:
                return kind
        return None


def _spoil(kind: FaultKind, frame: bytes) -> list[bytes]:
    if kind == "drop":
        return []
    if kind == "duplicate":
        return [frame, frame]
    if kind == "truncate":
        return [frame[: max(HEADER_BYTES // 2, len(frame) - 5)]]
    if kind == "wrong_version":
        return [_with_field(frame, _VERSION_OFFSET, "<B", frame[_VERSION_OFFSET] ^ 0xFF)]
    if kind == "unknown_module":
        return [_with_field(frame, _MODULE_OFFSET, "<H", _UNKNOWN_MODULE)]
    spoilt = bytearray(frame)
    spoilt[-1] ^= 0x10  # the last byte: of the payload, or of the checksum in an empty frame
    return [bytes(spoilt)]


def _with_field(frame: bytes, offset: int, layout: str, value: int) -> bytes:
    """Return the frame with one header field changed and a checksum that holds again."""
    changed = bytearray(frame)
    struct.pack_into(layout, changed, offset, value)
    checksum = frame_crc(bytes(changed), bytes(changed[HEADER_BYTES:]))
    struct.pack_into("<I", changed, CRC_OFFSET, checksum)
    return bytes(changed)
