"""Deliberate faults in finished frames and their delivery, to prove the receiver's checks.

A fault is drawn per frame from (seed, module, period), or named exactly; the count of faults
applied is the truth that a test compares with what was noticed. At most one fault per frame; last
frames are spared, so that the end of a run is always seen.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np

from emulator.fault_kinds import FRAME_KINDS, FaultKind
from emulator.faults.schedule import Entry, FaultSchedule
from hw.wire.frames import frame_crc
from hw.wire.protocol import CRC_OFFSET, FLAG_LAST, HEADER_BYTES, HEADER_DTYPE

_VERSION_OFFSET = HEADER_DTYPE.fields["version"][1]  # type: ignore[index]
_MODULE_OFFSET = HEADER_DTYPE.fields["module"][1]  # type: ignore[index]
_FLAGS_OFFSET = HEADER_DTYPE.fields["flags"][1]  # type: ignore[index]
_UNKNOWN_MODULE = 0xFFFE


class FaultInjector:
    """Turns each module's frames into what is sent, and counts the faults applied.

    ``done`` counts by kind; each fault's own count is in the schedule.
    """

    def __init__(
        self,
        schedule: FaultSchedule,
        *,
        exact: Iterable[tuple[FaultKind, tuple[tuple[int, int], ...]]] = (),
        seed: int = 0,
    ) -> None:
        self.done: Counter[str] = Counter()
        self._schedule = schedule
        self._seed = seed
        self._exact = {(m, s): kind for kind, where in exact for m, s in where}
        self._late: dict[int, bytes] = {}
        self._stalled: defaultdict[int, list[bytes]] = defaultdict(list)
        self._spoiling: list[Entry] = []
        self._cut: list[Entry] = []
        self.idle = True

    def begin(self, period: int) -> None:
        """Look up the faults that are on in a period."""
        self._spoiling = self._schedule.on(period, *FRAME_KINDS)
        self._cut = self._schedule.on(period, "stalled_link", "vanished_link")
        held = self._late or any(self._stalled.values())
        self.idle = not (self._spoiling or self._cut or self._exact or held)

    def apply(self, module: int, period: int, frame: bytes) -> list[bytes]:
        """Return the frames to send in place of this one, in order.

        A reordered frame is held back and follows the module's next one; a stalled link's frames
        come with the first one after it.
        """
        is_last = bool(frame[_FLAGS_OFFSET] & FLAG_LAST)
        cut = [] if is_last else [entry for entry in self._cut if entry.modules[module]]
        for entry in cut:
            if entry.fault.kind == "vanished_link":
                self._count(entry, 1)
                return []
        out = self._spoil(module, period, frame, is_last)
        for entry in cut:
            self._count(entry, len(out))
        self._stalled[module] += out
        return [] if cut else self._stalled.pop(module)

    def _spoil(self, module: int, period: int, frame: bytes, is_last: bool) -> list[bytes]:
        kind = None if is_last else self._choose(module, period)
        if kind == "reorder":
            self._late[module] = frame
            return []
        out = _spoil(kind, frame) if kind else [frame]
        held = self._late.pop(module, None)
        if held is None:
            return out
        return [held, *out] if is_last else [*out, held]

    def _choose(self, module: int, period: int) -> FaultKind | None:
        """Choose the fault for a frame and count it; no frame is reordered twice."""
        exact = self._exact.get((module, period))
        if exact is not None:
            self.done[exact] += 1
            return exact
        entries = [entry for entry in self._spoiling if entry.modules[module]]
        if not entries:
            return None
        draw = np.random.Generator(np.random.PCG64([self._seed, module, period])).random()
        for entry in entries:
            draw -= entry.fault.amounts["p"]
            if draw < 0:
                if entry.fault.kind == "reorder" and module in self._late:
                    return None
                self._count(entry, 1)
                return entry.fault.kind  # type: ignore[return-value]
        return None

    def _count(self, entry: Entry, n: int) -> None:
        entry.done += n
        self.done[entry.fault.kind] += n


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
    """Return the frame with one header field changed and a valid checksum."""
    changed = bytearray(frame)
    struct.pack_into(layout, changed, offset, value)
    checksum = frame_crc(bytes(changed), bytes(changed[HEADER_BYTES:]))
    struct.pack_into("<I", changed, CRC_OFFSET, checksum)
    return bytes(changed)
