"""The means of a live image in the run's regions, each with its standard deviation.

The regions are those kept in the run's folder (:mod:`daq.folder.region_file`). The file is looked
at once a second, so that a region drawn during the run is read in the next images. σ is that of
:mod:`recon.core.noise_parts`: of the image as it is shown, from counting noise alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from daq.folder.region_file import NAME, read_regions
from hw.arrays import F8
from hw.messages.pictures import RegionReading
from hw.regions import Block, Region, RegionError, Threshold, mean_in, shares
from recon.core.grid import Image, ImageGrid
from recon.core.noise_parts import NoiseParts
from recon.live.dynamic_frames import frame_grid

MOST_REGIONS = 32
LOOK_EVERY_S = 1.0

Clock = Callable[[], float]
Shares = tuple[Block, F8]


class RegionReadings:
    """Reads the regions of one run in its images.

    Parameters
    ----------
    folder : the run's, None if it has none

    Attributes
    ----------
    message : what is wrong with the file, to be told once
    """

    def __init__(self, folder: Path | None, *, clock: Clock) -> None:
        self.message = ""
        self._folder = folder
        self._clock = clock
        self._looked_s = -LOOK_EVERY_S
        self._stamp: tuple[int, int] = (0, 0)
        self._regions: list[Region] = []
        self._known: dict[tuple[Region, ImageGrid], Shares] = {}

    def wanted(self) -> bool:
        """Whether the run has regions; looks at the file now and then."""
        now = self._clock()
        if self._folder is not None and now - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now
            self._look(self._folder)
        return bool(self._regions)

    def of(self, image: Image, parts: NoiseParts | None, grid: ImageGrid) -> list[RegionReading]:
        """Return the readings of an image.

        parts : of the image, filtered and scaled as it is, on its grid or that of dynamic frames;
            None if not known
        grid : the image's
        """
        return [self._reading(region, image, parts, grid) for region in self._regions]

    def _look(self, folder: Path) -> None:
        try:
            found = (folder / NAME).stat()
            stamp = found.st_mtime_ns, found.st_size
        except OSError:
            stamp = 0, 0
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self._known.clear()
        try:
            regions = read_regions(folder)
        except RegionError as error:
            self.message = str(error)
            return
        self._regions = regions[:MOST_REGIONS]
        if len(regions) > MOST_REGIONS:
            self.message = f"the live image is read in the first {MOST_REGIONS} regions only"

    def _reading(
        self, region: Region, image: Image, parts: NoiseParts | None, grid: ImageGrid
    ) -> RegionReading:
        try:
            mean = mean_in(self._shares(region, grid, image), image)
            if math.isnan(mean):
                raise RegionError(f"region {region.name} is smaller than the image can show")
            sigma = 0.0 if parts is None else self._sigma(region, parts, mean, grid)
        except RegionError as error:
            return RegionReading(name=region.name, why_not=str(error))
        return RegionReading(name=region.name, mean=mean, sigma=sigma)

    def _sigma(self, region: Region, parts: NoiseParts, mean: float, grid: ImageGrid) -> float:
        fine = parts.images.shape[1:] == grid.shape
        whole = parts.images.mean(axis=0, dtype=np.float32)
        block, share = self._shares(region, grid if fine else frame_grid(grid), whole)
        return parts.sigma_of_mean(block, share, mean)

    def _shares(self, region: Region, grid: ImageGrid, image: Image) -> Shares:
        """Return each voxel's share of a region; only a threshold's change with the image."""
        x, y, z = grid.axes_mm()
        if isinstance(region, Threshold):
            return shares(region, (x, y, z), image)
        key = (region, grid)
        if key not in self._known:
            self._known[key] = shares(region, (x, y, z))
        return self._known[key]
