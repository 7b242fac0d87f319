"""Prompt γ: coincidences of two photons of one decay that are not back to back.

With or instead of a positron some nuclides emit γ at once. Where such a γ, or what it leaves in the
crystal by Compton scatter, lies in the energy window and is paired with an annihilation photon or
another γ of the decay, the line means nothing. With A(x) positrons per second at x, u_E(a) the
probability that a photon of E sent from x in a random direction is counted per mm² of module a, and
y the pairs of two energies per positron (:func:`hw.physics.cascades.photon_pairs`), the modules a
and b count per mm⁴ and second

    Σ_x A(x) Σ_pairs y [ u_1(a) u_2(b) + u_2(a) u_1(b) ]

u holds the flight without scatter and up to ``MOST_COLLISIONS`` collisions in the object. Pairs of
photons are drawn at random, and followed as those of multiple scatter are: at each collision the
probability to be counted in every module is added in full (:mod:`recon.scatter.multiple`).

Taken off is what a γ costs where it meets an annihilation photon in one block
(:mod:`recon.scatter.third_photon`), trues included.

The rate is absolute: it follows from the image, has the unit of the scatter's, and is multiplied
with the same factors. A module is followed in ``PER_SIDE``² parts, between which it is
interpolated; places in it differ by what the block's edge counts as well. With several photons of a
decay in the window, the sorter's policy *all* is assumed, which keeps every pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hw.arrays import F4, F8, I8
from hw.physics.cascades import PhotonPair, photon_pairs
from hw.physics.compton import attenuation_scale
from hw.physics.constants import ELECTRON_REST_KEV
from hw.physics.gamma_efficiency import MOST_KEV, NODES_KEV, relative_efficiency
from hw.physics.nuclides import Nuclide
from recon.core.grid import Image
from recon.core.mu_map import check_mu
from recon.core.scanner_tables import ReconSystem
from recon.lines.model import LineFactor
from recon.scatter.cascade_kernels import follow_cascades
from recon.scatter.detector import BlockResponse, EnergyWindow, ScatterError
from recon.scatter.multiple import (
    MOST_MODULES,
    collision_norm,
    cubes,
    least_counted_keV,
    smooth_ratio,
)
from recon.scatter.rate import ScatterRate
from recon.scatter.samples import detector_samples, sample_places
from recon.scatter.simulation import OFFSET_BIN_MM, ScatterStopped, ScatterTable, in_tof_bins
from recon.scatter.third_kernels import follow_thirds
from recon.scatter.third_photon import (
    DIRECTIONS,
    LEAST_KEV,
    lost_share,
    spoilt,
    with_annihilation,
)

MOST_COLLISIONS = 3
CHAINS, QUICK_CHAINS = 50_000, 16_000
"""Pairs of photons followed: some 10 s of a core, and 3 s. With the former the prompt γ of a line
are known within 3 %, and the mean of a ball of 50 mm in the middle of a body of 20 cm within 2 %,
where half of the prompts are prompt γ. Each chain has random numbers of its own."""

PER_SIDE = 2
"""Parts along each side of a module, each of which a photon is followed to: with one alone, lines
at a module's ends got up to 10 % more or less than they count."""

LEAST_PER_POSITRON = 1e-3
"""With fewer γ pairs per positron, of which at most some per cent are counted, nothing is lost by
leaving them out."""

_ROWS = 1024
_PARTS = 8
_FEWER = 4
"""Fewer meetings are followed than pairs, of which they are some per cent; smoothed over nearby
modules, the share that they take is then known within about 1 % of the pairs."""

_TINY = 1e-300

Follow = Callable[[int, int, F8], None]
"""Follows so many chains with this seed and adds to an array."""


