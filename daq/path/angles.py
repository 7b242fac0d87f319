"""The angles that moving modules report: read from their words, checked, and kept in order.

An angle is accepted if it lies within the preset's range and the module could have reached it since
its last one; otherwise it is counted as implausible. One older than the module's last is counted as
late. A data frame that ends more than ``SILENCE_PS`` after its module's last angle is counted as
one without a known angle. Everything is decided word by word in detector time, so that any
batching, and a replay, gives the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coincidence.events import ANGLE, Rotation
from daq.path.decode import MAX_FRAME_ID
from daq.path.frame_check import CheckedFrames
from hw.arrays import Array
from hw.jit import kernel
from hw.scanner.description import Motion, Scanner
from hw.wire.angle_words import ANGLE_MASK, ANGLE_SHIFT, ANGLE_SIGN, KIND_ANGLE, STEPS_PER_DEGREE
from hw.wire.protocol import (
    FRAME_PERIOD_LOG2,
    FRAME_PERIOD_PS,
    KIND_SHIFT,
    TICK_PS_NUM,
    TICK_PS_SHIFT,
    TIME_MASK,
)

SILENCE_PS = 1_000_000_000_000
"""1 s: docs/protocol.md requires at least one angle word per second."""
TOLERANCE_STEPS = STEPS_PER_DEGREE // 2
"""0.5° beyond range and reach: encoders are adjusted no more accurately than that."""

STANDING = np.dtype(
    [
        ("time_ps", "<i8"),
        ("steps", "<i8"),
        ("words", "<i8"),
        ("implausible", "<i8"),
        ("late", "<i8"),
        ("unknown_frames", "<i8"),
        ("known", "u1"),
    ],
    align=True,
)
"""Per module: its last accepted angle and its time, and what became of its angle words."""

_KIND_SHIFT, _KIND_ANGLE = np.uint64(KIND_SHIFT), np.uint64(KIND_ANGLE)
_ANGLE_SHIFT, _ANGLE_MASK = np.uint64(ANGLE_SHIFT), np.uint64(ANGLE_MASK)
_TIME_MASK = np.uint64(TIME_MASK)
_PS_PER_S = 1e12


@kernel
def take_angles(
    headers: Array,
    word_starts: Array,
    words: Array,
    least_steps: int,
    most_steps: int,
    steps_per_s: float,
    standing: Array,
    out: Array,
) -> int:
    """Check the angle words of frames in order of arrival; write those accepted to ``out``.

    ``least_steps``, ``most_steps`` : the range; ``steps_per_s`` : the fastest, both without
    tolerance. ``standing`` : (modules,) STANDING, updated. ``out`` : (≥ words,) ANGLE. Returns how
    many were written.

    ``headers`` : (frames,) HEADER_DTYPE. ``word_starts`` : (frames,), place of each frame's first
    word in ``words``, u8. Steps are those of the angle words, ``STEPS_PER_DEGREE``.
    """
    n = 0
    for f in range(headers.shape[0]):
        h = headers[f]
        if np.int64(h.frame_id) > MAX_FRAME_ID:
            continue
        here = standing[h.module]
        start_ticks = np.int64(h.frame_id) << FRAME_PERIOD_LOG2
        first = np.int64(word_starts[f])
        for w in range(first, first + np.int64(h.event_count)):
            word = words[w]
            if word >> _KIND_SHIFT != _KIND_ANGLE:
                continue
            here.words += 1
            code = np.int64((word >> _ANGLE_SHIFT) & _ANGLE_MASK)
            steps = (code ^ ANGLE_SIGN) - ANGLE_SIGN
            ticks = start_ticks + np.int64(word & _TIME_MASK)
            low = ((ticks & (2**TICK_PS_SHIFT - 1)) * TICK_PS_NUM) >> TICK_PS_SHIFT
            time_ps = (ticks >> TICK_PS_SHIFT) * TICK_PS_NUM + low
            within = least_steps - TOLERANCE_STEPS <= steps <= most_steps + TOLERANCE_STEPS
            if here.known and time_ps < here.time_ps:
                here.late += 1
                continue
            reach = TOLERANCE_STEPS + steps_per_s * (time_ps - here.time_ps) / _PS_PER_S
            if not within or (here.known and abs(steps - here.steps) > reach):
                here.implausible += 1
                continue
            here.known, here.time_ps, here.steps = 1, time_ps, steps
            out[n].time_ps, out[n].steps = time_ps, steps
            out[n].module, out[n].reserved = h.module, 0
            n += 1
        end_ps = np.int64(h.frame_id + 1) * FRAME_PERIOD_PS
        if end_ps - here.time_ps > SILENCE_PS:  # before the first angle: since the run's start
            here.unknown_frames += 1
    return n


class AngleTrack:
    """Follows the angles of a moving scanner's modules.

    standing : (modules,) STANDING
    """

    def __init__(self, motion: Motion, n_modules: int) -> None:
        self.standing = np.zeros(n_modules, STANDING)
        self._least = round(motion.least_deg * STEPS_PER_DEGREE)
        self._most = round(motion.most_deg * STEPS_PER_DEGREE)
        self._per_s = motion.most_deg_per_s * STEPS_PER_DEGREE
        self._found = Rotation(ANGLE, depth=1)

    def take(self, frames: CheckedFrames) -> npt.NDArray[np.void]:
        """Return the angles reported in a batch of frames, (k,) ANGLE in order of arrival."""
        words = np.frombuffer(frames.payload, dtype="<u8")
        out = self._found.next(len(words))
        count: int = take_angles(
            frames.headers, frames.word_starts, words, self._least, self._most, self._per_s,
            self.standing, out,
        )  # fmt: skip
        return out[:count].copy()

    def degrees(self) -> list[float | None]:
        """Return each module's angle, None for one not reported yet."""
        return [
            float(one["steps"]) / STEPS_PER_DEGREE if one["known"] else None
            for one in self.standing
        ]

    def counts(self) -> dict[str, int]:
        """Return the counters: all angle words, and those rejected, by reason."""
        names = ("words", "implausible", "late", "unknown_frames")
        return {name: int(self.standing[name].sum()) for name in names}


def angle_track(scanner: Scanner) -> AngleTrack | None:
    """Return the tracker of a scanner's angles; None if its modules cannot move."""
    return AngleTrack(scanner.motion, scanner.n_modules) if scanner.motion else None
