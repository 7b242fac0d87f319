"""The projector pair as an operator: threads, private images and a fixed order of summation.

Results do not depend on the number of threads: events are dealt in batches to a fixed number of
*lanes* (lane k takes every lanes-th batch), each lane has its own image and scratch, and lanes are
summed in order. Threads only decide how many lanes run at once. Private images instead of atomic
adds: with locked additions two threads were slower than one in every peer measured. Each batch is
put into cache-friendly order (:mod:`recon.projector.event_order`); results come back in the order
of the list.

A projector serves one call at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from hw.arrays import F4, Array
from recon.core.events import EventList, Lors
from recon.core.grid import Image, ImageGrid, ReconError
from recon.core.tof import NO_TOF, TofModel
from recon.projector.event_order import FEWEST_SORTED
from recon.projector.joseph_kernels import (
    BATCH,
    back_events,
    em_events,
    forward_events,
    new_scratch,
)

LANES = 4


class ProjectorError(ReconError):
    """Events do not fit the projector."""


@dataclass(frozen=True)
class EmSums:
    """The sums of one EM pass, in event weights.

    used : events that some voxel explains
    unexplained : events that no voxel explains: outside the grid or the support of the image, or
        with ends, weights or backgrounds that are not finite
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
    lanes : number of private images; results depend on it in the last digits, never on ``threads``
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
        self._touched: set[int] = set()
        self._pool = ThreadPoolExecutor(min(threads, lanes)) if threads > 1 else None

    def close(self) -> None:
        """Stop the threads."""
        if self._pool:
            self._pool.shutdown()

    def along(self, lines: Lors | EventList) -> LineOperator:
        """Return this projector with its lines fixed: ``A(image)`` and ``A.adjoint(values)``."""
        return LineOperator(self, lines.lors if isinstance(lines, EventList) else lines)

    def forward(self, image: Image, lors: Lors) -> F4:
        """Return the projections (n,) of ``image`` along ``lors``: mm × the image's unit.

        With TOF, the part of the line integral that falls into each event's time bin. A line with
        an end that is not finite gives 0.
        """
        lines = self._lines(lors)
        flat = self._padded(image)
        out = np.zeros(len(lors), dtype=np.float32)

        def one_part(lane: int, part: tuple[int, int, int]) -> None:
            forward_events(flat, *lines, *self._plan(lane), *part, out)

        self._run(one_part, self._parts(len(lors)))
        return out

    def back(self, values: F4, lors: Lors) -> Image:
        """Return Σ values[i] · ray i, an image: the adjoint of :meth:`forward`."""
        lines = self._lines(lors)
        values = _plain(values, np.float32)
        if len(values) != len(lors):
            raise ProjectorError(f"{len(values)} values for {len(lors)} lines")
        if not math.isfinite(float(values.sum(dtype=np.float64))):
            wrong = len(values) - int(np.isfinite(values).sum())
            raise ProjectorError(f"{wrong} of {len(values)} values to project back are not finite")
        self._touched.clear()

        def one_part(lane: int, part: tuple[int, int, int]) -> None:
            back_events(self._image_of(lane), *lines, *self._plan(lane), *part, values)

        self._run(one_part, self._parts(len(lors)))
        return self._sum()

    def em(
        self,
        image: Image,
        events: EventList,
        *,
        first: int = 0,
        stop: int | None = None,
        step: int = 1,
    ) -> tuple[Image, EmSums]:
        """Return Σ weight_i / (Aλ + b)_i · ray i over every ``step``-th event, and its sums.

        b is the events' addend.

        Parameters
        ----------
        first, stop, step : the events used, as in a slice
        """
        end = len(events) if stop is None else min(stop, len(events))
        return self._em(image, [(events, self._parts(end, first, step))])

    def em_chunks(self, image: Image, chunks: Iterable[EventList]) -> tuple[Image, EmSums]:
        """Return :meth:`em` of all chunks' events together: one image, one sum."""
        return self._em(image, ((part, self._parts(len(part))) for part in chunks))

    def _em(
        self, image: Image, chunks: Iterable[tuple[EventList, list[tuple[int, int, int]]]]
    ) -> tuple[Image, EmSums]:
        flat = self._padded(image)
        totals = np.zeros((self.lanes, 4))
        self._touched.clear()
        for events, parts in chunks:
            statistics = (_plain(one, np.float32) for one in (events.weight, events.addend))
            given = (*self._lines(events.lors), *statistics)
            self._run(partial(self._em_part, flat, given, totals), parts)
        return self._sum(), EmSums(*(float(total) for total in totals.sum(axis=0)))

    def _em_part(
        self,
        flat: F4,
        given: tuple[Array, ...],
        totals: npt.NDArray[np.float64],
        lane: int,
        part: tuple[int, int, int],
    ) -> None:
        out = self._image_of(lane)
        em_events(flat, out, *given[:3], *self._plan(lane), *part, *given[3:], totals[lane])

    def _plan(self, lane: int) -> tuple[object, ...]:
        return self._lattice, self._table, self._scratch[lane]

    def _parts(self, stop: int, first: int = 0, step: int = 1) -> list[tuple[int, int, int]]:
        """Return (first, step, count) of the batches of every ``step``-th event."""
        count = max(0, -(-(stop - first) // step))
        each = min(BATCH, max(FEWEST_SORTED, -(-count // self.lanes)))
        return [
            (first + begin * step, step, min(each, count - begin))
            for begin in range(0, count, each)
        ]

    def _run(
        self,
        one_part: Callable[[int, tuple[int, int, int]], None],
        parts: list[tuple[int, int, int]],
    ) -> None:
        def one_lane(lane: int) -> None:
            for part in parts[lane :: self.lanes]:
                one_part(lane, part)

        lanes = range(min(self.lanes, len(parts)))
        if self._pool is None:
            for lane in lanes:
                one_lane(lane)
        else:
            list(self._pool.map(one_lane, lanes))

    def _image_of(self, lane: int) -> F4:
        """Return the lane's image, zero when it is first asked for."""
        if lane not in self._touched:
            self._private[lane] = 0.0
            self._touched.add(lane)
        return self._private[lane]

    def _sum(self) -> Image:
        total = np.zeros(self.grid.shape, dtype=np.float32)
        for lane in sorted(self._touched):
            total += self._private[lane].reshape(self.grid.padded_shape)[1:-1, 1:-1, 1:-1]
        return total

    def _padded(self, image: Image) -> F4:
        if not math.isfinite(float(np.sum(image, dtype=np.float64))):
            raise ProjectorError(
                f"image: {int((~np.isfinite(image)).sum())} of {image.size} voxels are not finite"
            )
        return self.grid.padded(image)

    def _lines(self, lors: Lors) -> tuple[Array, ...]:
        """Return start, end and offset as the kernels take them."""
        if self.tof and not lors.has_tof:
            raise ProjectorError(
                "TOF projector: the lines carry no TOF offsets; use a projector without tof"
            )
        for name, ends in (("start", lors.start), ("end", lors.end)):
            if ends.shape != (len(lors), 3):
                raise ProjectorError(
                    f"{name} has shape {ends.shape}, {len(lors)} lines need (n, 3)"
                )
        start, end = lors.start, lors.end
        if not self.grid.centred:  # the kernels' grid is centred: the lines are moved instead
            centre_mm = np.array(self.grid.centre_mm, dtype=np.float32)
            start, end = start - centre_mm, end - centre_mm
        return tuple(_plain(one, np.float32) for one in (start, end, lors.offset_mm))


class _Writable:
    """Gives numpy the memory of a read-only array without its read-only flag."""

    def __init__(self, array: Array) -> None:
        self.array = array
        place = array.__array_interface__["data"][0]
        self.__array_interface__ = {**array.__array_interface__, "data": (place, False)}


def _plain(array: Array, kind: type[np.generic]) -> Array:
    """Return ``array`` contiguous and of this type, as a view if possible.

    numba would compile kernels again for read-only arrays (a memory map's); ours only read these.
    """
    array = np.ascontiguousarray(array, dtype=kind)
    return array if array.flags.writeable else np.asarray(_Writable(array))


@dataclass(frozen=True)
class LineOperator:
    """The linear operator A of a list of lines: (A x)_i = Σ_j a_ij x_j, a_ij chords in mm.

    Make it with :meth:`Projector.along`. Names are those of parallelproj: ``A(x)`` and
    ``A.adjoint(y)``, with <A x, y> = <x, Aᵀ y> to rounding, as both read the same rays.

    Attributes
    ----------
    projector : Projector
        Serves one call at a time.
    lors : Lors
        The lines, of events or your own.
    """

    projector: Projector
    lors: Lors

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """Shape of images."""
        return self.projector.grid.shape

    @property
    def out_shape(self) -> tuple[int]:
        """Shape of values, one per line."""
        return (len(self.lors),)

    def __call__(self, image: Image) -> F4:
        """Return A x, (n,) float32: mm × the image's unit."""
        return self.projector.forward(image, self.lors)

    def adjoint(self, values: F4) -> Image:
        """Return Aᵀ y, (x, y, z) float32."""
        return self.projector.back(values, self.lors)
