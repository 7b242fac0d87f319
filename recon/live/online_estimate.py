"""One image of online EM: its statistic, its image, and the passes that update them.

Stochastic-approximation EM (O. Cappé and E. Moulines, J. R. Statist. Soc. B 71 (2009) 593): a
running sufficient statistic S_j, the expected number of emissions from voxel j that were seen, is
moved towards its estimate Ŝ from the events at hand, then the image is set to S / (s · E):

    Ŝ_j = λ_j Σ_events w a_ij / (Aλ + b)_i        S ← (1 - γ) S + γ Ŝ        λ = S / (s E)

A little smoothing of Ŝ (EMS; B. W. Silverman et al., J. R. Statist. Soc. B 52 (1990) 271) lets the
noise of the first seconds fade; otherwise it stays in the image as its starting point.

S has two parts: *active*, from the events kept, and *frozen*, from those that left.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recon.core.display_filter import gaussian
from recon.core.events import EventList
from recon.core.grid import Image, ImageGrid
from recon.core.tof import TofModel
from recon.em.problem import uniform_image
from recon.em.sensitivity import support_mask
from recon.live.image import smoothed_speed
from recon.live.image_kernels import lift, maximise, move_statistic, show
from recon.projector.operator import Projector

SMOOTHING_SHARE, SMOOTHING_FWHM_MM = 0.1, 6.0
"""Share of Ŝ that is replaced by its Gaussian mean. On a head with hot rods of 8 to 23 mm and
8 k prompts/s it gave after 30 s the contrast of offline OSEM at 2/3 of its noise; without it the
noise was 1.4 times that of OSEM."""

FLOOR = 1e-3
"""Least value of a voxel, of the mean: EM cannot leave 0, and early images are full of zeros."""

FIRST_SPEED = 5e5  # events/s assumed before the first measurement


class OnlineEstimate:
    """The image of one grid; all sums are in units of the events' weights.

    Parameters
    ----------
    grid : its voxels
    sensitivity : (nx, ny, nz), probability that an emission in a voxel is counted
    tof : the lines' time-of-flight model, None without
    clock : seconds, monotonic; measures the projector's speed
    threads : of the projector
    """

    def __init__(
        self,
        grid: ImageGrid,
        sensitivity: Image,
        *,
        tof: TofModel | None,
        clock: Callable[[], float],
        threads: int = 1,
    ) -> None:
        self.grid = grid
        self.speed = FIRST_SPEED
        self._tof = tof
        self._clock = clock
        self._projector = self.new_projector(threads)
        self.active = np.zeros(grid.shape, dtype=np.float32)
        self.frozen = np.zeros(grid.shape, dtype=np.float32)
        self.use_sensitivity(sensitivity)
        self.clear()

    def close(self) -> None:
        """Stop the projector's threads."""
        self._projector.close()

    def new_projector(self, threads: int) -> Projector:
        """Return a projector on this grid."""
        return Projector(self.grid, tof=self._tof, threads=threads, lanes=threads)

    def begin_with(self, events_per_s: float) -> None:
        """Begin with the uniform image that expects so many events a second of exposure.

        What a line expects besides is of the events' order. From less, a step would explain most of
        them by that, and the image rise to its level over many steps.
        """
        self.image = uniform_image(self.sensitivity, self.mask, events=events_per_s)

    def use_projector(self, projector: Projector) -> Projector:
        """Switch to another projector; return the previous one."""
        before, self._projector = self._projector, projector
        return before

    @property
    def projector(self) -> Projector:
        """The projector in use."""
        return self._projector

    def use_sensitivity(self, sensitivity: Image) -> None:
        """Use another sensitivity image from now on."""
        self.grid.check(sensitivity, what="sensitivity")
        self.sensitivity = sensitivity
        self.mask = support_mask(sensitivity, self.grid)
        self._inverse = np.zeros(self.grid.shape, dtype=np.float32)
        np.divide(1.0, sensitivity, out=self._inverse, where=self.mask)
        self._voxels = max(int(self.mask.sum()), 1)

    def clear(self) -> None:
        """Begin again with a uniform image."""
        self.active.fill(0.0)
        self.frozen.fill(0.0)
        self.image = uniform_image(self.sensitivity, self.mask, events=1.0)

    def ratio(self, events: EventList) -> Image:
        """Return Σ w a_j / (Aλ + b) of events: times the image, their estimate of S."""
        begin = self._clock()
        ratio, _ = self._projector.em(self.image, events)
        self.speed = smoothed_speed(self.speed, len(events), self._clock() - begin)
        return ratio

    def move(self, ratio: Image, *, keep: float, gain: float) -> None:
        """S ← keep · S + gain · Ŝ, with Ŝ = image · ratio, slightly smoothed."""
        smooth = gaussian(self.image * ratio, self.grid, fwhm_mm=SMOOTHING_FWHM_MM)
        flat = (one.reshape(-1) for one in (self.active, self.image, ratio, smooth))
        move_statistic(*flat, keep, gain, SMOOTHING_SHARE)

    def lose(self, share: float) -> None:
        """Remove a share of the active part: that share of its events has left."""
        if share > 0:
            self.active *= np.float32(max(0.0, 1.0 - share))

    def freeze(self, ratio: Image) -> None:
        """Add the events' estimate to the frozen part."""
        self.frozen += self.image * ratio

    def forget_frozen(self) -> None:
        """Remove the frozen part."""
        self.frozen.fill(0.0)

    def renew_frozen(self, share: float, scale: float) -> None:
        """Replace a share of the frozen part by the active part, scaled to the same counts.

        Frozen events were explained by an earlier image. With a share of ΔN / N they count in
        proportion to their time; the error of the first image then dies out as 1 / N², at the cost
        of noise as if a quarter of the counts were lost.
        """
        self.frozen *= np.float32(1.0 - share)
        self.frozen += np.float32(share * scale) * self.active

    def scale(self, factor: float) -> None:
        """Multiply the statistic."""
        self.active *= np.float32(factor)
        self.frozen *= np.float32(factor)

    def maximise(self, exposure_s: float) -> None:
        """Set the image to its statistic over sensitivity and exposure; finite for any input."""
        flat = [one.reshape(-1) for one in (self.active, self.frozen, self._inverse, self.image)]
        total = maximise(*flat[:3], 1.0 / max(exposure_s, 1e-6), flat[3])
        if total > 0:
            lift(flat[3], flat[2], FLOOR * total / self._voxels)
        else:
            self.image = uniform_image(self.sensitivity, self.mask, events=1.0)

    def shown(self, *, fwhm_mm: float, voxel_volume_mL: float, image: Image | None = None) -> Image:
        """Return the image for display: emissions/s/mL, smoothed, 0 outside its support.

        image : another one on this grid, instead of the present estimate
        """
        smooth = gaussian(self.image if image is None else image, self.grid, fwhm_mm=fwhm_mm)
        out = np.empty_like(smooth)
        flat = [one.reshape(-1) for one in (smooth, self._inverse, out)]
        show(flat[0], flat[1], 1.0 / voxel_volume_mL, flat[2])
        return out
