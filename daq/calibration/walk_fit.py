"""Time walk of each crystal from coincidences of a wide energy window, by least squares.

    Δt − flight = s_b − s_a + w_b·f(E_b) − w_a·f(E_a) + noise,  f(E) = √(511 keV/E) − 1

Skews s and walks w are solved together, because a skew found without walk contains a part of it. A
crystal whose coincidences do not determine its walk within ``MOST_ERROR_PS`` shares one value with
the other such crystals of its module, and a module likewise with all such modules.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import cg

from coincidence.calibration import WALK_LEAST_keV, WALK_MOST_keV
from daq.calibration.coincidence_pairs import Position, SourceShape, expected_tof_ps
from daq.calibration.skew_fit import ITERATIONS, WINDOW_SIGMA, check_enough, narrower, settle
from daq.folder.calibration_arrays import MAX_WALK_PS, CalibrationSetError
from daq.folder.calibration_set import Status
from hw.arrays import F8
from hw.physics.constants import REFERENCE_KEV
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry

Indices = npt.NDArray[np.int64]

MOST_ERROR_PS = 20.0
"""Largest standard error of a crystal's own walk: 4 ps of time at 350 keV."""

_FIRST_STEPS = 4
_SETTLED_RMS_PS = 0.5
_STALE_SHARE = 0.02
_AT_ONCE = 1 << 18  # coincidences in one product: bounds its memory to some 30 MB


@dataclass(frozen=True)
class WalkResult:
    """Walks and skews (n_crystals,) f8 in ps, how each was obtained, and the quality of the
    solution.

    error_ps : (n_crystals,) standard error of each crystal's own walk; inf without coincidences
    shape_a, shape_b : (pairs,) f(E) of both energies
    residual_before, residual_after : (pairs,) Δt minus flight time and skews, and minus walks as
        well
    """

    walk_ps: F8
    status: npt.NDArray[np.uint8]
    skew_ps: F8
    skew_status: npt.NDArray[np.uint8]
    error_ps: F8
    sigma_ps: float
    used: int
    shape_a: F8
    shape_b: F8
    residual_before: F8
    residual_after: F8


def calibrate_walk(
    pairs: npt.NDArray[np.void],
    scanner: Scanner,
    *,
    source: SourceShape = "point",
    position_mm: Position = (0.0, 0.0, 0.0),
) -> WalkResult:
    """Return walks and skews that best explain the pairs' time differences.

    Parameters
    ----------
    pairs : (n,) PAIR, energies calibrated, times without skew and walk correction

    Raises
    ------
    CalibrationSetError
        if there are too few coincidences, or all have the same energy.
    """
    expected = expected_tof_ps(pairs, build_geometry(scanner), source=source,
                               position_mm=position_mm)  # fmt: skip
    system = _System(pairs, pairs["tof_ps"] - expected, scanner)
    module_of = np.repeat(np.arange(scanner.n_modules), scanner.crystals_per_module)
    system.solve(module_of, steps=_FIRST_STEPS)
    groups, status, error = _groups(system, module_of, scanner.n_modules)
    system.solve(groups, steps=ITERATIONS)
    walk, status = _fill(system.walk, status, module_of, scanner.n_modules)
    walk = np.clip(walk, -MAX_WALK_PS, MAX_WALK_PS)
    inside = system.inside
    skew, skew_status = settle(system.skew, system.a[inside], system.b[inside], scanner)
    without_skew = system.measured - (skew[system.b] - skew[system.a])
    change = walk[system.b] * system.shape_b - walk[system.a] * system.shape_a
    return WalkResult(walk, status, skew, skew_status, error, system.sigma, int(inside.sum()),
                      system.shape_a, system.shape_b, without_skew,
                      without_skew - change)  # fmt: skip


def walk_shape_of(energy_dkeV: npt.NDArray[np.generic]) -> F8:
    """Return f(E) = √(511 keV/E) − 1 of energies in 0.1 keV, within the walk's own bounds."""
    energy_keV = np.clip(energy_dkeV.astype(np.float64) / 10, WALK_LEAST_keV, WALK_MOST_keV)
    result: F8 = np.sqrt(REFERENCE_KEV / energy_keV) - 1
    return result


class _System:
    """The least-squares problem, whose window of coincidences narrows with the solution."""

    def __init__(self, pairs: npt.NDArray[np.void], measured: F8, scanner: Scanner) -> None:
        self.n = scanner.n_crystals
        self.a = pairs["crystal_a"].astype(np.int64)
        self.b = pairs["crystal_b"].astype(np.int64)
        self.shape_a = walk_shape_of(pairs["energy_a"])
        self.shape_b = walk_shape_of(pairs["energy_b"])
        self.measured = measured
        self.skew, self.walk = np.zeros(self.n), np.zeros(self.n)
        self.sigma = np.inf
        self.inside = np.ones(len(pairs), np.bool_)

    def solve(self, groups: Indices, *, steps: int) -> None:
        """Find skews, and walks with one value for each of ``groups`` (n_crystals,)."""
        self.walk = _mean_of_groups(self.walk, groups)
        normal: _Normal | None = None
        for _ in range(steps):
            check_enough(int(self.inside.sum()))
            residual = self.residual()
            if normal is None or normal.is_stale(self.inside):
                normal = _Normal(self, groups)
            skew, walk = normal.step(self, residual)
            self.skew, self.walk = self.skew + skew, self.walk + walk
            residual = self.residual()
            first = not np.isfinite(self.sigma)
            self.sigma = narrower(residual, self.sigma)
            self.inside = np.abs(residual) <= WINDOW_SIGMA * self.sigma
            if not first and np.sqrt(np.mean(skew**2 + walk**2)) < _SETTLED_RMS_PS:
                break

    def residual(self) -> F8:
        """Return what remains of each Δt after skews and walks."""
        at_b = self.skew[self.b] + self.walk[self.b] * self.shape_b
        at_a = self.skew[self.a] + self.walk[self.a] * self.shape_a
        return self.measured - (at_b - at_a)

    def information(self) -> F8:
        """Return Σ (f − f̄)² of each crystal's coincidences, (n_crystals,): 1/variance of its walk
        in units of the residual's."""
        crystal = np.concatenate([self.a[self.inside], self.b[self.inside]])
        shape = np.concatenate([self.shape_a[self.inside], self.shape_b[self.inside]])
        count = np.maximum(np.bincount(crystal, np.ones(len(crystal)), self.n), 1.0)
        mean = np.bincount(crystal, shape, self.n) / count
        around = (shape - mean[crystal]) ** 2
        return np.asarray(np.bincount(crystal, weights=around, minlength=self.n), np.float64)


