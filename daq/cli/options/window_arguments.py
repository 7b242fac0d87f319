"""Parsers of energy windows on the command line; each explains its refusals."""

from __future__ import annotations

import argparse
import math
from typing import Any

Window = dict[str, Any]
"""An EnergyWindow as plain values, checked when the settings are made."""

MOST_MODULES = 65535


def number(text: str) -> float:
    """Parse a finite number ≥ 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: a number, not below 0, is needed")
    return value


def energy_window(text: str) -> tuple[float, float]:
    """Parse ``LLD:ULD`` in keV."""
    low, colon, high = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text}: write LLD:ULD in keV, for instance 350:650")
    return number(low), number(high)


def module_numbers(text: str) -> list[int]:
    """Parse ``0-15,20``: numbers and ranges, both ends included."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise argparse.ArgumentTypeError(f"{text}: write modules as 0-15 or 3,7,20-23")
        begin, end = int(first), int(last or first)
        if not begin <= end < MOST_MODULES:
            raise argparse.ArgumentTypeError(f"{text}: {part} is not a range of module numbers")
        found += range(begin, end + 1)
    return sorted(set(found))


def photopeak_window(text: str) -> Window:
    """Parse ``NAME=LLD:ULD[@MODULES]``."""
    name, levels, modules = _split(text)
    return _window(name, levels, kind="photopeak", modules=modules)


def scatter_window(text: str) -> Window:
    """Parse ``NAME=LLD:ULD[:PHOTOPEAK][@MODULES]``."""
    name, levels, modules = _split(text)
    low, _, rest = levels.partition(":")
    high, _, photopeak = rest.partition(":")
    return _window(name, f"{low}:{high}", kind="scatter", photopeak=photopeak, modules=modules)


def module_window(text: str) -> Window:
    """Parse ``MODULES=LLD:ULD``: another coincidence window of some modules."""
    modules, equals, levels = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: write MODULES=LLD:ULD, as in 0-15=400:650")
    name = f"modules_{modules.replace(',', '+')}"[:40]
    return _window(name, levels, kind="coincidence", modules=module_numbers(modules))


def spect_nuclide(text: str) -> tuple[str, list[float]]:
    """Parse ``NUCLIDE[@keV,keV…]``; without energies its standard lines are meant."""
    nuclide, _, energies = text.partition("@")
    return nuclide, [number(energy) for energy in energies.split(",")] if energies else []


def scatter_width(text: str) -> dict[str, float]:
    """Parse ``3`` (keV) or ``6%`` (of the line's energy)."""
    if text.endswith("%"):
        return {"scatter_fraction": number(text[:-1]) / 100}
    return {"scatter_keV": number(text.removesuffix("keV"))}


def _split(text: str) -> tuple[str, str, list[int]]:
    name, equals, rest = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: write NAME=LLD:ULD, as in Tc=126:154")
    levels, at, modules = rest.partition("@")
    return name, levels, module_numbers(modules) if at else []


def _window(name: str, levels: str, **more: Any) -> Window:
    low, high = energy_window(levels)
    return {"name": name, "lld_keV": low, "uld_keV": high, **more}
