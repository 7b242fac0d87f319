"""Find a calibration from a run: the energy gain or the time skew of each crystal.

The result is a calibration set, one file that is never changed again, with a report beside it:
the same name with .json (figures) and .png (plots). Start with energy, then give that set to
skew, which keeps the gains and adds the skews. Apply a set with `tomoshibi sort --calibration`
or `tomoshibi acquire --calibration`. docs/calibration.md has method and limits.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import (
    CommandError,
    add_json_option,
    add_runs_option,
    find_run,
    finish,
    positive,
)
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from daq.calibration_plot import Panel
    from daq.calibration_set import CalibrationSet

EXAMPLES = """\
examples:
  tomoshibi calibrate energy RUN --output calibrations/energy.npz
  tomoshibi calibrate skew RUN --calibration calibrations/energy.npz --output calibrations/today.npz
  tomoshibi calibrate skew RUN --source cylinder --output skew.npz
  tomoshibi sort RUN --calibration calibrations/today.npz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("quantity", choices=("energy", "skew"), help="what to find")
    parser.add_argument("run_folder", metavar="RUN", help='a run: folder, name, or "last"')
    parser.add_argument("--output", type=Path, required=True, metavar="NAME",
                        help="the set to write, NAME.npz; it must not exist")  # fmt: skip
    parser.add_argument("--calibration", type=Path, metavar="FILE",
                        help="a set to take the other quantity from")  # fmt: skip
    parser.add_argument("--source", choices=("point", "cylinder"), default="point",
                        help="skew: a point or ball, or a cylinder along z "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--position-mm", type=float, nargs=3, default=(0.0, 0.0, 0.0),
                        metavar=("X", "Y", "Z"), help="skew: the source's centre")  # fmt: skip
    parser.add_argument("--coincidences", type=positive, default=1e7, metavar="N",
                        help="skew: use at most so many (16 bytes each in memory)")  # fmt: skip
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Calibrate, write the set and its report, and tell what was found."""
    from daq.calibration_plot import write_plot
    from daq.calibration_set import load_set, save_set
    from daq.run import write_json

    folder = find_run(options.run_folder, options.runs)
    output = options.output.with_name(options.output.name.removesuffix(".npz") + ".npz")
    for path in (output, output.with_suffix(".json"), output.with_suffix(".png")):
        if path.exists():
            raise CommandError(f"{path} exists already and is never written over: choose another")
    base = load_set(options.calibration) if options.calibration else None
    work = _energy if options.quantity == "energy" else _skew
    found, figures, panels = work(options, folder, output.stem, base)
    save_set(found, output)
    result = {"calibration": str(output), "identity": found.identity, "run": str(folder), **figures}
    write_json(output.with_suffix(".json"), result)
    write_plot(output.with_suffix(".png"), panels)
    words = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in figures.items())
    finish(options, result, f"{output}: {words}")
    return 0


Outcome = tuple["CalibrationSet", dict[str, Any], list["Panel"]]


def _energy(
    options: argparse.Namespace, folder: Path, name: str, base: CalibrationSet | None
) -> Outcome:
    from daq.calibrate_energy import CENTRES_keV, calibrate_energy, spectra_of_run
    from daq.calibration_plot import Panel, histogram
    from daq.calibration_set import Status, new_set
    from daq.resort import run_config

    scanner = run_config(folder).scanner()
    progress = ProgressLine("spectra")
    spectra = spectra_of_run(folder, progress=progress)
    progress.done()
    found = calibrate_energy(spectra, scanner)
    made = new_set(name, scanner, gain=found.gain, gain_status=found.status, base=base,
                   sources=_sources(folder, base, "energy", "511 keV photopeak"))  # fmt: skip
    fitted = found.status == Status.FITTED
    figures = {
        "quantity": "energy",
        **_statuses(found.status),
        "singles_in_spectra": int(spectra.sum()),
        "gain_mean": round(float(found.gain.mean()), 5),
        "gain_spread": round(float(found.gain.std()), 5),
        "peak_error_keV": _median(found.peaks.error_keV[fitted]),
        "fwhm_keV": _median(2.3548 * (found.peaks.sigma_keV * found.gain)[fitted]),
    }
    total = spectra.sum(axis=0, dtype="i8")
    aligned = _aligned(spectra, found.gain, CENTRES_keV)
    edges = _edges(CENTRES_keV)
    panels = [
        Panel("All singles", "energy, keV", (_curve("as read out", edges, total),
                                             _curve("calibrated", edges, aligned))),
        Panel("Gains of the crystals", "gain", (histogram("gain", found.gain, 0.7, 1.3),)),
    ]  # fmt: skip
    return made, figures, panels


def _skew(
    options: argparse.Namespace, folder: Path, name: str, base: CalibrationSet | None
) -> Outcome:
    from daq.calibrate_skew import calibrate_skew, pairs_of_run
    from daq.calibration_plot import Panel, histogram
    from daq.calibration_set import new_set
    from daq.resort import run_config

    config = run_config(folder)
    scanner = config.scanner()
    if base is not None:
        base.check_scanner(scanner)
    progress = ProgressLine("coincidences")
    pairs = pairs_of_run(folder, gain=base.gain if base else None,
                         most=int(options.coincidences), progress=progress)  # fmt: skip
    progress.done()
    found = calibrate_skew(pairs, scanner, source=options.source,
                           position_mm=tuple(options.position_mm))  # fmt: skip
    made = new_set(name, scanner, skew_ps=found.skew_ps, skew_status=found.status, base=base,
                   sources=_sources(folder, base, "skew", f"coincidences of a {options.source} at "
                                    f"{tuple(options.position_mm)} mm"))  # fmt: skip
    figures = {
        "quantity": "skew",
        **_statuses(found.status),
        "coincidences": len(pairs),
        "coincidences_used": found.used,
        "iterations": found.iterations,
        "residual_fwhm_ps": round(2.3548 * found.sigma_ps, 1),
        "skew_spread_ps": round(float(found.skew_ps.std()), 1),
    }
    reach = float(config.settings.window_ps)
    panels = [
        Panel("Δt less flight time", "ps",
              (histogram("without skews", found.residual_before, -reach, reach),
               histogram("with skews", found.residual_after, -reach, reach))),
        Panel("Skews of the crystals", "ps", (histogram("skew", found.skew_ps, -1000, 1000),)),
    ]  # fmt: skip
    return made, figures, panels


def _statuses(status: Any) -> dict[str, int]:
    from daq.calibration_set import Status

    return {
        "fitted": int((status == Status.FITTED).sum()),
        "from_module": int((status == Status.MODULE).sum()),
        "from_scanner": int((status == Status.SCANNER).sum()),
    }


def _sources(folder: Path, base: CalibrationSet | None, quantity: str, method: str) -> Any:
    from daq import rawlog
    from daq.calibration_set import Source

    with (folder / rawlog.FILE_NAME).open("rb") as file:
        raw_hash = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    kept = tuple(s for s in base.about.sources if s.quantity != quantity) if base else ()
    return (*kept, Source(quantity, folder.resolve().name, raw_hash, method))


def _median(values: Any) -> float | None:
    import numpy as np

    return round(float(np.median(values)), 3) if len(values) else None


def _edges(centres: Any) -> Any:
    import numpy as np

    half = (centres[1] - centres[0]) / 2
    return np.append(centres - half, centres[-1] + half)


def _curve(label: str, edges: Any, counts: Any) -> Any:
    from daq.calibration_plot import Curve

    return Curve(label, edges, counts)


def _aligned(spectra: Any, gain: Any, centres: Any) -> Any:
    """Return the sum of the spectra with each bin moved by its crystal's gain."""
    import numpy as np

    total = np.zeros(len(centres))
    for k in range(0, len(spectra), 4096):  # bounds the table of moved energies
        moved = centres[None, :] * gain[k : k + 4096, None]
        weights = spectra[k : k + 4096].ravel()
        total += np.histogram(moved, bins=_edges(centres), weights=weights.reshape(moved.shape))[0]
    return total
