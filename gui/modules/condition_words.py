"""How a firmware module is shown to a person: one look for its condition, one row of text.

The condition is the worst that applies: not answering, a latched fault, in a run less bias than the
run began with, ramping bias, no SYNC, a damaged line. It always has a word and a shape, supported
by a colour.
"""

from __future__ import annotations

from gui.kit import theme
from gui.kit.theme import Look
from gui.kit.wording import rate_text
from gui.kit.words import mark
from hw.messages.modules import ModuleState

COLUMNS = (
    ("", "Module index: ring × modules per ring + sector"),
    ("State", "What the module does, or what is wrong with it"),
    ("Bias / V", "SiPM bias, measured"),
    ("I / µA", "SiPM current, measured"),
    ("T / °C", "Temperature of the module"),
    ("k hits/s", "Hits that the firmware took in over the last second, thousands"),
    ("k events/s", "Event words that it sent over the last second, thousands"),
    ("SYNC", "Whether the module's clock is locked to the scanner's SYNC pulse"),
    ("Link", "Round trip of commands, 50th percentile, and what was wrong with the line"),
)
CONDITION = 1
"""The column that carries the condition's look."""

SLOW_LINK_MS = 100.0

_STATES = {
    "boot": Look(mark("starting"), "…", theme.NOTICE),
    "idle": Look(mark("idle"), "○", theme.DIM),
    "running": Look(mark("running"), "▶", theme.GOOD),
    "stopping": Look(mark("stopping"), "◼", theme.WARNING),
    "updating": Look(mark("updating"), "⟳", theme.NOTICE),
    "fault": Look(mark("FAULT"), "✗", theme.ALARM),
    "unknown": Look(mark("unknown"), "?", theme.FAINT),
}
GONE = Look(mark("NO ANSWER"), "×", theme.ALARM)


def condition(state: ModuleState) -> Look:
    """Return the worst condition of a module; see the top of this file."""
    if not state.link.connected:
        return GONE
    if state.state == "fault" or state.fault:
        return Look(f"FAULT: {state.fault.replace('_', ' ')}", "✗", theme.ALARM)
    if state.lacks_bias:
        return Look(f"bias {bias_words(state)}", "✗", theme.ALARM)
    look = _STATES.get(state.state, _STATES["unknown"])
    if state.bias_state == "ramping":
        return Look(f"{look.word}, bias ramping", "↗", theme.NOTICE)
    if state.state == "running" and not state.locked:
        return Look("running, no SYNC", "⚠", theme.WARNING)
    if not state.confirmed:
        return Look(f"{look.word}, image not confirmed", "⚠", theme.WARNING)
    return look


def bias_words(state: ModuleState) -> str:
    """Return the bias of a module in a run, against what was asked for as the run began."""
    return f"{state.bias_mV / 1000:.1f} V of {state.asked_mV / 1000:.1f} V asked"


def row(state: ModuleState) -> tuple[str, ...]:
    """Return a module's text for :data:`COLUMNS`; what is not known is a dash."""
    number, look = f"{state.module}", condition(state)
    if not state.link.connected:
        return (number, look.text, *("–" for _ in COLUMNS[2:]))
    return (
        number,
        look.text,
        f"{state.bias_mV / 1000:.2f}",
        f"{state.current_nA / 1000:.2f}",
        f"{state.temperature_C:.1f}",
        rate_text(state.hit_rate),
        rate_text(state.word_rate),
        "locked" if state.locked else "⚠ none",
        link_words(state),
    )


def link_words(state: ModuleState) -> str:
    """Return the line's state in a few words."""
    link = state.link
    damaged = link.retransmits + link.invalid_packets + link.timeouts
    mark = "⚠ " if damaged or link.lost_frames or link.round_trip_ms[0] > SLOW_LINK_MS else ""
    return f"{mark}{link.round_trip_ms[0]:.1f} ms"


def facts(state: ModuleState) -> tuple[tuple[str, str], ...]:
    """Return the facts about one module, caption and text."""
    link = state.link
    asked = f"{state.bias_mV / 1000:.3f} V of {state.target_mV / 1000:.3f} V asked for"
    if state.lacks_bias:
        asked += f" ({state.asked_mV / 1000:.3f} V as the run began)"
    interlock = "closed" if state.interlock_closed else "OPEN"
    trips = f"{link.round_trip_ms[0]:.1f} / {link.round_trip_ms[1]:.1f} ms round trip (p50 / p99)"
    damage = f"{link.retransmits} sent again, {link.timeouts} unanswered"
    broken = f"{link.invalid_packets} damaged, {link.reconnects} reconnections"
    starts = f"{state.resets} since power came, the last by {state.reset_cause or '?'}"
    return (
        ("Machine", f"{state.machine}, {link.url}"),
        ("Fault", state.fault_text or "none"),
        ("Bias", f"{asked}, {state.bias_state}"),
        ("Current", f"{state.current_nA / 1000:.3f} µA"),
        ("Supply", f"{state.supply_mV / 1000:.2f} V, interlock {interlock}"),
        ("Temperature", f"{state.temperature_C:.2f} °C, epoch {state.epoch}"),
        ("Scaler", f"{rate_text(state.scaler_Hz)} k/s over the comparator's threshold"),
        ("Firmware", _firmware_words(state)),
        ("Starts", starts),
        ("Line", trips + (f", {link.baud} Bd" if link.baud else "")),
        ("Damage", f"{damage}, {broken}"),
        ("Frames", f"{link.frames} received, {link.lost_frames} lost on the way"),
        ("Clock", _clock_words(state)),
    )


def _firmware_words(state: ModuleState) -> str:
    words = f"{state.build or '?'} in slot {state.slot or '?'}"
    return words if state.confirmed else f"{words}, NOT CONFIRMED"


def _clock_words(state: ModuleState) -> str:
    link = state.link
    if link.drift_ppm is None:
        return "not known yet"
    sigma = f" ± {link.drift_sigma_ppm:.2f}" if link.drift_sigma_ppm is not None else ""
    return f"drift {link.drift_ppm:+.2f}{sigma} ppm against this machine"
