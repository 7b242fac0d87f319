"""Energy windows as tables: which window a calibrated energy belongs to, looked up in one step.

A table has a row for each set of windows that some modules share, and a byte for each energy in
0.1 keV: ``COINCIDENCE_BIT`` where the single may pair, in the six lower bits the number of its
window for singles (0 none), and ``SINGLES_ONLY_BIT`` where it has such a window but may not pair:
the two upper bits together tell in which column it is counted. Row 0 is empty: masked crystals
look there. Where no coincidences are sorted (τ = 0), no byte has ``COINCIDENCE_BIT``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.messages.sort_settings import SettingsError, SortSettings

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
        where a window names a module that the scanner does not have.
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
    """Fill in the windows from low to high energy, so that a shared edge is the upper one's."""
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
    """Return the inclusive window in 0.1 keV that holds exactly the energies in [lld, uld]."""
    return int(np.ceil(round(lld_keV * 10, 6))), int(np.floor(round(uld_keV * 10, 6)))
