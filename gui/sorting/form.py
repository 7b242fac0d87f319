"""Reading and checking the set-up of the next run as a person wrote it: no widgets here.

Every number is checked by itself, then all of them together by
:class:`hw.messages.sort_settings.SortSettings`; each mistake is explained at its field. An empty
field is left to the daq.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gui.kit.bounds import bound_in_words
from gui.kit.wording import MINUS
from gui.kit.words import mark, tr
from hw.messages.sort_settings import EnergyWindow, SettingsError, SortSettings
from hw.physics.energy_windows import spect_windows
from hw.physics.nuclides import NuclideError


@dataclass(frozen=True)
class Number:
    """A field for a number: its caption, its unit, and how many of our units make one of it."""

    caption: str
    unit: str
    teaches: str
    per_unit: int = 1
    whole: bool = False


NUMBERS: dict[str, Number] = {
    "lld_keV": Number(
        mark("LLD"), "keV", mark("Lower level: a single is accepted from here, inclusive.")
    ),
    "uld_keV": Number(
        mark("ULD"), "keV", mark("Upper level: a single is accepted up to here, inclusive.")
    ),
    "window_ps": Number(
        "τ", "ns", mark("Coincidence window: |Δt| ≤ τ, inclusive; the full width is 2τ."), 1000
    ),
    "delay_ps": Number(
        "D", "ns", mark("Where the delayed window opens: more than 2τ. 0 switches it off."), 1000
    ),
    "delay_windows": Number(
        mark("Delayed windows"),
        "",
        mark("How many, at D, 2D, 3D …: more of them, less noise."),
        whole=True,
    ),
    "min_sector_difference": Number(
        mark("Sectors apart"),
        "",
        mark("Field of view: least difference of a pair's sectors."),
        whole=True,
    ),
}
CHOICES = ("policy", "delay_sides", "triples")
NUCLIDES = "windows"

# What stands in for a value that the console does not know: it can contradict nothing.
_PERMISSIVE: dict[str, Any] = {"lld_keV": 0.0, "uld_keV": 6553.5, "window_ps": 1, "delay_ps": 0}


@dataclass
class FormReading:
    """The settings to send (plain values, by name) and the mistakes, by field."""

    changes: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    windows: tuple[EnergyWindow, ...] = ()


def nuclides_text(windows: tuple[EnergyWindow, ...]) -> str:
    """Return the nuclides of the windows for singles, as written in the form."""
    named = [window.nuclide for window in windows if window.kind != "coincidence"]
    return ", ".join(dict.fromkeys(name for name in named if name))


def read_form(
    texts: dict[str, str],
    *,
    base: SortSettings | None,
    windows: tuple[EnergyWindow, ...] = (),
    sectors: int = 0,
) -> FormReading:
    """Read the form.

    Parameters
    ----------
    texts : by field: numbers in the field's unit, choices as in the settings ("yes" and "no" for
        triples), nuclides separated by commas; "" leaves a value to the daq
    base : the settings from which the form was filled; None if they are not known
    windows : those with which the form started; kept as long as the nuclides are not changed
    sectors : of the scanner, 0 if not known

    Returns
    -------
    FormReading
        without faults, ``changes`` are accepted by SortSettings.
    """
    reading = FormReading()
    for name, number in NUMBERS.items():
        _read_number(reading, name, number, texts.get(name, "").strip())
    for name in CHOICES:
        if texts.get(name):
            value = texts[name]
            reading.changes[name] = value == "yes" if name == "triples" else value
    _check_sectors(reading, sectors)
    text = texts.get(NUCLIDES, "").strip()
    if text != nuclides_text(windows):
        _read_nuclides(reading, text, windows)
    elif windows or base is not None:
        _take_windows(reading, windows)
    if not reading.faults:
        _check_together(reading, base)
    return reading


def _read_number(reading: FormReading, name: str, number: Number, text: str) -> None:
    if not text:
        return
    try:
        value = float(text.replace(MINUS, "-"))
    except ValueError:
        reading.faults[name] = tr("“{text}” is not a number; write for instance 4.5", text=text)
        return
    if not math.isfinite(value):
        reading.faults[name] = tr("“{text}” is not a finite number", text=text)
    elif number.whole and value != int(value):
        reading.faults[name] = tr("{value:g} is not a whole number", value=value)
    else:
        whole = number.whole or number.per_unit > 1
        scaled = round(value * number.per_unit) if whole else value
        reading.changes[name] = scaled
        _check_alone(reading, name, number, scaled)


def _check_alone(reading: FormReading, name: str, number: Number, value: float) -> None:
    """Check a value against its own bounds, as the settings declare them."""
    try:
        msgspec.convert({name: value}, _ALONE[name])
    except msgspec.ValidationError as error:
        reading.faults[name] = bound_in_words(str(error), number.unit, per_unit=number.per_unit)


def _alone(name: str) -> type[msgspec.Struct]:
    """Return a struct with one field of the settings, which checks only that field's bounds."""
    kind = next(f.type for f in msgspec.structs.fields(SortSettings) if f.name == name)
    return msgspec.defstruct("Alone", [(name, kind)])


