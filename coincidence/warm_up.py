"""Compiles the room's kernels before they are needed, with exactly the types of a live run.

After :func:`warm_kernels`, no call of :class:`~coincidence.select.Selector`,
:class:`~coincidence.order.TimeOrder` or :class:`~coincidence.sorter.CoincidenceSorter` compiles
anything.
"""

from __future__ import annotations

import numpy as np

from coincidence.calibration import no_calibration
from coincidence.events import END_OF_TIME_PS, empty_singles
from coincidence.order import TimeOrder
from coincidence.select import Selector, window_table
from coincidence.sorter import CoincidenceSorter, count_timing
from hw.messages.sort_settings import EnergyWindow, SortSettings

_MODULES = 2


def warm_kernels() -> None:
    """Run every kernel once on three singles in two modules."""
    peak = EnergyWindow(name="peak", lld_keV=500, uld_keV=520)
    settings = SortSettings(
        lld_keV=400, uld_keV=650, window_ps=4000, delay_ps=200_000, windows=(peak,), triples=True
    )
    module_of = np.arange(_MODULES, dtype=np.uint16)
    singles = empty_singles(3)
    singles[:] = [(t, t % _MODULES, 5110, 0, 0) for t in range(3)]
    selector = Selector(no_calibration(_MODULES), window_table(settings, _MODULES), module_of)
    ordered = TimeOrder().release(selector.select(singles), int(END_OF_TIME_PS))
    pairing, _ = selector.split(ordered)
    allowed = ~np.eye(_MODULES, dtype=np.bool_)
    sorter = CoincidenceSorter(settings, module_of=module_of, allowed_pairs=allowed)
    found = sorter.push(pairing, int(END_OF_TIME_PS))
    count_timing(found.prompts, 100.0, np.zeros(8, np.int64))
