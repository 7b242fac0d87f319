"""Bringing a module up: clear the faults that a restart leaves, set registers, ramp the bias.

Called in a thread of its own; every wait is bounded. Afterwards the module can take part in a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from daq.link.modules.setup import ModuleSetup
from daq.link.serial.line_errors import SerialLinkError
from daq.link.serial.session import ModuleSession
from hw.wire.control import FAULTS, REGISTERS, BiasState, State, fault_words

CLEARED = ("watchdog", "brown_out", "host_lost")
"""Faults that are over once a module has restarted or heard its host again."""
BIAS_S = 10.0
IDLE_S = 2.0
_LOOK_S = 0.05


class NotReady(SerialLinkError):
    """A module that cannot take part in a run; the message says why and what to do."""


def bring_up(
    session: ModuleSession,
    setup: ModuleSetup,
    module: int,
    *,
    give_up: Callable[[], bool] = lambda: False,
) -> dict[str, int]:
    """Make a module ready for a run; return its registers.

    give_up : called before the bias is set and while it ramps

    Raises
    ------
    NotReady
        if a fault remains, the bias does not come, or ``give_up`` returned true.
    SerialLinkError
        if the module does not answer, or refuses.
    """
    _leave_fault(session)
    _leave_run(session)
    registers = {name: session.read(name) for name in REGISTERS}
    for name, value in setup.of(module).items():
        if registers.get(name) != value:
            registers[name] = session.write(name, value)
    registers["channels_checksum"] = session.read("channels_checksum")
    if setup.bias_mV:
        _check_wanted(give_up)
        if setup.bias_mV > registers["bias_max_mV"]:
            raise NotReady(
                f"a bias of {setup.bias_mV} mV is asked for, its bias_max_mV is "
                f"{registers['bias_max_mV']}; ask for less, or raise bias_max_mV"
            )
        session.command("bias", target_mV=setup.bias_mV)
        _wait_for_bias(session, setup.bias_mV, give_up)
    return registers


def latched_fault(telemetry: np.void) -> int:
    """Return a module's latched fault, 0 for none."""
    return int(telemetry["fault"]) if telemetry["state"] == State.fault else 0


def clears_itself(fault: int) -> bool:
    """Whether a fault is over once the module answers again."""
    return fault in FAULTS and FAULTS[fault].name in CLEARED


def _leave_fault(session: ModuleSession) -> None:
    fault = latched_fault(session.command("telemetry").fields)
    if not fault:
        return
    if not clears_itself(fault):
        raise NotReady(f"{fault_words(fault)}; remove the cause, then clear the fault")
    session.command("clear_fault")


def _leave_run(session: ModuleSession) -> None:
    """End a run or update left behind by a previous host."""
    state = session.command("telemetry").fields["state"]
    if state in (State.running, State.stopping):
        session.command("abort")
    if state == State.updating:
        session.command("update_abort")
    deadline = time.monotonic() + IDLE_S
    while session.command("telemetry").fields["state"] != State.idle:
        if time.monotonic() > deadline:
            raise NotReady(f"the module is not idle within {IDLE_S:g} s; reset it")
        time.sleep(_LOOK_S)


def _check_wanted(give_up: Callable[[], bool]) -> None:
    if give_up():
        raise NotReady("the link process is ending")


def _wait_for_bias(session: ModuleSession, target_mV: int, give_up: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BIAS_S
    while True:
        _check_wanted(give_up)
        telemetry = session.command("telemetry").fields
        fault = latched_fault(telemetry)
        if fault:
            raise NotReady(f"{fault_words(fault)}; remove the cause, then clear the fault")
        if telemetry["bias_state"] == BiasState.on:
            return
        if time.monotonic() > deadline:
            raise NotReady(
                f"the bias is at {telemetry['bias_mV']} mV after {BIAS_S:g} s, {target_mV} mV were "
                f"asked for: is bias_slew ({REGISTERS['bias_slew'].unit}) too low?"
            )
        time.sleep(_LOOK_S)
