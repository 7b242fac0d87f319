"""Scans of a module: scaler rate against threshold, and current against voltage (the I-V curve).

Both are generators that yield each point as soon as it is measured, so that a display can draw it,
and restore what they changed however they end: normally, by an error, by Ctrl-C or by being closed.
Python closes an abandoned generator only when its last reference goes; code that may be interrupted
between points should use ``with contextlib.closing(scan_threshold(...)) as points:``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from daq.link.serial.line_errors import NoAnswer, ScanError, SerialLinkError
from daq.link.serial.session import ModuleSession
from hw.arrays import F8
from hw.messages.modules import ScanPoint
from hw.wire.control import REGISTERS, BiasState, fault_words

GATE_S = 0.1
_RAMP_SPARE_S = 2.0
_POLL_S = 0.02


def scan_threshold(
    session: ModuleSession, *, from_mV: int, to_mV: int, step_mV: int, gates: int = 2
) -> Iterator[ScanPoint]:
    """Yield (comparator threshold in mV, scaler rate in Hz), mean over complete gates of 100 ms.

    Parameters
    ----------
    from_mV, to_mV, step_mV : thresholds, upwards, the last one included where a step meets it
    gates : number counted at each threshold, after the one in which the threshold changed

    Raises
    ------
    ScanError
        the range is empty, or the old threshold could not be restored (the message gives it).
    """
    thresholds = _steps("comparator_mV", from_mV, to_mV, step_mV)
    old = session.read("comparator_mV")
    try:
        for threshold in thresholds:
            session.write("comparator_mV", threshold)
            yield ScanPoint(x=float(threshold), y=_scaler_rate_Hz(session, gates))
    finally:
        _restore(
            lambda: session.write("comparator_mV", old),
            f"{session.where}: the threshold is not back at {old} mV; write comparator_mV by hand",
        )


def scan_bias(
    session: ModuleSession, *, from_mV: int, to_mV: int, step_mV: int, readings: int = 4
) -> Iterator[ScanPoint]:
    """Yield (measured bias in mV, current in nA), mean over readings; the previously set bias is
    restored, or switched off if it was off.

    Parameters
    ----------
    from_mV, to_mV, step_mV : biases to set, upwards, the last one included where a step meets it
    readings : number of current readings at each bias

    Raises
    ------
    ScanError
        the range is empty, or the bias does not come, trips, or could not be restored.
    """
    targets = _steps("bias_max_mV", from_mV, to_mV, step_mV)
    old = asked_bias_mV(session)
    slew = session.read("bias_slew")
    try:
        for target in targets:
            _ramp(session, target, slew)
            yield _current(session, readings)
    finally:
        _restore(
            lambda: _set_back(session, old, slew),
            f"{session.where}: the bias is not back at {old} mV; set it by hand",
        )


def asked_bias_mV(session: ModuleSession) -> int:
    """Return the bias set in the module, at the reference temperature."""
    telemetry = session.ask_telemetry()
    if int(telemetry["target_mV"]) == 0:
        return 0
    if session.bias_asked_mV is not None:
        return session.bias_asked_mV
    above = int(telemetry["temperature_cC"]) - session.read("temperature_reference_cC")
    compensation = session.read("temperature_coefficient") * above / 100.0
    return round(int(telemetry["target_mV"]) - compensation)


def _steps(register: str, from_mV: int, to_mV: int, step_mV: int) -> list[int]:
    bounds = REGISTERS[register]
    if step_mV <= 0 or from_mV > to_mV or from_mV < max(0, bounds.min) or to_mV > bounds.max:
        raise ScanError(
            f"a scan from {from_mV} to {to_mV} mV in steps of {step_mV} is not possible: it goes "
            f"upwards, in steps above 0, within {max(0, bounds.min)} to {bounds.max} mV"
        )
    return list(range(from_mV, to_mV + 1, step_mV))


def _scaler_rate_Hz(session: ModuleSession, gates: int) -> float:
    """Return the mean rate over ``gates`` gates that began after now."""
    seen = int(session.ask_telemetry()["scaler_gates"])
    counts: list[int] = []
    skip = True
    until = time.monotonic() + (gates + 2) * GATE_S * 5 + 2.0
    while len(counts) < gates:
        if time.monotonic() > until:
            raise ScanError(f"{session.where}: its scaler stands still; reset the module")
        telemetry = session.ask_telemetry()
        gate = int(telemetry["scaler_gates"])
        if gate != seen:
            if not skip:
                counts.append(int(telemetry["scaler"]))
            seen, skip = gate, False
        time.sleep(_POLL_S)
    return float(np.mean(counts)) / GATE_S


def _ramp(session: ModuleSession, target_mV: int, slew: int) -> None:
    present = int(session.ask_telemetry()["bias_mV"])
    session.command("bias", target_mV=target_mV)
    within_s = abs(target_mV - present) / max(slew, 1) + _RAMP_SPARE_S
    wanted = BiasState.off if target_mV == 0 else BiasState.on

    def there(telemetry: np.void) -> bool:
        if int(telemetry["fault"]):
            words = fault_words(int(telemetry["fault"]))
            raise ScanError(
                f"{session.where}: the scan ended at {target_mV} mV: {words}; the bias is off"
            )
        return bool(telemetry["bias_state"] == wanted)

    try:
        session.wait_for(there, within_s=within_s, what=f"a bias of {target_mV} mV")
    except NoAnswer as error:
        raise ScanError(str(error)) from error


def _current(session: ModuleSession, readings: int) -> ScanPoint:
    taken = [session.ask_telemetry() for _ in range(max(1, readings))]
    voltage = np.mean([int(one["bias_mV"]) for one in taken])
    current = np.mean([int(one["current_nA"]) for one in taken])
    return ScanPoint(x=float(voltage), y=float(current))


def _set_back(session: ModuleSession, old_mV: int, slew: int) -> None:
    if int(session.ask_telemetry()["fault"]):
        return  # the fault has switched the bias off, and that is where it stays
    _ramp(session, old_mV, slew)


def _restore(restore: Callable[[], object], words: str) -> None:
    try:
        restore()
    except SerialLinkError as error:
        raise ScanError(f"{words} ({error})") from error


def breakdown_mV(points: Sequence[ScanPoint], *, overvoltage_mV: int = 4000) -> float | None:
    """Return the breakdown voltage in an I-V curve, mV; None if the curve shows none.

    Above breakdown the current beyond the leakage grows as (V − V_bd)^p, so the inverse of its
    logarithmic derivative, [d ln I / dV]⁻¹ = (V − V_bd)/p, is a straight line that is 0 at V_bd
    whatever p and the gain are: the method of the inverse logarithmic derivative (Chmill et al.,
    *On the characterisation of SiPMs from pulse-height spectra*, NIM A 854, 70, 2017; reviewed by
    Klanner, *Characterisation of SiPMs*, NIM A 926, 36, 2019). The leakage is a straight line
    through the points below the knee. The knee is where the curve bends most on a logarithmic scale
    (Nagy et al., NIM A 849, 55, 2017); the line is fitted by Theil and Sen from there up.

    overvoltage_mV : how far above the knee points are used; further up, the current exceeds the law
    """
    voltage, current = _sorted_curve(points)
    knee = _knee(voltage, current)
    if knee is None:
        return None
    excess = current - _leakage(voltage, current, knee)
    middle = 0.5 * (voltage[1:] + voltage[:-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.diff(np.log(excess)) / np.diff(voltage)
        inverse = 1.0 / slope
    used = (middle > voltage[knee]) & (middle < voltage[knee] + overvoltage_mV)
    used &= np.isfinite(inverse) & (inverse > 0)
    if np.count_nonzero(used) < 3:
        return None
    x, y = middle[used], inverse[used]
    low, high = np.triu_indices(len(x), 1)
    rise = float(np.median((y[high] - y[low]) / (x[high] - x[low])))
    if rise <= 0.0:
        return None
    return float(np.median(x - y / rise))


def _sorted_curve(points: Sequence[ScanPoint]) -> tuple[F8, F8]:
    table = np.array([(point.x, point.y) for point in points], dtype=np.float64).reshape(-1, 2)
    voltage, first = np.unique(table[:, 0], return_index=True)
    return voltage, table[first, 1]


def _knee(voltage: F8, current: F8) -> int | None:
    """Return the index of the last point of the leakage."""
    if len(voltage) < 8:
        return None
    logarithm = np.log(np.maximum(current, 1.0))
    bend = np.diff(np.diff(logarithm) / np.diff(voltage))
    knee = int(np.argmax(bend)) + 1
    grows = logarithm[-1] - logarithm[knee] > math.log(2.0)
    return knee if grows and knee >= 2 else None


def _leakage(voltage: F8, current: F8, knee: int) -> F8:
    below = slice(max(0, knee - 8), knee + 1)
    level = float(np.median(current[below]))
    if knee < 3:
        return np.full_like(current, level)
    slope, start = np.polyfit(voltage[below], current[below], 1)
    return np.asarray(start + slope * voltage)
