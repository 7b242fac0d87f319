"""The SiPM bias: how it ramps, when it counts as on, what temperature does to it, its epochs."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.wire.control import COUNTER_HZ, BiasState, Status
from rigs.firmware.core_board import ADC, TICKS_PER_MS, CoreBoard
from rigs.firmware.safety_steps import FAULT, bring_bias_on, is_safe, logged, read, started, write

pytestmark = pytest.mark.firmware

LONGEST_STEP = COUNTER_HZ // 50
"""20 ms: a later turn does not ramp further than that."""


def order(core: CoreBoard, millivolt: int) -> int:
    """Order a bias by a call of the core: no turn is made."""
    return int(core.lib.bias_set(core.module, millivolt))


def quiet(core: CoreBoard, **registers: int) -> None:
    """Start in fair weather, without compensation; the host may stay silent for a minute."""
    for name in ADC:
        core.set_adc(name, None)
    core.window.set_up()
    started(core)
    registers = {"host_timeout_ms": 60_000, "temperature_coefficient": 0} | registers
    for name, value in registers.items():
        assert write(core, name, value) == Status.ok


# --- the ramp ------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    slew=st.integers(100, 100_000),
    up=st.integers(1, 52_000),
    down=st.integers(0, 52_000),
    turns=st.lists(st.integers(1, 2 * LONGEST_STEP), min_size=5, max_size=60),
)
def test_the_set_value_follows_the_slew_limit_to_the_millivolt(
    core: CoreBoard, slew: int, up: int, down: int, turns: list[int]
) -> None:
    quiet(core, bias_slew=slew, bias_tolerance_mV=5000)
    at = 0
    for target, slack in ((up, 0), (down, 1)):  # less than 1 mV is owed from the way up
        order(core, target)
        begin, passed = at, 0
        for ticks in turns:
            core.turn(ticks)
            passed += min(ticks, LONGEST_STEP)
            way = min(abs(target - begin), math.floor(Fraction(slew * passed, COUNTER_HZ)))
            at = begin + way if target > begin else begin - way
            assert abs(core.board.dac_mV - at) <= slack
        at = core.board.dac_mV


def test_a_ramp_takes_as_long_as_the_slew_limit_says(core: CoreBoard) -> None:
    quiet(core, bias_slew=20_000)
    order(core, 50_000)
    core.run_for(2499)
    assert (core.board.dac_mV, core.module.bias.state) == (49_980, BiasState.ramping)
    core.run_for(1)
    assert core.board.dac_mV == 50_000
    core.run_for(100)
    assert core.module.bias.state == BiasState.on
    order(core, 0)
    core.run_for(2499)
    assert core.board.dac_mV == 20
    core.run_for(1 + 10)
    assert (core.board.dac_mV, core.module.bias.state) == (0, BiasState.off)


def test_a_new_order_in_mid_ramp_turns_it_round(core: CoreBoard) -> None:
    quiet(core, bias_slew=10_000)
    order(core, 50_000)
    core.run_for(1000)
    assert core.board.dac_mV == 10_000
    order(core, 4_000)
    core.run_for(500)
    assert core.board.dac_mV == 5_000


def test_the_bias_is_on_when_it_is_within_its_tolerance(core: CoreBoard) -> None:
    quiet(core, bias_tolerance_mV=300)
    order(core, 30_000)
    core.run_for(2000)
    core.set_adc("bias_mV", 29_699)
    core.turn()
    assert core.module.bias.state == BiasState.ramping
    core.set_adc("bias_mV", 29_700)
    core.turn()
    assert core.module.bias.state == BiasState.on
    core.set_adc("bias_mV", 30_301)
    core.turn()
    assert core.module.bias.state == BiasState.ramping


def test_off_means_below_1_V(core: CoreBoard) -> None:
    quiet(core)
    core.set_adc("bias_mV", 999)
    core.turn()
    assert core.module.bias.state == BiasState.off
    core.set_adc("bias_mV", 1000)
    core.turn()
    assert core.module.bias.state == BiasState.ramping


# --- bounds --------------------------------------------------------------------------------------


def test_a_bias_above_the_greatest_is_refused(core: CoreBoard) -> None:
    quiet(core, bias_max_mV=56_000)
    assert core.command("bias", target_mV=56_001)[:2] == (Status.bad_value, 0)
    assert core.command("bias", target_mV=0xFFFFFFFF)[0] == Status.bad_value
    assert core.module.bias.requested_mV == 0
    assert core.command("bias", target_mV=56_000)[0] == Status.ok


def test_a_lower_limit_holds_at_once_where_the_bias_is_not_there_yet(core: CoreBoard) -> None:
    quiet(core, bias_slew=100_000)
    order(core, 50_000)
    core.run_for(400)
    lag = core.board.dac_mV - core.module.bias.measured_mV
    assert lag > 1900, "100 V/s times 20 ms"
    core.lib.register_set(core.module, core.lib.register_index(20), core.board.dac_mV - 1000)
    for _ in range(500):
        core.turn()
        assert core.board.dac_mV <= 39_000
    assert core.module.bias.state == BiasState.on, "nothing was above the limit: no fault"
    assert core.board.dac_mV == core.module.bias.target_mV


def test_a_lower_limit_turns_the_ramp_and_trips_what_is_above_it(core: CoreBoard) -> None:
    quiet(core)
    bring_bias_on(core, 50_000)
    assert write(core, "bias_max_mV", 40_000) == Status.ok
    core.turn()
    assert is_safe(core)
    assert core.module.faults.latched == FAULT["over_voltage"]


# --- temperature ---------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    requested=st.integers(1, 60_000),
    coefficient=st.integers(0, 200),
    reference=st.integers(-2000, 6000),
    temperature=st.one_of(st.integers(-5000, 8999), st.sampled_from([-(2**31), 9000])),
    most=st.integers(0, 80_000),
)
def test_the_target_follows_the_temperature_within_its_bounds(
    core: CoreBoard, requested: int, coefficient: int, reference: int, temperature: int, most: int
) -> None:
    quiet(
        core,
        temperature_coefficient=coefficient,
        temperature_reference_cC=reference,
        temperature_trip_cC=9000,
        bias_max_mV=most,
    )
    core.set_adc("temperature_cC", temperature)
    core.turn()
    ordered = order(core, requested)
    core.turn()
    if requested > most:
        assert (ordered, core.module.bias.target_mV) == (Status.bad_value, 0)
        return
    exact = requested + Fraction(coefficient * (max(temperature, -20_000) - reference), 100)
    expected = min(max(exact, Fraction(0)), Fraction(most))
    assert abs(core.module.bias.target_mV - expected) <= Fraction(1, 2)
    assert core.board.dac_mV <= most


def test_compensation_keeps_the_overvoltage_while_it_gets_warmer(core: CoreBoard) -> None:
    quiet(core, temperature_coefficient=22)
    bring_bias_on(core, 56_000)
    for temperature in range(2450, 3500, 10):
        core.window.world["ambient_cC"] = temperature
        core.run_for(100)
        breakdown = 53_000 + 22 * (temperature - 2500) / 100
        assert core.window.world["shown_bias_mV"] - breakdown == pytest.approx(3000, abs=3)
        assert core.module.bias.state == BiasState.on


# --- epochs --------------------------------------------------------------------------------------


def _epoch(core: CoreBoard) -> int:
    core.turn()
    return int(core.module.bias.epoch)


def test_an_epoch_begins_where_the_temperature_leaves_the_band(core: CoreBoard) -> None:
    quiet(core, epoch_band_cC=200)
    first, epochs = _epoch(core), []
    for temperature in (2650, 2651, 2851, 2852, 2652, 2651, 2400):
        core.window.world["ambient_cC"] = temperature
        epochs.append(_epoch(core) - first)
    assert epochs == [0, 1, 1, 2, 2, 3, 4]


def test_a_change_of_bias_or_gain_begins_an_epoch(core: CoreBoard) -> None:
    quiet(core)
    first = _epoch(core)
    order(core, 50_000)
    assert _epoch(core) == first + 1
    order(core, 50_000)
    assert _epoch(core) == first + 1, "the same again is no change"
    write(core, "temperature_coefficient", 30)
    assert _epoch(core) == first + 2
    write(core, "temperature_reference_cC", 2400)
    assert _epoch(core) == first + 3
    assert core.command("channels_write", b"\x00\x20", first=0, count=1)[0] == Status.ok
    assert _epoch(core) == first + 4
    core.window.world["interlock_closed"] = 0
    assert _epoch(core) == first + 5, "a trip changes the bias as well"


def test_the_epoch_wraps(core: CoreBoard) -> None:
    quiet(core)
    core.module.bias.epoch = 0xFFFF
    order(core, 50_000)
    assert _epoch(core) == 0


# --- what a simulated board answers --------------------------------------------------------------


def test_the_supply_follows_its_set_value_with_20_ms_and_discharges_with_2(core: CoreBoard) -> None:
    quiet(core)
    model = core.window.world
    core.lib.hal_bias_dac(40_000)
    shown = []
    for _ in range(100):
        core.board.counter += TICKS_PER_MS
        core.lib.hal_adc(0)
        shown.append(model["shown_bias_mV"])
    expected = [40_000 * (1 - math.exp(-ms / 20)) for ms in range(1, 101)]
    assert shown == pytest.approx(expected, rel=1e-4, abs=1)
    core.lib.hal_bias_dac(0)
    core.board.counter += 10 * TICKS_PER_MS
    core.lib.hal_adc(0)
    assert model["shown_bias_mV"] == pytest.approx(shown[-1] * math.exp(-5), abs=1)


@settings(max_examples=40)
@given(bias=st.integers(0, 60_000), temperature=st.integers(-1000, 6000), light=st.integers(0, 500))
def test_the_current_follows_its_formula(
    core: CoreBoard, bias: int, temperature: int, light: int
) -> None:
    quiet(core)
    core.window.world["ambient_cC"], core.window.world["light_uA"] = temperature, light
    core.lib.hal_bias_dac(bias)
    core.board.counter += 1000 * TICKS_PER_MS
    warmer = (temperature - 2500) / 100
    over = max(bias - (53_000 + 22 * warmer), 0) / 3000
    expected = bias / 1000 + (20_000 * 2 ** (warmer / 8) + light * 1000) * over**2
    assert core.lib.hal_adc(1) == pytest.approx(expected, rel=0.004, abs=5)


def test_dark_counts_make_a_staircase_of_10_mV_with_slopes(core: CoreBoard) -> None:
    quiet(core)
    core.window.world["ambient_cC"] = 2500
    core.lib.hal_bias_dac(56_000)
    core.board.counter += 1000 * TICKS_PER_MS

    def rate(millivolt: int) -> int:
        core.lib.hal_comparator(millivolt)
        before = core.lib.hal_comparator_count()
        core.board.counter += 1000 * TICKS_PER_MS
        return int(core.lib.hal_comparator_count() - before)

    rates = [rate(millivolt) for millivolt in range(60)]
    assert rates == sorted(rates, reverse=True)
    assert [rates[mid] for mid in (5, 15, 25, 35)] == pytest.approx([1e6, 2e5, 4e4, 8e3], rel=0.01)
    assert rates[5] == rates[8] and rates[12] == rates[18], "flat between the steps"
    assert rates[9] > rates[10] > rates[11], "and the steps have a width"
    core.lib.hal_bias_dac(52_000)
    core.board.counter += 1000 * TICKS_PER_MS
    assert rate(5) == 0, "below breakdown nothing fires"


def test_the_module_measures_what_the_board_shows(core: CoreBoard) -> None:
    quiet(core)
    bring_bias_on(core, 55_000)
    assert core.module.bias.measured_mV == core.window.world["shown_bias_mV"] == 55_000
    assert core.module.bias.temperature_cC == 2450
    assert read(core, "bias_max_mV") == 60_000
    assert logged(core) == []
