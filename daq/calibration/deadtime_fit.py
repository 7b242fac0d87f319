"""Dead time of each module, from its trigger rate over a decaying source.

The true rate is known up to a factor: n(t) = n₀·a(t), with the relative activity a(t), optionally
plus a constant background (¹⁷⁶Lu). Both models are fitted to every module's counts,

    non-paralysable   m = n / (1 + nτ)        paralysable   m = n·exp(−nτ)

(G. F. Knoll, *Radiation Detection and Measurement*, 4th ed., 2010, section 4.VII), and the likelier
one is chosen. Dead time makes counts scatter less than Poisson's; the variances used are those of a
stationary stream (J. W. Müller, Nucl. Instrum. Methods 112 (1973) 47; D. F. Yu and J. A. Fessler,
Phys. Med. Biol. 45 (2000) 2043):

    V = m·T/(1 + nτ)²                         V = m·T·(1 − 2nτ·exp(−nτ))
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from daq.calibration.trigger_rates import TriggerRates
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import Status
from hw.arrays import F8

LEAST_COUNTS = 100
"""Counts that a slice needs to be used: fewer are not normally distributed."""

LEAST_ACTIVITIES = 4
"""Distinct slices a module needs: three parameters, and one to tell the models apart."""

MOST_ERROR = 0.1
"""Largest relative standard error of τ for a module to have a value of its own."""

CLEAR = 4.5
"""Difference of log-likelihoods, 3 σ, at which a module's own counts decide the model."""

PROMISED = 0.02
REGIME = 0.2
"""n₀τ that the start of a run should reach: the models differ by (nτ)²/2, there 2 %."""

_STARTS = (0.0, 0.03, 0.1, 0.3, 0.6, 1.0, 1.6, 2.5)  # n₀τ to start from
_ITERATIONS = 60


class DeadTimeModel(IntEnum):
    """The effect of an event within the dead time."""

    NONE = 0
    NON_PARALYSABLE = 1  # nothing
    PARALYSABLE = 2  # prolongs it


@dataclass(frozen=True)
class ModelFit:
    """One model fitted to m modules, all (m,) f8.

    tau_s, tau_error_s : dead time and its standard error; n0_cps : true rate at activity 1
    background_cps : constant rate; chi2, dof : Pearson's χ² and its degrees of freedom
    log_likelihood : for normally distributed counts, up to a constant
    """

    tau_s: F8
    tau_error_s: F8
    n0_cps: F8
    background_cps: F8
    chi2: F8
    dof: F8
    log_likelihood: F8


def measured_rate(n: F8, tau_s: F8, model: DeadTimeModel) -> F8:
    """Return the recorded rate m at true rates n, both in 1/s."""
    if model == DeadTimeModel.PARALYSABLE:
        return np.asarray(n * np.exp(-n * tau_s))
    return np.asarray(n / (1 + n * tau_s))


def fit_model(
    rates: TriggerRates, model: DeadTimeModel, *, fit_background: bool = False
) -> ModelFit:
    """Fit one model to every module by iterated weighted least squares from several starts.

    Weights are 1/V of the model, whose score is that of the quasi-likelihood, so few counts do not
    bias τ. A module with fewer than ``LEAST_ACTIVITIES`` usable slices gets NaN.
    """
    used = (rates.counts >= LEAST_COUNTS) & (rates.live_s > 0)
    enough = np.array([
        len(np.unique(a[u])) >= LEAST_ACTIVITIES for a, u in zip(rates.activity, used, strict=True)
    ], dtype=np.bool_)  # fmt: skip
    best: ModelFit | None = None
    for start in _STARTS:
        found = _fit_from(rates, used & enough[:, None], model, start, fit_background)
        best = found if best is None else _better(best, found)
    assert best is not None
    return best


def _better(a: ModelFit, b: ModelFit) -> ModelFit:
    first = ~(b.log_likelihood > a.log_likelihood)  # NaN never wins
    return ModelFit(
        *(np.where(first, getattr(a, key), getattr(b, key)) for key in a.__dataclass_fields__)
    )


@dataclass
class _Guess:
    """The present values of a fit: n₀, x = n₀τ·top (load at the highest activity ``top``),
    background.
    """

    n0: F8
    x: F8
    b: F8
    top: F8

    @property
    def tau_s(self) -> F8:
        return self.x / (self.n0 * self.top)


