"""One period's frames of all modules: headers, checksums, a single buffer.

The bytes are those that ``hw.wire.frames.seal_frame`` makes frame by frame, but made for all
modules at once: at 190 periods a second, a frame may cost only a few microseconds.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

import crc32c
import numpy as np
import numpy.typing as npt

from emulator.detector.digitizer import DEAD, EMITTED, HEADER_WORDS, LOST, PILED_UP, Digitizer
from hw.wire.protocol import (
    CRC_OFFSET,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_OVERFLOW,
    FLAG_SYNC_LOST,
    HEADER_DTYPE,
    MAGIC,
    VERSION,
    WORD_BYTES,
)

TEMPERATURE_C = 24.50
BIAS_10_MV = 5_650


class ModuleState:
    """What the headers say about the modules themselves; faults of the electronics change it.

    temperature_C : (modules,) f8
    epoch : (modules,) i8, how often the temperature has left its band
    sync_lost : (modules,) bool, clock not locked to the scanner's
    leap : (modules,) i8, periods by which the module's period counter is ahead
    sequence : (modules,) i8, number of the next frame; wraps on the wire at 2³²
    words_sent : (modules,) i8, event words sent since the module started
    anew : (modules,) bool, the next frame is the first since the module started
    """

    def __init__(self, modules: int) -> None:
        self.temperature_C = np.full(modules, TEMPERATURE_C)
        self.epoch = np.zeros(modules, np.int64)
        self.sync_lost = np.zeros(modules, np.bool_)
        self.leap = np.zeros(modules, np.int64)
        self.sequence = np.zeros(modules, np.int64)
        self.words_sent = np.zeros(modules, np.int64)
        self.anew = np.ones(modules, np.bool_)

    def begin_anew(self, modules: npt.NDArray[np.bool_]) -> None:
        """Restart the counters of the masked modules, which were without power."""
        self.sequence[modules] = 0
        self.words_sent[modules] = 0
        self.anew[modules] = True


class Framer:
    """Makes the frames of one run.

    module : what the headers say about the modules
    frames_made, words_made : (modules,) i8, over the whole run, despite any restarts
    """

    def __init__(self, modules: int, *, run_tag: int) -> None:
        self.module = ModuleState(modules)
        self.frames_made = np.zeros(modules, np.int64)
        self.words_made = np.zeros(modules, np.int64)
        self._headers = np.zeros(modules, HEADER_DTYPE)
        self._headers["magic"], self._headers["version"] = MAGIC, VERSION
        self._headers["module"] = np.arange(modules)
        self._headers["run_tag"] = run_tag
        self._headers["bias"] = BIAS_10_MV
        self._places = np.empty((modules, HEADER_WORDS), np.int64)

    def seal(self, period: int, digitized: Digitizer, *, last: bool) -> list[memoryview]:
        """Fill the headers into the digitizer's words and return each module's frame.

        The frames are views of the words: send or copy them before the next period. A module that
        is off makes none; an empty view takes its place.
        """
        module, counts, header = self.module, digitized.counts, self._headers
        on = ~digitized.off
        words = counts[:, EMITTED] + np.where(on, digitized.room, 0)
        header["flags"] = FLAG_FIRST * module.anew | FLAG_LAST * last
        header["flags"] |= np.where(counts[:, LOST] > 0, FLAG_OVERFLOW, 0).astype(np.uint8)
        header["flags"] |= np.where(module.sync_lost, FLAG_SYNC_LOST, 0).astype(np.uint8)
        header["sequence"] = module.sequence & 0xFFFFFFFF
        header["frame_id"] = (period + module.leap) & 0xFFFFFFFF
        header["event_count"] = words
        header["events_before"] = module.words_sent
        header["lost_events"] = counts[:, LOST]
        header["dead_events"] = counts[:, DEAD] + counts[:, PILED_UP]
        header["dead_time"] = digitized.dead_units
        header["temperature"] = np.clip(np.rint(module.temperature_C * 100), -32768, 32767)
        header["epoch"] = module.epoch & 0xFFFF
        module.words_sent += words
        module.sequence += on
        module.anew &= ~on
        self.words_made += words
        self.frames_made += on
        first_word = digitized.first_word
        self._places[:] = first_word[:-1, None] + np.arange(HEADER_WORDS)
        digitized.words[self._places] = header.view("<u8").reshape(len(header), HEADER_WORDS)
        buffer = memoryview(digitized.words.data).cast("B")
        frames = list(_sealed(buffer, (first_word * WORD_BYTES).tolist()))
        return [frame if is_on else frame[:0] for frame, is_on in zip(frames, on, strict=True)]


def _sealed(buffer: memoryview, starts: list[int]) -> Iterator[memoryview]:
    for start, end in itertools.pairwise(starts):
        frame = buffer[start:end]
        checksum = crc32c.crc32c(frame[:CRC_OFFSET])
        checksum = crc32c.crc32c(frame[CRC_OFFSET + 4 :], checksum)
        struct.pack_into("<I", frame, CRC_OFFSET, checksum)
        yield frame
