"""The plots of an acceptance report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hw.arrays import F8
from recon.acceptance.count_rates import NecrPoint
from recon.analysis.report import Draw

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

Curve = tuple[str, Sequence[float] | F8, Sequence[float] | F8]
"""Name, x and y."""


def draw_curves(curves: Sequence[Curve], x: str, y: str, *, style: str = "o-") -> Draw:
    """Return a drawing of curves over one pair of axes."""

    def draw(figure: FigureBase) -> None:
        axis = figure.subplots()
        for name, places, values in curves:
            axis.plot(places, values, style, ms=3, lw=1, label=name)
        axis.set_xlabel(x)
        axis.set_ylabel(y)
        axis.grid(alpha=0.3)
        if any(name for name, _, _ in curves):
            axis.legend(fontsize=8)

    return draw


def draw_rates(points: list[NecrPoint]) -> Draw:
    """Return a drawing of all rates against the activity."""
    activity = [one.activity_MBq for one in points]
    return draw_curves(
        [
            ("prompts", activity, [one.prompts / 1e3 for one in points]),
            ("trues", activity, [one.trues / 1e3 for one in points]),
            ("randoms", activity, [one.randoms / 1e3 for one in points]),
            ("scatter", activity, [one.scatter / 1e3 for one in points]),
            ("NECR", activity, [one.necr / 1e3 for one in points]),
        ],
        "activity, MBq", "rate, kcps",
    )  # fmt: skip
