"""Scatter simulation: how much scatter each pair of detector samples detects.

Single scatter is integrated as below, then multiplied by the factor that multiple scatter adds for
the two modules (:mod:`recon.scatter.multiple`).

C. C. Watson, D. Newport, M. E. Casey, in *Three-Dimensional Image Reconstruction in Radiology and
Nuclear Medicine* (1996) 255; C. C. Watson, IEEE Trans. Nucl. Sci. 47 (2000) 1587, eq. 1 to 3; with
time of flight: C. C. Watson, IEEE Trans. Nucl. Sci. 54 (2007) 1679. For a volume of matter dV at
the point S, a pair of crystals of face A at the distances R from it detects per second

    dq_ab = A² cosθ_a η_a cosθ_b η_b / (2π R_a² R_b²) · µ dV · (1/σ dσ/dΩ) · (I_a + I_b)
    I_a = ε_a(511) ε_b(E') w(E')/w(511) · exp(−∫_S^a µ − κ(E') ∫_S^b µ) · ∫_S^a ρ ds

with ρ the emissions per second and mm³, θ the angle between the ray from a and the ray to b, E' the
energy after a scatter by θ, κ = µ(E')/µ(511), ε and w of :mod:`recon.scatter.detector`. The factor
is 1/2π as in :mod:`recon.core.event_location` (either photon may go to a). η is the block
efficiency for photons of 511 keV, by direction; w, relative to 511 keV, lowers it for others. If
the reconstruction leaves η out (1), its activity is the emissions times η²: q has the unit of g Σ a
λ either way.

With time of flight, an emission at s from S towards a is measured at the offset −(s + (R_b −
R_a)/2) from the line's middle, one towards b at s + (R_a − R_b)/2; histograms over the offset are
blurred with the scanner's resolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from hw.arrays import F4, F8
from hw.physics.compton import attenuation_scale, energy_after, klein_nishina, total_cross_section
from hw.physics.constants import ELECTRON_REST_KEV
from recon.core.grid import Image
from recon.core.mu_map import check_mu
from recon.core.scanner_tables import ReconSystem
from recon.core.tof import TofModel
from recon.scatter.detector import BlockResponse, EnergyWindow, ScatterError
from recon.scatter.multiple import MOST_MODULES, scattered_pairs, smooth_ratio
from recon.scatter.points import CoarseImage, coarse_image, scatter_points
from recon.scatter.samples import DetectorSamples, detector_samples, mean_weights
from recon.scatter.single_kernels import RAY_COLUMNS, follow_rays, pair_rates

COSINE_CELLS = 512
MOST_MULTIPLE = 3.0
"""Bound relative to single scatter: more is noise in a module pair that hardly sees any."""

OFFSET_BIN_MM = 10.0
_CHUNKS = 32


class ScatterStopped(Exception):
    """The computation was told to stop."""


@dataclass(frozen=True)
class ScatterOptions:
    """How finely the simulation samples.

    spacing_mm : spacing of scatter points
    per_side : detector samples along each side of a module
    cell_mm : voxel size of activity and µ along the rays
    chains : decays followed for multiple scatter, for each of two kinds; 0 leaves it out
    """

    spacing_mm: float = 18.0
    per_side: int = 2
    cell_mm: float = 6.0
    chains: int = 200_000

    def __post_init__(self) -> None:
        for name, least, most in (("spacing_mm", 1.0, 60.0), ("cell_mm", 0.5, 30.0)):
            if not least <= getattr(self, name) <= most:
                raise ScatterError(
                    f"scatter {name} = {getattr(self, name):g}: must lie in {least:g}..{most:g}"
                )
        if not 0 <= self.chains <= 10_000_000:
            raise ScatterError(f"scatter chains = {self.chains}: must lie in 0..10,000,000")
        if not 1 <= self.per_side <= 16:
            raise ScatterError(f"scatter per_side = {self.per_side}: must lie in 1..16")


@dataclass(frozen=True)
class ScatterTable:
    """Scatter per second of crystal pairs, at the samples of modules.

    rates : (rows, samples of a, samples of b, offsets) f4; in one of the reconstruction's TOF bins
        at each offset, or the pair's total if there is one offset
    bin_mm : width of an offset bin
    """

    samples: DetectorSamples
    rates: F4
    bin_mm: float


class SingleScatter:
    """The simulation for one µ map; :meth:`table` then accepts any activity.

    Parameters
    ----------
    system : the scanner and its image grid
    mu : 1/mm at 511 keV on the system's grid
    window : the run's energy window
    options : how finely it samples
    threads : 1 runs in the caller's thread; results do not depend on it
    stopped : polled regularly; True raises :class:`ScatterStopped`
    """

    def __init__(
        self,
        system: ReconSystem,
        mu: Image,
        window: EnergyWindow,
        *,
        options: ScatterOptions | None = None,
        threads: int = 1,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        system.grid.check(mu, what="µ map")
        check_mu(mu)
        self.system = system
        self.window = window
        self.mu = mu
        self.options = options or ScatterOptions()
        self.points = scatter_points(mu, system.grid, self.options.spacing_mm)
        self.samples = detector_samples(system, self.options.per_side)
        self.response = BlockResponse.of(system.scanner, window, system.detection.efficiency)
        self._threads = threads
        self._stopped = stopped
        self._pairs = _sample_pairs(self.samples)
        shape = (len(self.samples.position_mm), len(self.points), RAY_COLUMNS)
        self._rays = np.zeros(shape, dtype=np.float32)
        through = self._integrals(coarse_image(mu, system.grid, self.options.cell_mm), 1)
        self._rays[:, :, 5] = through[:, :, 0]

    @property
    def empty(self) -> bool:
        """Whether there is no scattering matter."""
        return len(self.points) == 0

    @property
    def with_multiple(self) -> bool:
        """Whether multiple scatter is simulated too."""
        return bool(self.options.chains) and self.system.scanner.n_modules <= MOST_MODULES

    def table(self, activity: Image, *, stopped: Callable[[], bool] | None = None) -> ScatterTable:
        """Return the scatter of an activity (emissions per second and voxel, on the grid).

        stopped : polled instead of the one given to the constructor
        """
        self._stopped = stopped or self._stopped
        system = self.system
        system.grid.check(activity, what="activity")
        _check_activity(activity)
        coarse = coarse_image(
            activity / system.grid.voxel_volume_mm3, system.grid, self.options.cell_mm
        )
        n_offsets, bins = self._bins(coarse)
        rates = np.zeros((len(self._pairs[0]), n_offsets))
        if not self.empty and activity.any():
            integrals = self._integrals(coarse, bins)
            self._add_up(integrals, rates)
            rates *= self._more(rates, activity)
        each = self.samples.per_module
        rates *= system.detection.crystal_area_mm2**2
        shaped = rates.reshape(len(self.samples.rows), each, each, n_offsets)
        return ScatterTable(self.samples, in_tof_bins(shaped, system.tof), OFFSET_BIN_MM)

    def _more(self, rates: F8, activity: Image) -> F8:
        """Return all scatter over the integral, for each pair of samples, (pairs, 1).

        This covers multiple scatter, and the error of the integral from its few samples per module
        and single depth per ray (2 %).
        """
        if not self.with_multiple:
            return np.ones((len(rates), 1))
        rows = self.samples.rows
        once, again = scattered_pairs(
            self.system, self.response, activity, self.mu, chains=self.options.chains,
            threads=self._threads, check=self._check,
        )  # fmt: skip
        each = self.samples.per_module
        weight = mean_weights(self.system, self.options.per_side)
        single = rates.sum(axis=1).reshape(len(rows), each, each) @ weight @ weight
        emitted = float(activity.sum(dtype=np.float64))
        multiple = again[rows[:, 0], rows[:, 1]] * emitted
        share = smooth_ratio(self.system, rows, multiple, single)
        of_integral = once[rows[:, 0], rows[:, 1]].sum() * emitted / max(single.sum(), 1e-300)
        return np.repeat(of_integral + np.clip(share, 0.0, MOST_MULTIPLE), each**2)[:, None]

    def sampled_energies(
        self, activity: Image, rng: np.random.Generator, count: int
    ) -> tuple[F8, F8]:
        """Return energies (keV) of stopped scattered photons, before the window, and weights.

        Both (count,), from evenly drawn pairs of samples and scatter points.
        """
        coarse = coarse_image(activity, self.system.grid, self.options.cell_mm)
        lit = self._integrals(coarse, 1)[:, :, 0]
        pair = rng.integers(len(self._pairs[0]), size=count)
        point = rng.integers(len(self.points), size=count)
        a, b = self._pairs[0][pair], self._pairs[1][pair]
        ray_a, ray_b = (self._rays[side, point].astype(np.float64) for side in (a, b))
        cosine = -(ray_a[:, :3] * ray_b[:, :3]).sum(axis=1)
        energy = energy_after(cosine)
        matter, crystal = attenuation_scale(energy), self.response.attenuation_per_mm(energy)
        of_511 = float(self.response.attenuation_per_mm(ELECTRON_REST_KEV))
        weight = np.zeros(count)
        for own, other, emitted in ((ray_a, ray_b, lit[a, point]), (ray_b, ray_a, lit[b, point])):
            through = np.exp(-own[:, 5] - matter * other[:, 5])
            stopped = np.expm1(-of_511 * own[:, 6]) * np.expm1(-crystal * other[:, 6])
            weight += emitted * through * stopped
        weight *= klein_nishina(cosine) * ray_a[:, 4] * ray_b[:, 4]
        return energy, weight * self.points.weight_mm2[point]

    def _bins(self, coarse: CoarseImage) -> tuple[int, int]:
        """Return the number of offsets, and of distances along a ray."""
        tof = self.system.tof
        if tof is None:
            return 1, 1
        across = float(np.linalg.norm(self.samples.position_mm, axis=1).max())
        offsets = 2 * math.ceil((across + tof.support_mm) / OFFSET_BIN_MM) + 1
        size = (np.array(coarse.values.shape) - 1) * coarse.voxel_mm
        return offsets, math.ceil(float(np.linalg.norm(size)) / OFFSET_BIN_MM) + 1

    def _integrals(self, image: CoarseImage, bins: int) -> F4:
        detectors = len(self.samples.position_mm)
        integrals = np.zeros((detectors, len(self.points), bins), dtype=np.float32)
        seen = self.system.detection.efficiency
        lines = (
            self.samples.position_mm, self.system.detection.axes, self.samples.places,
            seen.along_u, seen.along_v, self.system.scanner.module.thickness_mm,
            float(self.response.attenuation_per_mm(ELECTRON_REST_KEV)), self.points.position_mm,
        )  # fmt: skip
        step_mm = float(image.voxel_mm.min()) / 2
        content = (image.values, image.origin_mm, image.voxel_mm, step_mm, OFFSET_BIN_MM)
        self._in_parts(
            detectors,
            lambda first, stop: follow_rays(*lines, *content, first, stop, self._rays, integrals),
        )
        return integrals

    def _add_up(self, integrals: F4, rates: F8) -> None:
        by_cosine, least = self._by_cosine()
        weight = self.points.weight_mm2 / (2 * math.pi)
        seen = (self._rays, integrals, weight, by_cosine, least, OFFSET_BIN_MM)
        self._in_parts(
            len(rates), lambda first, stop: pair_rates(*self._pairs, *seen, first, stop, rates)
        )

    def _by_cosine(self) -> tuple[F8, float]:
        """Return the table over cosθ for ``pair_rates``, and its first cosine."""
        every = np.linspace(-1.0, 1.0, 2001)
        seen = np.flatnonzero(self.response.recorded_share(energy_after(every)) > 1e-3)
        least = float(every[max(int(seen[0]) - 1, 0)])
        cosine = np.linspace(least, 1.0, COSINE_CELLS + 1)
        energy = energy_after(cosine)
        turned = klein_nishina(cosine) / total_cross_section(energy[-1])
        columns = (
            turned * self.response.recorded_share(energy),
            attenuation_scale(energy),
            self.response.attenuation_per_mm(energy),
        )
        return np.ascontiguousarray(np.stack(columns, axis=1)), least

    def _check(self) -> None:
        if self._stopped():
            raise ScatterStopped

    def _in_parts(self, count: int, work: Callable[[int, int], None]) -> None:
        edges = np.linspace(0, count, _CHUNKS + 1).astype(int)

        def one(part: int) -> None:
            self._check()
            work(int(edges[part]), int(edges[part + 1]))

        if self._threads <= 1:
            for part in range(_CHUNKS):
                one(part)
            return
        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(one, range(_CHUNKS)))


def in_tof_bins(rates: F8, tof: TofModel | None) -> F4:
    """Return rates over offsets (the last axis), blurred: what a TOF bin centred at each offset
    counts.

    Without time of flight they are returned unchanged.
    """
    if tof is None:
        return rates.astype(np.float32)
    blurred = ndimage.gaussian_filter1d(
        rates, tof.sigma_mm / OFFSET_BIN_MM, axis=-1, mode="constant", truncate=tof.n_sigmas
    )
    return np.asarray(blurred * (tof.bin_mm / OFFSET_BIN_MM), dtype=np.float32)


def _sample_pairs(samples: DetectorSamples) -> tuple[npt.NDArray[np.int64], ...]:
    """Return samples a and b of every sample pair, in the order of a table's rows."""
    each = np.arange(samples.per_module)
    a = samples.rows[:, 0, None, None] * samples.per_module + each[None, :, None]
    b = samples.rows[:, 1, None, None] * samples.per_module + each[None, None, :]
    a, b = np.broadcast_arrays(a, b)
    return np.ascontiguousarray(a.ravel()), np.ascontiguousarray(b.ravel())


def _check_activity(activity: Image) -> None:
    if not np.isfinite(activity).all():
        raise ScatterError(
            f"activity has {int((~np.isfinite(activity)).sum())} voxels that are not finite; "
            "estimate scatter from a finished reconstruction"
        )
    if activity.min() < 0:
        raise ScatterError(
            f"activity has voxels down to {activity.min():.3g}; it must be emissions/s ≥ 0"
        )
