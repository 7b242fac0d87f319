"""Working memory of the event path: arrays used in turn, grown where they must be, never freed.

A batch's array stays valid until ``depth`` later ones were asked for, so that stages in threads of
their own can hand arrays on without a copy (fresh memory would cost a page fault every 4 KiB).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence.events import SINGLE

Records = npt.NDArray[np.void]
Words = npt.NDArray[np.int64]
_LEAST = 1 << 14


class Rotation:
    """Arrays of one dtype, handed out in turn."""

    def __init__(self, dtype: npt.DTypeLike, *, depth: int) -> None:
        self._dtype = np.dtype(dtype)
        self._arrays = [np.empty(0, self._dtype) for _ in range(depth)]
        self._turn = 0

    def next(self, n: int) -> npt.NDArray[Any]:
        """Return an array of at least n elements, with whatever was in it."""
        self._turn = (self._turn + 1) % len(self._arrays)
        if len(self._arrays[self._turn]) < n:
            self._arrays[self._turn] = np.empty(max(_LEAST, n + n // 2), self._dtype)
        return self._arrays[self._turn]


def as_words(singles: Records) -> Words:
    """Return SINGLE records as (n, 2) i8: time, and crystal | energy·2³² | flags·2⁴⁸ | doi·2⁵⁶.

    Kernels copy and compare two words much faster than six fields. No copy is made where the
    records are contiguous.
    """
    return np.ascontiguousarray(singles).view(np.int64).reshape(-1, 2)


def empty_singles(n: int) -> Records:
    """Return an uninitialised array of n singles."""
    return np.empty(n, dtype=SINGLE)