_ALONE = {name: _alone(name) for name in NUMBERS}


def _check_sectors(reading: FormReading, sectors: int) -> None:
    least = reading.changes.get("min_sector_difference", 0)
    if sectors and least > sectors // 2 and "min_sector_difference" not in reading.faults:
        reading.faults["min_sector_difference"] = tr(
            "no pair would be left: two of {sectors} sectors are at most {value} apart",
            sectors=sectors,
            value=sectors // 2,
        )


def _read_nuclides(reading: FormReading, text: str, before: tuple[EnergyWindow, ...]) -> None:
    """Make the windows of the nuclides named; windows for coincidences are left alone."""
    kept = tuple(window for window in before if window.kind == "coincidence")
    made: list[EnergyWindow] = []
    for name in filter(None, (part.strip() for part in re.split(r"[,;]", text))):
        try:
            made += windows_of(name)
        except (NuclideError, SettingsError) as error:
            reading.faults[NUCLIDES] = str(error)
            return
    _take_windows(reading, (*kept, *made))


def windows_of(text: str) -> tuple[EnergyWindow, ...]:
    """Return the standard SPECT windows of ``NUCLIDE``, or of its one line in ``NUCLIDE@keV``.

    Raises
    ------
    NuclideError, SettingsError
        if there is no such nuclide, no line to image, or an absurd energy.
    """
    name, at, energy = text.partition("@")
    if not at:
        return spect_windows(name.strip())
    try:
        return spect_windows(name.strip(), lines_keV=[float(energy)])
    except ValueError as error:
        if isinstance(error, NuclideError | SettingsError):
            raise
        raise SettingsError(f"{text}: “{energy}” is not an energy in keV") from error


def _take_windows(reading: FormReading, windows: tuple[EnergyWindow, ...]) -> None:
    reading.windows = windows
    reading.changes["windows"] = [msgspec.to_builtins(window) for window in windows]


def _check_together(reading: FormReading, base: SortSettings | None) -> None:
    """Let the settings themselves judge all values together."""
    known = {name: getattr(base, name) for name in base.__struct_fields__} if base else {}
    values = _PERMISSIVE | known | reading.changes | {"windows": reading.windows}
    try:
        SortSettings(**values)
    except SettingsError as error:
        reading.faults.update(_blame(str(error), values))


def _blame(complaint: str, values: dict[str, Any]) -> dict[str, str]:
    """Return the field at which to show a contradiction, and its text in the form's units."""
    if values["lld_keV"] >= values["uld_keV"]:
        return {"uld_keV": tr("must be above LLD = {value:g} keV", value=values["lld_keV"])}
    if 0 < values["delay_ps"] <= 2 * values["window_ps"]:
        bound = tr(
            "must be above 2τ = {value:g} ns, or 0 for off:", value=2 * values["window_ps"] / 1000
        )
        return {"delay_ps": tr("{bound} delayeds would contain true coincidences", bound=bound)}
    return {NUCLIDES: complaint}
