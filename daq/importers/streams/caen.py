"""CAEN's binary lists: Janus of A5202/DT5202 (format 3.x, spectroscopy with timing) and CoMPASS.

**Janus**: a header of 25 bytes (format's version u1 u1, Janus' u1 u1 u1, board u2, run u2, mode u1,
energy bins u2, whether times are in ns u1, their LSB f4, start u8), then events: size in bytes
(u2), board (u1), trigger time in µs (f8), relative time (f8), trigger number (u8), channel mask
(u8), hits (u2); each hit channel (u1), what it has (u1: 1 low gain, 2 high gain, 16 time of
arrival, 32 time over threshold), low gain (u2), high gain (u2), time of arrival (f4, ns), time over
threshold (f4, ns). An event becomes one single: of the channel with the greatest low-gain code, its
code as energy, its time the trigger's and the time of arrival's sum.

**CoMPASS**: two bytes 0xCAE0 + what events have (1 energy, 2 calibrated energy, 4 short gate, 8
waveform), then events: board (u2), channel (u2), time in ps (u8), energy (u2), calibrated energy
(f8), energy of the short gate (u2), flags (u4), and waveform code (u1), samples (u4), samples (u2
each). Waveforms are passed over.

Channels are board · 64 + channel. Written after measured files (Janus 3.4, CoMPASS 2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from daq.errors import ImportDataError
from daq.importers.streams.foreign_list import Events, ForeignList, made

CHANNELS = 64
MOST_EVENTS = 4096
"""Of a piece."""

_JANUS_HEADER, _JANUS_EVENT = 25, struct.Struct("<HBddQQH")
_LOW, _HIGH, _ARRIVAL, _OVER = 1, 2, 16, 32
_SIZES = ((_LOW, 2), (_HIGH, 2), (_ARRIVAL, 4), (_OVER, 4))
_SPECT_TIMING = 3
MOST_SAMPLES = 1 << 24


class Single(NamedTuple):
    """An event's time (ps), channel and energy."""

    time_ps: int
    channel: int
    energy: float


class _Events(ForeignList):
    """A file of events of changing size."""

    head_bytes = 0

    def pieces(self) -> Iterator[Events]:
        """Yield the events."""
        data, at, gone = bytearray(), 0, 0
        found: list[Single] = []
        begun = False
        for more in self._bytes():
            data += more
            if not begun and len(data) < self.head_bytes:
                continue
            if not begun:
                at, begun = self._begin(bytes(data)), True
            while (size := self._size(data, at, gone)) and at + size <= len(data):
                single = self._event(data, at, size)
                if single is not None:
                    found.append(single)
                at += size
                if len(found) >= MOST_EVENTS:
                    yield _made(found)
                    found = []
            del data[:at]
            gone, at = gone + at, 0
        yield _made(found)
        if data or not begun:
            what = "an event" if begun else f"the head's {self.head_bytes}"
            self.trouble = self.cut_off(gone, f"{len(data)} bytes of {what}")

    def _begin(self, data: bytes) -> int:
        raise NotImplementedError

    def _size(self, data: bytearray, at: int, gone: int) -> int:
        raise NotImplementedError

    def _event(self, data: bytearray, at: int, size: int) -> Single | None:
        raise NotImplementedError


class Janus(_Events):
    """A list of Janus; see the module docstring."""

    head_bytes = _JANUS_HEADER

    def _begin(self, data: bytes) -> int:
        if data[0] != 3 or data[9] != _SPECT_TIMING or data[12] != 1:
            raise ImportDataError(
                f"{self.path} is no list of Janus in format 3.x of spectroscopy with timing "
                "(AcquisitionMode SPECT_TIMING, OF_OutFileUnit ns): it begins with "
                f"{data[:13].hex()}"
            )
        return _JANUS_HEADER

    def _size(self, data: bytearray, at: int, gone: int) -> int:
        if at + 2 > len(data):
            return 0
        (size,) = struct.unpack_from("<H", data, at)
        if size < _JANUS_EVENT.size:
            raise ImportDataError(
                f"{self.path}, byte {gone + at}: an event of {size} bytes, the least is "
                f"{_JANUS_EVENT.size}: the file is damaged there"
            )
        return int(size)

    def _event(self, data: bytearray, at: int, size: int) -> Single | None:
        _, board, time_us, _, _, _, hits = _JANUS_EVENT.unpack_from(data, at)
        place, end = at + _JANUS_EVENT.size, at + size
        best: tuple[int, int, float] | None = None  # low gain, channel, ns
        for _ in range(hits):
            if place + 2 > end:
                place = end + 1
                break
            channel, has = data[place], data[place + 1]
            values, place = _hit(data, place + 2, end, has)
            low = int(values.get(_LOW, 0))
            if channel < CHANNELS and (best is None or low > best[0]):
                best = low, channel, values.get(_ARRIVAL, 0.0)
        if place != end:
            self.count("events whose hits do not fill them", 1)
            return None
        if best is None or not 0 <= time_us < 1e12:
            self.count("events without hits or a possible time", 1)
            return None
        ns = best[2] if 0 <= best[2] < 1e9 else 0.0
        return Single(round(time_us * 1e6 + ns * 1e3), board * CHANNELS + best[1], float(best[0]))


def _hit(data: bytearray, place: int, end: int, has: int) -> tuple[dict[int, float], int]:
    """Return the values that a hit has, and where it ends."""
    values: dict[int, float] = {}
    for bit, size in _SIZES:
        if has & bit:
            if place + size > end:
                return values, end + 1
            (values[bit],) = struct.unpack_from("<H" if size == 2 else "<f", data, place)
            place += size
    return values, place


class Compass(_Events):
    """A list of CoMPASS; see the module docstring."""

    head_bytes = 2

    def _begin(self, data: bytes) -> int:
        head = int.from_bytes(data[:2], "little")
        if head & 0xFFF0 != 0xCAE0 or not head & 5:
            raise ImportDataError(
                f"{self.path} is no list of CoMPASS 2 with energies: it begins with "
                f"{data[:2].hex()}, not with e0ca to efca"
            )
        self._has = head & 15
        self._fixed = 12 + sum(size for bit, size in ((1, 2), (2, 8), (4, 2)) if head & bit) + 4
        return 2

    def _size(self, data: bytearray, at: int, gone: int) -> int:
        if not self._has & 8:
            return self._fixed
        if at + self._fixed + 5 > len(data):
            return 0
        (samples,) = struct.unpack_from("<I", data, at + self._fixed + 1)
        if samples > MOST_SAMPLES:
            raise ImportDataError(
                f"{self.path}, byte {gone + at}: a waveform of {samples} samples, at most "
                f"{MOST_SAMPLES}: the file is damaged there"
            )
        return self._fixed + 5 + 2 * int(samples)

    def _event(self, data: bytearray, at: int, size: int) -> Single | None:
        board, channel, time_ps = struct.unpack_from("<HHQ", data, at)
        (energy,) = struct.unpack_from("<H", data, at + 12)
        if channel >= CHANNELS or time_ps >= 1 << 62:
            self.count("events of impossible channels or times", 1)
            return None
        return Single(time_ps, board * CHANNELS + channel, float(energy))


def _made(found: list[Single]) -> Events:
    return made(*zip(*found, strict=True)) if found else made([], [], [])
