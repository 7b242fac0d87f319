"""PETSIRD list mode as a run of coincidences that can be reconstructed and exported.

The scanner's geometry must be possible in a preset, rings of equal flat modules; the preset made
from it is in the run. PETSIRD has no times of events: those of a time block are spread over it
evenly. Singles, triples, signals and dead times are left out and counted.
"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import CommandError, add_json_option, add_runs_option, finish
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from daq.folder.run_config import RunConfig
    from recon.exchange.petsird.scanner_fit import FittedScanner

EXAMPLES = """\
examples:
  tomoshibi import petsird brain.petsird --name brain_again
  tomoshibi reconstruct brain_again
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the format's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the data")
    parser.add_argument("--name", default="", help="name of the run's folder (must not exist)")
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Import."""
    from recon.exchange.errors import ExchangeError

    try:
        return _imported(options)
    except (KeyError, TypeError) as error:  # a field that its schema does not have
        raise CommandError(f"{options.file}: its header is damaged: {error!r}") from error
    except ExchangeError as error:
        told = str(error)
        raise CommandError(
            told if str(options.file) in told else f"{options.file}: {told}"
        ) from error


def _imported(options: argparse.Namespace) -> int:
    from daq.importers.coincidence_run import write_coincidence_run
    from recon.exchange.petsird.reader import PetsirdFile
    from recon.exchange.petsird.scanner_fit import fit_scanner

    progress = ProgressLine("importing")
    with PetsirdFile(options.file) as file:
        fitted = fit_scanner(file.header)
        summary = write_coincidence_run(
            _config(options, fitted, file.header),
            options.runs,
            file.parts(fitted.bins, progress=progress),
            created=_start(file.header),
            reached_s=lambda: file.until_ms / 1000,
            notes=lambda: [f"left out: {n} {what}" for what, n in file.skipped.counts.items()],
        )
    progress.done()
    if not summary["prompts"]:
        raise CommandError(
            f"{options.file} has no coincidences; the run {summary['name']} is empty"
        )
    finish(
        options,
        summary,
        f"{summary['run']}: {summary['prompts']} prompts, {summary['delayeds']} delayeds; "
        + "; ".join(summary["conditions"]),
    )
    return 0


def _config(
    options: argparse.Namespace, fitted: FittedScanner, header: dict[str, Any]
) -> RunConfig:
    from daq.folder.run_config import RunConfig, default_settings
    from recon.exchange.petsird.header import header_nuclide

    nuclide = header_nuclide(header)
    has_delayeds = bool(header["scanner"]["delayedEventPolicy"])
    changes: dict[str, Any] = {} if has_delayeds else {"delay_ps": 0}
    return RunConfig(
        scanner_toml=fitted.toml,
        settings=default_settings(fitted.scanner, **changes),
        name=options.name,
        labels={
            "scanner": fitted.scanner.title,
            "imported": options.file.name,
            "format": "petsird",
            "turned_deg": round(fitted.turned_deg, 6),
            **({"nuclide": nuclide} if nuclide else {}),
        },
    )


def _start(header: dict[str, Any]) -> dt.datetime | None:
    """Return when the measurement began, None if the file does not say."""
    exam = header["exam"]
    if exam is None or not exam["startOfAcquisition"]:
        return None
    return dt.datetime.fromtimestamp(exam["startOfAcquisition"] * 1e-9, tz=dt.UTC)
