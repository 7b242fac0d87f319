"""Calibration and energy windows: which singles go on to be ordered and paired.

Selection comes before ordering because it needs no order and thins the stream. The kernel does not
branch on the energy: every single is written, but the write position advances only for accepted
ones (numpy's boolean indexing and an ``if`` were both slower on mixed streams).

``coincidence.calibration`` has the corrections' formulas.

Energy windows become a table, so that a calibrated energy's window is found in one step. It has a
row for each set of windows shared by some modules, and a byte for each energy in 0.1 keV:
``COINCIDENCE_BIT`` if the single may pair, in the six lower bits the number of its window for
singles (0 none), and ``SINGLES_ONLY_BIT`` if it has such a window but may not pair; the two upper
bits together select the column in which it is counted. Row 0 is empty, for masked crystals. If no
coincidences are sorted (τ = 0), no byte has ``COINCIDENCE_BIT``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coincidence import events
from coincidence.calibration import DOI_BINS, Calibration, WALK_LEAST_keV, WALK_MOST_keV
from coincidence.events import SINGLE, WINDOW_SHIFT, Rotation, as_words
from hw.arrays import Array, Records
from hw.jit import kernel
from hw.messages.sort_settings import SettingsError, SortSettings
from hw.physics.constants import REFERENCE_KEV

COINCIDENCE_BIT = 0x80
SINGLES_ONLY_BIT = 0x40
NUMBER_MASK = 0x3F
ENERGIES = 1 << 16


@dataclass(frozen=True)
class WindowTable:
    """``rows`` : (n, 65536) u1; ``row_of_module`` : (modules,) u2, never 0."""

    rows: npt.NDArray[np.uint8]
    row_of_module: npt.NDArray[np.uint16]

    @property
    def has_singles(self) -> bool:
        """Whether any window selects windowed singles."""
        return bool((self.rows & NUMBER_MASK).any())


def window_table(settings: SortSettings, n_modules: int) -> WindowTable:
    """Return the table of a run's windows.

    Raises
    ------
    SettingsError
        if a window names a module that the scanner does not have.
    """
    by_windows: dict[tuple[int, ...], int] = {}
    row_of_module = np.zeros(n_modules, np.uint16)
    rows = [np.zeros(ENERGIES, np.uint8)]
    for window in settings.windows:
        beyond = [module for module in window.modules if module >= n_modules]
        if beyond:
            raise SettingsError(
                f"energy window {window.name} names module {beyond[0]}: the scanner has "
                f"{n_modules} modules, numbered from 0"
            )
    for module in range(n_modules):
        chosen = tuple(
            k for k, window in enumerate(settings.windows)
            if not window.modules or module in window.modules
        )  # fmt: skip
        if chosen not in by_windows:
            by_windows[chosen] = len(rows)
            rows.append(_row(settings, chosen))
        row_of_module[module] = by_windows[chosen]
    return WindowTable(np.stack(rows), row_of_module)


def _row(settings: SortSettings, chosen: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Fill in the windows from low to high energy, so that the upper one gets a shared edge."""
    row = np.zeros(ENERGIES, np.uint8)
    numbers = {window.name: k + 1 for k, window in enumerate(settings.singles_windows)}
    windows = [settings.windows[k] for k in chosen]
    for window in sorted(windows, key=lambda w: w.lld_keV):
        if window.kind != "coincidence":
            low, high = window_dkeV(window.lld_keV, window.uld_keV)
            row[low : high + 1] = numbers[window.name]
    own = [(window.lld_keV, window.uld_keV) for window in windows if window.kind == "coincidence"]
    if settings.sorts_coincidences and not own:
        own = [(settings.lld_keV, settings.uld_keV)]
    for lld_keV, uld_keV in own:
        low, high = window_dkeV(lld_keV, uld_keV)
        row[low : high + 1] |= COINCIDENCE_BIT
    row[(row > 0) & (row < COINCIDENCE_BIT)] |= SINGLES_ONLY_BIT
    return row


