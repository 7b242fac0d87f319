"""Make each module's crystal look-up from a flood: the crystal of each raw position.

For scanners whose modules send raw positions (position_readout = "raw" in the preset): the event
word's crystal field is u + 64·v. Irradiate the blocks evenly, with some hundred counts in each
crystal. In pixelated blocks the crystals' peaks are found and each position is assigned to the
nearest; monolithic blocks are divided by the distribution of positions.

A module with too few counts, or whose peaks cannot be resolved, gets the map of the others' sum and
is marked. Make the look-up first: energy and skew are found per crystal and need it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.calibrate.kind import CalibrationKind
from daq.cli.calibrate.outcome import Outcome, one_run, status_figures
from daq.cli.common import CommandError, positive
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from daq.calibration.flood_fit import FloodResult
    from daq.calibration.flood_map import FloodMap
    from daq.calibration.plots import Panel
    from daq.folder.calibration_set import CalibrationSet
    from hw.scanner.description import Scanner

EXAMPLES = """\
examples:
  tomoshibi calibrate flood RUN --output map.npz
  tomoshibi calibrate flood RUN --window-keV 400 650 --irradiation centre --output map.npz
  tomoshibi calibrate energy RUN --calibration map.npz --output energy.npz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the flood map."""
    parser.add_argument("--window-keV", type=positive, nargs=2, metavar=("LOW", "HIGH"),
                        help="energies as read out, before any calibration "
                        "(default: 0.85 × LLD to 1.15 × ULD of the preset)")  # fmt: skip
    parser.add_argument("--irradiation", choices=("even", "centre"), default="even",
                        help="monolithic blocks: all crystals alike, or from a source at the "
                        "scanner's centre (default: %(default)s)")  # fmt: skip


def find(options: argparse.Namespace, folders: list[Path], base: CalibrationSet | None) -> Outcome:
    """Count the flood and find the crystals."""
    from daq.calibration.flood_fit import calibrate_flood
    from daq.calibration.flood_map import flood_of_run
    from daq.folder.run_folder import run_config

    folder = one_run(folders, "flood")
    scanner = run_config(folder).scanner()
    low_keV, high_keV = _window(options, scanner)
    if scanner.response.position_readout != "raw":
        raise CommandError(
            f"{folder.name}: {scanner.name} sends crystals, not raw positions "
            f"(response.position_readout = {scanner.response.position_readout!r}): there is no "
            "look-up to be made"
        )
    progress = ProgressLine("flood")
    flood = flood_of_run(folder, low_keV=low_keV, high_keV=high_keV, progress=progress)
    progress.done()
    found = calibrate_flood(flood.counts, scanner, expected=_expected(options, scanner))
    return Outcome(
        {"crystal_map": found.crystal_map},
        f"flood of {options.irradiation} irradiation, {low_keV:g} to {high_keV:g} keV as read out",
        _figures(found, flood),
        _panels(found, flood, scanner),
        {"crystal_map": found.status},
        {"modules": _table(found, flood)},
    )


def _window(options: argparse.Namespace, scanner: Scanner) -> tuple[float, float]:
    if options.window_keV is None:
        return 0.85 * scanner.acquisition.lld_keV, 1.15 * scanner.acquisition.uld_keV
    low, high = options.window_keV
    if low >= high:
        raise CommandError(f"--window-keV {low:g} {high:g} is empty: LOW must be below HIGH")
    return low, high


def _expected(options: argparse.Namespace, scanner: Scanner) -> Any:
    import numpy as np

    from daq.calibration.flood_fit import expected_from_centre
    from hw.scanner.geometry import build_geometry

    if options.irradiation == "even":
        return None
    if not scanner.module.monolithic:
        raise CommandError(
            "--irradiation centre is for monolithic blocks: in pixelated ones the peaks themselves "
            "are found; leave it out"
        )
    geometry = build_geometry(scanner)
    modules = range(scanner.n_modules)
    return np.stack([expected_from_centre(scanner, geometry, module=m) for m in modules])


def _figures(found: FloodResult, flood: FloodMap) -> dict[str, Any]:
    import numpy as np

    known = found.peak_to_valley[np.isfinite(found.peak_to_valley)]
    total = flood.counts.sum(axis=1)
    assigned = float((found.assigned * total).sum() / max(total.sum(), 1))
    return {
        **status_figures(found.status),
        "counts": int(total.sum()),
        "counts_least_of_a_module": int(total.min()),
        "out_of_window": flood.out_of_window,
        "assigned": round(assigned, 5),
        "peak_to_valley": round(float(np.median(known)), 2) if len(known) else None,
        "peak_to_valley_least": round(float(known.min()), 2) if len(known) else None,
        "crystals_without_a_peak": int(found.weak.sum()),
    }


def _table(found: FloodResult, flood: FloodMap) -> list[dict[str, Any]]:
    import math

    return [
        {
            "module": m,
            "status": int(found.status[m]),
            "counts": int(flood.counts[m].sum()),
            "assigned": round(float(found.assigned[m]), 5),
            "peak_to_valley": round(float(ratio), 3) if math.isfinite(ratio) else None,
            "crystals_without_a_peak": int(found.weak[m]),
            "reason": found.reasons.get(m, ""),
        }
        for m, ratio in enumerate(found.peak_to_valley)
    ]


def _panels(found: FloodResult, flood: FloodMap, scanner: Scanner) -> list[Panel]:
    """The worst, the median and the best module with their borders, and all floods together."""
    import numpy as np

    from daq.calibration.flood_map import mosaic, picture
    from daq.calibration.plots import Panel, Picture
    from daq.folder.calibration_set import Status

    fitted = np.flatnonzero(found.status == Status.FITTED)
    quality = found.peak_to_valley[fitted]
    if not np.isfinite(quality).all():
        quality = flood.counts[fitted].sum(axis=1)
    order = fitted[np.argsort(quality, kind="stable")]
    shown = list(dict.fromkeys(int(order[k]) for k in (0, len(order) // 2, -1)))
    shown += sorted(found.reasons)[:1]
    panels = []
    for m in shown:
        image = picture(flood.counts[m], found.crystal_map[m])
        note = "" if m not in found.reasons else ", by the scanner's map"
        panels.append(Panel(f"Module {m}{note}", "u, sixths of a raw bin", (Picture(image),), "v"))
    panels.append(Panel("All modules, in rows", "", (Picture(mosaic(flood.counts)),)))
    return panels


KIND = CalibrationKind(
    name="flood",
    words="crystal look-up of each module, from a flood of raw positions",
    teaches=__doc__,
    examples=EXAMPLES,
    order=7,
    add_arguments=add_arguments,
    find=find,
)
