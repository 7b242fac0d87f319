"""Activity and attenuation together from time-of-flight data (MLAA), in list mode.

The trues of line i are expected to be T c_i p_i with p_i = w_i Σ_j a_ij λ_j and c_i =
exp(−Σ_j a_ij µ_j). Time of flight determines p up to one constant (M. Defrise, A. Rezaei and J.
Nuyts, Phys. Med. Biol. 57 (2012) 885); what is missing from the trues is attenuation. Two steps
alternate (J. Nuyts et al., IEEE TMI 18 (1999) 393; with TOF A. Rezaei et al., IEEE TMI 31 (2012)
2224):

    λ_j ← λ_j / (T s_j(µ)) Σ_events a_j / (Aλ + (r + q)/(w c))                          OSEM
    µ_j ← µ_j + ( Σ_lines a_ij T c_i p_i  −  Σ_events a_ij f_e ) / Σ_lines a_ij A_i T c_i p_i

with f the probability that an event is a true, and A_i the length of line i within the support:
the gradient of the likelihood, summed over TOF bins, over its curvature (MLTR). As for the
sensitivity image, the sum over lines uses quasi-random lines, so that nothing is binned.

What the likelihood leaves open is fixed as follows: µ is 0 outside a support around the start map;
the median µ deep in the head is that of soft tissue, which is the constant; numerator and
denominator are smoothed (a sieve: µ changes over ``SIEVE_FWHM_MM`` or more), because a short scan
resolves no finer; a weak Gaussian prior holds µ at the start map; and µ stays between 0 and bone.
The grid has voxels of at least 4 mm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from hw.arrays import F4, Mask, Records
from hw.physics.constants import FWHM_PER_SIGMA
from recon.attenuation.head_contour import BONE_PER_MM, SOFT_TISSUE_PER_MM
from recon.core.events import EventList, Lors, joined
from recon.core.grid import Image, ReconError
from recon.core.mu_map import check_mu, resample
from recon.core.scanner_tables import ReconSystem
from recon.em.problem import em_quotient
from recon.em.sensitivity import RATIO_FWHM_MM, coarse_grid, refined
from recon.em.sensitivity_cache import sensitivity
from recon.em.sensitivity_lines import sampled_lines
from recon.lines.model import LineFactor, LineModel, LineRate
from recon.projector.event_order import order_for_cache
from recon.projector.operator import Projector

ITERATIONS = 10
FIRST_ITERATIONS = 2  # of the activity alone
SUBSETS = 8
LINES = 400_000
SIEVE_FWHM_MM = 14.0
SUPPORT_MARGIN_MM = 4.0
DEEP_MM = 20.0
"""Deeper than this below the start map's surface a head is soft tissue: scalp and skull are 12."""

PRIOR_SHARE = 0.05
"""How firmly µ is held at the start map, relative to the data deep in the head."""

LEAST_EVENTS = 20_000
LEAST_MU = 0.2 * SOFT_TISSUE_PER_MM


class MlaaError(ReconError):
    """Attenuation cannot be estimated from these data; the message says what is missing."""


@dataclass(frozen=True)
class MlaaResult:
    """The estimate and its convergence.

    activity : emissions/s in each voxel of ``grid``; mu_per_mm : on the system's grid
    scale : last factor applied to µ to give soft tissue its value; near 1 at convergence
    change : root mean square step of µ in the last iteration, 1/mm
    """

    activity: Image
    mu_per_mm: Image
    iterations: int
    scale: float
    change: float