@dataclass(frozen=True)
class PromptGammas:
    """The simulation for one nuclide, µ map and energy window; make it with :meth:`of`.

    pairs : photons that come together
    """

    system: ReconSystem
    mu: Image
    response: BlockResponse
    pairs: tuple[PhotonPair, ...]
    chains: int = CHAINS
    threads: int = 1
    stopped: Callable[[], bool] = lambda: False

    @classmethod
    def of(
        cls,
        system: ReconSystem,
        mu: Image,
        window: EnergyWindow,
        pairs: Sequence[PhotonPair],
        *,
        chains: int = CHAINS,
        threads: int = 1,
        stopped: Callable[[], bool] = lambda: False,
    ) -> PromptGammas:
        """Return the simulation.

        Parameters
        ----------
        mu : 1/mm at 511 keV on the system's grid
        pairs : see :meth:`pairs_of`
        chains : pairs followed

        Raises
        ------
        ScatterError
            for a scanner of more modules than can be combined; ``MuMapError`` for the µ map.
        """
        if system.scanner.n_modules > MOST_MODULES:
            raise ScatterError(
                f"{system.scanner.n_modules} modules: prompt γ are simulated for at most "
                f"{MOST_MODULES}; reconstruct without (--no-prompt-gamma) and mind the level"
            )
        system.grid.check(mu, what="µ map")
        check_mu(mu)
        response = BlockResponse.of(system.scanner, window, system.detection.efficiency)
        return cls(system, mu, response, tuple(pairs), chains, threads, stopped)

    def quickly(self) -> PromptGammas:
        """Return it with fewer chains, for an image that is not the last."""
        return replace(self, chains=min(self.chains, QUICK_CHAINS))

    @staticmethod
    def pairs_of(system: ReconSystem, window: EnergyWindow, nuclide: Nuclide) -> list[PhotonPair]:
        """Return a nuclide's photons that come together and may be counted; none if too rare."""
        response = BlockResponse.of(system.scanner, window, system.detection.efficiency)
        least = least_counted_keV(response)
        pairs = photon_pairs(nuclide, least_keV=least, most_keV=MOST_KEV)
        rare = sum(pair.per_positron for pair in pairs) < LEAST_PER_POSITRON
        return [] if rare else pairs

    def rate(
        self, activity: Image, factors: Sequence[LineFactor] = (), seed: int = 1
    ) -> ScatterRate:
        """Return what an activity (positrons per second and voxel, on the grid) makes per line."""
        system = self.system
        system.grid.check(activity, what="activity")
        samples = detector_samples(system, self._per_side, even=True)
        each = samples.per_module
        per_mm4 = self._per_positron(activity, seed)
        by_module = per_mm4.reshape(len(per_mm4) // each, each, -1, each, per_mm4.shape[2])
        rates = by_module[samples.rows[:, 0], :, samples.rows[:, 1]]
        rates *= self._kept(activity, seed, samples.rows, rates)[:, None, None, None]
        rates *= system.detection.crystal_area_mm2**2 * float(activity.sum(dtype=np.float64))
        table = ScatterTable(samples, in_tof_bins(rates, system.tof), OFFSET_BIN_MM)
        return ScatterRate(system, table, tuple(factors), activity=activity)

    def _per_positron(self, activity: Image, seed: int) -> F8:
        """Return pairs per positron and mm⁴ of face, (parts, parts, offsets) of all modules."""
        each = np.array([pair.per_positron for pair in self.pairs])
        energies = np.array([(pair.one_keV, pair.other_keV) for pair in self.pairs])
        stage = self._stage(activity, self._per_side)
        share = np.cumsum(each) / each.sum()

        def follow(chains: int, drawn: int, out: F8) -> None:
            follow_cascades(
                *stage, share, energies, OFFSET_BIN_MM, chains, MOST_COLLISIONS, drawn, out
            )

        modules = self.system.scanner.n_modules * self._per_side**2
        shape = (modules, modules, self._offsets())
        return self._followed(follow, activity, shape, seed) * each.sum()

    def _kept(self, activity: Image, seed: int, rows: I8, rates: F8) -> F8:
        """Return which share of the pairs of two modules is left, (pairs of modules,), after what γ
        cost that meet an annihilation photon in one block.

        rates : (pairs of modules, parts, parts, offsets) per mm⁴ of face
        """
        pairs = with_annihilation(self.pairs)
        if not pairs:
            return np.ones(len(rows))
        each = np.array([pair.per_positron for pair in pairs])
        energies = np.array([pair.other_keV for pair in pairs])
        table, lowest_keV, per_keV = by_energy(self.system, self.response, LEAST_KEV)
        every_keV = lowest_keV + np.arange(len(table)) / per_keV
        table[:, 0] = lost_share(self.response, every_keV, table[:, 0])
        lost = np.interp(energies, every_keV, table[:, 0])
        costs = np.array([spoilt(self.response, float(one)) for one in lost])
        stage, share = self._stage(activity, 1), np.cumsum(each) / each.sum()

        def follow(chains: int, drawn: int, out: F8) -> None:
            follow_thirds(
                *stage, table, lowest_keV, per_keV, share, energies, costs, DIRECTIONS,
                max(chains // _FEWER, 1), MOST_COLLISIONS, drawn, out,
            )  # fmt: skip

        module = self.system.scanner.module
        modules = 2 * (self.system.scanner.n_modules,)
        per_mm6 = self._followed(follow, activity, modules, seed) * each.sum()
        per_mm4 = (per_mm6 + per_mm6.T)[rows[:, 0], rows[:, 1]] * module.width_mm * module.height_mm
        whole = rates.mean(axis=(1, 2)).sum(axis=1)
        return np.clip(1.0 - smooth_ratio(self.system, rows, per_mm4, whole), 0.0, 1.0)

    def _followed(self, follow: Follow, activity: Image, shape: tuple[int, ...], seed: int) -> F8:
        """Return the mean of what several parts of the chains add up; 0 without activity."""
        out = np.zeros((_PARTS, *shape))

        def part(number: int) -> None:
            if self.stopped():
                raise ScatterStopped
            follow(max(self.chains // _PARTS, 1), number * 1_000_003 + seed, out[number])

        if activity.any():
            with ThreadPoolExecutor(max(self.threads, 1)) as pool:
                list(pool.map(part, range(_PARTS)))
        return np.asarray(out.mean(axis=0))

    def _stage(self, activity: Image, per_side: int) -> tuple[Any, ...]:
        """Return the kernels' arguments up to the table over energy: object, modules, energies."""
        lit, matter = (cubes(image, self.system.grid) for image in (activity, self.mu))
        sums = np.cumsum(lit.values, dtype=np.float64)
        faces, axes, size, towards = self._module_parts(per_side)
        return (
            sums / max(sums[-1], _TINY), matter.values, matter.origin_mm,
            float(matter.voxel_mm[0]), faces, axes, towards, np.ones_like(towards), size,
            *by_energy(self.system, self.response),
        )  # fmt: skip

    @property
    def _per_side(self) -> int:
        return PER_SIDE if self.system.scanner.n_modules * PER_SIDE**2 <= MOST_MODULES else 1

    def _module_parts(self, per_side: int) -> tuple[F8, F8, F8, F4]:
        """Return faces, axes and size of the parts of all modules, module by module, and their
        efficiency by direction.

        A photon interacts anywhere in a square about each sample that ends at the module's edge.
        """
        system, module = self.system, self.system.scanner.module
        place = sample_places(per_side)
        v, u = np.meshgrid(place * module.height_mm, place * module.width_mm, indexing="ij")
        axes, seen = system.detection.axes, system.detection.efficiency.along_u
        aside = u.ravel()[:, None] * axes[:, None, 0] + v.ravel()[:, None] * axes[:, None, 1]
        faces = system.geometry.module_centre_mm[:, None] + aside
        across = 1 - 2 * float(place.max())
        size = np.array([across * module.width_mm, across * module.height_mm, module.thickness_mm])
        mean = seen.mean(axis=2, keepdims=True) if seen.size else seen
        return faces.reshape(-1, 3), np.repeat(axes, len(place) ** 2, axis=0), size, mean

    def _offsets(self) -> int:
        """Return the number of TOF offsets that half of any difference of paths needs."""
        if self.system.tof is None:
            return 1
        far = float(np.linalg.norm(self.system.geometry.module_centre_mm, axis=1).max())
        return 2 * math.ceil((far + self.system.tof.support_mm) / OFFSET_BIN_MM) + 1


def may_have_prompt_gamma(nuclide: Nuclide, window: EnergyWindow) -> bool:
    """Return whether a nuclide may need the correction: told at once, without the scanner."""
    pairs = photon_pairs(nuclide, least_keV=window.lld_keV / 2, most_keV=MOST_KEV)
    return sum(pair.per_positron for pair in pairs) >= LEAST_PER_POSITRON


def by_energy(
    system: ReconSystem, response: BlockResponse, least_keV: float = 0.0
) -> tuple[F8, float, float]:
    """Return the kernel's table over energy, its first energy, and its rows per keV.

    least_keV : its first energy; by default the least of which photons are counted
    """
    least = least_keV or least_counted_keV(response)
    energy = np.linspace(least, MOST_KEV, _ROWS)
    window = response.window
    above = relative_efficiency(
        system.scanner, system.geometry, lld_keV=window.lld_keV, uld_keV=window.uld_keV
    )
    below = response.recorded_share(energy)
    columns = (
        np.where(energy > ELECTRON_REST_KEV, np.interp(energy, NODES_KEV, above), below),
        attenuation_scale(energy),
        response.attenuation_per_mm(energy),
        collision_norm(energy),
    )
    table = np.ascontiguousarray(np.stack(columns, axis=1))
    return table, least, (_ROWS - 1) / (MOST_KEV - least)
