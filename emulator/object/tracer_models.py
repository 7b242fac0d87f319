"""Built-in tracer kinetics: FDG after a bolus, and wash-out.

Concentrations are decay-corrected, as in the publications; decay is applied on top.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy  # its submodule integrate is imported where it is first used

from emulator.config import EmulationError

Curve = npt.NDArray[np.float64]

_STEP_S, _END_S = 1.0, 7200.0

# plasma, µCi/ml and minutes: D. Feng, S. C. Huang and X. Wang, Int. J. Biomed. Comput. 32 (1993)
# 95, model 4
_A1, _A2, _A3 = 851.1225, 21.8798, 20.8113
_L1, _L2, _L3 = -4.133859, -0.1191, -0.01043449

# FDG, K1 in ml/(min·ml), k2 to k4 in 1/min: M. Reivich et al., J. Cereb. Blood Flow Metab. 5 (1985)
# 179, means of grey and of white matter
GREY = (0.095, 0.125, 0.069, 0.0055)
WHITE = (0.065, 0.126, 0.066, 0.0054)
_PLASMA_WORDS = ("blood", "plasma", "vessel")


def plasma_curve(minutes: Curve) -> Curve:
    """Return the plasma concentration after a bolus at time 0, (n,) f8 in µCi/ml.

    C_p(t) = (A₁t − A₂ − A₃)·e^(λ₁t) + A₂·e^(λ₂t) + A₃·e^(λ₃t)
    """
    rise = (_A1 * minutes - _A2 - _A3) * np.exp(_L1 * minutes)
    return np.asarray(rise + _A2 * np.exp(_L2 * minutes) + _A3 * np.exp(_L3 * minutes))


def tissue_curve(minutes: Curve, rates: tuple[float, float, float, float]) -> Curve:
    """Return a tissue's concentration by the two-compartment model, (n,) f8 in µCi/ml.

    C_T = K₁/(α₂ − α₁)·[(k₃ + k₄ − α₁)·e^(−α₁t) + (α₂ − k₃ − k₄)·e^(−α₂t)] ⊗ C_p, with α₁ and α₂ =
    (s ∓ √(s² − 4·k₂·k₄))/2, s = k₂ + k₃ + k₄ (S. C. Huang et al., Am. J. Physiol. 238 (1980) E69).

    Parameters
    ----------
    minutes : (n,) f8 from 0 on, in steps so short that the plasma curve is linear in between
    rates : K₁ to k₄
    """
    k1, k2, k3, k4 = rates
    total = k2 + k3 + k4
    root = math.sqrt(total * total - 4 * k2 * k4)
    alpha_1, alpha_2 = (total - root) / 2, (total + root) / 2
    weight_1 = k1 / root * (k3 + k4 - alpha_1)
    weight_2 = k1 / root * (alpha_2 - k3 - k4)
    plasma = plasma_curve(minutes)
    return weight_1 * _convolved(minutes, plasma, alpha_1) + weight_2 * _convolved(
        minutes, plasma, alpha_2
    )


def _convolved(minutes: Curve, curve: Curve, rate: float) -> Curve:
    """Return the curve's convolution with e^(−rate·t)."""
    integral = scipy.integrate.cumulative_trapezoid(
        curve * np.exp(rate * minutes), minutes, initial=0.0
    )
    return np.asarray(integral * np.exp(-rate * minutes))


def bolus_factors(regions: tuple[str, ...], full_s: float) -> tuple[Curve, Curve]:
    """Return times (n,) and factors (n, regions) of FDG after a bolus at 0; 1 at ``full_s``.

    Regions with *white* in their name take up tracer like white matter, those with *blood*,
    *plasma* or *vessel* follow the plasma, all others are like grey matter. After two hours the
    factors stay constant.

    Raises
    ------
    EmulationError
        if ``full_s`` is not within two hours.
    """
    if not _STEP_S <= full_s <= _END_S:
        raise EmulationError(
            f"tac bolus: full_s is {full_s:g}; give {_STEP_S:g} to {_END_S:g} seconds, the time at "
            "which the activity is the one that was asked for"
        )
    times_s = np.asarray(np.arange(0.0, _END_S + _STEP_S, _STEP_S))
    curves = [_curve_of(name.lower(), times_s / 60.0) for name in regions]
    factors = [curve / np.interp(full_s, times_s, curve) for curve in curves]
    return times_s, np.stack(factors, axis=1)


def _curve_of(name: str, minutes: Curve) -> Curve:
    if any(word in name for word in _PLASMA_WORDS):
        return plasma_curve(minutes)
    return tissue_curve(minutes, WHITE if "white" in name else GREY)


def washout_factors(half_time_s: float, remaining: float) -> tuple[Curve, Curve]:
    """Return times (n,) and factors (n,): remaining + (1 − remaining)·2^(−t/half_time).

    Over 30 half times, in steps of 1/100; linear interpolation is accurate to 6e-6.

    Raises
    ------
    EmulationError
        if more than all would remain.
    """
    if not 0 <= remaining < 1:
        raise EmulationError(f"tac washout: remaining is {remaining:g}; give a part from 0 to 1")
    times_s = np.asarray(np.linspace(0.0, 30.0, 3001)) * half_time_s
    return times_s, remaining + (1 - remaining) * np.exp2(-times_s / half_time_s)
