"""Options for windows and policy, shared by every command that sorts."""

from __future__ import annotations

import argparse
from typing import Any

from hw.settings import POLICIES, SortSettings


def energy_window(text: str) -> tuple[float, float]:
    """Parse ``LLD:ULD`` in keV, for argparse."""
    low, colon, high = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text}: write LLD:ULD in keV, for instance 350:650")
    return float(low), float(high)


def add_window_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; each defaults to None, "as the preset or the run has it"."""
    group = parser.add_argument_group("windows (default: as the preset or the run has them)")
    group.add_argument("--energy-keV", type=energy_window, metavar="LLD:ULD",
                       help="energy window, inclusive")  # fmt: skip
    group.add_argument("--window-ns", type=float, metavar="τ",
                       help="coincidence window: |Δt| ≤ τ, inclusive")  # fmt: skip
    group.add_argument("--delay-ns", type=float, metavar="D",
                       help="delayed window D ≤ Δt ≤ D + τ; 0 switches it off")  # fmt: skip
    group.add_argument("--policy", choices=POLICIES, help="what becomes of multiples")
    group.add_argument("--min-sector-difference", type=int, metavar="N",
                       help="field of view: least cyclic difference of the sectors; "
                       "0 rejects only pairs within a module")  # fmt: skip


def window_changes(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given, by their names in SortSettings; others are None."""
    lld, uld = options.energy_keV or (None, None)
    return {
        "lld_keV": lld,
        "uld_keV": uld,
        "window_ps": None if options.window_ns is None else round(options.window_ns * 1000),
        "delay_ps": None if options.delay_ns is None else round(options.delay_ns * 1000),
        "policy": options.policy,
        "min_sector_difference": options.min_sector_difference,
    }


def describe(settings: SortSettings) -> str:
    """Return settings in a line."""
    return (
        f"{settings.lld_keV:g}–{settings.uld_keV:g} keV, |Δt| ≤ {settings.window_ps / 1000:g} ns, "
        f"delay {settings.delay_ps / 1000:g} ns, multiples: {settings.policy}"
    )
