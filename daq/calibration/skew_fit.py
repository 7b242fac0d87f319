"""Time skew of each crystal from coincidences, by least squares over all pairs at once.

Δt of a pair of crystals is the difference of their skews, plus the difference of flight times from
the source, plus noise. The flight times are known for a source at a known place; the skews solve a
sparse least-squares problem, up to one constant that no coincidence can show: the mean skew is set
to 0. A window around each pair's own expectation, which narrows with the solution, removes randoms
and scatter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import cg

from daq.calibration.coincidence_pairs import Position, SourceShape, expected_tof_ps
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import Status
from hw.arrays import F8
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry

LEAST_COUNTS = 30
"""Coincidences within the window that a crystal needs for a skew of its own."""

WINDOW_SIGMA = 2.5
TRUNCATED_SIGMA = math.sqrt(
    1
    - WINDOW_SIGMA
    * math.sqrt(2 / math.pi)
    * math.exp(-(WINDOW_SIGMA**2) / 2)
    / math.erf(WINDOW_SIGMA / math.sqrt(2))
)
"""Standard deviation of a standard normal distribution truncated at ±w, w = 2.5: √(1 −
2·w·φ(w)/(2Φ(w) − 1)) = 0.9546 (Johnson, Kotz, Balakrishnan, *Continuous univariate
distributions* 1, 1994, §10.1).
"""

ITERATIONS = 12
SETTLED_PS = 0.1


@dataclass(frozen=True)
class SkewResult:
    """Skews (n_crystals,) f8 in ps, how each was obtained, and the quality of the solution.

    sigma_ps : σ of the residual Δt; used : coincidences in the last window; iterations : their
        number
    residual_before, residual_after : (pairs,) Δt minus expectation, without and with the skews
    """

    skew_ps: F8
    status: npt.NDArray[np.uint8]
    sigma_ps: float
    used: int
    iterations: int
    residual_before: F8
    residual_after: F8


def calibrate_skew(
    pairs: npt.NDArray[np.void],
    scanner: Scanner,
    *,
    source: SourceShape = "point",
    position_mm: Position = (0.0, 0.0, 0.0),
) -> SkewResult:
    """Return the skews that best explain the pairs' time differences.

    Crystals with fewer than ``LEAST_COUNTS`` coincidences in the window, or not connected to the
    others by coincidences, get their module's median and are marked.

    Raises
    ------
    CalibrationSetError
        if fewer than ``LEAST_COUNTS`` coincidences are left.
    """
    expected = expected_tof_ps(pairs, build_geometry(scanner), source=source,
                               position_mm=position_mm)  # fmt: skip
    before = pairs["tof_ps"] - expected
    a, b = pairs["crystal_a"].astype(np.int64), pairs["crystal_b"].astype(np.int64)
    skew = np.zeros(scanner.n_crystals)
    residual, sigma, inside = before, np.inf, np.ones(len(pairs), dtype=np.bool_)
    iterations = 0
    for iterations in range(1, ITERATIONS + 1):
        check_enough(int(inside.sum()))
        change = solve_differences(a[inside], b[inside], residual[inside], scanner.n_crystals)
        skew += change
        residual = before - (skew[b] - skew[a])
        sigma = narrower(residual, sigma)
        inside = np.abs(residual) <= WINDOW_SIGMA * sigma
        if iterations > 1 and np.abs(change).max() < SETTLED_PS:
            break
    skew, status = settle(skew, a[inside], b[inside], scanner)
    after = before - (skew[b] - skew[a])
    return SkewResult(skew, status, sigma, int(inside.sum()), iterations, before, after)


def check_enough(count: int) -> None:
    """Raise CalibrationSetError for too few coincidences."""
    if count < LEAST_COUNTS:
        raise CalibrationSetError(
            f"{count} coincidences in the window, at least {LEAST_COUNTS} are needed (and about "
            "300 a crystal for 10 ps): measure longer, with a source in the middle"
        )


def narrower(residual: F8, sigma: float) -> float:
    """Return the next σ: at first from the median, then from what lies within ±2.5 σ. It never
    grows, so a flat floor of randoms cannot widen it again.
    """
    if not np.isfinite(sigma):
        return float(1.4826 * np.median(np.abs(residual)))
    core = residual[np.abs(residual) <= WINDOW_SIGMA * sigma]
    if len(core) < LEAST_COUNTS:
        return sigma
    return min(sigma, float(np.sqrt(np.mean(core * core))) / TRUNCATED_SIGMA)


def solve_differences(
    a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], difference: F8, n: int
) -> F8:
    """Return x (n,) that minimises Σ (x[b] − x[a] − difference)², with mean 0 in each connected
    part: the normal equations are a graph's Laplacian, solved by conjugate gradients."""
    pair, place = np.unique(a * n + b, return_inverse=True)
    count = np.bincount(place).astype(np.float64)
    first, second = pair // n, pair % n
    links = coo_array((count, (first, second)), shape=(n, n))
    links = csr_array(links + links.T)
    degree = np.asarray(links.sum(axis=1)).ravel()
    right = np.bincount(b, difference, n) - np.bincount(a, difference, n)
    preconditioner = diags_array(1 / np.maximum(degree, 1.0))
    x, _ = cg(diags_array(degree) - links, right, rtol=1e-7, maxiter=2000, M=preconditioner)
    parts, part_of = connected_components(links, directed=False)
    mean = np.bincount(part_of, x, parts) / np.bincount(part_of, minlength=parts)
    result: F8 = x - mean[part_of]
    return result


def settle(
    skew: F8, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], scanner: Scanner
) -> tuple[F8, npt.NDArray[np.uint8]]:
    """Return skews (n_crystals,) with mean 0, and how each was obtained.

    A skew that the coincidences (a, b) do not determine becomes the module's median.
    """
    n = scanner.n_crystals
    counts = np.bincount(np.concatenate([a, b]), minlength=n)
    links = csr_array(coo_array((np.ones(len(a)), (a, b)), shape=(n, n)))
    _, part_of = connected_components(links, directed=False)
    largest = np.bincount(part_of).argmax()
    fitted = (counts >= LEAST_COUNTS) & (part_of == largest)
    settled = skew - (skew[fitted].mean() if fitted.any() else 0.0)
    status = np.full(n, Status.FITTED, dtype=np.uint8)
    for module in range(scanner.n_modules):
        own = slice(
            module * scanner.crystals_per_module, (module + 1) * scanner.crystals_per_module
        )
        known = fitted[own]
        value = np.median(settled[own][known]) if known.any() else 0.0
        settled[own] = np.where(known, settled[own], value)
        status[own][~known] = Status.MODULE if known.any() else Status.SCANNER
    return settled, status
