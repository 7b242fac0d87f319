"""How a firmware module is shown to a person: one look for its condition, one row of text.

The condition is the worst that applies: not answering, a latched fault, less bias during a run than
at its start, ramping bias, no SYNC, a damaged line. It always has a word and a shape, supported by
a colour.
"""

from __future__ import annotations

from gui.kit import theme
from gui.kit.theme import Look
from gui.kit.wording import rate_text
from gui.kit.words import mark, tr
from hw.messages.modules import ModuleState

COLUMNS = (
    ("", mark("Module index: ring × modules per ring + sector")),
    (mark("State"), mark("What the module does, or what is wrong with it")),
    (mark("Bias / V"), mark("SiPM bias, measured")),
    ("I / µA", mark("SiPM current, measured")),
    ("T / °C", mark("Temperature of the module")),
    (mark("k hits/s"), mark("Hits that the firmware took in over the last second, thousands")),
    (mark("k events/s"), mark("Event words that it sent over the last second, thousands")),
    (mark("SYNC"), mark("Whether the module's clock is locked to the scanner's SYNC pulse")),
    (
        mark("Link"),
        mark("Round trip of commands, 50th percentile, and what was wrong with the line"),
    ),
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
BIAS_STATES = (mark("off"), mark("ramping"), mark("on"), mark("tripped"), mark("unknown"))
GONE = Look(mark("NO ANSWER"), "×", theme.ALARM)


def condition(state: ModuleState) -> Look:
    """Return the worst condition of a module; see the top of this file."""
    if not state.link.connected:
        return GONE
    if state.state == "fault" or state.fault:
        return Look(tr("FAULT: {replace}", replace=state.fault.replace("_", " ")), "✗", theme.ALARM)
    if state.lacks_bias:
        return Look(tr("bias {bias_words}", bias_words=bias_words(state)), "✗", theme.ALARM)
    look = _STATES.get(state.state, _STATES["unknown"])
    if state.bias_state == "ramping":
        return Look(tr("{word}, bias ramping", word=look.word), "↗", theme.NOTICE)
    if state.state == "running" and not state.locked:
        return Look(tr("running, no SYNC"), "⚠", theme.WARNING)
    if not state.confirmed:
        return Look(tr("{word}, image not confirmed", word=look.word), "⚠", theme.WARNING)
    return look


def bias_words(state: ModuleState) -> str:
    """Return the bias of a module during a run, against what was requested at its start."""
    return tr(
        "{value:.1f} V of {value2:.1f} V asked",
        value=state.bias_mV / 1000,
        value2=state.asked_mV / 1000,
    )


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
        tr("locked") if state.locked else tr("⚠ none"),
        link_words(state),
    )


def link_words(state: ModuleState) -> str:
    """Return the line's state in a few words."""
    link = state.link
    damaged = link.retransmits + link.invalid_packets + link.timeouts
    mark = "⚠ " if damaged or link.lost_frames or link.round_trip_ms[0] > SLOW_LINK_MS else ""
    return f"{mark}{link.round_trip_ms[0]:.1f} ms"


def facts(state: ModuleState) -> tuple[tuple[str, str], ...]:
    """Return the facts about one module, caption (marked) and text."""
    link = state.link
    asked = tr(
        "{value:.3f} V of {value2:.3f} V asked for",
        value=state.bias_mV / 1000,
        value2=state.target_mV / 1000,
    )
    if state.lacks_bias:
        asked += tr(" ({value:.3f} V as the run began)", value=state.asked_mV / 1000)
    interlock = tr("closed") if state.interlock_closed else tr("OPEN")
    trips = tr(
        "{value:.1f} / {value2:.1f} ms round trip (p50 / p99)",
        value=link.round_trip_ms[0],
        value2=link.round_trip_ms[1],
    )
    damage = tr(
        "{retransmits} sent again, {timeouts} unanswered",
        retransmits=link.retransmits,
        timeouts=link.timeouts,
    )
    broken = tr(
        "{invalid_packets} damaged, {reconnects} reconnections",
        invalid_packets=link.invalid_packets,
        reconnects=link.reconnects,
    )
    starts = tr(
        "{resets} since power came, the last by {value}",
        resets=state.resets,
        value=state.reset_cause or "?",
    )
    return (
        (mark("Machine"), f"{state.machine}, {link.url}"),
        (mark("Fault"), state.fault_text or tr("none")),
        (mark("Bias"), f"{asked}, {tr(state.bias_state)}"),
        (mark("Current"), f"{state.current_nA / 1000:.3f} µA"),
        (
            mark("Supply"),
            tr(
                "{value:.2f} V, interlock {interlock}",
                value=state.supply_mV / 1000,
                interlock=interlock,
            ),
        ),
        (
            mark("Temperature"),
            tr(
                "{temperature_C:.2f} °C, epoch {epoch}",
                temperature_C=state.temperature_C,
                epoch=state.epoch,
            ),
        ),
        (
            mark("Scaler"),
            tr("{rate} k/s over the comparator's threshold", rate=rate_text(state.scaler_Hz)),
        ),
        (mark("Firmware"), _firmware_words(state)),
        (mark("Starts"), starts),
        (mark("Line"), trips + (f", {link.baud} Bd" if link.baud else "")),
        (mark("Damage"), f"{damage}, {broken}"),
        (
            mark("Frames"),
            tr(
                "{frames} received, {lost_frames} lost on the way",
                frames=link.frames,
                lost_frames=link.lost_frames,
            ),
        ),
        (mark("Clock"), _clock_words(state)),
    )


def _firmware_words(state: ModuleState) -> str:
    words = tr("{value} in slot {value2}", value=state.build or "?", value2=state.slot or "?")
    return words if state.confirmed else tr("{words}, NOT CONFIRMED", words=words)


def _clock_words(state: ModuleState) -> str:
    link = state.link
    if link.drift_ppm is None:
        return tr("not known yet")
    sigma = f" ± {link.drift_sigma_ppm:.2f}" if link.drift_sigma_ppm is not None else ""
    return tr(
        "drift {drift_ppm:+.2f}{sigma} ppm against this machine",
        drift_ppm=link.drift_ppm,
        sigma=sigma,
    )
