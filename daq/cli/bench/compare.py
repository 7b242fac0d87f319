"""Is this build slower than BASE? Five warm figures of both, measured in turns on this machine.

BASE (a commit, branch or tag; without it, the commit of the newest line in benchmarks/history)
is checked out into a temporary folder and measured by its own code, beside this checkout with
whatever is not committed in it. Both builds' kernels are compiled beforehand. Then come sittings:
fresh processes of both, each figure in turns A B B A, so that a slow minute of a shared machine
falls on both. Told is how much more time this build takes, with an interval of 95 % confidence
(Wilcoxon's signed ranks over the sittings). A figure is slower where the whole interval lies
above the limit of 8 %.

A change that is slower for a reason says so in its commit's message, on a line of its own:
    Slower: event path: singles carry their depth of interaction now
Such a figure passes, and is told with its reason.

exit status: 0 not slower; 1 slower, or something failed; 2 BASE cannot be compared with (it is not
in this clone, or is older than this command)
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from daq.cli.bench.base_checkout import ROOT, checked_out, commit_of, named_slower, uncommitted
from daq.cli.bench.build_worker import CannotCompare
from daq.cli.bench.ratio_interval import FEWEST_SITTINGS
from daq.cli.bench.speed_history import FILE, append_line, newest_commit
from daq.cli.bench.speed_report import machine
from daq.cli.bench.turns import SITTINGS, Build, Measured, compile_both, measure_in_turns
from daq.cli.common import (
    CommandError,
    add_json_option,
    cleaning_up,
    finish,
    positive,
    tell,
    whole,
)

SLOWER, CANNOT_COMPARE = 1, 2
LIMIT_PERCENT = 8.0

EXAMPLES = """\
examples:
  tomoshibi bench compare main                     what this branch costs, before it is merged
  tomoshibi bench compare HEAD                     what is not committed yet
  tomoshibi bench compare v1.2 --figure projector --figure "event path"
  tomoshibi bench compare                          against the newest line of the history, as CI does
  tomoshibi bench compare --record                 and add a line where nothing is slower
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("base", nargs="?", default=None, metavar="BASE",
                        help=f"commit to compare with (default: that of {FILE}'s newest line)")  # fmt: skip
    parser.add_argument("--figure", action="append", default=[], type=_figure, metavar="NAME",
                        help='this one alone, e.g. "event path"; may be given again')  # fmt: skip
    parser.add_argument("--sittings", type=_sittings, default=SITTINGS, metavar="N",
                        help="pairs of fresh processes; more make the interval narrower "
                        f"(default: %(default)s; at least {FEWEST_SITTINGS})")  # fmt: skip
    parser.add_argument("--limit", type=positive, default=LIMIT_PERCENT, metavar="PERCENT",
                        help="how much slower is too slow (default: %(default)g)")  # fmt: skip
    parser.add_argument("--record", action="store_true", default=False,
                        help=f"where nothing is slower, add a line for HEAD to {FILE}")  # fmt: skip
    add_json_option(parser)


def _figure(text: str) -> str:
    return " ".join(text.lower().replace("-", " ").replace("_", " ").split())


def _sittings(text: str) -> int:
    if (count := whole(text)) < FEWEST_SITTINGS:
        raise argparse.ArgumentTypeError(
            f"{text} sittings: at least {FEWEST_SITTINGS}, of fewer there is no interval of 95 %"
        )
    return count


def run(options: argparse.Namespace) -> int:
    """Compare; return the exit status."""
    try:
        with cleaning_up():
            return _compare(options)
    except CannotCompare as error:
        tell(f"tomoshibi: {error}")
        return CANNOT_COMPARE


def _compare(options: argparse.Namespace) -> int:
    commit = commit_of(options.base or _newest())
    if options.record:
        _check_recordable(options.figure)
    figures = _measured(commit, options.figure, options.sittings)
    verdicts = judged(figures, options.limit, named_slower(commit))
    result: dict[str, Any] = {"base": commit, "limit_percent": options.limit}
    result |= {"sittings": options.sittings, "figures": verdicts, "machine": machine()}
    slower = [name for name, verdict in verdicts.items() if verdict["slower"]]
    if options.record and not slower:
        tell(f"wrote a line to {_record(result)}")
    finish(options, result, as_text(result))
    return SLOWER if slower else 0


