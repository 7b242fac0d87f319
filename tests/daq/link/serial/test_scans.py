"""Scans: what they find in a known world, and that they leave no trace however they end."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from daq.link.serial.line_errors import ScanError
from daq.link.serial.scans import breakdown_mV, scan_bias, scan_threshold
from hw.messages.modules import ScanPoint
from hw.wire.control import BiasState, State
from rigs.firmware.native_modules import bring_up, wait_until


@pytest.mark.firmware
def test_threshold_scan_falls_and_restores_the_threshold(session):
    bring_up(session)
    session.command("bias", target_mV=56_000)
    session.wait_for(lambda t: t["bias_state"] == BiasState.on, within_s=5, what="bias")
    session.write("comparator_mV", 33)
    points = list(scan_threshold(session, from_mV=2, to_mV=42, step_mV=10, gates=1))
    assert [point.x for point in points] == [2, 12, 22, 32, 42]
    rates = [point.y for point in points]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 2 * rates[-1]
    assert session.read("comparator_mV") == 33


@pytest.mark.firmware
@pytest.mark.parametrize("end", ["close", "error", "interrupt"])
def test_a_scan_that_is_broken_off_restores_what_it_changed(session, end):
    session.write("comparator_mV", 33)
    points = scan_threshold(session, from_mV=2, to_mV=42, step_mV=10, gates=1)
    expected = {"close": None, "error": ValueError, "interrupt": KeyboardInterrupt}[end]
    stops = contextlib.nullcontext() if expected is None else pytest.raises(expected)
    with stops, contextlib.closing(points):
        assert next(points).x == 2
        assert session.read("comparator_mV") == 2
        if expected is not None:
            raise expected
    assert session.read("comparator_mV") == 33


@pytest.mark.firmware
def test_bias_scan_finds_the_breakdown_and_restores_the_bias(session, machine):
    bring_up(session)
    machine.window.world["ambient_cC"] = 2500
    points = list(scan_bias(session, from_mV=50_000, to_mV=56_500, step_mV=250, readings=2))
    found = breakdown_mV(points)
    assert found == pytest.approx(machine.window.world["breakdown_mV"], abs=100)
    telemetry = session.ask_telemetry()
    assert int(telemetry["bias_mV"]) == pytest.approx(54_000, abs=300)


@pytest.mark.firmware
def test_a_scan_that_trips_says_so_and_leaves_the_bias_off(session, machine):
    bring_up(session)
    session.write("current_trip_nA", 20_000)
    with pytest.raises(ScanError, match=r"the scan ended at 5\d+ mV: bias current above"):
        list(scan_bias(session, from_mV=52_000, to_mV=58_000, step_mV=1000, readings=1))
    wait_until(lambda: session.ask_telemetry()["state"] == State.fault)
    assert machine.window.world["shown_dac_mV"] == 0


@pytest.mark.firmware
def test_the_bias_asked_for_is_known_to_a_host_that_came_later(session, machine):
    from daq.link.serial.scans import asked_bias_mV

    machine.window.world["ambient_cC"] = 3000
    bring_up(session)
    session._bias_since = 0  # as in a session that has set no bias itself
    assert session.bias_asked_mV is None
    assert asked_bias_mV(session) == pytest.approx(54_000, abs=25)


@pytest.mark.parametrize(
    ("start", "stop", "step"), [(10, 5, 1), (0, 100, 0), (0, 5000, 1), (-5, 10, 1)]
)
def test_a_range_that_is_none_is_refused(start, stop, step):
    with pytest.raises(ScanError, match="is not possible"):
        next(scan_threshold(None, from_mV=start, to_mV=stop, step_mV=step))


def curve(breakdown: float, power: float, *, noise: float = 0.0, leak: float = 1e-3, dark=2e3):
    voltage = np.arange(48_000.0, 57_000.0, 100.0)
    above = np.maximum(voltage - breakdown, 0.0) / 1000.0
    current = leak * voltage + dark * above**power
    current *= 1.0 + noise * np.random.default_rng(1).normal(size=len(voltage))
    return [ScanPoint(x=float(v), y=float(i)) for v, i in zip(voltage, current, strict=True)]


@pytest.mark.parametrize("breakdown", [51_030.0, 53_000.0, 53_470.0])
@pytest.mark.parametrize("power", [1.5, 2.0, 3.0])
def test_breakdown_is_found_whatever_the_power_of_the_law(breakdown, power):
    assert breakdown_mV(curve(breakdown, power)) == pytest.approx(breakdown, abs=60)


def test_breakdown_is_found_in_noise():
    assert breakdown_mV(curve(53_000.0, 2.0, noise=0.01)) == pytest.approx(53_000.0, abs=150)


def test_a_curve_without_breakdown_has_none():
    flat = [ScanPoint(x=1000.0 * k, y=50.0 + 0.001 * k) for k in range(30)]
    assert breakdown_mV(flat) is None
    assert breakdown_mV([]) is None
    assert breakdown_mV(flat[:4]) is None
