"""Events, projector, exposure and resolution of one reconstruction, checked and ready to iterate.

    ȳ_i = (A G λ)_i + b_i,      E_j = (Gᵀ ε)_j,      ε = sensitivity · seconds

All algorithms need one thing from the events: the back projection of their ratios,

    ratio_j = ( Gᵀ Aᵀ w / (A G λ + b) )_j / f      over the events of one subset,

with f ≈ 1 / M the subset's share of all events; its mean is E_j when λ is right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recon.core.grid import Image, ReconError
from recon.core.resolution import Resolution
from recon.em.event_store import EventStore
from recon.projector.operator import EmSums, Projector


class OsemError(ReconError):
    """Reconstruction parameters or images that cannot be used."""


def uniform_image(
    exposure: Image, mask: npt.NDArray[np.bool_], *, events: float, least: float = 0.0
) -> Image:
    """Return the uniform image on ``mask`` that expects ``events`` (at least ``least``) counts."""
    total = float(exposure[mask].sum(dtype=np.float64))
    level = max(events, least) / total if total > 0 else 0.0
    return np.where(mask, np.float32(level), np.float32(0.0))


def em_quotient(numerator: Image, exposure: Image, mask: npt.NDArray[np.bool_]) -> Image:
    """Return numerator / exposure on ``mask``, 0 elsewhere; finite for any input."""
    quotient = np.zeros_like(numerator)
    np.divide(numerator, exposure, out=quotient, where=mask & (exposure > 0))
    return np.nan_to_num(quotient, copy=False, nan=0.0, posinf=0.0, neginf=0.0)


@dataclass(frozen=True)
class EmModel:
    """What an algorithm iterates on; create it with :meth:`of`.

    exposure : E, expected events per unit of each voxel, 0 outside ``mask``
    mask : voxels that may hold activity and are seen
    """

    projector: Projector
    events: EventStore
    exposure: Image
    mask: npt.NDArray[np.bool_]
    resolution: Resolution | None

    @classmethod
    def of(
        cls,
        projector: Projector,
        events: EventStore,
        exposure: Image,
        mask: npt.NDArray[np.bool_],
        resolution: Resolution | None = None,
    ) -> EmModel:
        """Return the model, or raise :class:`OsemError` for an exposure that cannot be used.

        Parameters
        ----------
        exposure : sensitivity times live seconds, on the projector's grid
        mask : voxels that may hold activity; those not seen are removed
        resolution : blur of the image between emission and line, if any
        """
        projector.grid.check(exposure, what="exposure")
        projector.grid.check(mask.astype(np.float32), what="mask")
        bad = int((mask & ~(np.isfinite(exposure) & (exposure >= 0))).sum())
        if bad:
            raise OsemError(
                f"exposure: {bad} voxels of the mask are negative or not finite: take them out of "
                "the mask, or make the sensitivity again"
            )
        seen = np.where(np.isfinite(exposure), exposure, np.float32(0.0)).astype(np.float32)
        if resolution is not None:
            seen = resolution.adjoint(seen)
        mask = mask & (seen > 0)
        return cls(projector, events, np.where(mask, seen, np.float32(0.0)), mask, resolution)

    @property
    def subsets(self) -> int:
        """Number of subsets of the events."""
        return self.events.subsets

    def start(self, initial: Image | None) -> Image:
        """Return ``initial`` on the mask, or the uniform image that expects all events."""
        if initial is None:
            return uniform_image(self.exposure, self.mask, events=self.events.total_weight)
        self.projector.grid.check(initial, what="initial image")
        bad = int((~(np.isfinite(initial) & (initial >= 0))).sum())
        if bad:
            raise OsemError(f"initial image: {bad} voxels are negative or not finite")
        return np.where(self.mask, initial, np.float32(0.0)).astype(np.float32)

    def of_part(self, store: EventStore) -> EmModel:
        """Return the same model for a part of its events, weighted to represent all."""
        return replace(self, events=store)

    def ratio(self, image: Image, subset: int) -> tuple[Image, EmSums]:
        """Return Gᵀ Aᵀ (w / (A G image + b)) / f of a subset's events, and their sums."""
        seen = image if self.resolution is None else self.resolution.apply(image)
        back, sums = self.projector.em_chunks(seen, self.events.subset(subset))
        weight = sums.used + sums.unexplained
        if weight > 0:
            back *= np.float32(self.events.total_weight / weight)
        return back if self.resolution is None else self.resolution.adjoint(back), sums

    def expected(self, image: Image) -> float:
        """Return the trues expected on all lines together: Σ E λ."""
        return float(np.vdot(self.exposure.astype(np.float64), image))


def em_update(model: EmModel, image: Image, update: int) -> tuple[Image, EmSums]:
    """Return the image after the EM update of one subset, and the subset's sums."""
    ratio, sums = model.ratio(image, update % model.subsets)
    if sums.used <= 0:
        return image, sums
    ratio *= image
    return em_quotient(ratio, model.exposure, model.mask), sums