def _newest() -> str:
    newest = newest_commit(ROOT)
    if newest is None:
        raise CannotCompare(
            f"no BASE, and {FILE} has no line yet: `tomoshibi bench compare HEAD --record` "
            "writes the first"
        )
    return newest


def _check_recordable(figures: Sequence[str]) -> None:
    if figures:
        raise CommandError("--record writes a line of all figures: leave --figure out")
    if changed := uncommitted():
        raise CommandError(
            f"--record is for a commit, and {changed[0]} is not committed"
            + (f", nor are {len(changed) - 1} more" if changed[1:] else "")
        )


def _measured(commit: str, wanted: Sequence[str], sittings: int) -> dict[str, Measured]:
    tell(f"base: {commit[:12]}; here: {ROOT}")
    with checked_out(commit) as folder:
        base = Build(folder / "checkout", f"base {commit[:12]}", folder / "cache")
        here = Build(ROOT, "this checkout")
        figures = compile_both(base, here, wanted, tell)
        measure_in_turns(base, here, figures, sittings=sittings, tell=tell)
    return figures


def judged(
    figures: dict[str, Measured], limit_percent: float, named: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Return what is to be said of each figure; ``named`` are slower ones and their reasons."""
    for name in named.keys() - figures.keys():
        tell(f"note: a commit says `Slower: {name}`, which is none of the figures compared")
    return {
        name: _verdict(measured, limit_percent, named.get(name))
        for name, measured in figures.items()
    }


def _verdict(measured: Measured, limit_percent: float, reason: str | None) -> dict[str, Any]:
    found = measured.interval()
    percent = {
        "more_time_percent": 100 * (found.ratio - 1),
        "low_percent": 100 * (found.low - 1),
        "high_percent": 100 * (found.high - 1),
    }
    beyond = percent["low_percent"] > limit_percent
    return {
        "unit": measured.unit,
        "base": measured.base,
        "here": measured.here,
        **{name: round(value, 2) for name, value in percent.items()},
        "slower": beyond and reason is None,
        **({"reason": reason} if beyond and reason else {}),
    }


def _record(result: dict[str, Any]) -> Any:
    figures = result["figures"]
    line = {
        "commit": commit_of("HEAD"),
        "machine": {name: value for name, value in result["machine"].items() if name != "date"},
        "figures": {
            f"{name}, {one['unit']}": float(f"{one['here']:.4g}") for name, one in figures.items()
        },
        "base": result["base"],
        "more_time_percent": {name: one["more_time_percent"] for name, one in figures.items()},
    }
    return append_line(ROOT, line)


def as_text(result: dict[str, Any]) -> str:
    """Return the comparison as a table, and the verdict."""
    heading = f"{'figure':<14} {'base':>8} {'here':>8} {'':<12} {'more time':>9}   95 % interval"
    rows = [_row(name, one) for name, one in result["figures"].items()]
    slower = [name for name, one in result["figures"].items() if one["slower"]]
    limit = f"{result['limit_percent']:g} %"
    end = (
        f"slower by more than {limit}: {', '.join(slower)}. Where that is meant, say so in the "
        f"commit's message:\n  Slower: {slower[0]}: why"
        if slower
        else f"nothing is slower by more than {limit}"
    )
    return "\n".join([heading, *rows, end])


def _row(name: str, one: dict[str, Any]) -> str:
    told = "   SLOWER" if one["slower"] else ""
    if "reason" in one:
        told = f"   slower, as said: {one['reason']}"
    return (
        f"{name:<14} {one['base']:8.4g} {one['here']:8.4g} {one['unit']:<12} "
        f"{one['more_time_percent']:+7.1f} %   "
        f"{one['low_percent']:+.1f} … {one['high_percent']:+.1f} %{told}"
    )
