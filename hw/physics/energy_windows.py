"""Standard energy windows of a nuclide for SPECT: photopeaks, each with its two scatter windows.

The windows are those of the triple-energy-window method (TEW): K. Ogawa, Y. Harata, T. Ichihara,
A. Kubo, S. Hashimoto, IEEE Trans. Med. Imaging 10 (1991) 408. Levels are rounded to 0.1 keV, the
unit in which energies are counted; a scatter window touches its photopeak, and the shared edge
belongs to the upper of the two (docs/coincidence.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from hw.messages.sort_settings import EnergyWindow, SettingsError
from hw.physics.nuclides import Line, Nuclide, load_nuclide
from hw.scanner.description import Collimator

PHOTOPEAK_FRACTION = 0.20
"""Full width of a photopeak window over the line's energy: ± 10 %."""
SCATTER_WIDTH_keV = 3.0
"""Width of each scatter window, as Ogawa et al. chose it."""
LINE_RANGE_keV = (70.0, 600.0)
"""Where standard photopeaks lie (Lu-177: 113 and 208 keV, not its X rays); others by energy."""
LEAST_INTENSITY = 0.05
"""Photons per decay below which a line is no standard photopeak."""
LEAST_SHARE = 0.3
"""Share of the strongest line below which a line is no standard photopeak (I-131: 364 keV only)."""


def spect_windows(
    nuclide: str,
    *,
    lines_keV: Sequence[float] = (),
    photopeak_fraction: float = PHOTOPEAK_FRACTION,
    scatter_keV: float = SCATTER_WIDTH_keV,
    scatter_fraction: float | None = None,
) -> tuple[EnergyWindow, ...]:
    """Return the photopeak and scatter windows of a nuclide, in order of energy.

    The windows of the line at E are named ``NUCLIDE_E``, ``NUCLIDE_E_low`` and ``NUCLIDE_E_high``,
    with E rounded to a keV.

    Parameters
    ----------
    lines_keV : photopeak energies instead of the standard ones, for instance a daughter's
    photopeak_fraction : full width of the photopeak window over its energy
    scatter_keV : width of each scatter window
    scatter_fraction : instead, that width over the line's energy, for instance 0.06

    Raises
    ------
    SettingsError
        if the nuclide has no line to image, windows of two lines overlap, or a width is absurd.
    NuclideError
        for a nuclide that is not in the table.
    """
    _check_width("photopeak_fraction", photopeak_fraction, bound=1.0)
    _check_width("scatter_keV", scatter_keV, bound=200.0)
    if scatter_fraction is not None:
        _check_width("scatter_fraction", scatter_fraction, bound=0.5)
    energies = sorted(lines_keV) or standard_lines_keV(load_nuclide(nuclide))
    windows: list[EnergyWindow] = []
    for energy_keV in energies:
        _check_line(nuclide, energy_keV)
        scatter = scatter_keV if scatter_fraction is None else scatter_fraction * energy_keV
        trio = _trio(nuclide, energy_keV, photopeak_fraction * energy_keV, scatter)
        if windows and trio[0].lld_keV < windows[-1].uld_keV:
            raise SettingsError(
                f"{nuclide}: the windows of {windows[-1].photopeak} and {trio[1].name} overlap "
                f"({windows[-1].uld_keV:g} > {trio[0].lld_keV:g} keV): make them narrower (now "
                f"{100 * photopeak_fraction:g} % and {scatter:g} keV), or choose one of the lines"
            )
        windows += trio
    return tuple(windows)


def windows_behind(
    collimator: Collimator, nuclides: Sequence[str], **widths: Any
) -> tuple[EnergyWindow, ...]:
    """Return the windows of those standard photopeaks of nuclides that a collimator is meant for.

    widths : as for :func:`spect_windows`

    Raises
    ------
    SettingsError, NuclideError
        as :func:`spect_windows`; also if no line is within the collimator's range.
    """
    windows: list[EnergyWindow] = []
    for name in nuclides:
        lines_keV = standard_lines_keV(load_nuclide(name))
        meant = [e for e in lines_keV if collimator.least_keV <= e <= collimator.most_keV]
        if not meant:
            lines = " and ".join(f"{e:g}" for e in lines_keV)
            raise SettingsError(
                f"{name}: its photopeak at {lines} keV is beyond the {collimator.name} collimator, "
                f"made for {collimator.least_keV:g}–{collimator.most_keV:g} keV: choose the preset "
                f"of another collimator, another nuclide, or windows of your own (--spect {name})"
            )
        windows += spect_windows(name, lines_keV=meant, **widths)
    return tuple(sorted(windows, key=lambda window: window.lld_keV))