def mlaa(
    system: ReconSystem,
    prompts: Iterable[Records],
    start_mu_per_mm: Image,
    *,
    duration_s: float,
    factors: Sequence[LineFactor] = (),
    rates: Sequence[LineRate] = (),
    lines: int = LINES,
    threads: int = 1,
    progress: Callable[[float], None] = lambda share: None,
) -> MlaaResult:
    """Return the joint estimate, starting from ``start_mu_per_mm`` (e.g. the head contour's).

    Parameters
    ----------
    prompts : ``COINCIDENCE`` records in parts; all are held in memory (44 bytes each)
    factors, rates : as in the reconstruction's line model. Scatter missing from the rates and
        efficiencies missing from the factors end up in µ
    lines : quasi-random lines that stand for all lines

    Raises
    ------
    MlaaError
        without TOF, with too few prompts, or with a start map that holds no object.
    """
    _check(system, start_mu_per_mm, duration_s)
    joint = _Joint(system, start_mu_per_mm, factors, duration_s, threads, lines)
    try:
        joint.take(prompts, rates)
        for _ in range(FIRST_ITERATIONS):
            joint.update_activity()
        for done in range(1, ITERATIONS + 1):
            joint.update_mu()
            joint.update_activity()
            progress(done / ITERATIONS)
        return joint.result(ITERATIONS)
    finally:
        joint.close()


