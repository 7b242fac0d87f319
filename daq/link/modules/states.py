"""A module's state for displays: its telemetry, line and registers in the words of the protocol."""

from __future__ import annotations

from typing import Any

from daq.link.modules.linked_module import LinkedModule
from hw.messages.modules import ModuleState
from hw.wire.control import FAULTS, BiasState, Lock, ResetCause, Slot, State, fault_words

GATE_S = 0.1
"""The length of a scaler's gate."""

_COUNTED = (
    "hits", "words", "frames", "frames_dropped", "bytes_in", "invalid_packets", "commands",
    "repeats", "refused", "marks_missed", "sync_losses", "loop_us", "stack_bytes", "period",
    "host_silent_ms",
)  # fmt: skip


def state_of(linked: LinkedModule) -> ModuleState:
    """Return a module's state; what is not known yet has its default value."""
    session, telemetry = linked.session, linked.telemetry
    state = ModuleState(
        module=linked.module,
        machine=linked.port.machine,
        link=linked.link_state(),
        registers=linked.registers,
    )
    if session is None:
        state.fault_text = linked.words
        return state
    _add_identity(state, session.identity)
    if linked.run is not None and not linked.run.is_over:
        state.asked_mV = linked.run.bias_mV
    if telemetry is not None:
        _add_telemetry(state, telemetry)
    if not state.fault_text and linked.words:
        state.fault_text = linked.words
    return state


def _name(enumeration: Any, value: int) -> str:
    """Return a value's name as words, or its number if this program does not know it."""
    known = {int(entry): entry.name.replace("_", " ") for entry in enumeration}
    return known.get(int(value), str(int(value)))


def _add_identity(state: ModuleState, identity: Any) -> None:
    state.reset_cause = _name(ResetCause, identity["reset_cause"])
    state.slot = _name(Slot, identity["slot"])
    state.confirmed = bool(identity["confirmed"])
    state.build = f"{int(identity['build']):08x}"
    state.serial_number = int(identity["serial_number"])
    state.resets = int(identity["resets"])


def _add_telemetry(state: ModuleState, telemetry: Any) -> None:
    fault = int(telemetry["fault"])
    state.state = _name(State, telemetry["state"])
    state.bias_state = _name(BiasState, telemetry["bias_state"])
    state.locked = bool(telemetry["lock"] == Lock.locked)
    state.interlock_closed = bool(telemetry["flags"] & 1)
    state.fault = FAULTS[fault].name if fault in FAULTS else (str(fault) if fault else "")
    state.fault_text = fault_words(fault)
    for name in ("bias_mV", "target_mV", "current_nA", "supply_mV", "queue_bytes", "epoch"):
        setattr(state, name, int(telemetry[name]))
    state.resets = int(telemetry["resets"])
    state.temperature_C = int(telemetry["temperature_cC"]) / 100
    state.hit_rate, state.word_rate = float(telemetry["hit_rate"]), float(telemetry["word_rate"])
    state.scaler_Hz = int(telemetry["scaler"]) / GATE_S
    state.counters = {name: int(telemetry[name]) for name in _COUNTED}
