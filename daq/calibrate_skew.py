"""Time skew of each crystal from coincidences, by least squares over all pairs at once.

Δt of a pair of crystals is the difference of their skews, plus the difference of flight times
from the source, plus noise. The flight times are known for a source of known place; the skews are
the solution of a sparse least-squares problem, up to one constant that no coincidence can see: the
mean skew is set to 0. Randoms and scatter are cut by a window around each pair's own expectation,
which narrows with the solution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import cg

from coincidence.calibration import Calibration, no_calibration
from daq import rawlog
from daq.calibration_set import CalibrationSetError, Status
from daq.pipeline import Pipeline
from daq.rawlog import RawLogReader
from daq.run_config import RunConfig
from hw.geometry import Geometry, build_geometry
from hw.scanner import Scanner

Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]
SourceShape = Literal["point", "cylinder"]
Position = tuple[float, float, float]

LIGHT_mm_per_ps = 0.299792458
LEAST_COUNTS = 30
"""Coincidences in the window that a crystal needs for a skew of its own."""

WINDOW_SIGMA = 2.5
_TRUNCATED_SIGMA = 0.9150
"""Standard deviation of a standard normal cut at ±2.5 (√(1 − 2·2.5·φ(2.5)/(2Φ(2.5) − 1)))."""

_ITERATIONS = 12
_SETTLED_PS = 0.1
PAIR = np.dtype([("crystal_a", "<u4"), ("crystal_b", "<u4"), ("tof_ps", "<i4"),
                 ("doi_a", "u1"), ("doi_b", "u1"), ("spare", "<u2")])  # fmt: skip


def pairs_of_run(
    folder: Path,
    *,
    gain: npt.NDArray[np.float32] | None = None,
    most: int = 10_000_000,
    progress: Progress | None = None,
) -> npt.NDArray[np.void]:
    """Return the first ``most`` prompts of a run as (n,) PAIR, sorted without any skew correction.

    gain : (n_crystals,) f4 for the energy window. Memory is bounded by ``most`` × 16 bytes.
    """
    reader = RawLogReader(folder / rawlog.FILE_NAME)
    config = msgspec.convert(reader.head["config"], RunConfig)
    scanner = config.scanner()
    identity = no_calibration(scanner.n_crystals)
    pipeline = Pipeline(
        scanner,
        build_geometry(scanner),
        config.settings,
        run_tag=reader.head["run_tag"],
        calibration=identity if gain is None else Calibration(gain, identity.skew_ps),
        stall_ps=int(config.stall_s * 1e12),
    )
    total, done, count = (folder / rawlog.FILE_NAME).stat().st_size, 0, 0
    parts = []
    for frames in reader:
        parts.append(_as_pairs(pipeline.process(frames).prompts))
        count += len(parts[-1])
        done += sum(map(len, frames))
        if progress is not None:
            progress(done, total)
        if count >= most:
            break
    parts.append(_as_pairs(pipeline.finish().prompts))
    return np.concatenate(parts)[:most]


def _as_pairs(prompts: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    pairs = np.zeros(len(prompts), dtype=PAIR)
    for key in ("crystal_a", "crystal_b", "tof_ps", "doi_a", "doi_b"):
        pairs[key] = prompts[key]
    return pairs


def expected_tof_ps(
    pairs: npt.NDArray[np.void],
    geometry: Geometry,
    *,
    source: SourceShape,
    position_mm: Position = (0.0, 0.0, 0.0),
) -> Floats:
    """Return the mean t_b − t_a that each pair's geometry gives, (n,) ps.

    The annihilations of a line lie, on average, at the foot of the perpendicular from the source's
    centre (``point``: also any ball) or from its axis along z (``cylinder``), so with p(s) =
    a + s·(b − a) and the foot at s₀: Δt = (1 − 2·s₀)·|b − a|/c.
    """
    ends = [
        geometry.crystal_front_mm[pairs[f"crystal_{side}"]].astype(np.float64)
        + geometry.crystal_normal[pairs[f"crystal_{side}"]]
        * geometry.doi_depth_mm[pairs[f"doi_{side}"]][:, None]
        for side in "ab"
    ]
    along, to_centre = ends[1] - ends[0], np.asarray(position_mm) - ends[0]
    used = 3 if source == "point" else 2
    foot = (along[:, :used] * to_centre[:, :used]).sum(axis=1)
    foot /= (along[:, :used] ** 2).sum(axis=1)
    result: Floats = (1 - 2 * foot) * np.sqrt((along**2).sum(axis=1)) / LIGHT_mm_per_ps
    return result


@dataclass(frozen=True)
class SkewResult:
    """Skews (n_crystals,) f8 ps and how each was found; what the solution looks like.

    sigma_ps : σ of the residual Δt; used : coincidences in the last window; iterations : so many
    residual_before, residual_after : (pairs,) Δt less expectation, without and with the skews
    """

    skew_ps: Floats
    status: npt.NDArray[np.uint8]
    sigma_ps: float
    used: int
    iterations: int
    residual_before: Floats
    residual_after: Floats


def calibrate_skew(
    pairs: npt.NDArray[np.void],
    scanner: Scanner,
    *,
    source: SourceShape = "point",
    position_mm: Position = (0.0, 0.0, 0.0),
) -> SkewResult:
    """Return the skews that best explain the pairs' time differences.

    Crystals with fewer than ``LEAST_COUNTS`` coincidences in the window, or not connected with the
    others by coincidences, get the median of their module's and are marked.

    Raises
    ------
    CalibrationSetError
        where fewer than ``LEAST_COUNTS`` coincidences are left.
    """
    expected = expected_tof_ps(pairs, build_geometry(scanner), source=source,
                               position_mm=position_mm)  # fmt: skip
    before = pairs["tof_ps"] - expected
    a, b = pairs["crystal_a"].astype(np.int64), pairs["crystal_b"].astype(np.int64)
    skew = np.zeros(scanner.n_crystals)
    residual, sigma, inside = before, np.inf, np.ones(len(pairs), dtype=np.bool_)
    iterations = 0
    for iterations in range(1, _ITERATIONS + 1):
        _check_enough(int(inside.sum()))
        change = solve_differences(a[inside], b[inside], residual[inside], scanner.n_crystals)
        skew += change
        residual = before - (skew[b] - skew[a])
        sigma = _narrower(residual, sigma)
        inside = np.abs(residual) <= WINDOW_SIGMA * sigma
        if iterations > 1 and np.abs(change).max() < _SETTLED_PS:
            break
    skew, status = _settle(skew, a[inside], b[inside], scanner)
    after = before - (skew[b] - skew[a])
    return SkewResult(skew, status, sigma, int(inside.sum()), iterations, before, after)


def _check_enough(count: int) -> None:
    if count < LEAST_COUNTS:
        raise CalibrationSetError(
            f"{count} coincidences in the window, at least {LEAST_COUNTS} are needed (and about "
            "300 a crystal for 10 ps): measure longer, with a source in the middle"
        )


def _narrower(residual: Floats, sigma: float) -> float:
    """Return the next σ: from the median first, then from what lies within ±2.5 σ; it never
    grows, so that a flat floor of randoms cannot widen it again."""
    if not np.isfinite(sigma):
        return float(1.4826 * np.median(np.abs(residual)))
    core = residual[np.abs(residual) <= WINDOW_SIGMA * sigma]
    if len(core) < LEAST_COUNTS:
        return sigma
    return min(sigma, float(np.sqrt(np.mean(core * core))) / _TRUNCATED_SIGMA)


def solve_differences(
    a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], difference: Floats, n: int
) -> Floats:
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
    result: Floats = x - mean[part_of]
    return result


def _settle(
    skew: Floats, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], scanner: Scanner
) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Replace what is not determined by the module's median, and set the mean to 0."""
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
