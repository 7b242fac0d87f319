"""Compiling the room's kernels ahead of their use, with exactly the types of a live run.

After :func:`warm_kernels` no call of :class:`~coincidence.order.TimeOrder`,
:class:`~coincidence.sorter.CoincidenceSorter` or ``select_singles`` compiles anything.
"""

from __future__ import annotations

import numpy as np

from coincidence.calibration import no_calibration
from coincidence.events import END_OF_TIME_PS
from coincidence.order import TimeOrder
from coincidence.select import (
    SPECTRUM_BINS,
    empty_singles,
    select_singles,
    window_dkeV,
)
from coincidence.sorter import CoincidenceSorter
from hw.settings import SortSettings

_MODULES = 2


def warm_kernels() -> None:
    """Run every kernel once on three singles in two modules."""
    settings = SortSettings(lld_keV=400, uld_keV=650, window_ps=4000, delay_ps=200_000)
    module_of = np.arange(_MODULES, dtype=np.uint16)
    singles = empty_singles(3)
    singles[:] = [(t, t % _MODULES, 5110, 0, 0) for t in range(3)]
    calibration = no_calibration(_MODULES)
    order = TimeOrder()
    new = select_singles(
        singles, calibration.gain, calibration.skew_ps, *window_dkeV(400, 650), module_of,
        order.free_space(len(singles)), np.zeros(_MODULES, np.int64),
        np.zeros(SPECTRUM_BINS, np.int64),
    )  # fmt: skip
    ordered = order.release(new, int(END_OF_TIME_PS))
    allowed = ~np.eye(_MODULES, dtype=np.bool_)
    CoincidenceSorter(settings, module_of=module_of, allowed_pairs=allowed).push(
        ordered, int(END_OF_TIME_PS)
    )
