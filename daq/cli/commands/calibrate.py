"""Find a calibration from a run: energies, times, dead crystals and more, one quantity at a time.

The result is a calibration set, one file that is never changed again, with a report beside it: the
same name with .json (figures), .png and .pdf (plots). Start with energy, then give that set to the
next quantity, which keeps its content and adds to it. Apply a set with `tomoshibi sort
--calibration` or `tomoshibi acquire --calibration`. docs/calibration/overview.md describes methods
and limits.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daq.cli.calibrate.kind import calibration_kinds
from daq.cli.calibrate.outcome import Outcome, scanner_of, serial_of, sources_of
from daq.cli.common import CommandError, add_json_option, add_runs_option, find_run, finish

EXAMPLES = """\
examples:
  tomoshibi calibrate energy RUN --output calibrations/energy.npz
  tomoshibi calibrate skew RUN --calibration calibrations/energy.npz --output calibrations/today.npz
  tomoshibi calibrate walk RUN --calibration calibrations/today.npz --output calibrations/walk.npz
  tomoshibi sort RUN --calibration calibrations/walk.npz

  tomoshibi calibrate activity CYLINDER --radius-mm 100 --length-mm 150 --activity-MBq 20

`tomoshibi calibrate QUANTITY --help` explains each with examples.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the quantities, each with its options."""
    quantities = parser.add_subparsers(
        dest="quantity", metavar="QUANTITY", title="quantities", required=True
    )
    for kind in calibration_kinds().values():
        sub = quantities.add_parser(
            kind.name,
            help=kind.words,
            description=kind.teaches,
            epilog=kind.examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if kind.find is not None:
            _add_common(sub)
        kind.add_arguments(sub)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folders", nargs="+", metavar="RUN",
                        help='a run: folder, name, or "last"')  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="NAME",
                        help="the set to write, NAME.npz; it must not exist")  # fmt: skip
    parser.add_argument("--calibration", type=Path, metavar="FILE",
                        help="a set to start from: its other quantities are kept")  # fmt: skip
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Calibrate, write the set and its report, and print the result."""
    from daq.folder.calibration_set import load_set_for, new_set, save_set

    kind = calibration_kinds()[options.quantity]
    if kind.run is not None:
        return kind.run(options)
    assert kind.find is not None
    folders = [find_run(text, options.runs) for text in options.run_folders]
    scanner = scanner_of(folders)
    output = _free_output(options.output)
    base = load_set_for(options.calibration, scanner) if options.calibration else None
    serial = serial_of(folders, base)
    outcome = kind.find(options, folders, base)
    made = new_set(
        output.stem,
        scanner,
        sources=sources_of(folders, options.quantity, outcome.method, base),
        values=outcome.values,
        statuses=outcome.statuses,
        base=base,
        serial=serial,
    )
    save_set(made, output)
    result = {
        "calibration": str(output),
        "identity": made.identity,
        "run": ", ".join(map(str, folders)),
        "quantity": options.quantity,
        **outcome.figures,
        **outcome.details,
    }
    _write_report(output, result, outcome)
    words = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in outcome.figures.items())
    finish(options, result, f"{output}: {words}")
    if not _measured(options.quantity, outcome.figures):
        raise CommandError(
            f"{options.quantity}: nothing was fitted, of no crystal and of no module, so {output} "
            "changes next to nothing: take a longer run, or look at the spectra in "
            f"{output.with_suffix('.pdf')}"
        )
    return 0


def _measured(quantity: str, figures: Mapping[str, Any]) -> bool:
    """Whether any crystal's value was measured, its own or its module's; of walks the scanner's
    mean is enough, since the fit refuses what does not determine it.
    """
    if "fitted" not in figures:
        return True
    ways = ("fitted", "from_module", *(["from_scanner"] if quantity == "walk" else []))
    return any(figures[way] for way in ways)


def _free_output(wanted: Path) -> Path:
    """Return NAME.npz, unless it or its report exists already."""
    output = wanted.with_name(wanted.name.removesuffix(".npz") + ".npz")
    for suffix in (".npz", ".json", ".png", ".pdf"):
        path = output.with_suffix(suffix)
        if path.exists():
            raise CommandError(f"{path} exists already and is never overwritten: choose another")
    return output


def _write_report(output: Path, result: dict[str, Any], outcome: Outcome) -> None:
    from daq.calibration.plots import write_plots
    from daq.folder.run_folder import write_json

    write_json(output.with_suffix(".json"), result)
    write_plots(output.with_suffix(""), outcome.panels)
