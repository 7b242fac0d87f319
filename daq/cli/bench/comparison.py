"""The comparison that `tomoshibi bench compare` makes, from the base's checkout to the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from daq.cli.bench.base_checkout import ROOT, checked_out, commit_of, named_slower, uncommitted
from daq.cli.bench.build_worker import CannotCompare
from daq.cli.bench.measuring import machine
from daq.cli.bench.speed_history import FILE, append_line, newest_commit
from daq.cli.bench.turns import Build, MeasuredFigure, compile_both, measure_in_turns
from daq.cli.common import CommandError, cleaning_up, tell

SLOWER, CANNOT_COMPARE = 1, 2


def compare(
    base: str | None,
    *,
    figures: Sequence[str],
    sittings: int,
    limit_percent: float,
    record: bool,
    tell_result: Callable[[dict[str, Any], str], None],
) -> int:
    """Compare this checkout with ``base``; return the command's exit status.

    Parameters
    ----------
    base : tag or commit; None for the newest one in the history
    figures : names of what is measured
    sittings : how often each figure is measured, in turns
    limit_percent : how much slower is too slow
    record : whether to add a line to the history, if nothing is slower
    tell_result : is called with the result as values and as text
    """
    try:
        with cleaning_up():
            commit, here = commit_of(base or _newest()), commit_of("HEAD")
            if record:
                _check_recordable(figures)
            measured = _measured(commit, figures, sittings)
    except CannotCompare as error:
        tell(f"tomoshibi: {error}")
        return CANNOT_COMPARE
    verdicts = judged(measured, limit_percent, named_slower(commit))
    result: dict[str, Any] = {"base": commit, "limit_percent": limit_percent}
    result |= {"sittings": sittings, "figures": verdicts, "machine": machine()}
    slower = any(verdict["slower"] for verdict in verdicts.values())
    if record and not slower:
        tell(f"wrote a line to {_record(here, result)}")
    tell_result(result, as_text(result))
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


def _measured(commit: str, wanted: Sequence[str], sittings: int) -> dict[str, MeasuredFigure]:
    tell(f"base: {commit[:12]}; here: {ROOT}")
    with checked_out(commit) as folder:
        base = Build(folder / "checkout", f"base {commit[:12]}", folder / "cache")
        here = Build(ROOT, "this checkout")
        figures = compile_both(base, here, wanted, tell)
        measure_in_turns(base, here, figures, sittings=sittings, tell=tell)
    return figures


def judged(
    figures: dict[str, MeasuredFigure], limit_percent: float, named: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Return the verdict on each figure; ``named`` are slower ones and their reasons."""
    for name in named.keys() - figures.keys():
        tell(f"note: a commit says `Slower: {name}`, which is none of the figures compared")
    return {
        name: _verdict(measured, limit_percent, named.get(name))
        for name, measured in figures.items()
    }


def _verdict(measured: MeasuredFigure, limit_percent: float, reason: str | None) -> dict[str, Any]:
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


def _record(commit: str, result: dict[str, Any]) -> Path:
    figures = result["figures"]
    line = {
        "commit": commit,
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
