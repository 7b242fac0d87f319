"""The histogram of time differences, for displays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coincidence.buffers import Records
from hw.jit import Array, kernel


def count_timing(records: Records, bin_ps: float, histogram: npt.NDArray[np.int64]) -> None:
    """Count the tof of (n,) COINCIDENCE into bins of ``bin_ps`` around 0, (bins,) i8; the outer
    bins take what lies beyond."""
    count_tofs(np.ascontiguousarray(records).view(np.int32).reshape(-1, 8), bin_ps, histogram)


@kernel
def count_tofs(rows: Array, bin_ps: float, histogram: Array) -> None:
    """``rows`` : (n, 8) i4, COINCIDENCE as 32-bit words, the fifth being ``tof_ps``."""
    bins = histogram.shape[0]
    for i in range(rows.shape[0]):
        place = int(np.floor(rows[i, 4] / bin_ps + bins / 2))
        histogram[min(max(place, 0), bins - 1)] += 1