def _fit_from(
    rates: TriggerRates,
    used: npt.NDArray[np.bool_],
    model: DeadTimeModel,
    start: float,
    fit_background: bool,
) -> ModelFit:
    """Gauss–Newton on (ln n₀, x, background) of all modules at once."""
    guess = _start(rates, used, model, start)
    size = 3 if fit_background else 2
    for _ in range(_ITERATIONS):
        normal, right = _equations(rates, used, model, guess, size)
        step = np.linalg.solve(normal, right[:, :, None])[:, :, 0]
        guess.n0 = guess.n0 * np.exp(np.clip(step[:, 0], -0.3, 0.3))
        guess.x = np.clip(guess.x + np.clip(step[:, 1], -0.3, 0.3), -0.5, 20.0)
        if fit_background:
            guess.b = np.clip(guess.b + step[:, 2], 0.0, guess.n0 * guess.top)
    expected, variance, *_ = _predict(guess, rates, model)
    variance = np.maximum(variance, 1e-3)
    pull2 = np.where(used, (rates.counts - expected) ** 2 / variance, 0.0)
    log_likelihood = -0.5 * (pull2 + np.where(used, np.log(variance), 0.0)).sum(axis=1)
    dof = (used.sum(axis=1) - size).astype(np.float64)
    parts = (guess.tau_s, _tau_error_s(guess, normal), guess.n0, guess.b, pull2.sum(axis=1), dof,
             log_likelihood)  # fmt: skip
    return ModelFit(*(np.where(used.any(axis=1), part, np.nan) for part in parts))


def _start(
    rates: TriggerRates, used: npt.NDArray[np.bool_], model: DeadTimeModel, load: float
) -> _Guess:
    """Return n₀ from the weakest third of the slices used, which dead time affects least."""
    activity = rates.activity
    rate = np.divide(rates.counts, rates.live_s, out=np.zeros(activity.shape), where=used)
    top = np.max(activity, axis=1, where=used, initial=1e-30)
    weak = used & (activity <= (np.quantile(activity[used], 0.3) if used.any() else 0.0))
    weak = np.where(weak.any(axis=1, keepdims=True), weak, used)
    seen = (activity * weak).sum(axis=1)
    n0 = np.maximum(_ratio((rate * weak).sum(axis=1), seen), 1e-3)
    n0 *= _undo(load * _ratio(seen / top, weak.sum(axis=1)), model)
    return _Guess(n0, np.full(len(n0), load), np.zeros(len(n0)), top)


def _equations(
    rates: TriggerRates,
    used: npt.NDArray[np.bool_],
    model: DeadTimeModel,
    guess: _Guess,
    size: int,
) -> tuple[F8, F8]:
    """Return the normal matrices (m, size, size) and right sides (m, size)."""
    expected, variance, by_n, by_tau = _predict(guess, rates, model)
    weight = np.where(used, 1 / np.maximum(variance, 1e-3), 0.0)
    full = (guess.n0 * guess.top)[:, None]
    # τ = x/(n₀·top): moving ln n₀ at fixed x moves τ by −τ
    by_log = by_n * guess.n0[:, None] * rates.activity - by_tau * guess.tau_s[:, None]
    columns = (by_log, by_tau / full, by_n)[:size]
    jacobian = np.stack(columns, axis=2) * rates.live_s[:, :, None]
    normal = np.einsum("msi,ms,msj->mij", jacobian, weight, jacobian)
    scale = np.einsum("mii->mi", normal)
    normal += np.eye(size) * (1e-9 * scale + 1e-30)[:, :, None]
    return normal, np.einsum("msi,ms,ms->mi", jacobian, weight, rates.counts - expected)


def _tau_error_s(guess: _Guess, normal: F8) -> F8:
    """Return τ's standard error from the covariance of (ln n₀, x): τ = x·exp(−ln n₀)/top."""
    covariance = np.linalg.inv(normal)[:, :2, :2]
    gradient = np.stack([-guess.tau_s, 1 / (guess.n0 * guess.top)], axis=1)
    variance = np.einsum("mi,mij,mj->m", gradient, covariance, gradient)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def _predict(guess: _Guess, rates: TriggerRates, model: DeadTimeModel) -> tuple[F8, F8, F8, F8]:
    """Return expected counts, their variance, and the rate's derivatives by n and by τ."""
    n = guess.n0[:, None] * rates.activity + guess.b[:, None]
    load = n * guess.tau_s[:, None]
    if model == DeadTimeModel.PARALYSABLE:
        kept = np.exp(-load)
        by_n, spread = (1 - load) * kept, 1 - 2 * load * kept
        by_tau = -n * n * kept
    else:
        kept = 1 / np.maximum(1 + load, 0.1)
        by_n, spread = kept**2, kept**2
        by_tau = -n * n * kept**2
    expected = n * kept * rates.live_s
    return expected, expected * np.clip(spread, 0.05, 4.0), by_n, by_tau


def _undo(load: F8, model: DeadTimeModel) -> F8:
    return np.exp(load) if model == DeadTimeModel.PARALYSABLE else 1 + load


def _ratio(a: F8, b: F8) -> F8:
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)


