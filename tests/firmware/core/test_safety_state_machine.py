"""Whatever the order of commands, faults, resets and power cuts: the bias is safe when it must be.

After every single turn of the main loop: the supply is never told more than ``bias_max_mV``, nor a
step up that the slew limit does not allow; it is told 0 while a fault is latched, while the host is
silent for too long, while the interlock is open or the detector too warm, and after every reset
until somebody orders a bias.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hw.wire.control import COUNTER_HZ, REGISTERS, BiasState, MessageKind, ResetCause, State, Status
from rigs.firmware.core_board import TICKS_PER_MS, CoreBoard, CoreLibrary
from rigs.firmware.safety_steps import image_header

pytestmark = pytest.mark.firmware

WRITTEN = (
    "bias_max_mV",
    "bias_slew",
    "bias_tolerance_mV",
    "temperature_coefficient",
    "temperature_reference_cC",
    "host_timeout_ms",
    "current_trip_nA",
)
INDEX = {name: index for index, name in enumerate(REGISTERS)}
ORDERS = ("beat", "stop", "abort", "save", "defaults", "clear_fault", "reset")
IMAGE = bytes(range(200))


class Safety(RuleBasedStateMachine):
    """A module, its host, its weather and its power."""

    def __init__(self, library: CoreLibrary, seen: set[State]) -> None:
        super().__init__()
        self.seen = seen
        self.core = CoreBoard(library)
        self.board = self.core.board
        self.ordered = False
        self.silent_ticks = 0
        self.restart(ResetCause.power_on)

    # --- what is watched ---------------------------------------------------------------------

    def register(self, name: str) -> int:
        """A register's value now."""
        return int(self.core.module.registers.values[INDEX[name]])

    def restart(self, cause: ResetCause) -> None:
        """Start anew: what was ordered is void, also what is still on the line."""
        if cause == ResetCause.power_on:
            self.core.forget_line()
        self.core.start(int(cause))
        self.ordered, self.silent_ticks = False, 0
        assert self.board.dac_mV == 0, "after a reset the bias is 0"

    def turn(self, ticks: int, *, heard: bool = False) -> None:
        """One turn, and all that must hold after it."""
        before, slew = int(self.board.dac_mV), self.register("bias_slew")
        self.core.turn(ticks)
        self.silent_ticks = 0 if heard else self.silent_ticks + ticks
        slew = max(slew, self.register("bias_slew"))
        up = int(self.board.dac_mV) - before
        assert up <= slew * min(ticks, COUNTER_HZ // 50) / COUNTER_HZ + 1
        if up > 0:
            assert self.ordered, "the bias goes up on an order only"
        self.check()
        if self.core.asked_to_stop:
            self.follow_the_board()

    def check(self) -> None:
        """What must hold between turns."""
        module, dac = self.core.module, int(self.board.dac_mV)
        self.seen.add(State(module.state))
        assert dac <= self.register("bias_max_mV")
        world = self.core.window.world
        silent_ms = self.silent_ticks / TICKS_PER_MS
        unsafe = (
            module.faults.latched != 0
            or not world["interlock_closed"]
            or world["ambient_cC"] > self.register("temperature_trip_cC")
            or world["supply_mV"] < self.register("supply_min_mV")
            or silent_ms > self.register("host_timeout_ms") + 1
        )
        if unsafe:
            assert dac == 0
            assert not module.run.on
        if module.faults.latched:
            assert (module.state, module.bias.state) == (State.fault, BiasState.tripped)
            self.ordered = False
        if module.state in (State.running, State.stopping):
            assert module.faults.latched == 0
        assert self.board.nv_refused == 0

    def follow_the_board(self) -> None:
        """Do what the firmware asked the board to do."""
        brown_out = bool(self.board.downs)
        if brown_out:
            assert self.board.dac_mV == 0
        self.restart(ResetCause.brown_out if brown_out else ResetCause.software)

    def say(self, name: str, tail: bytes = b"", **fields: int) -> int | None:
        """Send a command; its status, or None where the module went down instead."""
        number = self.core.send(name, tail, **fields)
        for turn in range(5):
            starts = self.board.starts
            self.turn(TICKS_PER_MS, heard=turn == 0)
            for header, payload in self.core.messages():
                if header["kind"] == MessageKind.reply and header["sequence"] == number:
                    return int.from_bytes(payload[:2], "little")
            if self.board.starts != starts:
                return None
        raise AssertionError(f"{name} was not answered")

    # --- what happens ------------------------------------------------------------------------

    @rule(
        millivolt=st.one_of(st.integers(0, 90_000), st.sampled_from([0, 55_000, 60_000, 2**32 - 1]))
    )
    def order_bias(self, millivolt: int) -> None:
        allowed = millivolt <= self.register("bias_max_mV") and not self.core.module.faults.latched
        self.ordered = self.ordered or (allowed and millivolt > 0)
        status = self.say("bias", target_mV=millivolt)
        assert status != Status.ok or allowed

    @rule(name=st.sampled_from(WRITTEN), data=st.data())
    def write_register(self, name: str, data: st.DataObject) -> None:
        spec = REGISTERS[name]
        value = data.draw(st.one_of(st.integers(spec.min, spec.max), st.just(spec.default)))
        self.say("write", register=spec.address, value=value)

    @rule(milliseconds=st.integers(1, 400), step_ms=st.sampled_from([1, 3, 10]))
    def wait(self, milliseconds: int, step_ms: int) -> None:
        for _ in range(0, milliseconds, step_ms):
            self.turn(step_ms * TICKS_PER_MS)

    @rule(ticks=st.integers(1, 10 * COUNTER_HZ))
    def stall(self, ticks: int) -> None:
        self.turn(ticks)

    @rule()
    def bring_on(self) -> None:
        self.say("write", register=REGISTERS["bias_slew"].address, value=100_000)
        self.order_bias(50_000)
        for _ in range(7):
            self.wait(90, 3)
            self.say("beat")

    @rule(
        name=st.sampled_from(["beat", "stop", "abort", "save", "defaults", "clear_fault", "reset"])
    )
    def command(self, name: str) -> None:
        self.say(name)

    @rule(periods=st.integers(0, 3))
    def run(self, periods: int) -> None:
        bias_on = self.core.module.bias.state == BiasState.on
        status = self.say("run", run_tag=5, periods=periods)
        assert status != Status.ok or bias_on

    @rule()
    def begin_update(self) -> None:
        header = image_header(IMAGE)
        self.say("update_begin", **{name: int(header[name]) for name in header.dtype.names})

    @rule(noise=st.binary(max_size=60))
    def noise_on_the_line(self, noise: bytes) -> None:
        self.core.serial_in(noise + b"\0")
        self.turn(TICKS_PER_MS)

    @rule(temperature=st.one_of(st.integers(-4000, 8000), st.just(2450)))
    def temperature(self, temperature: int) -> None:
        self.core.window.world["ambient_cC"] = temperature
        self.turn(1)

    @rule(
        change=st.sampled_from(
            [("interlock_closed", 0), ("interlock_closed", 1), ("short_uA", 5000), ("short_uA", 0),
             ("bias_stuck", 1), ("bias_stuck", 0), ("nv_broken", 1), ("nv_broken", 0),
             ("light_uA", 800), ("light_uA", 0)]
        )
    )  # fmt: skip
    def weather(self, change: tuple[str, int]) -> None:
        self.core.window.world[change[0]] = change[1]
        self.turn(1)

    @rule(millivolt=st.integers(0, 4499))
    def supply_dips(self, millivolt: int) -> None:
        self.core.window.world["supply_mV"] = millivolt
        self.core.turn(1)
        assert self.board.dac_mV == 0
        self.core.window.world["supply_mV"] = 5000
        self.restart(ResetCause.brown_out)

    @rule()
    def program_hangs(self) -> None:
        self.restart(ResetCause.watchdog)
        self.turn(1)
        assert self.core.module.faults.latched != 0

    @rule(nv_bytes=st.integers(0, 300), name=st.sampled_from(["save", "clear_fault", "beat"]))
    def power_fails(self, nv_bytes: int, name: str) -> None:
        self.core.cut_power_after(nv_bytes)
        self.say(name)
        self.restart(ResetCause.power_on)

    @precondition(lambda self: not self.core.module.faults.latched)
    @rule()
    def fair_weather_and_a_host_keep_it_on(self) -> None:
        """Not all is forbidden: in fair weather the bias does come on, and a run begins."""
        self.core.window.world.update(
            {"ambient_cC": 2450, "interlock_closed": 1, "short_uA": 0, "bias_stuck": 0,
             "light_uA": 0, "nv_broken": 0}
        )  # fmt: skip
        self.restart(ResetCause.power_on)
        for name in (*WRITTEN, "temperature_trip_cC", "supply_min_mV"):
            self.say("write", register=REGISTERS[name].address, value=REGISTERS[name].default)
        self.bring_on()
        assert self.core.module.bias.state == BiasState.on
        assert self.say("run", run_tag=5, periods=0) == Status.ok
        assert self.core.module.state == State.running

    @invariant()
    def no_two_truths(self) -> None:
        """What the board was told is what the core believes and the world page shows."""
        assert self.board.dac_mV == self.core.module.bias.set_mV


def test_the_bias_is_safe_whatever_happens(core_library: CoreLibrary) -> None:
    seen: set[State] = set()
    run_state_machine_as_test(
        lambda: Safety(core_library, seen),
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None),
    )
    assert seen >= {State.running, State.fault, State.updating}
