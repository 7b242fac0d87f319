"""A QC as text and as a PDF, by the same report that acceptance tests and images have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

    from daq.calibration.plots import Panel
    from daq.folder.quality.qc_result import QcPart, QcResult
    from recon.analysis.report import Draw, Section

HEAD = ["figure", "value", "limit", "verdict"]
NOT_MEASURED = "not measured"


def as_text(result: QcResult) -> str:
    """Return all figures, reasons and notes, for a terminal."""
    lines = [f"{result.run}: {result.scanner} {result.serial}".rstrip()
             + f", {result.source}, {result.detector_time_s:.1f} s, "
             f"calibration {result.calibration}", ""]  # fmt: skip
    for part in result.parts:
        lines.append(part.title)
        if part.reason:
            lines.append(f"  {NOT_MEASURED}: {part.reason}")
        rows = [figure.cells for figure in part.figures]
        widths = [max(len(row[k]) for row in rows) for k in range(4)] if rows else []
        lines += ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
                  for row in rows]  # fmt: skip
        lines += [*(f"  {note}" for note in part.notes), ""]
    return "\n".join([*lines, summary(result)])


def summary(result: QcResult) -> str:
    """Return the verdict in a line."""
    why = ", ".join(result.failures or [f"{title} {NOT_MEASURED}" for title in result.missing])
    return f"QC of {result.run}: {result.verdict}" + (f": {why}" if why else "")


def write_pdf(path: Path, result: QcResult, panels: tuple[list[Panel], ...]) -> None:
    """Write the report; raises AnalysisError."""
    from recon.analysis.report import Section, Table, write_report

    rows = [[part.title, str(len(part.figures)), _verdict(part)] for part in result.parts]
    scanner = f"Scanner {result.scanner}, serial number {result.serial or 'not told'}"
    words = [
        f"{summary(result)}.",
        f"Run of {result.measured}, {result.detector_time_s:.1f} s; analysed {result.made}.",
        f"{scanner}; source: {result.source}; calibration {result.calibration}.",
    ]
    first = Section("Summary", words, [Table(["part", "figures", "verdict"], rows)])
    parts = zip(result.parts, panels, strict=True)
    sections = [first, *(_section(part, shown) for part, shown in parts)]
    write_report(path, f"Tomoshibi: quality control of {result.scanner}", sections)


def _verdict(part: QcPart) -> str:
    from hw.scanner.judged_figure import FAIL, INFORMATION, NO_LIMIT, PASS

    if part.reason:
        return NOT_MEASURED if part.needed else f"{NOT_MEASURED} (not needed)"
    found = {figure.verdict for figure in part.figures}
    return next((word for word in (FAIL, NO_LIMIT, PASS, INFORMATION) if word in found), "")


def _section(part: QcPart, panels: list[Panel]) -> Section:
    from recon.analysis.report import Section, Table

    if part.reason:
        return Section(part.title, [f"{NOT_MEASURED}: {part.reason}"])
    table = Table(HEAD, [figure.cells for figure in part.figures])
    return Section(part.title, list(part.notes), [table], [_drawing(one) for one in panels])


def _drawing(panel: Panel) -> Draw:
    def draw(figure: FigureBase) -> None:
        panel.draw(figure.subplots())

    return draw
