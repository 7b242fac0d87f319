"""Options for windows and policy, shared by every command that sorts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from daq.cli.options.window_arguments import (
    energy_window,
    module_window,
    number,
    photopeak_window,
    scatter_width,
    scatter_window,
    spect_nuclide,
)
from hw.messages.sort_settings import POLICIES, EnergyWindow, SettingsError, SortSettings


def add_window_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; each defaults to None, "as the preset or the run has it"."""
    group = parser.add_argument_group("windows (default: as the preset or the run has them)")
    group.add_argument("--energy-keV", type=energy_window, metavar="LLD:ULD",
                       help="energy window for coincidences, inclusive")  # fmt: skip
    group.add_argument("--window-ns", type=number, metavar="τ",
                       help="coincidence window: |Δt| ≤ τ, inclusive")  # fmt: skip
    group.add_argument("--delay-ns", type=number, metavar="D",
                       help="delayed window D ≤ Δt ≤ D + τ; 0 switches it off")  # fmt: skip
    group.add_argument("--delay-windows", type=int, metavar="K",
                       help="as many delayed windows, at D, 2D, … KD")  # fmt: skip
    group.add_argument("--delay-sides", choices=("one", "two"),
                       help="two: |Δt − D| ≤ τ, which counts the randoms twice")  # fmt: skip
    group.add_argument("--policy", choices=POLICIES, metavar="NAME",
                       help=f"what to do with multiples: {', '.join(POLICIES)} (the names with "
                       "capitals are GATE's)")  # fmt: skip
    group.add_argument("--triples", action=argparse.BooleanOptionalAction, default=None,
                       help="store triples in the list-mode log")  # fmt: skip
    group.add_argument("--min-sector-difference", type=int, metavar="N",
                       help="field of view: least cyclic difference of the sectors; "
                       "0 rejects only pairs within a module")  # fmt: skip
    _add_further_windows(parser)


def _add_further_windows(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "further energy windows (any of them replaces all that the run had; repeatable)"
    )
    group.add_argument("--module-window", type=module_window, action="append", default=[],
                       metavar="MODULES=LLD:ULD", help="another window for coincidences, of some "
                       "modules, as in 0-15=400:650")  # fmt: skip
    group.add_argument("--spect", type=spect_nuclide, action="append", default=[],
                       metavar="NUCLIDE[@keV,…]", help="SPECT: the standard windows of a nuclide, "
                       "photopeaks, each with two scatter windows (TEW)")  # fmt: skip
    group.add_argument("--spect-width", type=number, default=20.0, metavar="PERCENT",
                       help="full width of those photopeaks (default: 20 %%)")  # fmt: skip
    group.add_argument("--scatter-width", type=scatter_width, default={}, metavar="W",
                       help="width of those scatter windows in keV, or in %% of the line's "
                       "energy (default: 3)")  # fmt: skip
    group.add_argument("--window", type=photopeak_window, action="append", default=[],
                       metavar="NAME=LLD:ULD[@MODULES]", help="a photopeak window")  # fmt: skip
    group.add_argument("--scatter-window", type=scatter_window, action="append", default=[],
                       metavar="NAME=LLD:ULD[:PHOTOPEAK]",
                       help="a scatter window, and whose")  # fmt: skip
    group.add_argument("--no-windows", action="store_true",
                       help="none of these, even if the run had some")  # fmt: skip


def window_changes(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given, by their names in SortSettings; others are None.

    Raises
    ------
    SettingsError, NuclideError
        if a nuclide's windows cannot be made.
    """
    lld, uld = options.energy_keV or (None, None)
    return {
        "lld_keV": lld,
        "uld_keV": uld,
        "window_ps": None if options.window_ns is None else round(options.window_ns * 1000),
        "delay_ps": None if options.delay_ns is None else round(options.delay_ns * 1000),
        "delay_windows": options.delay_windows,
        "delay_sides": options.delay_sides,
        "policy": options.policy,
        "triples": options.triples,
        "min_sector_difference": options.min_sector_difference,
        "windows": _windows(options),
    }


def _windows(options: argparse.Namespace) -> list[dict[str, Any]] | None:
    given = [*options.module_window, *options.window, *options.scatter_window]
    given += [window for nuclide in options.spect for window in _spect(options, *nuclide)]
    if given and options.no_windows:
        raise SettingsError("--no-windows and windows: give the one or the others")
    return given if given or options.no_windows else None


def _spect(
    options: argparse.Namespace, nuclide: str, lines_keV: Sequence[float]
) -> list[dict[str, Any]]:
    import msgspec

    from hw.physics.energy_windows import spect_windows

    fraction = options.spect_width / 100
    windows = spect_windows(
        nuclide, lines_keV=lines_keV, photopeak_fraction=fraction, **options.scatter_width
    )
    return [msgspec.to_builtins(window) for window in windows]


def describe(settings: SortSettings) -> str:
    """Describe settings in words: a line, and one more for each further energy window."""
    if not settings.sorts_coincidences:
        lines = ["single photons, no coincidences are sorted"]
        return "\n".join([*lines, *(f"  {_describe_window(w)}" for w in settings.windows)])
    first = (
        f"{settings.lld_keV:g}–{settings.uld_keV:g} keV, |Δt| ≤ {settings.window_ps / 1000:g} ns, "
        f"{_describe_delay(settings)}, multiples: {settings.policy}"
        + (", triples stored" if settings.triples else "")
    )
    return "\n".join([first, *(f"  {_describe_window(window)}" for window in settings.windows)])


def _describe_delay(settings: SortSettings) -> str:
    if settings.delay_ps == 0:
        return "no delayeds"
    delay = f"delay {settings.delay_ps / 1000:g} ns"
    if settings.delay_windows > 1:
        delay = f"{settings.delay_windows} delayed windows every {settings.delay_ps / 1000:g} ns"
    sides = "two-sided" if settings.delay_sides == "two" else "one-sided"
    return delay if settings.delayed_factor == 1 else (
        f"{delay}, {sides} (delayeds = {settings.delayed_factor} × randoms)"
    )  # fmt: skip


def _describe_window(window: EnergyWindow) -> str:
    words = {"coincidence": "coincidences", "photopeak": "photopeak", "scatter": "scatter"}
    whose = f" of {window.photopeak}" if window.photopeak else ""
    where = f", modules {_ranges(window.modules)}" if window.modules else ""
    levels = f"{window.lld_keV:g}–{window.uld_keV:g} keV"
    return f"{window.name}: {levels}, {words[window.kind]}{whose}{where}"


def _ranges(modules: Sequence[int]) -> str:
    """Return module numbers as ``0-15, 20``."""
    runs: list[list[int]] = []
    for module in sorted(modules):
        if runs and module == runs[-1][-1] + 1:
            runs[-1][1:] = [module]
        else:
            runs.append([module])
    return ", ".join("-".join(map(str, run)) for run in runs)
