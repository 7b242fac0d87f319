"""Calibration and energy windows: which singles go on to be ordered and paired.

Selection comes before ordering because it needs no order and thins the stream. The kernel has no
branch on the energy: every single is written, and the write position moves only for accepted
ones (numpy's boolean indexing and an ``if`` were both slower on mixed streams).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coincidence.buffers import Records, Rotation, as_words
from coincidence.calibration import (
    Calibration,
    REFERENCE_keV,
    WALK_LEAST_keV,
    WALK_MOST_keV,
)
from coincidence.events import SINGLE, WINDOW_SHIFT
from coincidence.windows import COINCIDENCE_BIT, NUMBER_MASK, WindowTable
from hw.jit import Array, kernel

SPECTRUM_BINS = 256
SPECTRUM_BIN_DKEV = 40  # 4 keV: 256 bins reach 1024 keV, the last bin holds what is above

OUTSIDE, WINDOWED, ACCEPTED = 0, 1, 2
"""Columns of the counts, the two upper bits of a table's byte: in no window, in one for singles
only, in the coincidence window."""

_REFERENCE_DKEV = 10 * REFERENCE_keV
_WALK_LEAST_DKEV, _WALK_MOST_DKEV = 10 * WALK_LEAST_keV, 10 * WALK_MOST_keV
_MAX_ENERGY = 65535.0
_CRYSTAL_FIELD, _ENERGY_FIELD = np.uint64(0xFFFFFFFF), np.uint64(0xFFFF << 32)
_ENERGY_SHIFT, _ENERGY_MASK = np.uint64(32), np.uint64(0xFFFF)
_DOI_SHIFT, _DOI_MASK = np.uint64(56), np.uint64(7)
_COLUMN_SHIFT = np.uint8(6)
_BIN_FACTOR, _BIN_SHIFT, _LAST_BIN = np.uint64(52429), np.uint64(21), np.uint64(SPECTRUM_BINS - 1)
"""energy // 40 = (energy · 52429) >> 21 for energies below 2**16, without a division."""

_NUMBER_SHIFT = np.uint64(48 + WINDOW_SHIFT)

CRYSTAL = np.dtype([("gain", "<f4"), ("skew_ps", "<i4"), ("count_row", "<u2"), ("row", "<u2")])
"""What selection needs of a crystal, in one cache line: ``count_row`` is its module, or modules +
its module where it is masked; ``row`` its row of the window table."""

REFINEMENT = np.dtype([("curvature", "<f4"), ("walk_ps", "<f4")])


@kernel
def select_singles(
    words: Array,
    crystals: Array,
    rows: Array,
    refined: bool,
    refinement: Array,
    doi_gain: Array,
    doi_ps: Array,
    out: Array,
    counts: Array,
    spectrum: Array,
) -> int:
    """Correct each single; copy those in any window to ``out``; return how many.

    The energy is scaled in double precision and rounded half up, at most 65535.

    Parameters
    ----------
    words, out : (n, 2) and (≥ n + 1, 2) i8, singles as words
    crystals, refinement : (n_crystals,) CRYSTAL and REFINEMENT
    rows : (n, 65536) u1 of a WindowTable
    doi_gain, doi_ps : (8,) f4
    counts : (2·modules, 3) i8, counted up; the upper half is that of masked crystals
    spectrum : (256,) i8, counted up
    """
    n = np.uint64(0)  # unsigned indices: a signed one may count from the end, which costs a test
    for i in range(words.shape[0]):
        word = np.uint64(words[i, 1])
        crystal = word & _CRYSTAL_FIELD
        c = crystals[crystal]
        e = np.float64((word >> _ENERGY_SHIFT) & _ENERGY_MASK) * np.float64(c.gain)
        time_ps = words[i, 0] - c.skew_ps
        if refined:
            r = refinement[crystal]
            doi = (word >> _DOI_SHIFT) & _DOI_MASK
            e *= doi_gain[doi]
            e = max(e * (1.0 + r.curvature * (e / _REFERENCE_DKEV - 1.0)), 0.0)
            within = min(max(e, _WALK_LEAST_DKEV), _WALK_MOST_DKEV)
            walk = r.walk_ps * (np.sqrt(_REFERENCE_DKEV / within) - 1.0)
            time_ps -= np.int64(np.floor(doi_ps[doi] + walk + 0.5))
        energy = np.uint64(min(e + 0.5, _MAX_ENERGY))
        kept = rows[c.row, energy]
        out[n, 0] = time_ps
        out[n, 1] = np.int64((word & ~_ENERGY_FIELD) | (energy << _ENERGY_SHIFT))
        n += np.uint64(kept != 0)
        counts[c.count_row, kept >> _COLUMN_SHIFT] += 1
        spectrum[min((energy * _BIN_FACTOR) >> _BIN_SHIFT, _LAST_BIN)] += 1
    return int(n)


