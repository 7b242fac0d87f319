"""The scatter scale from lines that miss the object: prompts less randoms over scatter there.

Single-scatter simulation leaves out photons that scattered more than once; these have nearly the
same distribution, so one factor α accounts for them. It is found where there are no trues: on lines
that miss the object (Watson, Newport and Casey 1996). With n_k prompts, R_k randoms and S_k
simulated scatter expected on the tail lines of module pair k, α maximises the Poisson likelihood,

    Σ_k S_k (n_k / (α S_k + R_k) − 1) = 0,     1/σ_α² = Σ_k S_k² / (α S_k + R_k)

Prompt γ, if there are any, are known and count with the randoms. σ is raised by √(χ²/dof) if the
pairs vary more than Poisson statistics allow. Which lines are tails is decided line by line, from
the µ map and the activity dilated by ``MARGIN_MM``; the expectation on them is summed over
quasi-random lines between the modules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import scipy  # its submodule optimize is imported where it is first used
from scipy import ndimage

from coincidence.events import COINCIDENCE
from hw.arrays import F8, I8, Records
from recon.core.event_location import LocatedEvents
from recon.core.events import Lors
from recon.core.grid import Image
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity_lines import sampled_lines
from recon.lines.model import LineRate
from recon.projector.operator import Projector
from recon.scatter.rate import ScatterRate

MARGIN_MM = 12.0
"""Position blur, positron range and depth move trues off their line by a few mm."""

OBJECT_MU_PER_MM = 0.002
OBJECT_ACTIVITY = 0.1
"""Voxels belong to the object from this µ, or from this share of the activity's 99th percentile."""

LINES = 300_000
TIMES_EVERY = 16
"""The sampled lines are at the times of every so many prompts."""

Locate = Callable[[Records], LocatedEvents]

GAMMA_ERROR = 0.03
"""Relative error of the prompt γ that are known, which the tails' scatter bears."""


@dataclass(frozen=True)
class TailFit:
    """The scale α with its relative standard error, its counts, and the randoms on all lines."""

    scale: float
    relative_error: float
    prompts: float
    randoms: float
    scatter: float
    all_randoms: float = 0.0


def object_mask(mu: Image, activity: Image, system: ReconSystem) -> Image:
    """Return 1 where the object may be (margin included), else 0."""
    body = mu > OBJECT_MU_PER_MM
    lit = activity[activity > 0]
    if len(lit):
        body = body | (activity > OBJECT_ACTIVITY * float(np.percentile(lit, 99)))
    body = ndimage.binary_opening(body)  # a single noisy voxel is no object
    outside = ndimage.distance_transform_edt(~body, sampling=system.grid.voxel_mm)
    return np.asarray(outside <= MARGIN_MM if body.any() else body, dtype=np.float32)


@dataclass(frozen=True)
class Tails:
    """Counts on tail lines of each module pair, (modules²,) f8: prompts, and what is expected.

    all_randoms : on all lines
    """

    seen: F8
    scatter: F8
    random: F8
    gamma: F8
    all_randoms: float

    def fit(self, gamma_scale: float = 1.0) -> TailFit:
        """Return the scale at which the scatter explains the prompts."""
        gamma = gamma_scale * self.gamma
        found = solve(self.seen, self.scatter, self.random + gamma)
        unsure = GAMMA_ERROR * float(gamma.sum()) / max(found.scale * found.scatter, 1e-300)
        error = math.hypot(found.relative_error, unsure)
        return replace(found, relative_error=error, all_randoms=self.all_randoms)


def tails_of(
    rate: ScatterRate,
    mask: Image,
    prompts: Iterable[Records],
    *,
    duration_s: float,
    randoms: LineRate | None,
    gamma: ScatterRate | None = None,
    locate: Locate | None = None,
    threads: int = 1,
) -> Tails:
    """Return what lines that miss ``mask`` hold.

    Parameters
    ----------
    mask : 1 where the object may be
    prompts : chunks of ``COINCIDENCE`` records
    duration_s : live seconds that ``prompts`` cover
    randoms, gamma : rates of randoms and prompt γ on the same lines, or None
    locate : returns where records' lines run in the mask's frame, by their times if the object
        moves; default: where the crystals are
    """
    system = rate.system
    projector = Projector(system.grid, threads=threads)
    where = locate or partial(_at_rest, system)
    try:
        seen, times_ps = _measured(system, projector, mask, prompts, where)
        parts, everywhere = _expected(rate, projector, mask, randoms, gamma, where, times_ps)
    finally:
        projector.close()
    scatter, random, gammas = parts * duration_s
    return Tails(seen, scatter, random, gammas, everywhere * duration_s)