@dataclass(frozen=True)
class DeadTimeResult:
    """Dead times for a calibration set, and both fits behind them; m modules.

    tau_s : (m,) f8; model : (m,) u1 of DeadTimeModel; status : (m,) u1 of Status
    decided : (m,) bool, whether the model was given or is clear from the counts. If not, τ may be
        off by n₀τ/2, the difference of the models
    load : (m,) f8, highest n·τ in the measurement, with the module's own dead time
    """

    tau_s: F8
    tau_error_s: F8
    model: npt.NDArray[np.uint8]
    status: npt.NDArray[np.uint8]
    decided: npt.NDArray[np.bool_]
    load: F8
    fits: dict[DeadTimeModel, ModelFit]

    def chosen(self, key: str) -> F8:
        """Return a quantity of the fits, (m,), for each module from its chosen model."""
        first, second = (getattr(self.fits[m], key) for m in (
            DeadTimeModel.NON_PARALYSABLE, DeadTimeModel.PARALYSABLE
        ))  # fmt: skip
        values: F8 = np.where(self.model == DeadTimeModel.PARALYSABLE, second, first)
        return values


def calibrate_deadtime(
    rates: TriggerRates,
    *,
    fit_background: bool = False,
    model: DeadTimeModel | None = None,
) -> DeadTimeResult:
    """Return each module's dead time and model.

    The model is the one given, or else the likelier: by the module's own counts if they are clear
    (``CLEAR``), otherwise by those of all modules together. A module whose τ has a standard error
    above ``MOST_ERROR`` gets the weighted mean of the others with that model, and is marked.

    Raises
    ------
    CalibrationSetError
        if no module's dead time can be determined.
    """
    fits = {
        kind: fit_model(rates, kind, fit_background=fit_background)
        for kind in (DeadTimeModel.NON_PARALYSABLE, DeadTimeModel.PARALYSABLE)
    }
    chosen, decided = _choose(fits, model)
    second = chosen == DeadTimeModel.PARALYSABLE
    first_fit, second_fit = fits.values()
    tau = np.where(second, second_fit.tau_s, first_fit.tau_s)
    error = np.where(second, second_fit.tau_error_s, first_fit.tau_error_s)
    n0 = np.where(second, second_fit.n0_cps, first_fit.n0_cps)
    good = np.isfinite(tau) & (tau > 0) & (error <= MOST_ERROR * tau)
    load = n0 * tau * rates.activity.max(axis=1)
    if not good.any():
        _refuse(rates, tau, error, load)
    pooled_model = _most_common(chosen[good])
    alike = good & (chosen == pooled_model)
    pooled = float(np.average(tau[alike], weights=1 / error[alike] ** 2))
    return DeadTimeResult(
        tau_s=np.where(good, tau, pooled),
        tau_error_s=error,
        model=np.where(good, chosen, pooled_model).astype(np.uint8),
        status=np.where(good, Status.FITTED, Status.SCANNER).astype(np.uint8),
        decided=decided,
        load=np.where(np.isfinite(load), load, 0.0),
        fits=fits,
    )


def _choose(
    fits: dict[DeadTimeModel, ModelFit], model: DeadTimeModel | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return each module's model, and whether it is clear."""
    gain = (
        fits[DeadTimeModel.PARALYSABLE].log_likelihood
        - fits[DeadTimeModel.NON_PARALYSABLE].log_likelihood
    )
    gain = np.where(np.isfinite(gain), gain, 0.0)
    if model is not None:
        return np.full(len(gain), model, dtype=np.int64), np.ones(len(gain), np.bool_)
    weight = np.where(np.abs(gain) > CLEAR, gain, gain.sum())
    chosen = np.where(weight > 0, DeadTimeModel.PARALYSABLE, DeadTimeModel.NON_PARALYSABLE)
    return chosen, np.abs(weight) > CLEAR


def _most_common(models: npt.NDArray[np.int64]) -> int:
    return int(np.bincount(models).argmax())


def _refuse(rates: TriggerRates, tau: F8, error: F8, load: F8) -> None:
    known = np.isfinite(tau)
    if not known.any():
        raise CalibrationSetError(
            f"no module has {LEAST_ACTIVITIES} slices of time of different activity with at least "
            f"{LEAST_COUNTS} triggers each ({rates.counts.shape[1]} slices were counted): measure "
            "a decaying source over some half-lives, or give runs of at least four activities"
        )
    k = int(np.nanargmin(np.where(known & (tau > 0), error / np.abs(tau), np.inf)))
    raise CalibrationSetError(
        f"no module's dead time can be told: the best, module {k}, has {tau[k] * 1e9:.3g} ± "
        f"{error[k] * 1e9:.2g} ns (at most {MOST_ERROR:.0%} is allowed) with n·τ up to "
        f"{load[k]:.2g}; start where n·τ is at least {REGIME:g}, and measure longer"
    )
