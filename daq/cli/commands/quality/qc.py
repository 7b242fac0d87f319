"""Daily quality control: make one of a stored run, follow its figures, ask whether it holds.

run     of each RUN (or "last"): PET of a point, line or cylinder in the middle, or of nothing but
        the crystals' own background (--source lutetium); SPECT of a flood.
        Judged by the limits of the scanner's preset, table [qc]; kept in RUNS/qc with a PDF.
        The exit status is 1 if a figure fails, or a part that is needed could not be measured.
trend   the figures of all QCs that were made; --plot writes them as .pdf or .png.
status  whether the newest QC holds: valid, failed, overdue, incomplete, none. The exit status is
        0 for valid and 1 for all others.
"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import (
    CommandError,
    add_json_option,
    add_runs_option,
    find_run,
    finish,
    tell,
)
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from daq.folder.quality.qc_history import QcHistory

EXAMPLES = """\
examples:
  tomoshibi qc run last                                 of what the run's labels say
  tomoshibi qc run monday --source point --position-mm 0 0 0
  tomoshibi qc run flood --source flood --background empty
  tomoshibi qc trend --plot trend.pdf
  tomoshibi qc status || echo "make a QC first"
"""

ACTIONS = ("run", "trend", "status")
SOURCES = ("point", "line", "cylinder", "lutetium", "flood")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("which", nargs="*", metavar="RUN",
                        help='of run: folders, names, or "last"')  # fmt: skip
    parser.add_argument("--source", default="", choices=SOURCES,
                        help="what stood there (default: what the run's labels say)")  # fmt: skip
    parser.add_argument("--position-mm", type=float, nargs=3, metavar=("X", "Y", "Z"),
                        help="the source's middle (default: the labels' or 0 0 0)")  # fmt: skip
    parser.add_argument("--background", metavar="RUN",
                        help="of SPECT: a run without a source")  # fmt: skip
    parser.add_argument("--preset", default="", metavar="SCANNER",
                        help="whose limits count (default: the run's own); of trend and status: "
                             "only QCs of this scanner")  # fmt: skip
    parser.add_argument("--plot", type=Path, metavar="FILE",
                        help="of trend: write plots, .pdf or .png")  # fmt: skip
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Do what was asked."""
    if options.action != "run" and options.which:
        raise CommandError(f"qc {options.action} takes no run: it is about all QCs made so far")
    acts = {"run": _run, "trend": _trend, "status": _status}
    return acts[options.action](options)


def _now() -> dt.datetime:
    return dt.datetime.now().astimezone()


# --- run ------------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    from daq.cli.qc.qc_report import as_text, summary
    from daq.folder.quality.qc_result import REPORT_NAME
    from hw.scanner.judged_figure import PASS

    if not options.which:
        raise CommandError('qc run needs a run: a folder, a name, or "last"')
    folders = [find_run(one, options.runs) for one in options.which]
    made = [_made(options, folder) for folder in folders]
    found = [
        {"folder": str(folder), "report": str(folder / REPORT_NAME), **_as_result(result)}
        for folder, result in made
    ]
    finish(options, {"qc": found}, "\n\n".join(as_text(result) for _, result in made))
    for folder, _ in made:
        tell(f"kept: {folder}")
    bad = [result for _, result in made if result.verdict != PASS]
    for result in bad:
        tell(summary(result))
    return 1 if bad else 0


def _made(options: argparse.Namespace, folder: Path) -> Any:
    """Make the QC of a run and keep it; return its folder and the result."""
    from daq.cli.qc.qc_report import write_pdf
    from daq.folder.quality.qc_result import REPORT_NAME, kept_as, new_qc, write_qc
    from daq.folder.run_folder import run_config
    from daq.quality.qc_source import source_of
    from daq.quality.run_quality import judge_run

    place = tuple(options.position_mm) if options.position_mm else None
    source = source_of(run_config(folder), options.source, place)
    background = find_run(options.background, options.runs) if options.background else None
    tell(f"QC of {folder.name} …")
    progress = ProgressLine(f"singles of {folder.name}")
    found = judge_run(
        folder, source, now=_now(), background=background,
        limits_of=_limits_of(options, folder), progress=progress,
    )  # fmt: skip
    progress.done()
    with new_qc(options.runs, folder.resolve().name) as part:
        write_pdf(part / REPORT_NAME, found.result, found.panels)
        write_qc(part, found.result)
    return kept_as(options.runs, found.result.run)[-1], found.result


def _limits_of(options: argparse.Namespace, folder: Path) -> Any:
    """Return the scanner whose limits count, None for the run's own; raises CommandError."""
    if not options.preset:
        return None
    from daq.folder.calibration_set import scanner_hash
    from daq.folder.run_folder import run_config
    from hw.scanner.preset_file import load_scanner

    chosen, own = load_scanner(options.preset), run_config(folder).scanner()
    if scanner_hash(chosen) != scanner_hash(own):
        raise CommandError(f"--preset {options.preset}: {folder.name} is of another, {own.name}")
    return chosen


def _as_result(result: Any) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(result)
    verdicts = {figure.name: figure.verdict for figure in result.figures}
    return {**plain, "verdict": result.verdict, "verdicts": verdicts, "missing": result.missing}


# --- trend and status -----------------------------------------------------------------------------


def _history(options: argparse.Namespace) -> QcHistory:
    from daq.folder.quality.qc_history import qc_history
    from hw.scanner.preset_file import load_scanner

    scanner = load_scanner(options.preset).name if options.preset else ""
    history = qc_history(options.runs, scanner=scanner).of_newest()
    for words in history.damaged:
        tell(f"⚠ {words}")
    return history


def _trend(options: argparse.Namespace) -> int:
    from daq.folder.quality.qc_history import NO_QC_YET
    from daq.folder.quality.qc_trend import trend_head, trend_of, trend_rows
    from daq.quality.trend_plots import trend_panels

    trend = trend_of(_history(options))
    head, rows = trend_head(trend), trend_rows(trend)
    if options.plot:
        _plot(options.plot, trend_panels(trend))
    table = [head, *rows]
    widths = [max(len(row[k]) for row in table) for k in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
             for row in table]  # fmt: skip
    runs = [{"run": one.run, "measured": one.measured, "verdict": one.verdict, **one.trend}
            for one in trend.results]  # fmt: skip
    finish(options, {"trend": runs}, "\n".join(lines) if rows else NO_QC_YET)
    return 0


def _plot(path: Path, panels: list[Any]) -> None:
    from daq.calibration.plots import FORMATS, plot_bytes
    from hw.whole_file import whole_file

    form = path.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise CommandError(f"--plot {path}: plots are .pdf or .png")
    if not panels:
        raise CommandError("--plot: there is no QC yet, so nothing to plot")
    with whole_file(path) as file:
        file.write(plot_bytes(panels, form))
    tell(f"plots: {path}")


def _status(options: argparse.Namespace) -> int:
    from daq.folder.quality.qc_history import qc_status

    newest = _history(options).newest
    status = qc_status(newest[1] if newest else None, _now())
    folder, run = (str(newest[0]), newest[1].run) if newest else ("", "")
    told = {"state": status.state, "words": status.words, "folder": folder, "run": run}
    name = f" ({newest[1].scanner}, run {newest[1].run})" if newest else ""
    finish(options, told, f"{status.words}{name}")
    return 0 if status.good else 1
