"""From accepted frames to singles: unpack event words, advance the watermark, judge lateness.

Three times say how far a run is. The *watermark* is how far the frames of all *live* modules have
come: the smallest of their ends. The *horizon* is what is final: a single before it is late. It
equals the watermark until every module has ended, then the end of time. The *newest* is the newest
frame end of any module. A module whose frames are more than ``stall_ps`` behind the newest is
*stalled*: it no longer holds the others back until its frames reach the watermark again. Everything
is decided frame by frame from detector time alone, never from the wall clock or the batch, so a
replay decides alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coincidence import events
from coincidence.calibration import NO_CRYSTAL, CalibrationError
from coincidence.events import END_OF_TIME_PS, as_words
from daq.path.frame_check import CheckedFrames
from hw.arrays import Array
from hw.jit import Record, kernel
from hw.wire.protocol import (
    CRYSTAL_MASK,
    CRYSTAL_SHIFT,
    DOI_MASK,
    DOI_SHIFT,
    ENERGY_MASK,
    ENERGY_SHIFT,
    FLAG_LAST,
    FLAGS_MASK,
    FLAGS_SHIFT,
    FRAME_PERIOD_LOG2,
    FRAME_PERIOD_PS,
    KIND_SHIFT,
    KIND_SINGLE,
    TICK_PS_NUM,
    TICK_PS_SHIFT,
    TIME_MASK,
)

DEFAULT_STALL_PS = 1_000_000_000_000
"""1 s of detector time: 190 data frames."""

MAX_FRAME_ID = int(END_OF_TIME_PS) // FRAME_PERIOD_PS - 5
"""The last period whose words, which may reach four periods further, lie before the end of time (53
days). A frame of a later one moves no time, and its singles are invalid.
"""

LIVE, STALLED, SILENT, ENDED = 0, 1, 2, 3
STATE_NAMES = ("live", "stalled", "silent", "ended")

TIMELINE = np.dtype(
    [
        ("end_ps", "<i8"),
        ("state", "u1"),
        ("stalls", "<i8"),
        ("late_frames", "<i8"),
        ("singles", "<i8"),
        ("late", "<i8"),
        ("invalid", "<i8"),
        ("other_words", "<i8"),
    ],
    align=True,
)
"""Per module: how far its frames reach, whether it holds the watermark back, and what was decoded.
"""


_KIND_SHIFT, _KIND_SINGLE = np.uint64(KIND_SHIFT), np.uint64(KIND_SINGLE)
_CRYSTAL_SHIFT, _CRYSTAL_MASK = np.uint64(CRYSTAL_SHIFT), np.uint64(CRYSTAL_MASK)
_ENERGY_SHIFT, _ENERGY_MASK = np.uint64(ENERGY_SHIFT), np.uint64(ENERGY_MASK)
_FLAGS_SHIFT, _FLAGS_MASK = np.uint64(FLAGS_SHIFT), np.uint64(FLAGS_MASK)
_DOI_SHIFT, _DOI_MASK = np.uint64(DOI_SHIFT), np.uint64(DOI_MASK)
_TIME_MASK, _ONE = np.uint64(TIME_MASK), np.uint64(1)
_OUT_ENERGY, _OUT_FLAGS = np.uint64(events.ENERGY_SHIFT), np.uint64(events.FLAGS_SHIFT)
_OUT_DOI = np.uint64(events.DOI_SHIFT)


@kernel
def decode_frames(
    headers: Array,
    word_starts: Array,
    words: Array,
    n_crystals: int,
    crystal_map: Array,
    stall_ps: int,
    line: Array,
    marks: Array,
    horizons: Array,
    out: Array,
) -> int:
    """Decode frames in order of arrival into ``out``; return the number of singles.

    ``crystal_map`` : (modules or 1, 4096) u2, crystal in the module for each value of the word's
    field, ``NO_CRYSTAL`` for none. ``line`` : (modules,) TIMELINE, updated. ``marks`` : (2,) i8,
    [horizon_ps, newest_ps]. ``horizons`` : (frames + 1,) i8, filled: the horizon before each
    frame, and after the last. ``out`` : (≥ words, 2) i8, singles as words.

    Late singles (before the horizon at the arrival of their frame), words of unknown kind and
    crystals outside the module or beyond ``MAX_FRAME_ID`` are counted, not written.

    ``headers`` : (frames,) HEADER_DTYPE. ``word_starts`` : (frames,), place of each frame's first
    word in ``words``, u8. ``n_crystals`` : of a module. ``stall_ps`` : how far behind the newest a
    module may be before the horizon no longer waits for it.
    """
    n = np.uint64(0)  # unsigned indices: a signed one may count from the end, which costs a test
    for f in range(headers.shape[0]):
        h = headers[f]
        module = line[h.module]
        start_ticks = np.int64(h.frame_id) << FRAME_PERIOD_LOG2
        horizon = marks[0]
        horizons[f] = horizon
        sane = np.int64(h.frame_id) <= MAX_FRAME_ID
        if sane and np.int64(h.frame_id + 1) * FRAME_PERIOD_PS <= horizon:
            module.late_frames += 1
        base = np.uint64(h.module) * np.uint64(n_crystals)
        crystals = crystal_map[h.module if crystal_map.shape[0] > 1 else 0]
        others = invalid = late = 0
        first = np.uint64(word_starts[f])
        for w in range(first, first + np.uint64(h.event_count)):
            word = words[w]
            if word >> _KIND_SHIFT != _KIND_SINGLE:
                others += 1
                continue
            crystal = crystals[(word >> _CRYSTAL_SHIFT) & _CRYSTAL_MASK]
            if crystal == NO_CRYSTAL or not sane:
                invalid += 1
                continue
            ticks = start_ticks + np.int64(word & _TIME_MASK)
            low = ((ticks & (2**TICK_PS_SHIFT - 1)) * TICK_PS_NUM) >> TICK_PS_SHIFT
            time_ps = (ticks >> TICK_PS_SHIFT) * TICK_PS_NUM + low
            if time_ps < horizon:
                late += 1
                continue
            energy = (word >> _ENERGY_SHIFT) & _ENERGY_MASK
            flags = (word >> _FLAGS_SHIFT) & _FLAGS_MASK
            doi = (word >> _DOI_SHIFT) & _DOI_MASK
            out[n, 0] = time_ps
            out[n, 1] = np.int64(
                (base + np.uint64(crystal)) | (energy << _OUT_ENERGY) | (flags << _OUT_FLAGS)
                | (doi << _OUT_DOI)
            )  # fmt: skip
            n += _ONE
        module.singles += np.int64(h.event_count) - others
        module.other_words += others
        module.invalid += invalid
        module.late += late
        if sane:
            _advance(h, module, line, stall_ps, marks)
    horizons[headers.shape[0]] = marks[0]
    return int(n)


@kernel
def _advance(h: Record, module: Record, line: Array, stall_ps: int, marks: Array) -> None:
    """Advance the module's end, the newest and the horizon once its frame has been decoded.

    h : HEADER_DTYPE of the frame; ``module`` : its record of ``line``; others as in decode_frames
    """
    module.end_ps = max(module.end_ps, np.int64(h.frame_id + 1) * FRAME_PERIOD_PS)
    marks[1] = max(marks[1], module.end_ps)
    if h.flags & FLAG_LAST:
        module.state = ENDED
    elif module.state != ENDED and module.end_ps >= marks[0]:
        module.state = LIVE
    horizon = marks[1]  # where only stalled modules are left they may still rejoin
    ended = 0
    for m in range(line.shape[0]):
        if line[m].state == ENDED:
            ended += 1
            continue
        if line[m].state != STALLED and marks[1] - line[m].end_ps > stall_ps:
            line[m].state = STALLED
            line[m].stalls += 1
        if line[m].state != STALLED:
            horizon = min(horizon, line[m].end_ps)
    if ended == line.shape[0]:
        horizon = np.int64(END_OF_TIME_PS)
    marks[0] = max(marks[0], horizon)


class Decoder:
    """Decodes the checked frames of one run; keeps its three times and the modules' timelines.

    horizons_ps : (n + 1,) i8, the horizon before each of the n frames decoded last, and after them;
        a new array for each batch

    Parameters
    ----------
    crystal_map : (modules, 4096) u2, crystal of each raw position; None if the words carry crystals
    """

    def __init__(
        self,
        *,
        n_modules: int,
        crystals_per_module: int,
        stall_ps: int = DEFAULT_STALL_PS,
        crystal_map: npt.NDArray[np.uint16] | None = None,
    ) -> None:
        self.line = np.zeros(n_modules, dtype=TIMELINE)
        self.line["state"] = SILENT
        self._marks = np.zeros(2, dtype=np.int64)
        self.horizons_ps = np.zeros(1, dtype=np.int64)
        self._crystals = crystals_per_module
        self._stall_ps = stall_ps
        if crystal_map is None:
            crystal_map = np.full((1, CRYSTAL_MASK + 1), NO_CRYSTAL, np.uint16)
            crystal_map[0, :crystals_per_module] = np.arange(crystals_per_module)
        elif len(crystal_map) != n_modules:
            raise CalibrationError(
                f"crystal_map has {len(crystal_map)} rows, the scanner has {n_modules} modules: it "
                "belongs to another scanner"
            )
        self._crystal_map = crystal_map

    @property
    def watermark_ps(self) -> int:
        """How far the frames of all live modules have come; at the end, the newest."""
        return int(self._marks.min())

    @property
    def horizon_ps(self) -> int:
        """A single that now arrives with an earlier time is late; END_OF_TIME_PS after the end."""
        return int(self._marks[0])

    @property
    def newest_ps(self) -> int:
        """The newest frame end of any module."""
        return int(self._marks[1])

    @property
    def all_ended(self) -> bool:
        """Whether every module has sent its LAST frame."""
        return bool((self.line["state"] == ENDED).all())

    def decode(self, frames: CheckedFrames, out: npt.NDArray[np.void]) -> int:
        """Write the frames' singles to ``out`` in order of arrival; return their number."""
        words = np.frombuffer(frames.payload, dtype="<u8")
        self.horizons_ps = np.empty(len(frames) + 1, dtype=np.int64)
        count: int = decode_frames(
            frames.headers, frames.word_starts, words, self._crystals, self._crystal_map,
            self._stall_ps, self.line, self._marks, self.horizons_ps, as_words(out),
        )  # fmt: skip
        return count