class _Normal:
    """The normal equations for skews and walks, kept while the window hardly changes.

    The walk is taken about the mean f, which makes it nearly independent of the skew.
    """

    def __init__(self, system: _System, groups: Indices) -> None:
        self.groups, self.inside = groups, system.inside
        used = np.flatnonzero(self.inside)
        self.middle = float((system.shape_a[used].mean() + system.shape_b[used].mean()) / 2)
        self.size = system.n + int(groups.max()) + 1
        self.matrix = csr_array((self.size, self.size))
        for k in range(0, len(used), _AT_ONCE):
            rows = self._rows(system, used[k : k + _AT_ONCE])
            self.matrix = self.matrix + rows.T @ rows
        diagonal = self.matrix.diagonal()
        least = 1e-9 * max(float(diagonal.max()), 1e-300)
        self.preconditioner = diags_array(1 / np.maximum(diagonal, least))

    def is_stale(self, inside: npt.NDArray[np.bool_]) -> bool:
        """Whether the window changed so much that steps would no longer lead to the solution."""
        return bool((inside ^ self.inside).sum() > _STALE_SHARE * self.inside.sum())

    def step(self, system: _System, residual: F8) -> tuple[F8, F8]:
        """Return changes of skew and walk (n_crystals,) that fit the residuals in the window."""
        r = np.where(system.inside, residual, 0.0)
        n, count = system.n, self.size - system.n
        right = np.zeros(self.size)
        right[:n] = np.bincount(system.b, r, n) - np.bincount(system.a, r, n)
        at_b = r * (system.shape_b - self.middle)
        at_a = r * (system.shape_a - self.middle)
        right[n:] = np.bincount(self.groups[system.b], at_b, count)
        right[n:] -= np.bincount(self.groups[system.a], at_a, count)
        x, _ = cg(self.matrix, right, rtol=1e-6, maxiter=2000, M=self.preconditioner)
        walk = x[n:][self.groups]
        return x[:n] - self.middle * walk, walk

    def _rows(self, system: _System, part: Indices) -> csr_array:
        a, b, one = system.a[part], system.b[part], np.ones(len(part))
        at_a, at_b = system.shape_a[part] - self.middle, system.shape_b[part] - self.middle
        values = np.stack([one, at_b, -one, -at_a])
        columns = np.stack([b, system.n + self.groups[b], a, system.n + self.groups[a]])
        starts = np.arange(0, 4 * len(part) + 1, 4)
        shape = (len(part), self.size)
        return csr_array((values.T.ravel(), columns.T.ravel(), starts), shape=shape)


def _fill(
    walk: F8, status: npt.NDArray[np.uint8], module_of: Indices, modules: int
) -> tuple[F8, npt.NDArray[np.uint8]]:
    """Return walks; what no group determines is the median of its module's own, or of all.

    The scanner's group may have only a few dead crystals, without any coincidence.
    """
    filled, status = walk.copy(), status.copy()
    known = status != Status.SCANNER
    for module in range(modules):
        here = module_of == module
        if (here & known).any():
            filled[here & ~known] = np.median(walk[here & known])
            status[here & ~known] = Status.MODULE
    left = status == Status.SCANNER
    if known.any():
        filled[left] = np.median(walk[known])
    return filled, status


def _mean_of_groups(values: F8, groups: Indices) -> F8:
    mean = np.bincount(groups, values) / np.maximum(np.bincount(groups), 1)
    result: F8 = mean[groups]
    return result


def _groups(
    system: _System, module_of: Indices, modules: int
) -> tuple[Indices, npt.NDArray[np.uint8], F8]:
    """Return which crystals share a walk, how each is obtained, and each one's standard error."""
    information = system.information()
    with np.errstate(divide="ignore"):
        error = system.sigma / np.sqrt(information)
        whole = system.sigma / np.sqrt(information.sum())
    if not whole <= MOST_ERROR_PS:
        raise CalibrationSetError(
            f"the coincidences give the scanner's mean time walk only within {whole:.0f} ps, at "
            f"most {MOST_ERROR_PS:g} ps is needed: measure longer, or widen the energy window "
            "(--lld-keV)"
        )
    own = error <= MOST_ERROR_PS
    rest = np.bincount(module_of, np.where(own, 0.0, information), modules)
    by_module = (rest >= (system.sigma / MOST_ERROR_PS) ** 2)[module_of]
    # numbers without gaps: the scanner's group, the modules', the crystals' own
    number = np.where(own, 1 + modules + np.arange(system.n), np.where(by_module, 1 + module_of, 0))
    _, groups = np.unique(number, return_inverse=True)
    status = np.where(own, Status.FITTED, np.where(by_module, Status.MODULE, Status.SCANNER))
    return groups, status.astype(np.uint8), error