def standard_lines_keV(nuclide: Nuclide) -> list[float]:
    """Return the energies of a nuclide's standard photopeaks, ascending.

    Lines within ± 10 % of a stronger one form one photopeak with it, at their intensity-weighted
    mean energy (At-211: 79 keV, the K X-rays of polonium after electron capture).

    Raises
    ------
    SettingsError
        if there is none above ``LEAST_INTENSITY`` and within ``LINE_RANGE_keV``.
    """
    low, high = LINE_RANGE_keV
    rest = sorted(
        (line for line in nuclide.lines if low <= line.energy_keV <= high),
        key=lambda line: -line.intensity,
    )
    peaks: list[tuple[float, float]] = []
    while rest:
        near = [line for line in rest if _is_near(line, rest[0])]
        rest = [line for line in rest if line not in near]
        total = sum(line.intensity for line in near)
        peaks.append((total, sum(line.energy_keV * line.intensity for line in near) / total))
    strongest = max((intensity for intensity, _ in peaks), default=0.0)
    if strongest < LEAST_INTENSITY:
        raise SettingsError(
            f"{nuclide.name} has no photon line of its own between {low:g} and {high:g} keV in at "
            f"least {100 * LEAST_INTENSITY:g} % of the decays (annihilation photons are imaged by "
            f"coincidences): name a line, or a daughter's, as {nuclide.name}@ENERGY in keV"
        )
    return sorted(e for intensity, e in peaks if intensity >= LEAST_SHARE * strongest)


def _is_near(line: Line, strongest: Line) -> bool:
    reach = PHOTOPEAK_FRACTION / 2 * strongest.energy_keV
    return abs(line.energy_keV - strongest.energy_keV) <= reach


def _trio(
    nuclide: str, energy_keV: float, width_keV: float, scatter_keV: float
) -> list[EnergyWindow]:
    """Return the lower scatter window, the photopeak and the upper scatter window of a line."""
    name = f"{nuclide}_{energy_keV:.0f}"
    low, high = round(energy_keV - width_keV / 2, 1), round(energy_keV + width_keV / 2, 1)
    below, above = round(low - scatter_keV, 1), round(high + scatter_keV, 1)
    if below <= 0 or above > 6553.5:
        raise SettingsError(
            f"{name}: its windows would reach from {below:g} to {above:g} keV, the bounds are 0 "
            "and 6553.5 keV; make them narrower"
        )
    return [
        EnergyWindow(name=f"{name}_low", lld_keV=below, uld_keV=low, kind="scatter",
                     nuclide=nuclide, photopeak=name),
        EnergyWindow(name=name, lld_keV=low, uld_keV=high, nuclide=nuclide),
        EnergyWindow(name=f"{name}_high", lld_keV=high, uld_keV=above, kind="scatter",
                     nuclide=nuclide, photopeak=name),
    ]  # fmt: skip


def _check_width(name: str, value: float, *, bound: float) -> None:
    if not 0 < value <= bound:  # NaN fails too
        raise SettingsError(f"{name} = {value:g}: a width above 0 and at most {bound:g} is needed")


def _check_line(nuclide: str, energy_keV: float) -> None:
    if not 10 <= energy_keV <= 5000:
        raise SettingsError(f"{nuclide}: a line at {energy_keV:g} keV: 10 to 5000 keV is possible")


def channels(window: EnergyWindow) -> tuple[int, int]:
    """Return the lowest and highest energy within a window in units of 0.1 keV, edges included."""
    return math.ceil(round(window.lld_keV * 10, 6)), math.floor(round(window.uld_keV * 10, 6))


def claimed_keV(window: EnergyWindow, windows: Iterable[EnergyWindow]) -> float:
    """Return the width of the energy range that a window really counts, in keV.

    An energy of k · 0.1 keV stands for a width of 0.1 keV, so an inclusive window is that much
    wider than ULD − LLD, unless another window begins at its upper edge and takes it.
    """
    first, last = channels(window)
    taken = any(
        other is not window
        and (other.kind == "coincidence") == (window.kind == "coincidence")
        and channels(other)[0] == last
        and _share_modules(other, window)
        for other in windows
    )
    return (last - first + (0 if taken else 1)) / 10


def _share_modules(a: EnergyWindow, b: EnergyWindow) -> bool:
    return not (a.modules and b.modules) or bool(set(a.modules) & set(b.modules))
