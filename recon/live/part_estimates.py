"""Estimates of parts of the events beside the live one, which tell its noise.

Each part is an online estimate of its own (:mod:`recon.live.online_estimate`), moved by the same
steps with the same gains from the part's share of the same events, weighted to represent all. So
the parts have the noise of the live image whatever window, corrections, thinning or lag it has; the
algebra is in :mod:`recon.core.noise_parts`. An event stays in its parts as long as it is kept: they
follow from its place in the ring.

Each part has a quarter of the events, drawn without regard to the other parts. An update holds only
some thousands of events; parts that share none, an eighth in each, had so few that they no longer
followed their counts as the image does, and told up to a quarter too little noise.

Voxels are those of the dynamic frames, 4 mm or more: finer ones would cost more than the image
itself, and the live image's filter leaves nothing finer. The parts' passes take as long as two
images of such voxels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from recon.core.events import EventList
from recon.core.grid import Image, ImageGrid
from recon.core.mu_map import resample
from recon.core.noise_parts import ONE_OF, PARTS, NoiseParts, variance_share
from recon.core.tof import TofModel
from recon.live.image import smoothed_speed
from recon.live.online_estimate import FIRST_SPEED, OnlineEstimate

Places = npt.NDArray[np.intp]
MOST_PARTS = 8

_FACTORS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_BITS = 8
"""Of a mixed place, for each part."""


class PartEstimates:
    """The parts of one live image.

    Parameters
    ----------
    grid : of the parts
    fine, sensitivity : grid of the live image, and its sensitivity there
    tof : the lines' time-of-flight model, None without
    clock : seconds, monotonic; measures the projectors' speed
    count : number of parts, at most ``MOST_PARTS``
    one_of : a part gets one event of so many

    Attributes
    ----------
    speed : events/s of all parts together
    """

    def __init__(
        self,
        grid: ImageGrid,
        fine: ImageGrid,
        sensitivity: Image,
        *,
        tof: TofModel | None,
        clock: Callable[[], float],
        count: int = PARTS,
        one_of: int = ONE_OF,
    ) -> None:
        self.grid = grid
        self.speed = FIRST_SPEED
        self._fine = fine
        self._clock = clock
        self._one_of = one_of
        self._volumes = np.float32(grid.voxel_volume_mm3 / fine.voxel_volume_mm3)
        coarse = self._coarse(sensitivity)
        self.estimates = [OnlineEstimate(grid, coarse, tof=tof, clock=clock) for _ in range(count)]

    def close(self) -> None:
        """Stop the projectors' threads."""
        for one in self.estimates:
            one.close()

    def use_sensitivity(self, sensitivity: Image) -> None:
        """Use another sensitivity (on the live image's grid) from now on."""
        coarse = self._coarse(sensitivity)
        for one in self.estimates:
            one.use_sensitivity(coarse)

    def ratios(self, events: EventList, places: Places) -> list[Image]:
        """Return each part's ratio of events; ``places`` are theirs in the ring."""
        begin = self._clock()
        parts = drawn(places, len(self.estimates), self._one_of)
        made = [
            one.ratio(self._weighted(events.take(np.flatnonzero(inside))))
            for one, inside in zip(self.estimates, parts, strict=True)
        ]
        self.speed = smoothed_speed(self.speed, len(events), self._clock() - begin)
        return made

    def move(self, ratios: list[Image], *, keep: float, gain: float) -> None:
        """Move every part by its ratio."""
        for one, ratio in zip(self.estimates, ratios, strict=True):
            one.move(ratio, keep=keep, gain=gain)

    def replace(self, ratios: list[Image]) -> None:
        """Set every part's statistic to that of its ratio."""
        for one, ratio in zip(self.estimates, ratios, strict=True):
            np.multiply(one.image, ratio, out=one.active)

    def freeze(self, ratios: list[Image]) -> None:
        """Add the events' estimates to the frozen parts."""
        for one, ratio in zip(self.estimates, ratios, strict=True):
            one.freeze(ratio)

    def each(self, act: Callable[[OnlineEstimate], None]) -> None:
        """Do the same to every part's estimate."""
        for one in self.estimates:
            act(one)

    def shown(self, *, fwhm_mm: float) -> NoiseParts:
        """Return the parts as displayed, emissions/s/mL."""
        volume_mL = self.grid.voxel_volume_mm3 / 1000.0
        images = [one.shown(fwhm_mm=fwhm_mm, voxel_volume_mL=volume_mL) for one in self.estimates]
        return NoiseParts(np.stack(images), variance_share(self._one_of))

    def _weighted(self, events: EventList) -> EventList:
        """Return a part's events as they count here: gains go with 1 / voxel volume."""
        weight = events.weight * np.float32(self._one_of)
        return EventList(events.lors, weight, events.addend * self._volumes)

    def _coarse(self, sensitivity: Image) -> Image:
        coarse = resample(sensitivity, self._fine.voxel_mm, self.grid)
        return np.maximum(coarse, np.float32(0.0))


def drawn(places: Places, parts: int, one_of: int) -> npt.NDArray[np.bool_]:
    """Return whether each place in the ring is in each part, (parts, n): always the same.

    Parts must not have more equal numbers than chance would give them: the noise of a region that
    holds most of the counts is that of their number. So the bits are mixed twice (a finaliser of
    hashes); places times one odd number would be spread too evenly.
    """
    mixed = places.astype(np.uint64)
    for factor in _FACTORS:
        mixed = mixed * factor
        mixed ^= mixed >> _HALF
    each = (mixed >> np.uint64(_BITS * part) for part in range(parts))
    most = np.uint64((1 << _BITS) // one_of)
    return np.stack([one & np.uint64((1 << _BITS) - 1) < most for one in each])
