"""Measure this machine's speed; each figure is the median of several passes.

Suites: sort (frames to coincidences), emulator (Monte Carlo), projector (list-mode EM), or all.
Beside our figures stand those of the peers: measured in the same run where PyPI has them, quoted
from the literature or from measurements on a comparable machine elsewhere (the source is named).
--write makes docs/performance.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from daq.cli.common import add_json_option, finish, tell

EXAMPLES = """\
examples:
  tomoshibi bench
  tomoshibi bench sort --json
  tomoshibi bench --write docs/performance.md --live demo.json
"""

SUITES = ("sort", "emulator", "projector")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("suite", nargs="?", choices=[*SUITES, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="small workloads, few passes")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the report as Markdown")
    parser.add_argument("--live", action="append", default=[], type=Path, metavar="JSON",
                        help="with --write: a result of `demo --json` to report too")  # fmt: skip
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Measure and report."""
    from daq.cli.bench_report import as_text, machine, write_report

    chosen = SUITES if options.suite == "all" else (options.suite,)
    results: dict[str, Any] = {}
    for suite in chosen:
        tell(f"measuring: {suite} …")
        results[suite] = _measure(suite, quick=options.quick)
    if options.write:
        write_report(options.write, results, options.live)
        tell(f"wrote {options.write}")
    flat = results if len(chosen) > 1 else results[chosen[0]]
    finish(options, {**flat, "machine": machine()}, as_text(results))
    return 0


def _measure(suite: str, *, quick: bool) -> dict[str, Any]:
    if suite == "sort":
        from daq.bench_sort import measure

        return measure(1_000_000 if quick else 10_000_000, passes=3 if quick else 5)
    if suite == "emulator":
        from daq.cli.bench_emulator import measure_emulator

        return measure_emulator(periods=20 if quick else 150)
    from daq.cli.bench_projector import measure_projector

    return measure_projector(lors=100_000 if quick else 1_000_000)
