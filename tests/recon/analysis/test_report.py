"""A report's pages can be read: no cell of a table runs into the next."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.table import Table as DrawnTable

from recon.analysis.report import Section, Table, _pdf_pages


def test_long_names_of_figures_stay_in_their_column() -> None:
    name = "background variability, sphere of 10 mm, of all discs and slices"
    rows = [[name, "29.5 %", "", "no limit given"], ["mean", "1", "≤ 2 cps/kBq", "pass"]]
    table = Table(["figure", "value", "limit", "verdict"], rows)
    (page,) = _pdf_pages("report", Section("Image quality", ["Words."], [table]))
    canvas = FigureCanvasAgg(page)
    canvas.draw()
    (drawn,) = page.findobj(DrawnTable)
    assert isinstance(drawn, DrawnTable)
    cells = drawn.get_celld()
    assert len(cells) == 12
    for cell in cells.values():
        text = cell.get_text().get_window_extent(canvas.get_renderer())
        box = cell.get_window_extent(canvas.get_renderer())
        assert box.x0 <= text.x0 and text.x1 <= box.x1, cell.get_text().get_text()
    assert max(cell.get_window_extent().x1 for cell in cells.values()) <= page.bbox.x1