class _Joint:
    """The state of the iteration; all images are on the coarse grid."""

    def __init__(
        self,
        system: ReconSystem,
        start: Image,
        factors: Sequence[LineFactor],
        duration_s: float,
        threads: int,
        lines: int,
    ) -> None:
        self.fine = system
        self.system = replace(system, grid=coarse_grid(system.grid))
        self.factors, self.duration_s = list(factors), duration_s
        self._plain = Projector(self.system.grid, threads=threads)
        self._tof = Projector(self.system.grid, tof=system.tof, threads=threads)
        self.mu = resample(start, system.grid.voxel_mm, self.system.grid)
        self._start = self.mu
        self.support, self.deep = self._regions()
        self._lines, self._weight = self._model_lines(lines)
        self._geometric = resample(
            sensitivity(system, threads=threads), system.grid.voxel_mm, self.system.grid
        )
        seen = self._smooth(self._plain.back(self._weight, self._lines))
        self._unattenuated = np.maximum(seen, 1e-6 * seen.max())
        self._length = self._plain.forward(self.support.astype(np.float32), self._lines)
        self.activity = self.support.astype(np.float32)
        self.scale, self.change = 1.0, 0.0

    def close(self) -> None:
        self._plain.close()
        self._tof.close()

    def take(self, prompts: Iterable[Records], rates: Sequence[LineRate]) -> None:
        """Prepare the events that meet the support, in cache-friendly order."""
        model = LineModel(self.system, self.factors, list(rates))
        inside = self.support.astype(np.float32)
        kept = []
        for part in prompts:
            events = model.events(part)
            met = self._plain.forward(inside, _without_tof(events.lors)) > 0
            kept.append(events.take(np.flatnonzero(met & (events.weight > 0))))
        if sum(map(len, kept)) < LEAST_EVENTS:
            raise MlaaError(
                f"{sum(map(len, kept))} prompts through the object: the joint estimate of activity "
                f"and attenuation needs at least {LEAST_EVENTS}; use the head's contour"
            )
        events = joined(kept)
        self._events = events.take(order_for_cache(events.lors))
        self._event_lines = _without_tof(self._events.lors)

    def update_activity(self) -> None:
        """One OSEM iteration with the present µ."""
        events = self._attenuated_events()
        seen = self._survival() * self._weight
        ratio = self._smooth(self._plain.back(seen, self._lines)) / self._unattenuated
        exposure = self._geometric * ratio * np.float32(self.duration_s / SUBSETS)
        for subset in range(SUBSETS):
            back, _ = self._tof.em(self.activity, events, first=subset, step=SUBSETS)
            self.activity = em_quotient(self.activity * back, exposure, self.support)

    def update_mu(self) -> None:
        """One MLTR step with the present activity, then fix the constant that TOF leaves open."""
        emitted = self._plain.forward(self.activity, self._lines)
        expected = emitted * self._survival() * self._weight * np.float32(self.duration_s)
        events = self._attenuated_events()
        true = self._tof.forward(self.activity, events.lors)
        share = events.weight * true / np.maximum(true + events.addend, 1e-30)
        expected *= np.float32(share.sum() / max(float(expected.sum()), 1e-30))
        missing = self._plain.back(expected, self._lines)
        missing -= self._plain.back(share.astype(np.float32), self._event_lines)
        curvature = self._smooth(
            self._plain.back(expected * self._length, self._lines), SIEVE_FWHM_MM
        )
        pull = np.float32(PRIOR_SHARE * float(np.median(curvature[self.deep])))
        step = (self._smooth(missing, SIEVE_FWHM_MM) + pull * (self._start - self.mu)) / (
            curvature + pull
        )
        new = np.clip(self.mu + step, 0.0, BONE_PER_MM) * self.support
        self.scale = SOFT_TISSUE_PER_MM / max(float(np.median(new[self.deep])), LEAST_MU)
        new = np.clip(new * self.scale, 0.0, BONE_PER_MM).astype(np.float32)
        self.change = float(np.sqrt(((new - self.mu)[self.support] ** 2).mean()))
        self.mu = new

    def result(self, iterations: int) -> MlaaResult:
        """Return the estimate; µ is interpolated to the fine grid."""
        fine = refined(self.mu, self.system.grid, self.fine.grid)
        return MlaaResult(self.activity, fine, iterations, self.scale, self.change)

    def _regions(self) -> tuple[Mask, Mask]:
        inside = self.mu > LEAST_MU
        voxel = self.system.grid.voxel_mm
        outer = ndimage.distance_transform_edt(~inside, sampling=voxel) <= SUPPORT_MARGIN_MM
        filled = ndimage.binary_fill_holes(inside)
        padded = np.pad(filled, ((1, 1), (1, 1), (0, 0)), constant_values=False)
        depth = ndimage.distance_transform_edt(padded, sampling=voxel)[1:-1, 1:-1]
        deep = depth > min(DEEP_MM, 0.6 * float(depth.max()))
        radius = min(n * v / 2 for n, v in zip(self.system.grid.shape[:2], voxel[:2], strict=True))
        return outer & self.system.grid.cylinder(radius), deep

    def _model_lines(self, count: int) -> tuple[Lors, F4]:
        """Return the quasi-random lines that meet the support, and their weights."""
        inside = self.support.astype(np.float32)
        starts, ends, weights = [], [], []
        for lines in sampled_lines(self.system, samples=count):
            met = self._plain.forward(inside, lines.lors) > 0
            weight = lines.weight.copy()
            for factor in self.factors:
                weight *= factor.of_lines(lines.crystal_a, lines.crystal_b)
            starts.append(lines.lors.start[met])
            ends.append(lines.lors.end[met])
            weights.append(weight[met])
        lors = Lors(np.concatenate(starts), np.concatenate(ends))
        order = order_for_cache(lors)
        return lors.take(order), np.concatenate(weights)[order]

    def _survival(self) -> F4:
        return np.asarray(np.exp(-self._plain.forward(self.mu, self._lines)))

    def _attenuated_events(self) -> EventList:
        through: F4 = np.exp(-self._plain.forward(self.mu, self._event_lines))
        return replace(self._events, addend=np.asarray(self._events.addend / through, np.float32))

    def _smooth(self, image: Image, fwhm_mm: float = RATIO_FWHM_MM) -> Image:
        sigma = [fwhm_mm / FWHM_PER_SIGMA / size for size in self.system.grid.voxel_mm]
        return np.asarray(ndimage.gaussian_filter(image, sigma, mode="nearest"), np.float32)


def _without_tof(lors: Lors) -> Lors:
    return Lors(lors.start, lors.end)


def _check(system: ReconSystem, start: Image, duration_s: float) -> None:
    system.grid.check(start, what="start µ map")
    check_mu(start, source="start µ map")
    if system.tof is None:
        raise MlaaError(
            f"{system.scanner.name} measures no time of flight: activity and attenuation cannot be "
            "told apart; use the head's contour"
        )
    if not 0.0 < duration_s < np.inf:
        raise MlaaError(f"duration_s is {duration_s}: must be above 0")
    if not (start > LEAST_MU).any():
        raise MlaaError("the start µ map is empty: start from the head's contour")
