"""Find each crystal's energy gain, and with several lines its non-linearity, from photopeaks.

The gain is the line's energy over the peak's place in the crystal's spectrum. A crystal with too
few counts takes its module's value. Two or more lines at least 10 % apart give gain and curvature
together. A line is a number in keV, a nuclide (its strongest line), or a nuclide and an energy,
Lu-177:208. With as many runs as lines, each line is searched in its own run, in the order given;
with one run and several lines, all in that run; with several runs and one line, their counts are
added.

--lutetium needs no source: the crystals' own ¹⁷⁶Lu gives the gains, to 1 %. It gives no curvature;
one in the set of --calibration is kept and taken into account.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.calibrate.kind import CalibrationKind
from daq.cli.calibrate.outcome import Outcome, median_of, scanner_of, status_figures
from daq.cli.common import CommandError
from daq.cli.progress import ProgressLine
from hw.physics.constants import FWHM_PER_SIGMA, REFERENCE_KEV

if TYPE_CHECKING:
    from daq.calibration.energy_fit import EnergyResult, LineSpectra
    from daq.calibration.energy_spectra import Grid, Spectra
    from daq.calibration.plots import Panel
    from daq.folder.calibration_set import CalibrationSet

EXAMPLES = """\
examples:
  tomoshibi calibrate energy RUN --output energy.npz                       511 keV
  tomoshibi calibrate energy RUN --line Tc-99m --output energy.npz         140.5 keV
  tomoshibi calibrate energy F18-RUN TC-RUN --line 511 --line 140.5 --output energy.npz
  tomoshibi calibrate energy RUN --line Lu-177:208 --line Lu-177:113 --output energy.npz
  tomoshibi calibrate energy RUN --lutetium --output energy.npz            no source
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the energy calibration."""
    parser.add_argument("--line", action="append", metavar="LINE",
                        help="a line, keV or nuclide (default: 511); more than once for "
                        "non-linearity")  # fmt: skip
    parser.add_argument("--lutetium", action="store_true",
                        help="use the crystals' own ¹⁷⁶Lu background: a run without a "
                        "source")  # fmt: skip


def find(options: argparse.Namespace, folders: list[Path], base: CalibrationSet | None) -> Outcome:
    """Fit the photopeaks, or the background."""
    if options.lutetium:
        if options.line:
            raise CommandError("--lutetium takes no --line: the background's own lines are used")
        return _find_lutetium(folders, base)
    return _find_lines(options.line or ["511"], folders, base)


def _find_lines(words: list[str], folders: list[Path], base: CalibrationSet | None) -> Outcome:
    from daq.calibration.energy_fit import calibrate_lines, check_lines, parse_line
    from daq.calibration.energy_spectra import line_grid

    lines = [parse_line(word) for word in words]
    check_lines(lines)
    measured = _measure([line_grid(line) for line in lines], folders, base)
    known = base.curvature if base is not None and len(lines) == 1 else None
    found = calibrate_lines(measured, scanner_of(folders), curvature=known)
    values, statuses = {"gain": found.gain}, {"gain": found.status}
    if len(lines) > 1:
        values["curvature"] = found.curvature
        statuses["curvature"] = found.curvature_status
    method = " and ".join(f"{line:g} keV" for line in lines) + " photopeak"
    return Outcome(values, method, _figures(measured, found), _panels(measured, found), statuses)


def _measure(
    grids: list[Any], folders: list[Path], base: CalibrationSet | None
) -> list[LineSpectra]:
    """Return each line's spectra, from its own run, from the only run, or from all of them."""
    from daq.calibration.energy_fit import LineSpectra

    if len(grids) == len(folders):
        pairs = zip(grids, folders, strict=True)
        each = [_spectra(folder, [grid], base)[0] for grid, folder in pairs]
    elif len(folders) == 1:
        each = _spectra(folders[0], grids, base)
    elif len(grids) == 1:
        each = [_sum_of_runs(folders, grids[0], base)]
    else:
        raise CommandError(
            f"{len(grids)} lines and {len(folders)} runs: give a line for each run, or one run, "
            "or one line"
        )
    return [LineSpectra(grid, spectra) for grid, spectra in zip(grids, each, strict=True)]


def _sum_of_runs(folders: list[Path], grid: Grid, base: CalibrationSet | None) -> Spectra:
    total = _spectra(folders[0], [grid], base)[0]
    for folder in folders[1:]:
        total += _spectra(folder, [grid], base)[0]
    return total


def _spectra(folder: Path, grids: list[Any], base: CalibrationSet | None) -> list[Spectra]:
    from daq.calibration.energy_spectra import spectra_of_run

    progress = ProgressLine(f"spectra of {folder.name}")
    crystal_map = base.calibration().crystal_map if base else None
    spectra = spectra_of_run(folder, grids, crystal_map=crystal_map, progress=progress)
    progress.done()
    return spectra


