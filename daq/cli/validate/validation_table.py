"""The validation table: text for the terminal, Markdown for docs/validation.md."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from daq.cli.acceptance.judgement_text import kept_sections
from daq.cli.bench.measuring import machine
from daq.cli.validate.result_line import FAIL, INFORMATION, PASS, CheckFigure, Line, NotRun

COLUMNS = ("figure", "measured", "expected", "tolerance", "verdict", "source")

PREFACE = """\
# Validation of the emulator

Written by `{command}`, not edited by hand. {about}. It took {seconds:.0f} s.

Each figure is computed anew: *measured* with its standard error of counting, *expected* with its
source, and it passes where they differ by no more than the *tolerance*. What the emulator models,
by which formula, is in [emulator/physics.md](emulator/physics.md). References by GATE had ideal
modules (no dead time, no errors of gain or skew) and emitted pairs of photons; unless the source
says otherwise the emulator does the same here, with the resolutions of the preset.
"""


def as_text(lines: list[Line], *, quick: bool) -> str:
    """Return the table for a terminal, with the number of figures that passed."""
    rows = [_cells(line, quick) for line in lines]
    shown = [row[:5] for row in (COLUMNS, *rows)]
    widths = [max(len(row[k]) for row in shown) for k in range(5)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in shown]  # fmt: skip
    text += [f"not run: {line.name}: {line.reason}" for line in lines if isinstance(line, NotRun)]
    return "\n".join([*text, summary(lines, quick=quick)])


def summary(lines: list[Line], *, quick: bool) -> str:
    """Describe how many figures passed, failed and so on."""
    verdicts = [line.verdict(quick=quick) for line in lines]
    count = {kind: verdicts.count(kind) for kind in dict.fromkeys(verdicts)}
    judged = len(verdicts) - count.get(INFORMATION, 0)
    words = [f"{count.get(PASS, 0)} of {judged} figures pass"]
    if count.get(FAIL):
        words.append(f"{count[FAIL]} FAIL")
    if judged - count.get(PASS, 0) - count.get(FAIL, 0):
        words.append(f"{judged - count.get(PASS, 0) - count.get(FAIL, 0)} not run")
    if quick:
        words.append("with few counts (--quick)")
    return ", ".join(words)


def write_report(
    path: Path, lines: list[Line], *, command: str, seconds: float, quick: bool, plots: list[Path]
) -> None:
    """Write the table as Markdown; every number in it comes from this call's arguments.

    Parameters
    ----------
    path : the Markdown file
    lines : the figures, in order
    command : the command line that writes this page
    seconds : duration of the validation
    quick : whether it used few counts
    plots : image files to show below the table
    """
    told = machine()
    about = f"Computed on {told['cores']} × {told['cpu']}, Python {told['python']}, {told['date']}"
    parts = [PREFACE.format(command=command, about=about, seconds=seconds)]
    parts.append(f"**{summary(lines, quick=quick)}.**\n")
    parts.append(_markdown_row(COLUMNS))
    parts.append("|---|---:|---:|---:|---|---|")
    parts += [_markdown_row(_cells(line, quick)) for line in lines]
    parts += [f"\n![{plot.stem.replace('_', ' ')}]({_from(plot, path)})" for plot in plots]
    kept = kept_sections(path.read_text(encoding="utf-8")) if path.is_file() else ""
    text = "\n".join(parts).rstrip() + "\n"
    path.write_text(f"{text}\n{kept}" if kept else text, encoding="utf-8")


def _from(plot: Path, page: Path) -> str:
    try:
        return plot.resolve().relative_to(page.resolve().parent).as_posix()
    except ValueError:
        return plot.as_posix()


def as_results(lines: list[Line], *, quick: bool) -> list[dict[str, Any]]:
    """Return the figures as plain values, for JSON."""
    results: list[dict[str, Any]] = []
    for line in lines:
        result: dict[str, Any] = {"figure": line.name, "verdict": line.verdict(quick=quick)}
        if isinstance(line, NotRun):
            result["reason"] = line.reason
        else:
            result |= {
                "measured": line.measured,
                "sigma": line.sigma,
                "expected": None if math.isnan(line.expected) else line.expected,
                "tolerance": line.tolerance,
                "unit": line.unit,
                "source": line.source,
            }
        results.append(result)
    return results


def _cells(line: Line, quick: bool) -> tuple[str, ...]:
    if isinstance(line, NotRun):
        return (line.name, "", "", "", line.verdict(), f"not run: {line.reason}")
    unit = f" {line.unit}" if line.unit else ""
    error = f" ± {_error(line)}" if line.sigma else ""
    expected = "" if math.isnan(line.expected) else f"{line.expected:{line.form}}{unit}"
    tolerance = "" if line.tolerance is None else f"± {_short(line.tolerance)}"
    return (
        line.name,
        f"{line.measured:{line.form}}{error}{unit}",
        expected,
        tolerance,
        line.verdict(quick=quick),
        line.source,
    )


def _error(figure: CheckFigure) -> str:
    """Return the standard error with as many decimals as the figure, or two digits if smaller."""
    text = f"{figure.sigma:{figure.form}}"
    return text if float(text) else _short(figure.sigma)


def _short(value: float) -> str:
    return f"{value:.2g}"


def _markdown_row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
