"""Find a calibration from a run: energies, times, dead crystals and more, one quantity at a time.

The result is a calibration set, one file that is never changed again, with a report beside it:
the same name with .json (figures), .png and .pdf (plots). Start with energy, then give that set to
the next quantity, which keeps what is in it and adds its own. Apply a set with
`tomoshibi sort --calibration` or `tomoshibi acquire --calibration`. docs/calibration.md has
methods and limits.
"""

# To add a quantity: write daq/cli/calibrate_<name>.py with
#   __doc__                     what `tomoshibi calibrate <name> --help` teaches
#   EXAMPLES                    its examples
#   add_arguments(parser)       its own options; RUN, --output, --calibration, --runs and --json
#                               are there already (imports stay inside the functions)
#   find(options, folders, base) -> daq.cli.calibrate.outcome.Outcome
#                               folders: the runs' folders; base: the set of --calibration, checked
#                               against the scanner, or None
# and one line in QUANTITIES. A module with STANDS_ALONE = True adds all options itself and has
# run(options) in place of find: its result is no array of a set. For the others, set, report, plots
# and refusal of existing files are done here.

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from daq.cli.calibrate.outcome import Outcome, scanner_of, serial_of, sources_of
from daq.cli.common import CommandError, add_json_option, add_runs_option, find_run, finish

QUANTITIES = {
    "energy": "gain (and non-linearity) of each crystal, from photopeaks or from ¹⁷⁶Lu",
    "skew": "time offset of each crystal, from coincidences",
    "walk": "how each crystal's time depends on energy, from coincidences",
    "mask": "dead and noisy crystals, from a run's singles",
    "normalisation": "efficiency of crystals, blocks and module pairs, from a known source",
    "deadtime": "dead time and its model per module, from a decaying source",
    "flood": "crystal look-up of each module, from a flood of raw positions",
    "activity": "factor from emissions to Bq/mL, from a cylinder of known concentration",
    "factory": "all of it for an emulated scanner's serial number, from runs emulated for it",
}

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
    for name, words in QUANTITIES.items():
        module = _module(name)
        sub = quantities.add_parser(
            name,
            help=words,
            description=module.__doc__,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if not _stands_alone(module):
            _add_common(sub)
        module.add_arguments(sub)


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
    """Calibrate, write the set and its report, and tell what was found."""
    from daq.folder.calibration_set import load_set_for, new_set, save_set

    module = _module(options.quantity)
    if _stands_alone(module):
        return int(module.run(options))
    folders = [find_run(text, options.runs) for text in options.run_folders]
    scanner = scanner_of(folders)
    output = _free_output(options.output)
    base = load_set_for(options.calibration, scanner) if options.calibration else None
    serial = serial_of(folders, base)
    outcome: Outcome = module.find(options, folders, base)
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
    return 0


def _free_output(wanted: Path) -> Path:
    """Return NAME.npz, where neither it nor its report exists yet."""
    output = wanted.with_name(wanted.name.removesuffix(".npz") + ".npz")
    for suffix in (".npz", ".json", ".png", ".pdf"):
        path = output.with_suffix(suffix)
        if path.exists():
            raise CommandError(f"{path} exists already and is never written over: choose another")
    return output


def _write_report(output: Path, result: dict[str, Any], outcome: Outcome) -> None:
    from daq.calibration.calibration_plot import write_plots
    from daq.folder.run_folder import write_json

    write_json(output.with_suffix(".json"), result)
    write_plots(output.with_suffix(""), outcome.panels)


def _module(quantity: str) -> Any:
    return importlib.import_module(f"daq.cli.calibrate.{quantity}")


def _stands_alone(module: Any) -> bool:
    return bool(getattr(module, "STANDS_ALONE", False))
