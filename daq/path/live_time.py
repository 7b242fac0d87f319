"""The live time of each module and module pair of a run, from data frame headers alone.

It is computed frame by frame in detector time, so that any batching, and a replay, gives the same
numbers. docs/live-time.md says how to correct a rate with it.

For every period and module there is a live fraction f. It is 0 where no frame of the period could
be used (lost, damaged, late, or the module stalled or ended), and otherwise

    f = (1 − d) · (1 − l)

with d the dead time's share of the period (G. F. Knoll, Radiation Detection and Measurement, 4th
ed., ch. 4 VII: true rate = recorded counts / live time, for non-paralysable and paralysable dead
time alike, where the dead time is measured) and l = lost / (lost + sent) the share of events that
the module recorded but could not queue. A module's live time is Σ f · period, a pair's is Σ f_m ·
f_n · period: the dead times of two modules are taken to be independent within a period, while lost
frames and stalls, which are whole periods, are exact.

A period is folded (added to the sums) once the horizon has passed it, when late frames are known to
be late. Until then it waits in a ring with one row per period; a gap of any length costs one pass
over the ring.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from daq.path.decode import MAX_FRAME_ID
from hw.arrays import F8, Array
from hw.jit import kernel
from hw.wire.protocol import DEAD_TIME_UNIT_PS, FRAME_PERIOD_PS

UNITS_PER_PERIOD = FRAME_PERIOD_PS / DEAD_TIME_UNIT_PS
LIVE, DEAD, LOST, STALLED = 0, 1, 2, 3
SHARES = 4
"""Columns of ``shares``: every folded period of every module is divided among them (sum 1). LOST
holds queue losses and frames that were lost, damaged or late; STALLED the periods that the horizon
passed without the module: stalled, never heard, or ended.
"""


@kernel
def note_frames(
    headers: Array,
    horizons_ps: Array,
    last_period: int,
    ends: Array,
    edges: Array,
    live: Array,
    dead: Array,
    shares: Array,
    pairs: Array,
) -> None:
    """Note accepted frames in order of arrival, and fold the periods that the horizon passes.

    Parameters
    ----------
    headers : (n,) HEADER_DTYPE
    horizons_ps : (n + 1,) i8, before each frame, and after the last
    last_period : frames that claim a later period are ignored, as the decoder does
    ends : (modules,) i8, periods up to which each module's frames reach; updated
    edges : (2,) i8, [periods folded, newest end of any module]; updated
    live, dead : (slots, modules) f8, the ring: shares of periods not folded yet, 0 if no frame
        came. ``slots`` must be the stall bound in periods plus two
    shares : (modules, SHARES) f8, sums over folded periods; updated
    pairs : (modules, modules) f8, sums of f_m · f_n for m < n; updated
    """
    slots = live.shape[0]
    for f in range(headers.shape[0]):
        h = headers[f]
        period = np.int64(h.frame_id)
        if period > last_period:
            continue
        m = h.module
        passed = horizons_ps[f + 1] // FRAME_PERIOD_PS
        ends[m] = max(ends[m], period + 1)
        edges[1] = max(edges[1], period + 1)
        if period >= horizons_ps[f] // FRAME_PERIOD_PS and period >= edges[0]:
            room = max(min(period, passed), period + 1 - slots)
            fold_periods(room, ends, edges, live, dead, shares, pairs)
            dead_share = min(1.0, h.dead_time / UNITS_PER_PERIOD)
            recorded = float(h.event_count) + float(h.lost_events)
            kept = h.event_count / recorded if recorded > 0 else 1.0
            fraction = (1.0 - dead_share) * kept
            row = period % slots
            if live[row, m] + dead[row, m] == 0 or fraction < live[row, m]:
                live[row, m] = fraction
                dead[row, m] = dead_share
        fold_periods(min(passed, edges[1]), ends, edges, live, dead, shares, pairs)


@kernel
def fold_periods(
    upto: int, ends: Array, edges: Array, live: Array, dead: Array, shares: Array, pairs: Array
) -> None:
    """Fold all periods before ``upto``, which are then final; arguments as in note_frames."""
    slots, modules = live.shape
    first = edges[0]
    if upto <= first:
        return
    for period in range(first, min(upto, first + slots)):
        row = period % slots
        for m in range(modules):
            f, d = live[row, m], dead[row, m]
            if f + d == 0:
                shares[m, LOST if ends[m] > period else STALLED] += 1.0
                continue
            shares[m, LIVE] += f
            shares[m, DEAD] += d
            shares[m, LOST] += max(0.0, 1.0 - f - d)
            if f > 0:
                for n in range(m + 1, modules):
                    pairs[m, n] += f * live[row, n]
        for m in range(modules):
            live[row, m] = 0.0
            dead[row, m] = 0.0
    if upto > first + slots:  # beyond the ring no frame came
        begin = first + slots
        for m in range(modules):
            lost = min(max(ends[m], begin), upto) - begin
            shares[m, LOST] += lost
            shares[m, STALLED] += upto - begin - lost
    edges[0] = upto


PERIOD_S = FRAME_PERIOD_PS * 1e-12


class LiveTime:
    """Accumulates live times from headers of accepted frames; the stall bound fixes its memory.

    Parameters
    ----------
    stall_ps : the decoder's stall bound
    """

    def __init__(self, *, n_modules: int, stall_ps: int) -> None:
        slots = stall_ps // FRAME_PERIOD_PS + 3
        self._ends = np.zeros(n_modules, dtype=np.int64)
        self._edges = np.zeros(2, dtype=np.int64)
        self._live = np.zeros((slots, n_modules))
        self._dead = np.zeros((slots, n_modules))
        self._shares = np.zeros((n_modules, SHARES))
        self._pairs = np.zeros((n_modules, n_modules))

    def observe(self, headers: npt.NDArray[np.void], horizons_ps: npt.NDArray[np.int64]) -> None:
        """Note accepted frames in order of arrival.

        headers : (n,) HEADER_DTYPE
        horizons_ps : (n + 1,) i8, the horizon before each frame, and after the last
        """
        note_frames(
            headers, horizons_ps, MAX_FRAME_ID, self._ends, self._edges, self._live, self._dead,
            self._shares, self._pairs,
        )  # fmt: skip

    def finish(self) -> None:
        """Fold up to the newest frame end: the run is over."""
        fold_periods(
            int(self._edges[1]), self._ends, self._edges, self._live, self._dead, self._shares,
            self._pairs,
        )  # fmt: skip

    @property
    def folded_ps(self) -> int:
        """The detector time that is folded."""
        return int(self._edges[0]) * FRAME_PERIOD_PS

    @property
    def detector_s(self) -> float:
        """The detector time that is folded."""
        return self.folded_ps * 1e-12

    @property
    def module_s(self) -> F8:
        """Live time of each module, (modules,)."""
        return self._column(LIVE)

    @property
    def dead_s(self) -> F8:
        """Dead time of each module within the frames used, (modules,)."""
        return self._column(DEAD)

    @property
    def lost_s(self) -> F8:
        """Time of lost, damaged and late frames, and of losses in queues, (modules,)."""
        return self._column(LOST)

    @property
    def stalled_s(self) -> F8:
        """Time for which the horizon did not wait for the module, (modules,)."""
        return self._column(STALLED)

    def _column(self, share: int) -> F8:
        return np.asarray(self._shares[:, share] * PERIOD_S)

    @property
    def pair_s(self) -> F8:
        """Live time of each pair of modules, (modules, modules), symmetric, diagonal 0."""
        return np.asarray((self._pairs + self._pairs.T) * PERIOD_S)

    def mean_pair_s(self, allowed: npt.NDArray[np.bool_]) -> float:
        """Return the mean live time of the allowed pairs; 0 if there is none."""
        either = np.triu(allowed | allowed.T, 1)
        return float(self._pairs[either].mean()) * PERIOD_S if either.any() else 0.0
