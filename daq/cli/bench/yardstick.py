"""The yardstick for figures: the speed of numpy's sort, measured in the same sitting.

A figure in events per second says as much about the machine as about the program. Its ratio to how
many random numbers numpy sorts per second on one core at that moment says more; a duration is given
as a multiple of the time to sort ``NUMBERS``. On one machine the ratios vary far less than the
figures; between machines they still differ: it is a yardstick, not a peer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from daq.cli.bench.measuring import median_seconds

NUMBERS = 1_000_000
YARDSTICK = f"numpy's sort of {NUMBERS:,} random 64-bit numbers, M numbers/s"
_MEGA = ("Msps", "MLORps")
_GIVEN = "live"  # of this suite the rates are those of the source


def yardstick() -> dict[str, Any]:
    """Return the speed of sorting, as a figure."""
    numbers = np.random.default_rng(1).integers(0, 1 << 62, NUMBERS)
    seconds = median_seconds(lambda: np.sort(numbers), passes=7)
    return {YARDSTICK: NUMBERS / seconds / 1e6, "numpy": np.__version__}


def in_yardsticks(suite: str, name: str, value: Any, sorted_Mps: float | None) -> str:
    """Return a rate as a multiple of the sorted numbers per second, or a duration of the time that
    sorting takes; "" if it is neither, is quoted, or has no yardstick with it."""
    figure = name.rpartition(": ")[2]
    if not isinstance(value, float) or sorted_Mps is None or "quoted" in name:
        return ""
    if figure.endswith("_ms"):
        ratio = value * 1e-3 * sorted_Mps * 1e6 / NUMBERS
    elif suite != _GIVEN and any(unit in figure for unit in _MEGA):
        ratio = value / sorted_Mps
    elif suite != _GIVEN and "_per_s" in figure:
        ratio = value / (sorted_Mps * 1e6)
    else:
        return ""
    return f"{ratio:.3g}"