def solve(seen: F8, scatter: F8, random: F8) -> TailFit:
    """Return the most likely scale; its error is infinite if there is nothing to fit."""
    used = scatter > 0
    n, s, r = seen[used], scatter[used], random[used]
    whole = (float(n.sum()), float(r.sum()), float(s.sum()))
    if not len(s) or n.sum() <= r.sum():
        return TailFit(0.0, math.inf, *whole)
    most = float(n.sum() / s.sum()) + 1.0

    def slope(scale: float) -> float:
        return float((s * (n / (scale * s + r + 1e-12) - 1.0)).sum())

    least = 1e-6
    if slope(least) <= 0 or slope(most * 10) >= 0:
        return TailFit(0.0, math.inf, *whole)
    scale = float(scipy.optimize.brentq(slope, least, most * 10, xtol=1e-6))
    expected = scale * s + r
    spread = float(((n - expected) ** 2 / expected).sum() / max(len(s) - 1, 1))
    sigma = math.sqrt(max(spread, 1.0) / float((s**2 / expected).sum()))
    return TailFit(scale, sigma / scale, *whole)


def _at_rest(system: ReconSystem, records: Records) -> LocatedEvents:
    return system.detection.locate(records, voxel_volume_mm3=system.grid.voxel_volume_mm3)


def _measured(
    system: ReconSystem,
    projector: Projector,
    mask: Image,
    prompts: Iterable[Records],
    locate: Locate,
) -> tuple[F8, I8]:
    """Return the prompts on tail lines of each module pair, (modules²,), and some prompts' times
    (ps)."""
    counts = np.zeros(system.scanner.n_modules**2)
    times: list[I8] = []
    for records in prompts:
        located = locate(records)
        times.append(records["time_ps"][::TIMES_EVERY].astype(np.int64))
        tail = _misses(projector, mask, located)
        counts += np.bincount(located.pair[tail], minlength=len(counts))
    known = np.concatenate(times) if times else np.zeros(0, np.int64)
    return counts, known if len(known) else np.zeros(1, np.int64)


def _expected(
    rate: ScatterRate,
    projector: Projector,
    mask: Image,
    randoms: LineRate | None,
    gamma: ScatterRate | None,
    locate: Locate,
    times_ps: I8,
) -> tuple[F8, float]:
    """Return scatter, randoms and prompt γ per second on tail lines, (3, modules²), and randoms on
    all lines."""
    system = rate.system
    modules, each = system.scanner.n_modules, system.scanner.crystals_per_module
    scatter, random, gammas = np.zeros((3, modules**2))
    sampled, whole = np.zeros(modules**2), np.zeros(modules**2)
    rng = np.random.default_rng(4)
    for lines in sampled_lines(system, samples=LINES):
        a, b = lines.crystal_a, lines.crystal_b
        located = as_measured(system, a, b, rng, locate=locate, times_ps=times_ps)
        pair = a // each * modules + b // each
        tail = _misses(projector, mask, located)
        sampled += np.bincount(pair, minlength=modules**2)
        scatter += np.bincount(pair[tail], rate.of_lines(a[tail], b[tail]), modules**2)
        if gamma is not None:
            gammas += np.bincount(pair[tail], gamma.of_lines(a[tail], b[tail]), modules**2)
        if randoms is not None:
            records = pair_records(a, b)
            values = randoms.of_records(records, located) / system.tof_share
            random += np.bincount(pair, values * tail, modules**2)
            whole += np.bincount(pair, values, modules**2)
    stands_for = each**2 / np.maximum(sampled, 1.0)
    parts = np.array([scatter, random, gammas]) * stands_for
    return parts, float((whole * stands_for).sum())


def _misses(projector: Projector, mask: Image, located: LocatedEvents) -> npt.NDArray[np.bool_]:
    lors = Lors(located.lors.start, located.lors.end)
    return np.asarray(projector.forward(mask, lors) <= 0)


def pair_records(a: I8, b: I8) -> Records:
    """Return records of crystal pairs, all else 0."""
    records = np.zeros(len(a), dtype=COINCIDENCE)
    records["crystal_a"], records["crystal_b"] = a, b
    return records


def as_measured(
    system: ReconSystem,
    a: I8,
    b: I8,
    rng: np.random.Generator,
    *,
    locate: Locate | None = None,
    times_ps: I8 | None = None,
) -> LocatedEvents:
    """Return lines of crystal pairs as a measurement would record them, with random depths.

    With large crystals it matters that measured lines run between the crystals' centres: that
    decides whether a line is a tail.

    Parameters
    ----------
    system : the scanner
    a, b : (n,) the lines' crystals
    rng : draws the depths
    locate : returns where records' lines run; default: where the crystals are
    times_ps : (k,) detector times, of which each line is given one at random; None for 0
    """
    records = pair_records(a, b)
    detection = system.detection
    share = np.exp(-detection.mu_per_mm * detection.doi_depth_mm.astype(np.float64))
    share /= share.sum()
    for name in ("doi_a", "doi_b"):
        records[name] = rng.choice(len(share), size=len(a), p=share)
    if times_ps is not None:
        records["time_ps"] = np.random.default_rng(len(a)).choice(times_ps, size=len(a))
    return (locate or partial(_at_rest, system))(records)
