"""Calibration and energy windows: which singles go on to be ordered and paired.

Selection comes before ordering because it needs no order and thins the stream. The kernel does not
branch on the energy: every single is written, but the write position advances only for accepted
ones (numpy's boolean indexing and an ``if`` were both slower on mixed streams).

A calibration set becomes per-crystal corrections of energy and time,

    E = e·(1 + curvature·(e/511 − 1)),  e = E_raw·gain·doi_gain[d]
    t = t_raw − skew − doi_ps[d] − walk·(√(511 keV/E) − 1)

Curvature and walk leave a 511 keV photon unchanged, so that gain and skew keep their meaning. The
walk has the shape of a threshold on charge whose pulse begins as t² (scintillation rising
linearly), crossed at t ∝ 1/√E.

Energy windows become a table, so that a calibrated energy's window is found in one step. It has a
row for each set of windows shared by some modules, and a byte for each energy in 0.1 keV:
``COINCIDENCE_BIT`` if the single may pair, in the six lower bits the number of its window for
singles (0 none), and ``SINGLES_ONLY_BIT`` if it has such a window but may not pair; the two upper
bits together select the column in which it is counted. Row 0 is empty, for masked crystals. If no
coincidences are sorted (τ = 0), no byte has ``COINCIDENCE_BIT``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence import events
from coincidence.events import SINGLE, WINDOW_SHIFT, Rotation, as_words
from hw.arrays import F4, Array, Records
from hw.errors import TomoshibiError
from hw.jit import kernel
from hw.messages.sort_settings import SettingsError, SortSettings
from hw.physics.constants import REFERENCE_KEV

WALK_LEAST_keV, WALK_MOST_keV = 25.0, 6553.5
"""The walk is that of an energy within these: below, the time stamp means little."""

LONGEST_ps = 1e6
"""Walk and depth corrections reach 1 µs at most: beyond any detector, and far from overflow."""

DOI_BINS = 8
POSITIONS, NO_CRYSTAL = 4096, 65535
"""Raw positions that the wire can name, and the crystal of one that is none."""


class CalibrationError(TomoshibiError, ValueError):
    """Corrections that cannot be applied; the message names the crystal, value and bound."""


def _none() -> Any:
    return None


@dataclass(frozen=True)
class Calibration:
    """Per-crystal corrections; any not given is the identity.

    gain : (n_crystals,) f4, finite and positive
    skew_ps : (n_crystals,) i4
    curvature : (n_crystals,) f4, non-linearity of the energy
    walk_ps : (n_crystals,) f4, time walk
    masked : (n_crystals,) bool, dead or noisy crystals, whose singles are counted and left out
    doi_gain, doi_ps : (8,) f4, by depth bin
    crystal_map : (modules, 4096) u2, crystal in its module for each raw position on the wire, 65535
        for none; None if the wire carries crystals
    """

    gain: F4
    skew_ps: npt.NDArray[np.int32]
    curvature: F4 = field(default_factory=_none)
    walk_ps: F4 = field(default_factory=_none)
    masked: npt.NDArray[np.bool_] = field(default_factory=_none)
    doi_gain: F4 = field(default_factory=_none)
    doi_ps: F4 = field(default_factory=_none)
    crystal_map: npt.NDArray[np.uint16] | None = None

    def __post_init__(self) -> None:
        n = len(self.gain)
        self._fill("curvature", np.zeros(n, np.float32))
        self._fill("walk_ps", np.zeros(n, np.float32))
        self._fill("masked", np.zeros(n, np.bool_))
        self._fill("doi_gain", np.ones(DOI_BINS, np.float32))
        self._fill("doi_ps", np.zeros(DOI_BINS, np.float32))
        for name in ("gain", "curvature", "walk_ps", "doi_gain", "doi_ps"):
            values = getattr(self, name)
            least = 0.0 if name.endswith("gain") else -math.inf
            most = LONGEST_ps if name.endswith("ps") else math.inf
            bad = np.flatnonzero(~(np.isfinite(values) & (values > least) & (abs(values) <= most)))
            if len(bad):
                what = "depth bin" if name.startswith("doi") else "crystal"
                bound = "finite and above 0" if name.endswith("gain") else "finite"
                bound += f", and at most {most:g} either way" if name.endswith("ps") else ""
                raise CalibrationError(
                    f"{name} of {what} {bad[0]} is {values[bad[0]]}: it must be {bound} "
                    f"({len(bad)} values are wrong); calibrate again"
                )

    def _fill(self, name: str, values: npt.NDArray[Any]) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, values)

    def check_fits(self, n_crystals: int) -> None:
        """Raise CalibrationError unless there is one value per crystal of the scanner."""
        for name in ("gain", "skew_ps", "curvature", "walk_ps", "masked"):
            found = len(getattr(self, name))
            if found != n_crystals:
                raise CalibrationError(
                    f"calibration has {found} values of {name}, the scanner has {n_crystals} "
                    "crystals: it belongs to another scanner"
                )
        self._check_map(n_crystals)

    def _check_map(self, n_crystals: int) -> None:
        """Refuse a crystal map that names another module's crystals, or ones that do not exist."""
        if self.crystal_map is None:
            return
        modules = len(self.crystal_map)
        per_module = n_crystals // max(modules, 1)
        values = self.crystal_map
        if values.shape != (modules, POSITIONS) or modules * per_module != n_crystals:
            raise CalibrationError(
                f"crystal_map has the shape {values.shape}: a row of {POSITIONS} positions for "
                f"each module of a scanner with {n_crystals} crystals is needed; it belongs to "
                "another scanner"
            )
        bad = np.argwhere((values >= per_module) & (values != NO_CRYSTAL))
        if len(bad):
            module, position = bad[0]
            raise CalibrationError(
                f"crystal_map of module {module} has crystal {values[module, position]} at "
                f"position {position}: a module's crystals are 0 to {per_module - 1}, "
                f"{NO_CRYSTAL} is none ({len(bad)} values are wrong); make the flood map again"
            )

    @property
    def is_refined(self) -> bool:
        """Whether there are corrections beyond gain, skew and mask."""
        return bool(
            self.curvature.any() or self.walk_ps.any() or self.doi_ps.any()
            or (self.doi_gain != 1).any()
        )  # fmt: skip

    @property
    def margin_ps(self) -> int:
        """How much earlier a corrected time may be than the raw one; the watermark waits for it."""
        least = walk_shape(WALK_MOST_keV)
        most = walk_shape(WALK_LEAST_keV)
        walk = np.maximum(self.walk_ps * most, self.walk_ps * least)
        latest = (self.skew_ps + walk).max(initial=0.0) + self.doi_ps.max(initial=0.0)
        return int(max(0, math.ceil(latest)))


def walk_shape(energy_keV: float) -> float:
    """Return √(511 keV/E) − 1, the factor of a crystal's walk."""
    return math.sqrt(REFERENCE_KEV / energy_keV) - 1


def no_calibration(n_crystals: int) -> Calibration:
    """Return the identity."""
    return Calibration(np.ones(n_crystals, np.float32), np.zeros(n_crystals, np.int32))


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