def _figures(lines: list[LineSpectra], found: EnergyResult) -> dict[str, Any]:
    from daq.folder.calibration_set import Status

    figures: dict[str, Any] = {
        **status_figures(found.status),
        "lines_keV": [line.grid.line_keV for line in lines],
        "singles_in_spectra": sum(int(line.spectra.sum()) for line in lines),
        "gain_mean": round(float(found.gain.mean()), 5),
        "gain_spread": round(float(found.gain.std()), 5),
        "peak_error_keV": [median_of(peaks.error_keV[peaks.good]) for peaks in found.peaks],
        "fwhm_keV": [
            median_of(FWHM_PER_SIGMA * (peaks.sigma_keV * found.gain)[peaks.good])
            for peaks in found.peaks
        ],
    }
    if len(lines) > 1:
        figures["curvature_mean"] = round(float(found.curvature.mean()), 5)
        figures["curvature_spread"] = round(float(found.curvature.std()), 5)
        own = found.curvature_status == Status.FITTED
        figures["curvature_fitted"] = int(own.sum())
    return figures


def _panels(lines: list[LineSpectra], found: EnergyResult) -> list[Panel]:
    from daq.calibration.plots import Panel, histogram

    panels = [
        spectrum_panel(f"All singles, {line.grid.line_keV:g} keV", line.grid, line.spectra,
                       found.gain, found.curvature)
        for line in lines
    ]  # fmt: skip
    panels.append(
        Panel(
            "Gains of the crystals", "gain", (histogram("gain", found.gain, 0.7, 1.3),), "crystals"
        )
    )
    if len(lines) > 1:
        curve = histogram("curvature", found.curvature, -0.15, 0.15)
        panels.append(Panel("Curvatures of the crystals", "curvature", (curve,), "crystals"))
    return panels


def spectrum_panel(
    title: str, grid: Grid, spectra: Spectra, gain: Any, curvature: Any | None = None
) -> Panel:
    """Return the plot of all spectra together, as read out and calibrated.

    Parameters
    ----------
    title : of the plot
    grid : the spectra's bins
    spectra : (n_crystals, BINS) u4, as read out
    gain, curvature : (n_crystals,), the calibration; None for no curvature
    """
    from daq.calibration.plots import Curve, Panel

    widths = grid.edges_keV[1:] - grid.edges_keV[:-1]
    per_keV = spectra.sum(axis=0, dtype="i8") / widths
    as_read = Curve("as read out", grid.edges_keV, per_keV)
    calibrated = Curve("calibrated", grid.edges_keV,
                       _aligned(spectra, gain, curvature, grid) / widths)  # fmt: skip
    return Panel(title, "energy, keV", (as_read, calibrated), "per keV")


def _aligned(spectra: Spectra, gain: Any, curvature: Any | None, grid: Grid) -> Any:
    """Return the sum of the spectra with each bin shifted by its crystal's calibration."""
    import numpy as np

    total, centres = np.zeros(len(grid.centres_keV)), grid.centres_keV
    for k in range(0, len(spectra), 4096):  # bounds the table of moved energies
        moved = centres[None, :] * gain[k : k + 4096, None]
        if curvature is not None:
            moved = moved * (1 + curvature[k : k + 4096, None] * (moved / REFERENCE_KEV - 1))
        weights = spectra[k : k + 4096].ravel()
        total += np.histogram(moved, bins=grid.edges_keV, weights=weights.reshape(moved.shape))[0]
    return total


def _find_lutetium(folders: list[Path], base: CalibrationSet | None) -> Outcome:
    import numpy as np

    from daq.calibration.lutetium_fit import LOG_GRID, calibrate_lutetium
    from daq.calibration.plots import Curve, Panel, histogram

    spectra = _sum_of_runs(folders, LOG_GRID, base)
    known = base.curvature if base is not None else None
    found = calibrate_lutetium(spectra, scanner_of(folders), curvature=known)
    scales = found.scales
    figures = {
        **status_figures(found.status),
        "singles_in_spectra": int(spectra.sum()),
        "gain_mean": round(float(found.gain.mean()), 5),
        "gain_spread": round(float(found.gain.std()), 5),
        "gain_error": median_of(found.error[np.isfinite(found.error)], 5),
        "scale_error": round(max(scale.error for scale in scales), 5),
        "scale_chi2": round(max(scale.chi2 for scale in scales), 2),
        "classes": len(scales),
    }
    widths = np.diff(LOG_GRID.edges_keV)
    template, model = (
        np.sum([getattr(scale, key) for scale in scales], axis=0) / widths
        for key in ("template", "model")
    )
    aligned = Panel("¹⁷⁶Lu, aligned, scale as read out", "energy, keV",
                    (Curve("measured", LOG_GRID.edges_keV, template),
                     Curve("sum of its parts", LOG_GRID.edges_keV, model)), "per keV")  # fmt: skip
    panels = [
        spectrum_panel("All singles", LOG_GRID, spectra, found.gain),
        aligned,
        Panel(
            "Gains of the crystals", "gain", (histogram("gain", found.gain, 0.7, 1.3),), "crystals"
        ),
    ]
    return Outcome({"gain": found.gain}, "¹⁷⁶Lu background", figures, panels,
                   {"gain": found.status})  # fmt: skip


KIND = CalibrationKind(
    name="energy",
    words="gain (and non-linearity) of each crystal, from photopeaks or from ¹⁷⁶Lu",
    teaches=__doc__,
    examples=EXAMPLES,
    order=1,
    add_arguments=add_arguments,
    find=find,
)