def window_dkeV(lld_keV: float, uld_keV: float) -> tuple[int, int]:
    """Return the inclusive window in 0.1 keV that contains exactly the energies in [lld, uld]."""
    return int(np.ceil(round(lld_keV * 10, 6))), int(np.floor(round(uld_keV * 10, 6)))


SPECTRUM_BINS = 256
SPECTRUM_BIN_DKEV = 40  # 4 keV: 256 bins reach 1024 keV, the last bin holds what is above
OUTSIDE, WINDOWED, ACCEPTED = 0, 1, 2
"""Columns of the counts, the two upper bits of a table's byte: in no window, in one for singles
only, in the coincidence window."""

_REFERENCE_DKEV = 10 * REFERENCE_KEV
_WALK_LEAST_DKEV, _WALK_MOST_DKEV = 10 * WALK_LEAST_keV, 10 * WALK_MOST_keV
_MAX_ENERGY = 65535.0
_CRYSTAL_FIELD = np.uint64(events.CRYSTAL_FIELD)
_ENERGY_SHIFT, _ENERGY_MASK = np.uint64(events.ENERGY_SHIFT), np.uint64(events.ENERGY_FIELD)
_ENERGY_FIELD = _ENERGY_MASK << _ENERGY_SHIFT
_DOI_SHIFT, _DOI_MASK = np.uint64(events.DOI_SHIFT), np.uint64(DOI_BINS - 1)
_COLUMN_SHIFT = np.uint8(6)
_BIN_FACTOR, _BIN_SHIFT, _LAST_BIN = np.uint64(52429), np.uint64(21), np.uint64(SPECTRUM_BINS - 1)
"""energy // 40 = (energy · 52429) >> 21 for energies below 2**16, without a division."""

_NUMBER_SHIFT = np.uint64(events.FLAGS_SHIFT + WINDOW_SHIFT)
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
    """Correct each single; copy those in any window to ``out``; return their number.

    The energy is scaled in double precision and rounded half up, at most 65535.

    Parameters
    ----------
    words, out : (n, 2) and (≥ n + 1, 2) i8, singles as words
    crystals, refinement : (n_crystals,) CRYSTAL and REFINEMENT
    rows : (n, 65536) u1 of a WindowTable
    doi_gain, doi_ps : (8,) f4
    counts : (2·modules, 3) i8, added to; the upper half is for masked crystals
    spectrum : (256,) i8, added to
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

    ``pairing``, ``windowed`` : (≥ n + 1, 2) i8. A windowed single's flags are set to its window's
    number. Returns the number of each.

    ``ordered`` : (n, 2) i8, singles as words. ``crystals``, ``rows`` : as for ``select_singles``
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
    """Applies a calibration and energy windows to singles, and counts the outcomes.

    spectrum : (256,) i8, calibrated energies of all singles; bins of ``SPECTRUM_BIN_DKEV``

    Parameters
    ----------
    module_of : (n_crystals,) u2
    depth : number of results that stay valid at a time
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
        """Return the singles in any window, corrected, in order of arrival."""
        out = self._selected.next(len(singles) + 1)
        count = select_singles(
            as_words(singles), self._crystals, self._rows, self._refined, self._refinement,
            *self._doi, as_words(out), self._counts, self.spectrum,
        )  # fmt: skip
        return out[:count]

    def split(self, ordered: Records) -> tuple[Records, Records]:
        """Divide ordered, selected singles into (those that may pair, windowed singles)."""
        if not self.has_singles:
            return ordered, ordered[:0]
        pairing = self._pairing.next(len(ordered) + 1)
        windowed = self._windowed.next(len(ordered) + 1)
        n, m = split_windows(
            as_words(ordered), self._crystals, self._rows, as_words(pairing), as_words(windowed)
        )
        return pairing[:n], windowed[:m]
