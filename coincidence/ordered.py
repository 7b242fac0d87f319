"""Pairs of singles that are calibrated and in order of time already: one pass, and the rare groups.

The same prompts as the sorter's, for arrays in hand (simulated, exported, read back) instead of a
stream. The pass has no branch: it notes only accepted singles with an accepted neighbour within τ,
a few per cent; the pairing kernel sees these alone. No pair is lost by that: its singles, and all
between them in time, are such neighbours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coincidence import pairs
from coincidence.buffers import Records, as_words
from coincidence.events import COINCIDENCE, END_OF_TIME_PS
from coincidence.pairs import POLICY_NUMBERS, pair_prompts
from coincidence.windows import window_dkeV
from hw.jit import Array, kernel
from hw.settings import SortSettings

_LONG_AGO = np.int64(-(2**62))


@kernel
def find_neighbours(words: Array, low: int, width: int, window_ps: int, index: Array) -> int:
    """Note the singles with low ≤ energy ≤ low + width that have another such one within τ.

    ``words`` : (n, 2) i8, singles as words in order of time; ``index`` : (≥ n + 2,) i8, filled in.
    Returns how many.
    """
    n = noted = np.uint64(0)
    one, shift, mask = np.uint64(1), np.uint64(32), np.uint64(0xFFFF)
    least, span = np.uint64(low), np.uint64(width)
    last, last_ps = 0, _LONG_AGO
    for i in range(words.shape[0]):
        time_ps = words[i, 0]
        good = ((np.uint64(words[i, 1]) >> shift) & mask) - least <= span  # wraps below low
        close = np.uint64(good) & np.uint64(time_ps - last_ps <= window_ps)
        index[n] = last
        n += close & (one - noted)
        index[n] = i
        n += close
        noted = close if good else noted
        last_ps = time_ps if good else last_ps
        last = i if good else last
    return int(n)


@kernel
def gather(words: Array, index: Array, n: int, out: Array) -> None:
    """Copy the singles of an index: (n, 2) i8."""
    for k in range(n):
        i = index[k]
        out[k, 0], out[k, 1] = words[i, 0], words[i, 1]


def pair_ordered(
    singles: Records,
    settings: SortSettings,
    *,
    module_of: npt.NDArray[np.uint16],
    allowed_pairs: npt.NDArray[np.bool_],
) -> Records:
    """Return the prompts (n,) COINCIDENCE of singles in order of time.

    Parameters
    ----------
    singles : (n,) SINGLE, calibrated, in order of time (equal times by crystal)
    settings : its coincidence window, global energy window and policy are used
    module_of, allowed_pairs : as for :class:`coincidence.sorter.CoincidenceSorter`
    """
    words = as_words(singles)
    low, high = window_dkeV(settings.lld_keV, settings.uld_keV)
    index = np.empty(len(words) + 2, np.int64)
    n: int = find_neighbours(words, low, high - low, settings.window_ps, index)
    near = np.empty((n, 2), np.int64)
    gather(words, index, n, near)
    times = near[:, 0].copy()
    scratch = np.empty((4, n + 1), np.int64)
    result = np.zeros(7, np.int64)
    room, start, parts = n, 0, []
    while True:
        out = np.empty((room, 4), np.int64)
        pair_prompts(
            near, times, start, int(END_OF_TIME_PS), settings.window_ps, module_of,
            np.ascontiguousarray(allowed_pairs), POLICY_NUMBERS[settings.policy], scratch, out,
            np.empty((0, 5), np.int64), result,
        )  # fmt: skip
        parts.append(out[: result[pairs.PROMPTS]])
        start, room = int(result[pairs.START]), max(n, int(result[pairs.NEEDED]))
        if not result[pairs.NEEDED]:
            break
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return whole.reshape(-1).view(COINCIDENCE)
