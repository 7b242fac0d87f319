"""Compute what the emulator should reproduce, and compare: formulas, tables, GATE, publications.

Prints a table of figures: measured, expected, tolerance, verdict. The exit status is 1 if a figure
fails. Figures compared with reference data need the folder named by TOMOSHIBI_REFERENCE_DATA;
without it they are shown as not run. Everything takes about five minutes on two cores; --quick uses
a tenth of the counts and allows for their statistics.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from daq.cli.common import CommandError, add_json_option, finish, tell, whole
from daq.cli.validate.checks import SUITES, run_check
from daq.cli.validate.result_line import FAIL, Check, Line, NotRun, Scope, failures

EXAMPLES = """\
examples:
  tomoshibi validate emulator
  tomoshibi validate emulator --list
  tomoshibi validate emulator --only scatter --only necr
  tomoshibi validate emulator --write docs/validation.md
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("suite", choices=[*SUITES])
    parser.add_argument("--list", action="store_true", help="list what can be computed")
    parser.add_argument("--only", action="append", default=[], metavar="NAME",
                        help="compute only this; may be given several times")  # fmt: skip
    parser.add_argument("--quick", action="store_true",
                        help="a tenth of the counts, and no real time")  # fmt: skip
    parser.add_argument("--write", type=Path, metavar="FILE",
                        help="write the table as Markdown, plots to images/ beside it")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="seed of all random numbers")
    parser.add_argument("--threads", type=whole, default=len(os.sched_getaffinity(0)), metavar="N",
                        help="Monte Carlo threads (default: %(default)s)")  # fmt: skip
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Compute and report; return 1 if a figure fails."""
    checks = chosen_checks(options.suite, options.only)
    if options.list:
        width = max(len(check.name) for check in checks)
        print("\n".join(f"{check.name:<{width}}  {check.words}" for check in checks))
        return 0
    began = time.monotonic()
    lines = _compute(checks, options)
    seconds = time.monotonic() - began
    _report(options, lines, seconds)
    return 1 if any(failures(lines, quick=options.quick)) else 0


def chosen_checks(suite: str, names: list[str]) -> list[Check]:
    """Return the checks named, in their own order; all if none is named."""
    known = {check.name: check for check in SUITES[suite]}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CommandError(f"--only {unknown[0]}: there is {', '.join(known)}")
    return [check for name, check in known.items() if not names or name in names]


def _compute(checks: list[Check], options: argparse.Namespace) -> list[Line]:
    from daq.cli.progress import ProgressLine

    reference = os.environ.get("TOMOSHIBI_REFERENCE_DATA")
    lines: list[Line] = []
    for number, check in enumerate(checks, 1):
        progress = ProgressLine(f"{number}/{len(checks)} {check.name}: {check.words}")
        scope = Scope(
            quick=options.quick,
            seed=options.seed,
            threads=options.threads,
            reference=Path(reference) if reference else None,
            plots=options.write.parent / "images" if options.write else None,
            progress=progress,
        )
        began = time.monotonic()
        found = _run_one(check, scope)
        verdicts = {line.verdict(quick=options.quick) for line in found}
        word = FAIL if FAIL in verdicts else "done"
        progress.done(f"{check.name}: {word}, {time.monotonic() - began:.1f} s")
        lines += found
    return lines


def _run_one(check: Check, scope: Scope) -> list[Line]:
    """Return the check's figures; a check that raises an error counts as failed, and the others go
    on.
    """
    try:
        return run_check(check, scope)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is a failed validation)
        return [NotRun(check.words, f"{type(error).__name__}: {error}", broken=True)]


def _report(options: argparse.Namespace, lines: list[Line], seconds: float) -> None:
    from daq.cli.validate.validation_table import as_results, as_text, summary, write_report

    if options.write:
        images = options.write.parent / "images"
        write_report(
            options.write, lines, command=_command(options), seconds=seconds, quick=options.quick,
            plots=sorted(images.glob("validation_*.png")),
        )  # fmt: skip
        tell(f"wrote {options.write}")
    result = {
        "figures": as_results(lines, quick=options.quick),
        "summary": summary(lines, quick=options.quick),
        "seconds": round(seconds, 1),
    }
    finish(options, result, as_text(lines, quick=options.quick))


def _command(options: argparse.Namespace) -> str:
    """Return the command line that writes this page."""
    words = ["tomoshibi", "validate", options.suite]
    words += [word for name in options.only for word in ("--only", name)]
    words += ["--quick"] if options.quick else []
    words += ["--seed", str(options.seed)] if options.seed != 1 else []
    return " ".join([*words, "--write", str(options.write)])
