"""List-mode OSEM: the offline image from a whole list of events.

    λ ← λ / (s_j / M) · Σ_{events of the subset} w a_ij / (Aλ + r/(g c))_i

with M subsets of every M-th event (H. M. Hudson and R. S. Larkin, IEEE Trans. Med. Imaging 13
(1994) 601; list mode: L. Parra and H. H. Barrett, ibid. 17 (1998) 228); M = 1 is MLEM. Events are
sorted by direction first, so that every M-th of them covers all angles alike and neighbours in the
list meet the same voxels. See :mod:`recon.background` for s, g, c and r.

Without background Σ_j s_j λ_j = N (the events that some voxel explains) after every full update,
and the log-likelihood Σ w ln(Aλ + r) - Σ s λ never falls with M = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recon.events import F4, EventList, order_for_cache
from recon.grid import Image, ReconError
from recon.projector import Projector

Progress = Callable[[int, int, float], None]
"""Called with (updates done, updates in all, log-likelihood of the last pass)."""


class OsemError(ReconError):
    """Reconstruction parameters out of bounds."""


@dataclass(frozen=True)
class OsemResult:
    """The image, and how the passes went.

    image : emissions per second in each voxel (exposure = sensitivity · seconds)
    log_likelihood : per iteration, of the image before each of its subsets, subsets summed
    used, unexplained : events of the last iteration that some voxel, or none, explains
    iterations : whole iterations done, fewer than asked for where it was stopped
    """

    image: Image
    log_likelihood: list[float]
    iterations: int
    used: float
    unexplained: float


def uniform_image(
    exposure: Image, mask: npt.NDArray[np.bool_], *, events: float, least: float = 0.0
) -> Image:
    """Return the uniform image on ``mask`` that expects ``events`` (at least ``least``) counts."""
    total = float(exposure[mask].sum(dtype=np.float64))
    level = max(events, least) / total if total > 0 else 0.0
    return np.where(mask, np.float32(level), np.float32(0.0))


def em_quotient(numerator: Image, exposure: Image, mask: npt.NDArray[np.bool_]) -> Image:
    """Return numerator / exposure on ``mask``, 0 elsewhere; finite whatever comes in."""
    quotient = np.zeros_like(numerator)
    np.divide(numerator, exposure, out=quotient, where=mask & (exposure > 0))
    return np.nan_to_num(quotient, copy=False, nan=0.0, posinf=0.0, neginf=0.0)


def osem(
    projector: Projector,
    events: EventList,
    exposure: Image,
    mask: npt.NDArray[np.bool_],
    *,
    iterations: int = 4,
    subsets: int = 8,
    background: F4 | None = None,
    initial: Image | None = None,
    progress: Progress = lambda done, total, log_likelihood: None,
    stopped: Callable[[], bool] = lambda: False,
) -> OsemResult:
    """Return the image after ``iterations`` passes over ``events`` in ``subsets`` subsets.

    Parameters
    ----------
    exposure : sensitivity times live seconds, on the projector's grid
    mask : voxels that may hold activity; the others stay 0
    background : expected rate of each module pair's randoms (see :mod:`recon.background`), or none
    stopped : asked before each update; True returns the image as it is
    """
    _check(iterations, subsets)
    projector.grid.check(exposure, what="exposure")
    events = events.take(order_for_cache(events.lors))
    subsets = max(1, min(subsets, len(events)))
    image = initial
    if image is None:
        image = uniform_image(exposure, mask, events=float(events.weight.sum(dtype=np.float64)))
    history: list[float] = []
    used = unexplained = 0.0
    for update in range(iterations * subsets):
        subset = update % subsets
        if stopped():
            break
        if subset == 0:
            used = unexplained = log_likelihood = 0.0
        ratio, sums = projector.em(image, events, background=background, first=subset, step=subsets)
        model = float((exposure * image).sum(dtype=np.float64)) / subsets
        used += sums.used
        unexplained += sums.unexplained
        log_likelihood += sums.log_likelihood - model
        image = em_quotient(image * ratio * np.float32(subsets), exposure, mask)
        progress(update + 1, iterations * subsets, log_likelihood)
        if subset == subsets - 1:
            history.append(log_likelihood)
    return OsemResult(image, history, len(history), used, unexplained)


def _check(iterations: int, subsets: int) -> None:
    for name, value, most in (("iterations", iterations, 1000), ("subsets", subsets, 1000)):
        if not 1 <= value <= most:
            raise OsemError(f"{name} = {value}: must lie in 1..{most}")
