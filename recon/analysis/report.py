"""The analysis report: pictures, tables and plots in one PDF or HTML file.

Sections are plain data (:class:`Section`), so both forms show the same. The HTML file is
self-contained.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from hw.errors import FileWriteError
from hw.whole_file import whole_file
from recon.analysis.picture import AnalysisError

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase, SubFigure

Draw = Callable[["FigureBase"], None]

DISCLAIMER = "Research software, not a medical device."
PAGE_INCH = (8.27, 11.69)  # A4

_STYLE = """\
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1c; background: #fff }
table { border-collapse: collapse; margin: 0.6rem 0 1.2rem }
th, td { padding: 0.2rem 0.9rem 0.2rem 0; text-align: left; border-bottom: 1px solid #ddd }
img { max-width: 100% } h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
p.note { color: #555 }
"""


@dataclass(frozen=True)
class Table:
    """A table of text."""

    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Section:
    """A heading, its text, tables and plots (each draws on an empty figure)."""

    title: str
    words: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    plots: list[Draw] = field(default_factory=list)


def write_report(path: Path, title: str, sections: list[Section]) -> Path:
    """Write a report as PDF or HTML, depending on the ending (.pdf or .html).

    Raises
    ------
    AnalysisError
        for any other ending, or if the file cannot be written.
    """
    writers = {".pdf": _write_pdf, ".html": _write_html}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise AnalysisError(f"{path}: a report ends in .pdf or .html")
    try:
        with whole_file(path) as file:
            writer(file, title, sections)
    except FileWriteError as error:
        raise AnalysisError(
            f"{path}: the report cannot be written: {error.__cause__ or error}"
        ) from error
    return path


def _new_figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


# --- HTML ----------------------------------------------------------------------------------------


def _write_html(file: BinaryIO, title: str, sections: list[Section]) -> None:
    body = "".join(_html_section(section) for section in sections)
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    file.write(
        f'<!doctype html><html lang="en"><head>{head}</head><body><h1>{html.escape(title)}</h1>'
        f'<p class="note">{DISCLAIMER}</p>{body}</body></html>\n'.encode()
    )


def _html_section(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{html.escape(words)}</p>" for words in section.words]
    parts += [_html_plot(draw, section.title) for draw in section.plots]
    parts += [_html_table(table) for table in section.tables]
    return "".join(parts)


def _html_plot(draw: Draw, title: str) -> str:
    figure = _new_figure(9.0, 3.6)
    draw(figure)
    png = io.BytesIO()
    figure.savefig(png, dpi=110)
    coded = base64.b64encode(png.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(title)}" src="data:image/png;base64,{coded}">'


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


# --- PDF -----------------------------------------------------------------------------------------


def _write_pdf(file: BinaryIO, title: str, sections: list[Section]) -> None:
    from matplotlib.backends.backend_pdf import PdfPages

    with PdfPages(file) as pages:
        for number, section in enumerate(sections):
            for page in _pdf_pages(title if number == 0 else "", section):
                pages.savefig(page)


def _pdf_pages(title: str, section: Section) -> list[Figure]:
    """Return the pages of a section: text, tables and one plot first, then two plots a page."""
    first = _new_figure(*PAGE_INCH)
    halves = _halves(first)
    _pdf_text(halves[0], title, section)
    pages, plots = [first], list(section.plots)
    if plots:
        plots.pop(0)(halves[1])
    while plots:
        page = _new_figure(*PAGE_INCH)
        for half, draw in zip(_halves(page), plots[:2], strict=False):
            draw(half)
        pages.append(page)
        plots = plots[2:]
    return pages


def _halves(page: Figure) -> list[SubFigure]:
    return list(np.atleast_1d(np.asarray(page.subfigures(2, 1))))


def _pdf_text(figure: SubFigure, title: str, section: Section) -> None:
    figure.suptitle(title or section.title, x=0.06, ha="left", weight="bold", size=13)
    rows = max((len(table.rows) for table in section.tables), default=0)
    heights = [2 + len(section.words), *(2 + len(table.rows) for table in section.tables)]
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    said = [section.title if title else "", *section.words, DISCLAIMER if title else ""]
    axes[0].axis("off")
    axes[0].text(0, 1, "\n".join(filter(None, said)), va="top", size=9, wrap=True,
                 transform=axes[0].transAxes)  # fmt: skip
    for axis, table in zip(axes[1:], section.tables, strict=True):
        axis.axis("off")
        drawn = axis.table(table.rows, colLabels=table.head, loc="upper left", cellLoc="left",
                           colWidths=_widths(table), edges="horizontal")  # fmt: skip
        drawn.auto_set_font_size(False)
        drawn.set_fontsize(8 if rows < 25 else 6)


def _widths(table: Table) -> list[float]:
    """Return each column's share of the page, by its longest cell and two letters of margin."""
    columns = zip(table.head, *table.rows, strict=True)
    letters = [2 + max(len(cell) for cell in column) for column in columns]
    return [n / sum(letters) for n in letters]
