"""What the run bar says of a run beside its state: what is silent, why, until when."""

from __future__ import annotations

from gui.kit.told import check_words, told
from gui.kit.wording import age_text, clock_text, grouped
from gui.kit.words import tr
from hw.messages.telemetry import Telemetry


def silence_of(telemetry: Telemetry) -> str:
    """Return what should be heard in the run and is not, worst first; "" if all is."""
    words = [
        tr("{value} for {age}", value=_silent(name), age=age_text(seconds))
        for name, seconds in telemetry.silent.items()
    ]
    return f"✗ {', '.join(words)}" if words else ""


def _silent(name: str) -> str:
    """Return who says nothing, in words; ``name`` as telemetry has it."""
    first, _, rest = name.partition(" ")
    if name == "data":
        return tr("no data")
    if name == "imager":
        return tr("imager silent")
    if first == "source":
        return tr("source {kind} silent", kind=rest)
    if rest == "modules":
        return tr("{count} modules silent", count=first)
    return tr("module {module} silent", module=rest)


def reason_of(telemetry: Telemetry) -> str:
    """Return the reason of the state; while the final image is made, its progress."""
    if telemetry.state == "stopping" and telemetry.finishing > 0:
        return tr("finishing the image, {value:.0f} %", value=100 * telemetry.finishing)
    reason = told(telemetry.reason_id, telemetry.reason_values, telemetry.reason)
    return reason or _segments(telemetry) or _checks(telemetry) or _end(telemetry)


def _checks(telemetry: Telemetry) -> str:
    """Return what to look at before a start; the page of the study has all of it."""
    if telemetry.state == "closed":
        return ""
    wrong = [check for check in telemetry.checks if check.state != "ok"]
    wrong.sort(key=lambda check: check.state != "stops")
    sign = "✗" if wrong and wrong[0].state == "stops" else "⚠"
    return f"{sign} {'; '.join(map(check_words, wrong))}" if wrong else ""


def _end(telemetry: Telemetry) -> str:
    """Return by which counts or noise the run will end, and how far it is; "" by neither."""
    if telemetry.state not in ("armed", "running"):
        return ""
    until, parts = telemetry.until, []
    if until.counts:
        parts.append(
            tr(
                "{counts} counts ({counted} now)",
                counts=grouped(until.counts),
                counted=grouped(telemetry.counted),
            )
        )
    if until.noise_percent:
        now = f"{telemetry.noise_percent:.3g} %" if telemetry.noise_percent else tr("not known")
        parts.append(
            tr("{noise_percent:g} % noise ({now} now)", noise_percent=until.noise_percent, now=now)
        )
    return tr("until {join}", join=tr(" or ").join(parts)) if parts else ""


def _segments(telemetry: Telemetry) -> str:
    """Return that a run was interrupted, where and for how long; "" if it was not."""
    gaps = telemetry.interruptions
    if not gaps:
        return ""
    last = gaps[-1]
    words = tr("⚠ segment {value} since {clock}", value=len(gaps) + 1, clock=clock_text(last.at_s))
    why = told(last.id, last.values, last.why)
    return tr("{words}: no data for {age}, {why}", words=words, age=age_text(last.away_s), why=why)