@kernel
def split_windows(
    ordered: Array, crystals: Array, rows: Array, pairing: Array, windowed: Array
) -> tuple[int, int]:
    """Divide selected singles into those that may pair and windowed ones (some are both).

    ``pairing``, ``windowed`` : (≥ n + 1, 2) i8. A windowed single gets its window's number into
    its flags. Returns how many of each.
    """
    n = m = np.uint64(0)
    for i in range(ordered.shape[0]):
        time_ps, word = ordered[i, 0], np.uint64(ordered[i, 1])
        energy = (word >> _ENERGY_SHIFT) & _ENERGY_MASK
        kept = rows[crystals[word & _CRYSTAL_FIELD].row, energy]
        pairing[n, 0], pairing[n, 1] = time_ps, ordered[i, 1]
        n += np.uint64(kept >= COINCIDENCE_BIT)
        number = np.uint64(kept & NUMBER_MASK)
        windowed[m, 0] = time_ps
        windowed[m, 1] = np.int64(word | (number << _NUMBER_SHIFT))
        m += np.uint64(number != 0)
    return int(n), int(m)


class Selector:
    """Applies a calibration and energy windows to singles; counts what becomes of them.

    spectrum : (256,) i8, calibrated energies of all singles; bins of ``SPECTRUM_BIN_DKEV``

    Parameters
    ----------
    module_of : (n_crystals,) u2
    depth : how many results stay valid at a time
    """

    def __init__(
        self,
        calibration: Calibration,
        table: WindowTable,
        module_of: npt.NDArray[np.uint16],
        *,
        depth: int = 1,
    ) -> None:
        n, self._modules = len(module_of), len(table.row_of_module)
        calibration.check_fits(n)
        self.spectrum = np.zeros(SPECTRUM_BINS, np.int64)
        self.has_singles = table.has_singles
        self._counts = np.zeros((2 * self._modules, 3), np.int64)
        self._rows = table.rows
        self._crystals = np.zeros(n, CRYSTAL)
        self._crystals["gain"], self._crystals["skew_ps"] = calibration.gain, calibration.skew_ps
        masked = calibration.masked
        self._crystals["count_row"] = np.where(masked, self._modules + module_of, module_of)
        self._crystals["row"] = np.where(masked, 0, table.row_of_module[module_of])
        self._refined = calibration.is_refined
        self._refinement = np.zeros(n if self._refined else 1, REFINEMENT)
        if self._refined:
            self._refinement["curvature"] = calibration.curvature
            self._refinement["walk_ps"] = calibration.walk_ps
        self._doi = calibration.doi_gain, calibration.doi_ps
        self._selected = Rotation(SINGLE, depth=depth)
        self._pairing = Rotation(SINGLE, depth=depth)
        self._windowed = Rotation(SINGLE, depth=depth)

    @property
    def accepted(self) -> npt.NDArray[np.int64]:
        """Singles accepted for coincidences, per module."""
        return self._counts[: self._modules, ACCEPTED].copy()

    @property
    def windowed(self) -> npt.NDArray[np.int64]:
        """Singles in a window for singles but not in the coincidence window, per module."""
        return self._counts[: self._modules, WINDOWED].copy()

    @property
    def masked(self) -> npt.NDArray[np.int64]:
        """Singles of masked crystals, per module."""
        return self._counts[self._modules :].sum(axis=1)

    def select(self, singles: Records) -> Records:
        """Return the singles in any window, corrected, in the order they came."""
        out = self._selected.next(len(singles) + 1)
        count = select_singles(
            as_words(singles), self._crystals, self._rows, self._refined, self._refinement,
            *self._doi, as_words(out), self._counts, self.spectrum,
        )  # fmt: skip
        return out[:count]

    def split(self, ordered: Records) -> tuple[Records, Records]:
        """Return (those that may pair, windowed singles) of ordered, selected singles."""
        if not self.has_singles:
            return ordered, ordered[:0]
        pairing = self._pairing.next(len(ordered) + 1)
        windowed = self._windowed.next(len(ordered) + 1)
        n, m = split_windows(
            as_words(ordered), self._crystals, self._rows, as_words(pairing), as_words(windowed)
        )
        return pairing[:n], windowed[:m]
