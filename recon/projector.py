"""The projector pair as an operator: threads, private images and a fixed order of summation.

Results do not depend on the number of threads: events are dealt to a fixed number of *lanes*
(lane k takes every lanes-th event), each lane has its own image and scratch, and lanes are summed
in order. Threads only decide how many lanes run at once. Private images instead of atomic adds:
locked additions made two threads slower than one in every peer that was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recon.events import EventList, Lors
from recon.grid import Image, ImageGrid, ReconError
from recon.projector_kernels import back_events, em_events, forward_events, new_scratch
from recon.tof import NO_TOF, TofModel

F4 = npt.NDArray[np.float32]
LANES = 4


class ProjectorError(ReconError):
    """Events that do not fit the projector."""


@dataclass(frozen=True)
class EmSums:
    """What one EM pass adds up, as sums of event weights.

    used : events that some voxel explains
    unexplained : events that no voxel explains (outside the grid or the support of the image)
    log_likelihood : Σ weight · ln(expected), without the term of the sensitivity
    signal : expected number of used events that are not background
    """

    used: float
    unexplained: float
    log_likelihood: float
    signal: float


class Projector:
    """Joseph projector on ``grid``; with ``tof`` every LOR must carry an offset.

    Parameters
    ----------
    threads : how many lanes run at once (1 runs in the caller's thread)
    lanes : private images; results depend on it in the last digits, never on ``threads``
    """

    def __init__(
        self,
        grid: ImageGrid,
        *,
        tof: TofModel | None = None,
        threads: int = 1,
        lanes: int = LANES,
    ) -> None:
        self.grid = grid
        self.tof = tof
        self.lanes = lanes
        self._lattice = grid.lattice
        self._table = tof.table() if tof else NO_TOF
        self._scratch = [new_scratch(self._lattice) for _ in range(lanes)]
        n_padded = int(np.prod(grid.padded_shape))
        self._private = np.zeros((lanes, n_padded), dtype=np.float32)
        self._pool = ThreadPoolExecutor(min(threads, lanes)) if threads > 1 else None

    def close(self) -> None:
        """Stop the threads."""
        if self._pool:
            self._pool.shutdown()

    def forward(self, image: Image, lors: Lors) -> F4:
        """Return the projections (n,) of ``image`` along ``lors``: mm × the image's unit.

        With TOF, the part of the line integral that falls into each event's time bin.
        """
        self._check(lors)
        flat = self.grid.padded(image)
        out = np.zeros(len(lors), dtype=np.float32)
        self._run(lambda lane: forward_events(flat, *self._ray(lors, lane), out))
        return out

    def back(self, values: F4, lors: Lors) -> Image:
        """Return Σ values[i] · ray i, an image: the adjoint of :meth:`forward`."""
        self._check(lors)
        if len(values) != len(lors):
            raise ProjectorError(f"{len(values)} values for {len(lors)} lines")
        self._private[:] = 0.0
        self._run(lambda lane: back_events(self._private[lane], *self._ray(lors, lane), values))
        return self._sum()

    def em(
        self,
        image: Image,
        events: EventList,
        *,
        background: F4 | None = None,
        first: int = 0,
        stop: int | None = None,
        step: int = 1,
    ) -> tuple[Image, EmSums]:
        """Return Σ weight_i / (Aλ + b)_i · ray i over every ``step``-th event, and its sums.

        ``background`` is indexed by module pair (see ``em_events``); None for none.
        """
        self._check(events.lors)
        background = self._pair_table(events, background)
        flat = self.grid.padded(image)
        totals = np.zeros((self.lanes, 4))
        self._private[:] = 0.0

        def one_lane(lane: int) -> None:
            ray = self._ray(events.lors, lane, first, stop, step)
            statistics = (events.weight, events.pair, events.factor, events.addend, background)
            em_events(flat, self._private[lane], *ray, *statistics, totals[lane])

        self._run(one_lane)
        return self._sum(), EmSums(*(float(total) for total in totals.sum(axis=0)))

    def _ray(
        self, lors: Lors, lane: int, first: int = 0, stop: int | None = None, step: int = 1
    ) -> tuple[object, ...]:
        end = len(lors) if stop is None else min(stop, len(lors))
        lines = (lors.start, lors.end, lors.offset_mm)
        plan = (self._lattice, self._table, self._scratch[lane])
        return (*lines, *plan, first + lane * step, end, step * self.lanes)

    def _run(self, one_lane: Callable[[int], None]) -> None:
        if self._pool is None:
            for lane in range(self.lanes):
                one_lane(lane)
        else:
            list(self._pool.map(one_lane, range(self.lanes)))

    def _sum(self) -> Image:
        return self.grid.unpadded(self._private.sum(axis=0, dtype=np.float32))

    def _check(self, lors: Lors) -> None:
        if self.tof and not lors.has_tof:
            raise ProjectorError(
                "TOF projector: the lines carry no TOF offsets; use a projector without tof"
            )

    def _pair_table(self, events: EventList, background: F4 | None) -> F4:
        highest = int(events.pair.max(initial=0))
        if background is None:
            return np.zeros(highest + 1, dtype=np.float32)
        if highest >= len(background):
            raise ProjectorError(
                f"module pair {highest} but background has {len(background)} pairs"
            )
        return background
