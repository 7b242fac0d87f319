"""Refuses what a SPECT scanner cannot do, with the remedy, before anything is computed."""

from __future__ import annotations

from emulator.config import EmulationError, EmulatorConfig
from emulator.physics.emission import Source
from emulator.spect.camera_tables import source_lines
from hw.scanner.description import Collimator, Scanner
from hw.scanner.preset_file import load_scanner, scanner_names

LEAST_SHARE = 0.1
"""Lines that emit less than this share of a source's photons are not what it is imaged by."""


def check_collimator(config: EmulatorConfig, scanner: Scanner, source: Source) -> None:
    """Refuse a source that the collimator is not made for, and options of the other modality.

    A collimator fits if it is made for some line of each nuclide, and if no line above its range,
    whose photons would penetrate the septa, carries LEAST_SHARE of the photons or more. Lines below
    its range do no harm.

    Raises
    ------
    EmulationError
        naming the nuclide, the line, the collimator's range and the presets that fit.
    """
    if scanner.collimator is None:
        asked: dict[str, str | bool] = {
            "gantry": config.gantry,
            "any_collimator": config.any_collimator,
        }
        if any(asked.values()):
            raise EmulationError(
                f"{_those(asked)}: {scanner.name} is a PET scanner without collimators; leave "
                f"this out or choose one of {', '.join(_spect_presets())}"
            )
        return
    asked = {"library": config.library, "lutetium": config.lutetium}
    if any(asked.values()):
        raise EmulationError(
            f"{_those(asked)}: {scanner.name} is a SPECT scanner, and this is for PET; leave it "
            "out or choose a PET preset"
        )
    complaint = None if config.any_collimator else _complaint(scanner.collimator, source)
    if complaint:
        raise EmulationError(
            f"nuclide {source.name} in {scanner.name}: {complaint}; {_instead(source)}, or allow "
            "it (--any-collimator) to study what comes through the septa"
        )


def _those(asked: dict[str, str | bool]) -> str:
    return ", ".join(name for name, value in asked.items() if value)


def _complaint(collimator: Collimator, source: Source) -> str | None:
    lines = source_lines(source)
    least, most = collimator.least_keV, collimator.most_keV
    reach = f"the collimator {collimator.name} is made for {least:g} to {most:g} keV"
    for k, nuclide in enumerate(source.nuclides):
        own = [line for line in lines if line.nuclide == k]
        if not own:
            continue
        whole = sum(line.per_decay for line in own)
        strong = [line for line in own if line.per_decay >= LEAST_SHARE * whole]
        above = [line for line in strong if line.energy_keV > most]
        if above:
            worst = max(above, key=lambda line: line.per_decay)
            return f"{nuclide.name} emits {worst.energy_keV:.4g} keV, {reach}"
        if not any(least <= line.energy_keV <= most for line in strong):
            brightest = max(own, key=lambda line: line.per_decay)
            return f"{nuclide.name} emits {brightest.energy_keV:.4g} keV, {reach}"
    return None


def _instead(source: Source) -> str:
    fitting = []
    for name in _spect_presets():
        collimator = load_scanner(name).collimator
        if collimator is not None and _complaint(collimator, source) is None:
            fitting.append((collimator.most_keV, name))
    if fitting:  # the finest first: a collimator for higher energies has wider holes
        return f"choose {' or '.join(name for _, name in sorted(fitting))}"
    return "no preset's collimator is made for it"


def _spect_presets() -> list[str]:
    return [name for name in scanner_names() if load_scanner(name).modality == "SPECT"]
