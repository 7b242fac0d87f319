"""The outcome of sorting in words: pairs, randoms, multiples, windows, scatter under photopeaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hw.messages.sort_settings import SortSettings

MOST_CAUSES = 6


def describe_end(summary: Mapping[str, Any]) -> str:
    """Return how a run ended; where that is not good, with every cause in a line."""
    books = "the books close" if summary["conserved"] else "the books do NOT close"
    causes = summary["conditions"]
    lines = [f"{summary['run']}: {summary['condition']}, {books}"]
    lines += [f"  ! {cause}" for cause in causes[:MOST_CAUSES]]
    if len(causes) > MOST_CAUSES:
        lines.append(f"  ! and {len(causes) - MOST_CAUSES} more: see conditions in summary.json")
    return "\n".join(lines)


def describe_outcome(result: Mapping[str, Any], settings: SortSettings) -> str:
    """Return the lines that describe a run's summary or a re-sort's result."""
    if not settings.sorts_coincidences:
        return "\n".join(_windows(result, settings))
    lines = [
        f"{result['prompts']} prompts, {_delayeds(result['delayeds'], settings)}, "
        f"{result['multiples']} multiples, including {result['triples']} triples"
        + (" (stored)" if settings.triples else "")
    ]
    if result["crowded"] or result["crowded_windows"]:
        lines.append(
            f"left out as crowded: {result['crowded']} singles, "
            f"{result['crowded_windows']} delayed windows (docs/coincidence.md)"
        )
    lines += _both_estimates(result["randoms"])
    return "\n".join(lines + _windows(result, settings))


def _windows(result: Mapping[str, Any], settings: SortSettings) -> list[str]:
    return [
        f"  {window.name}: {result['windows'][window.name]} singles"
        + _scatter(result["tew"].get(window.name))
        for window in settings.singles_windows
    ]


def _delayeds(delayeds: int, settings: SortSettings) -> str:
    factor = settings.delayed_factor
    if settings.delay_ps == 0:
        return "no delayeds"
    if factor == 1:
        return f"{delayeds} delayeds"
    return f"{delayeds} delayeds / {factor} = {delayeds / factor:.1f} randoms"


def _both_estimates(randoms: Mapping[str, Any]) -> list[str]:
    """Return the line that compares the two estimates; none without delayeds."""
    if randoms["ratio"] is None:
        return []
    return [
        (
            f"randoms: {randoms['estimate_delayed']:.1f} by delayeds, "
            f"{randoms['estimate_singles']:.1f} by the singles' rates (2τ·S·S), "
            f"ratio {randoms['ratio']:.3f} ± {randoms['ratio_sigma']:.3f}"
        )
    ]


def _scatter(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return ""
    return (
        f", scatter {estimate['scatter']:.1f} (TEW), primary {estimate['primary']:.1f} "
        f"± {estimate['primary_sigma']:.1f}"
    )
