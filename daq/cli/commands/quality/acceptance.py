"""Judge a PET scanner by NEMA NU 2-2018 (nu2) or NU 4-2008 (nu4), from runs of its phantoms.

Each part is computed from the runs named for it, by the standard's recipe; what deviates from the
standard is told. Limits stand in the scanner's preset, in the table [acceptance]; a figure without
one is "no limit given". --plan tells which runs to take. The exit status is 1 if a figure fails.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.acceptance.runs_to_take import PARTS, plan_text, runs_to_take
from daq.cli.common import (
    CommandError,
    add_json_option,
    add_runs_option,
    finish,
    positive,
    tell,
    thread_count,
)

if TYPE_CHECKING:
    from daq.cli.acceptance.asked_runs import Asked
    from recon.acceptance.judged import Part

DEFAULT_PRESET = "caremibrain"

EXAMPLES = """\
examples:
  tomoshibi acceptance nu2 --plan --preset caremibrain
  tomoshibi acceptance nu2 --sensitivity S1 S2 S3 S4 S5 --count-rates R1 R2 R3 --report nu2.pdf
  tomoshibi acceptance nu2 --from monday.toml --report nu2.pdf --json
  tomoshibi acceptance nu2 --emulate runs/nema --share 0.05 --report nu2.pdf
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("standard", choices=[*PARTS])
    parser.add_argument("--plan", action="store_true",
                        help="print which runs to take, and the commands")  # fmt: skip
    for part in dict.fromkeys(part for parts in PARTS.values() for part in parts):
        parser.add_argument(f"--{part}", nargs="+", default=[], metavar="RUN",
                            help=f"the runs of this part{_only(part)}")  # fmt: skip
    parser.add_argument("--from", dest="file", type=Path, metavar="FILE",
                        help="the runs, with activity and place where their labels lack them "
                             "(docs/acceptance.md)")  # fmt: skip
    parser.add_argument("--emulate", type=Path, metavar="FOLDER",
                        help="make the planned runs with the emulator in this folder, and judge "
                             "them")  # fmt: skip
    parser.add_argument("--share", type=positive, default=1.0, metavar="X",
                        help="of each run's duration, for --plan and --emulate "
                             "(default: %(default)g)")  # fmt: skip
    parser.add_argument("--only", action="append", default=[], metavar="PART",
                        help="with --plan and --emulate, only this part; repeatable")  # fmt: skip
    parser.add_argument("--preset", default="", metavar="SCANNER",
                        help="whose limits count (default: that of the runs); for --plan "
                             f"and --emulate, the scanner (default: {DEFAULT_PRESET})")  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="FILE",
                        help="write a report with plots: .pdf or .html")  # fmt: skip
    parser.add_argument("--write", type=Path, metavar="FILE",
                        help="put the figures into a Markdown page")  # fmt: skip
    parser.add_argument(
        "--threads",
        type=thread_count,
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="default: %(default)s",
    )
    add_runs_option(parser)
    add_json_option(parser)


def _only(part: str) -> str:
    return "" if all(part in parts for parts in PARTS.values()) else " (nu2)"


def run(options: argparse.Namespace) -> int:
    """Plan, or judge and report; return 1 if a figure fails."""
    from daq.cli.acceptance import judgement_text
    from daq.cli.acceptance.judging import judge, scanner_of

    if options.plan:
        return _plan(options)
    asked = _asked(options)
    scanner = scanner_of(asked, options.preset)
    parts = judge(
        options.standard, asked, preset=options.preset, threads=options.threads, tell=tell
    )
    if options.report:
        _report(options, scanner.name, parts)
    if options.write:
        key = f"{scanner.name}, {judgement_text.NAMES[options.standard]}"
        judgement_text.write_into(options.write, key, _command(options), parts)
        tell(f"wrote {options.write}")
    result = judgement_text.as_result(options.standard, scanner.name, parts)
    finish(options, result, judgement_text.as_text(parts))
    return 1 if judgement_text.summary(parts).get("FAIL") else 0


def _plan(options: argparse.Namespace) -> int:
    from hw.scanner.preset_file import load_scanner

    preset = options.preset or DEFAULT_PRESET
    planned = runs_to_take(options.standard, load_scanner(preset), share=options.share)
    planned = [one for one in planned if _wanted(options, one.parts)]
    text = plan_text(options.standard, planned, preset=preset, runs=str(options.runs))
    finish(options, {"standard": options.standard, "preset": preset,
                     "runs": [one.as_result() for one in planned]}, text)  # fmt: skip
    return 0


def _wanted(options: argparse.Namespace, parts: tuple[str, ...]) -> bool:
    unknown = [name for name in options.only if name not in PARTS[options.standard]]
    if unknown:
        raise CommandError(
            f"--only {unknown[0]}: {options.standard} has {', '.join(PARTS[options.standard])}"
        )
    return not options.only or any(part in options.only for part in parts)


def _asked(options: argparse.Namespace) -> Asked:
    from daq.cli.acceptance.asked_runs import named_runs, runs_of_file

    named = {part: getattr(options, part.replace("-", "_")) for part in _all_parts()}
    foreign = [part for part, runs in named.items() if runs and part not in _parts(options)]
    if foreign:
        raise CommandError(
            f"--{foreign[0]}: {options.standard} has no such part; it has "
            f"{', '.join(_parts(options))}"
        )
    ways = [bool(options.file), bool(options.emulate), any(named.values())]
    if sum(ways) > 1:
        raise CommandError("give runs, --from or --emulate: one of them")
    if options.file:
        return runs_of_file(options.standard, options.file, options.runs)
    if options.emulate:
        return _emulated(options)
    return named_runs(options.standard, named, options.runs)


def _all_parts() -> list[str]:
    return list(dict.fromkeys(part for parts in PARTS.values() for part in parts))


def _parts(options: argparse.Namespace) -> tuple[str, ...]:
    return PARTS[options.standard]


def _emulated(options: argparse.Namespace) -> Asked:
    from daq.cli.acceptance.emulated_runs import emulated
    from hw.scanner.preset_file import load_scanner

    options.preset = options.preset or DEFAULT_PRESET
    planned = runs_to_take(options.standard, load_scanner(options.preset), share=options.share)
    planned = [one for one in planned if _wanted(options, one.parts)]
    asked = emulated(
        options.standard, planned, preset=options.preset, runs=options.emulate,
        threads=options.threads, tell=tell,
    )  # fmt: skip
    return {part: runs if _wanted(options, (part,)) else [] for part, runs in asked.items()}


def _report(options: argparse.Namespace, scanner: str, parts: list[Part]) -> None:
    from daq.cli.acceptance.judgement_text import NAMES, sections
    from recon.analysis.report import write_report

    title = f"Tomoshibi: acceptance of {scanner}, {NAMES[options.standard]}"
    write_report(options.report, title, sections(options.standard, scanner, parts))
    tell(f"report: {options.report}")


def _command(options: argparse.Namespace) -> str:
    """Return the command line that writes the page."""
    words = ["tomoshibi", "acceptance", options.standard]
    if options.emulate:
        words += ["--emulate", "FOLDER", "--preset", options.preset]
        words += ["--share", f"{options.share:g}"] if options.share != 1 else []
        words += [word for part in options.only for word in ("--only", part)]
    elif options.file:
        words += ["--from", "FILE"]
    else:
        words.append("RUNS")
    return " ".join([*words, "--write", str(options.write)])
