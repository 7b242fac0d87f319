"""Pairs singles that are already calibrated and in order of time: one pass, then the rare groups.

Gives the same prompts as the sorter, for complete arrays (simulated, exported, read back) instead
of a stream. The pass has no branches: it picks accepted singles with an accepted neighbour within
τ, a few per cent, and only these go to the pairing kernel. No pair is lost: its singles, and all
between them in time, are such neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from coincidence import pairs
from coincidence.events import (
    COINCIDENCE,
    END_OF_TIME_PS,
    ENERGY_FIELD,
    ENERGY_SHIFT,
    Words,
    as_words,
)
from coincidence.pairs import POLICY_NUMBERS, pair_prompts
from coincidence.select import window_dkeV
from hw.arrays import Array, Records
from hw.jit import kernel
from hw.messages.sort_settings import SortSettings

_PIECE = 1 << 17
_BLOCK = 16384  # singles looked at in one go: what is noted of them stays in the cache


@kernel
def accept(words: Array, begin: int, end: int, low: int, width: int, at: int, times: Array,
           index: Array) -> int:  # fmt: skip
    """Note time and place of the singles [begin, end) with low ≤ energy ≤ low + width, from place
    ``at`` on; return the new number.

    Parameters
    ----------
    words : (n, 2) i8, singles as words
    low, width : the energy window in 0.1 keV
    times, index : (≥ at + end − begin,) filled in
    """
    n = np.uint64(at)  # unsigned indices: a signed one may count from the end, which costs a test
    shift, mask = np.uint64(ENERGY_SHIFT), np.uint64(ENERGY_FIELD)
    least, span = np.uint64(low), np.uint64(width)
    for i in range(np.uint64(begin), np.uint64(end)):
        times[n], index[n] = words[i, 0], i
        n += np.uint64(((np.uint64(words[i, 1]) >> shift) & mask) - least <= span)  # wraps below
    return int(n)


@kernel
def mark_close(times: Array, n: int, window_ps: int, close: Array) -> None:
    """Mark each of n times, except the first, that is within the window of the one before."""
    for i in range(1, n):
        close[i] = times[i] - times[i - 1] <= window_ps


@kernel
def pick(
    words: Array, close: Array, n: int, index: Array, picked: Array, out: Array, at: int
) -> int:
    """Copy singles close to the one before or after to ``out``, from place ``at`` on; return the
    new number. The last of n is left to the next block.

    Parameters
    ----------
    words : (n, 2) i8, singles as words
    close : marks of the n accepted singles, as ``mark_close`` sets them
    index : their places in ``words``; picked : scratch
    """
    m = np.uint64(0)
    for i in range(np.uint64(max(n - 1, 0))):
        picked[m] = index[i]
        m += np.uint64(close[i] | close[i + np.uint64(1)])
    for k in range(m):
        i = picked[k]
        out[at, 0], out[at, 1] = words[i, 0], words[i, 1]
        at += 1
    return at


@kernel
def find_neighbours(words: Array, low: int, width: int, window_ps: int, out: Array) -> int:
    """Copy the singles with low ≤ energy ≤ low + width that have another such single within τ.

    ``words`` : (n, 2) i8, singles as words in order of time; ``out`` : (≥ n, 2) i8. Returns the
    number copied.

    ``low``, ``width`` : in 0.1 keV; ``window_ps`` : τ
    """
    times = np.empty(_BLOCK + 2, np.int64)
    index, picked = np.empty(_BLOCK + 2, np.uint32), np.empty(_BLOCK + 2, np.uint32)
    close = np.zeros(_BLOCK + 2, np.uint8)
    found = carried = 0
    for begin in range(0, words.shape[0], _BLOCK):
        end = min(begin + _BLOCK, words.shape[0])
        n = accept(words, begin, end, low, width, carried, times, index)
        mark_close(times, n, window_ps, close)
        found = pick(words, close, n, index, picked, out, found)
        if n > 0:
            carried = 1
            times[0], index[0], close[0] = times[n - 1], index[n - 1], close[n - 1]
    if carried and close[0]:
        out[found, 0], out[found, 1] = words[index[0], 0], words[index[0], 1]
        found += 1
    return found


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
    allowed = np.ascontiguousarray(allowed_pairs)
    no_triples, result = np.empty((0, 5), np.int64), np.zeros(7, np.int64)
    out, n = np.empty((len(words) // 8 + 64, 4), np.int64), 0
    near: Words = np.empty((0, 2), np.int64)
    times: Words = np.empty(0, np.int64)
    scratch: Words = np.empty((4, 0), np.int64)
    for begin, end in _pieces(words, settings.window_ps):
        if end - begin > len(near):
            near, times = np.empty((end - begin, 2), np.int64), np.empty(end - begin, np.int64)
            scratch = np.empty((4, end - begin), np.int64)
        piece = words[begin:end]
        k: int = find_neighbours(piece, low, high - low, settings.window_ps, near)
        times[:k] = near[:k, 0]
        start, more = 0, True
        while more:
            pair_prompts(
                near[:k], times[:k], start, int(END_OF_TIME_PS), settings.window_ps, module_of,
                allowed, POLICY_NUMBERS[settings.policy], scratch, out[n:], no_triples, result,
            )  # fmt: skip
            n, start = n + int(result[pairs.PROMPTS]), int(result[pairs.START])
            more = result[pairs.NEEDED] > 0
            if more:
                out = _grown(out, n, int(result[pairs.NEEDED]))
    return out[:n].reshape(-1).view(COINCIDENCE)


def _pieces(words: Words, window_ps: int) -> Iterator[tuple[int, int]]:
    """Yield where to cut the singles so that no pair crosses a cut: at gaps longer than τ. Pieces
    that fit the cache, with reused working memory, took two thirds of the time of one piece."""
    begin, n = 0, len(words)
    while begin < n:
        end = min(begin + _PIECE, n)
        while end < n and words[end, 0] - words[end - 1, 0] <= window_ps:
            end += 1
        yield begin, end
        begin = end


def _grown(out: Words, n: int, needed: int) -> Words:
    """Return a larger array with the first n rows of ``out``."""
    larger = np.empty((n + needed + n // 2, out.shape[1]), np.int64)
    larger[:n] = out[:n]
    return larger
