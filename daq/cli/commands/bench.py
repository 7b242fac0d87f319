"""Measure this machine's speed, each figure the median of several passes; or compare two builds.

Our figures are shown beside those of peers: measured in the same run if PyPI has them, else quoted
from the literature or from measurements on a comparable machine (the source is named). Without a
suite, all but live are measured. `compare` shows whether this build is slower than another
(`tomoshibi bench compare --help`).
--workload projects the lines of an npz (see docs/reconstruction/projector.md) and --save keeps the
result. --write makes docs/performance.md; with a single suite it replaces that suite's section.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from daq.cli.common import CommandError, add_json_option, finish, tell

EXAMPLES = """\
examples:
  tomoshibi bench
  tomoshibi bench sort --json
  tomoshibi bench firmware
  tomoshibi bench projector --workload lines.npz --json --save projections.npz
  tomoshibi bench live --json                     on a machine that does nothing else
  tomoshibi bench --write docs/performance.md --live demo.json
  tomoshibi bench compare main                    is this build slower than that one?
"""

SUITES = {
    "sort": "frames to coincidences, beside other sorters",
    "emulator": "Monte Carlo and load mode",
    "projector": "list-mode EM",
    "firmware": "the modules' firmware, native and as the ARM image in QEMU",
}
MORE_SUITES = {
    "live": "the whole chain at 100 k prompts/s for a minute, with the latency to the screen",
    "all": "all of these but live",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the suites, the comparison, and the options that suites share, before or after them."""
    from daq.cli.bench import compare

    _add_options(parser)
    actions = parser.add_subparsers(dest="suite", metavar="SUITE", title="suites")
    for name, words in (SUITES | MORE_SUITES).items():
        suite = actions.add_parser(name, help=words, argument_default=argparse.SUPPRESS)
        _add_options(suite)
    comparing = actions.add_parser(
        "compare",
        help="is this build slower than another?",
        argument_default=argparse.SUPPRESS,
        description=compare.__doc__,
        epilog=compare.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.add_arguments(comparing)
    actions.add_parser("worker", description="Measures this build for `compare`; not for people.")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="small workloads, few passes")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the report as Markdown")
    parser.add_argument("--live", action="append", type=Path, metavar="JSON",
                        help="with --write: a result of `demo --json` to report too")  # fmt: skip
    parser.add_argument("--workload", type=Path, metavar="NPZ",
                        help="projector: project these lines instead of our own")  # fmt: skip
    parser.add_argument("--save", type=Path, metavar="NPZ",
                        help="projector: write the forward and back projections")  # fmt: skip
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Measure and report, or compare."""
    if options.suite == "compare":
        from daq.cli.bench import compare

        return compare.run(options)
    if options.suite == "worker":
        from daq.cli.bench.worker import serve

        serve()
        return 0
    return _run_suites(options)


def _run_suites(options: argparse.Namespace) -> int:
    from daq.cli.bench.measuring import machine
    from daq.cli.bench.speed_report import as_text, write_report
    from daq.cli.bench.yardstick import yardstick

    options.suite = options.suite or "all"
    _check(options)
    chosen = tuple(SUITES) if options.suite == "all" else (options.suite,)
    results: dict[str, Any] = {}
    for suite in chosen:
        tell(f"measuring: {suite} …")
        results[suite] = _measure(suite, options) | {"yardstick": yardstick()}
    if options.write:
        write_report(options.write, results, options.live or [], whole=options.suite == "all")
        tell(f"wrote {options.write}")
    flat = results if len(chosen) > 1 else results[chosen[0]]
    finish(options, {**flat, "machine": machine()}, as_text(results))
    return 0


def _check(options: argparse.Namespace) -> None:
    if (options.workload or options.save) and options.suite != "projector":
        raise CommandError("--workload and --save are for `tomoshibi bench projector`")


def _measure(suite: str, options: argparse.Namespace) -> dict[str, Any]:
    quick = options.quick
    if suite == "sort":
        from daq.cli.bench.sorting_speed import measure

        return measure(1_000_000 if quick else 10_000_000, passes=3 if quick else 5)
    if suite == "emulator":
        from daq.cli.bench.emulator_speed import measure_emulator

        return measure_emulator(periods=20 if quick else 150)
    if suite == "live":
        from daq.cli.bench.live_speed import measure_live

        return measure_live(quick=quick)
    if suite == "firmware":
        return _measure_firmware(quick=quick)
    return _measure_projector(options)


def _measure_projector(options: argparse.Namespace) -> dict[str, Any]:
    from daq.cli.bench.projector_speed import PASSES, measure_projector, save_projections
    from daq.cli.bench.projector_workload import read_workload, ring_workload

    quick = options.quick
    made = ring_workload(100_000 if quick else 2_000_000) if options.workload is None else None
    workload = made or read_workload(options.workload)
    figures = measure_projector(workload, passes=3 if quick else PASSES)
    if options.save:
        save_projections(options.save, workload)
        tell(f"wrote {options.save}")
    return figures


def _measure_firmware(*, quick: bool) -> dict[str, Any]:
    """Measure what this machine has the tools for; name the rest, and how to get it."""
    from daq.cli.bench.firmware_speed import measure_firmware
    from hw.machines.toolchain import missing

    lacking = {target: missing(target) for target in ("native", "qemu")}
    here = tuple(target for target, words in lacking.items() if not words)
    measured = measure_firmware(
        targets=here, seconds=0.5 if quick else 1.0, passes=1 if quick else 3
    )
    return measured | {
        target: {"not measured": words} for target, words in lacking.items() if words
    }
