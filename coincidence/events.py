"""The records of singles and coincidences: one layout for kernels, files and messages.

Inside kernels (``words``), records are read and written as 64-bit words: a structured record is
copied field by field, the same bytes as words several times faster (a test compares both layouts
field by field).

Also here are the angle at which a single was seen, and the working memory of the event path
(``Rotation``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hw.arrays import Records

SINGLE = np.dtype(
    [
        ("time_ps", "<i8"),
        ("crystal", "<u4"),
        ("energy", "<u2"),
        ("flags", "u1"),
        ("doi", "u1"),
    ]
)
"""A detected photon, 16 bytes: time since the run's start in ps, global crystal index, energy in
0.1 keV, flags of the event word, depth bin. A *windowed* single carries the number of its energy
window (from 1, as in ``SortSettings.singles_windows``) in the upper six bits of its flags."""

WINDOW_SHIFT = 2
"""The lower bits of a single's flags are those of the event word."""

COINCIDENCE = np.dtype(
    [
        ("time_ps", "<i8"),
        ("crystal_a", "<u4"),
        ("crystal_b", "<u4"),
        ("tof_ps", "<i4"),
        ("energy_a", "<u2"),
        ("energy_b", "<u2"),
        ("flags", "u1"),
        ("doi_a", "u1"),
        ("doi_b", "u1"),
        ("window", "u1"),
        ("reserved", "<u4"),
    ]
)
"""A prompt or a delayed, 32 bytes. ``crystal_a < crystal_b``; ``tof_ps = t_b − t_a``, so a
positive value means that the photon reached a first: the source is nearer to a. ``time_ps`` is
the earlier single's time. In a delayed the delay is already taken from the later single's time,
and ``window`` is the number of its delayed window, from 0."""

TRIPLE = np.dtype(
    [
        ("time_ps", "<i8"),
        ("crystal", "<u4", (3,)),
        ("after_ps", "<i4", (2,)),
        ("energy", "<u2", (3,)),
        ("doi", "u1", (3,)),
        ("pairs", "u1"),
        ("reserved", "<u2"),
    ]
)
"""Three singles connected by good pairs, 40 bytes, in order of time: the first one's time, how much
later the second and third came, ``pairs`` the good pairs among them (1 first and second, 2 first
and third, 4 second and third)."""

ANGLE = np.dtype(
    [
        ("time_ps", "<i8"),
        ("steps", "<i4"),
        ("module", "<u2"),
        ("reserved", "<u2"),
    ]
)
"""Where a module stood, 16 bytes: from this time until its next angle it stands at ``steps`` of
``ANGLE_STEP_DEG`` (``hw.scanner.geometry.module_poses`` says what is turned)."""

RECORD_OF_KIND = {
    "prompts": COINCIDENCE,
    "delayeds": COINCIDENCE,
    "singles": SINGLE,
    "triples": TRIPLE,
    "angles": ANGLE,
}
"""The record of each kind of event, by the name that the event plane and the logs give it."""

ANGLE_STEP_DEG = 0.001
FLAG_DELAYED = 1
FLAG_MULTIPLE = 2
END_OF_TIME_PS = np.int64(2**62)
"""A watermark beyond every event: used once, to flush at the end of a run."""


def angles_of_singles(
    singles: npt.NDArray[np.void],
    angles: npt.NDArray[np.void],
    module_of: npt.NDArray[np.uint16],
) -> npt.NDArray[np.float64]:
    """Return the angle of each single's module at its time, (n,) f8 in degrees.

    That is the module's last angle word before the single; NaN if there was none yet.

    Parameters
    ----------
    singles : (n,) SINGLE
    angles : (k,) ANGLE, each module's in order of time (as the daq logs and publishes them)
    module_of : (n_crystals,) u2
    """
    found = np.full(len(singles), np.nan)
    modules = module_of[singles["crystal"]]
    for module in np.unique(modules):
        own = angles[angles["module"] == module]
        here = np.flatnonzero(modules == module)
        place = np.searchsorted(own["time_ps"], singles["time_ps"][here], side="right") - 1
        known = place >= 0
        found[here[known]] = own["steps"][place[known]] * ANGLE_STEP_DEG
    return found


Words = npt.NDArray[np.int64]
_LEAST = 1 << 14


class Rotation:
    """Working memory: arrays of one dtype, handed out in turn, grown when needed, never freed.

    An array stays valid until ``depth`` later ones have been requested, so that stages in separate
    threads can pass arrays on without copying (fresh memory would cost a page fault every 4 KiB).
    """

    def __init__(self, dtype: npt.DTypeLike, *, depth: int) -> None:
        self._dtype = np.dtype(dtype)
        self._arrays = [np.empty(0, self._dtype) for _ in range(depth)]
        self._turn = 0

    def next(self, n: int) -> npt.NDArray[Any]:
        """Return an array of at least n elements, with arbitrary contents."""
        self._turn = (self._turn + 1) % len(self._arrays)
        if len(self._arrays[self._turn]) < n:
            self._arrays[self._turn] = np.empty(max(_LEAST, n + n // 2), self._dtype)
        return self._arrays[self._turn]


def as_words(singles: Records) -> Words:
    """Return SINGLE records as (n, 2) i8: time, and crystal | energy·2³² | flags·2⁴⁸ | doi·2⁵⁶.

    Kernels copy and compare two words much faster than six fields. No copy is made if the records
    are contiguous. ``CRYSTAL_FIELD``, ``ENERGY_SHIFT`` ... say where the fields lie.
    """
    return np.ascontiguousarray(singles).view(np.int64).reshape(-1, 2)


def empty_singles(n: int) -> Records:
    """Return an uninitialised array of n singles."""
    return np.empty(n, dtype=SINGLE)


CRYSTAL_FIELD, ENERGY_FIELD, BYTE_FIELD = 0xFFFFFFFF, 0xFFFF, 0xFF
ENERGY_SHIFT, FLAGS_SHIFT, DOI_SHIFT = 32, 48, 56
"""Where the fields lie in the second word of a single (``as_words``); flags and doi are a byte."""
