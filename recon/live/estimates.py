"""The estimate of all events and those of their parts, which are moved together.

Every step is done to all of them with the same gains, so that the parts have the noise of the image
(:mod:`recon.live.part_estimates`). Part of the statistic may be *frozen*: the last contribution of
events that are no longer held in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recon.core.display_filter import gaussian
from recon.core.events import joined
from recon.core.grid import Image, ImageGrid
from recon.core.mu_map import resample
from recon.core.noise_parts import NoiseParts
from recon.live.dynamic_frames import frame_grid
from recon.live.lines import LiveLines
from recon.live.memory import Kept
from recon.live.online_estimate import OnlineEstimate
from recon.live.part_estimates import PartEstimates

Clock = Callable[[], float]


@dataclass(frozen=True)
class FinalEstimate:
    """The final image.

    estimate : that holds it, on its own voxels
    parts : of it, on its grid; None if there was no time for them
    """

    estimate: OnlineEstimate
    parts: NoiseParts | None


class Estimates:
    """The image of one run and the images of its parts.

    Parameters
    ----------
    sensitivity : on the lines' grid

    Attributes
    ----------
    whole, parts : the estimate of all events, and those of their parts
    frozen_counts : the weight of the events whose contribution is frozen
    final : the last image of a run, once it is made
    """

    def __init__(self, lines: LiveLines, sensitivity: Image, *, clock: Clock, threads: int) -> None:
        grid = lines.grid
        self._grid, self._tof, self._clock = grid, lines.tof, clock
        self.whole = OnlineEstimate(grid, sensitivity, tof=lines.tof, clock=clock, threads=threads)
        self.parts = PartEstimates(frame_grid(grid), grid, sensitivity, tof=lines.tof, clock=clock)
        self.frozen_counts = 0.0
        self.final: FinalEstimate | None = None
        self._other: OnlineEstimate | None = None

    def close(self) -> None:
        """Stop the projectors' threads."""
        self.whole.close()
        self.parts.close()
        self._forget_final()

    def _forget_final(self) -> None:
        self.final = None
        if self._other is not None:
            self._other.close()
            self._other = None

    def on(self, grid: ImageGrid, sensitivity: Image | None, *, threads: int) -> OnlineEstimate:
        """Return an estimate on these voxels for the last image: that of all events, or another.

        sensitivity : on other voxels; None: that of the image, brought onto them
        """
        self._forget_final()
        if grid == self._grid:
            return self.whole
        if sensitivity is None:
            sensitivity = on_grid(self.whole.sensitivity, self._grid, grid)
        self._other = OnlineEstimate(
            grid, sensitivity, tof=self._tof, clock=self._clock, threads=threads
        )
        return self._other

    def restart(self, sensitivity: Image) -> None:
        """Begin again with uniform images."""
        self.use_sensitivity(sensitivity)
        self._each(OnlineEstimate.clear)
        self.frozen_counts = 0.0
        self._forget_final()

    def use_sensitivity(self, sensitivity: Image) -> None:
        """Use another sensitivity from now on."""
        self.whole.use_sensitivity(sensitivity)
        self.parts.use_sensitivity(sensitivity)

    def _each(self, act: Callable[[OnlineEstimate], None]) -> None:
        act(self.whole)
        self.parts.each(act)

    @property
    def speed(self) -> float:
        """Events per second that the image and its parts can take in together."""
        return 1.0 / (1.0 / self.whole.speed + 1.0 / self.parts.speed)

    # --- steps --------------------------------------------------------------------------------

    def begin_with(self, events_per_s: float) -> None:
        """Begin with uniform images that expect so many events a second of exposure."""
        self._each(lambda one: one.begin_with(events_per_s))

    def step(self, new: Kept, old: Kept, *, keep: float, gain: float) -> None:
        """Move the statistic, of which the share ``keep`` stays, towards what these events say."""
        events, places = new
        if len(old.events):
            events = joined([new.events, old.events])
            places = np.concatenate([new.places, old.places])
        ratio, ratios = self.whole.ratio(events), self.parts.ratios(events, places)
        self.whole.move(ratio, keep=keep, gain=gain)
        self.parts.move(ratios, keep=keep, gain=gain)

    def replace(self, kept: Kept) -> None:
        """Set the active statistic to what these events say under the present images."""
        events, places = kept
        self.parts.replace(self.parts.ratios(events, places))
        np.multiply(self.whole.image, self.whole.ratio(events), out=self.whole.active)

    def lose(self, share: float) -> None:
        """Remove a share of the active statistic: that share of its events has left."""
        self._each(lambda one: one.lose(share))

    def scale(self, factor: float) -> None:
        """Multiply the whole statistic."""
        self._each(lambda one: one.scale(factor))
        self.frozen_counts *= factor

    def maximise(self, exposure_s: float) -> None:
        """Set the images to their statistic over sensitivity and exposure."""
        self._each(lambda one: one.maximise(exposure_s))

    # --- events that are held no longer -------------------------------------------------------

    def freeze(self, gone: Kept) -> None:
        """Keep for good what these events say under the present images."""
        events, places = gone
        self.whole.freeze(self.whole.ratio(events))
        self.parts.freeze(self.parts.ratios(events, places))
        self.frozen_counts += float(events.weight.sum(dtype=np.float64))

    def renew_frozen(self, share: float, active_counts: float) -> None:
        """Replace a share of the frozen part by the active one, of ``active_counts``."""
        if self.frozen_counts > 0:
            scale = self.frozen_counts / active_counts
            self._each(lambda one: one.renew_frozen(share, scale))

    def forget_frozen(self) -> None:
        """Remove the frozen part."""
        self._each(lambda one: one.forget_frozen())
        self.frozen_counts = 0.0

    # --- images -------------------------------------------------------------------------------

    @property
    def grid(self) -> ImageGrid:
        """The voxels of the image that is shown: the last one may have others."""
        return self._shown.grid

    @property
    def _shown(self) -> OnlineEstimate:
        return self.whole if self.final is None else self.final.estimate

    def shown(self, *, fwhm_mm: float) -> Image:
        """Return the image for display, emissions/s/mL."""
        return self._shown.shown(fwhm_mm=fwhm_mm, voxel_volume_mL=self._voxel_volume_mL)

    def noise_parts(self, *, fwhm_mm: float) -> NoiseParts | None:
        """Return images of parts of the events, filtered alike, emissions/s/mL; None if not known.

        They lie on the parts' own grid while the run goes on, on the image's for the final one.
        """
        if self.final is None:
            return self.parts.shown(fwhm_mm=fwhm_mm)
        if self.final.parts is None:
            return None
        smooth = self.final.parts.filtered(lambda one: gaussian(one, self.grid, fwhm_mm=fwhm_mm))
        return smooth.scaled(1.0 / self._voxel_volume_mL)

    @property
    def _voxel_volume_mL(self) -> float:
        return self.grid.voxel_volume_mm3 / 1000.0


def on_grid(sensitivity: Image, fine: ImageGrid, grid: ImageGrid) -> Image:
    """Return a sensitivity on other voxels; beyond its field it is as at the field's edge."""
    wider = np.pad(sensitivity, 1, mode="edge")
    return np.maximum(resample(wider, fine.voxel_mm, grid), np.float32(0.0))
