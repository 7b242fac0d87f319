"""Judging a scanner: each part of a standard from its runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from daq.cli.acceptance.asked_runs import Asked, AskedRun
from daq.cli.acceptance.runs_to_take import PARTS
from daq.cli.common import CommandError
from hw.errors import TomoshibiError

if TYPE_CHECKING:
    from hw.scanner.description import Scanner
    from hw.scanner.judged_figure import Limits
    from recon.acceptance.imaging_parts import Imaging, QualityPhantom
    from recon.acceptance.judged import Part
    from recon.acceptance.measured_run import MeasuredRun
    from recon.acceptance.mouse_quality import MousePhantom

Measured = list["MeasuredRun"]

TITLES = {
    "sensitivity": "Sensitivity",
    "count-rates": "Scatter fraction, count losses and randoms",
    "accuracy": "Accuracy of count losses and randoms",
    "tof": "Time-of-flight resolution",
    "resolution": "Spatial resolution",
    "image-quality": "Image quality",
}

SCALED = (
    "the phantom is a round cylinder of 200 × 180 mm with the standard's spheres and lung insert, "
    "not the body phantom of 300 mm; background discs lie where it has room"
)


def judge(
    standard: str, asked: Asked, *, preset: str, threads: int, tell: Callable[[str], None]
) -> list[Part]:
    """Return every part of a standard: judged, or not measured and why.

    Parameters
    ----------
    standard : a key of ``PARTS``
    asked : the runs of each part
    preset : whose limits count; "" for those of the runs' own scanner
    threads : of reconstruction
    tell : is called with what is being done

    Raises
    ------
    CommandError
        if no run was given, or the runs are of different scanners.
    """
    from hw.scanner.judged_figure import Limits
    from recon.acceptance.judged import Part

    scanner = scanner_of(asked, preset)
    limits = Limits(scanner.acceptance and getattr(scanner.acceptance, standard))
    parts = []
    for name in PARTS[standard]:
        if not asked.get(name):
            reason = f"no run was given (--{name}); `--plan` tells which to take"
            parts.append(Part(name, TITLES[name], reason=reason, runs_given=False))
            continue
        tell(f"{name}: {len(asked[name])} runs")
        try:
            parts.append(_part(standard, name, asked[name], limits, scanner, threads))
        except TomoshibiError as error:
            parts.append(Part(name, TITLES[name], reason=str(error)))
            tell(f"{name}: not measured: {error}")
    return parts


def scanner_of(asked: Asked, preset: str) -> Scanner:
    """Return the scanner whose limits count, after a check that all runs are of one scanner."""
    from daq.folder.calibration_set import scanner_hash
    from daq.folder.run_folder import run_config
    from hw.scanner.preset_file import load_scanner

    folders = {one.folder for runs in asked.values() for one in runs}
    if not folders:
        raise CommandError(
            "no run was given: name runs (--sensitivity RUN …, or --from FILE); `--plan` tells "
            "which to take"
        )
    scanners = {scanner_hash(scanner): scanner for scanner in
                (run_config(folder).scanner() for folder in sorted(folders))}  # fmt: skip
    if len(scanners) > 1:
        names = ", ".join(scanner.name for scanner in scanners.values())
        raise CommandError(f"the runs are of different scanners ({names}): judge one at a time")
    own = next(iter(scanners.values()))
    if not preset:
        return own
    chosen = load_scanner(preset)
    if scanner_hash(chosen) not in scanners:
        raise CommandError(f"--preset {preset}: the runs are of another scanner, {own.name}")
    return chosen


def _part(
    standard: str, name: str, runs: list[AskedRun], limits: Limits, scanner: Scanner, threads: int
) -> Part:
    from recon.acceptance import counting_parts as counting
    from recon.acceptance import imaging_parts as imaging
    from recon.acceptance.line_sinogram import NU4_MOUSE
    from recon.acceptance.measured_run import measured_run

    measured = [measured_run(one.folder, one.told) for one in runs]
    how, mouse = _how(scanner, threads), standard == "nu4"
    makers: dict[str, Callable[[], Part]] = {
        "sensitivity": lambda: (
            counting.point_sensitivity if mouse else counting.line_sensitivity
        )(measured, limits),
        "count-rates": lambda: counting.count_rates(measured, limits, strip=NU4_MOUSE,
                                                    clause="NU 4-2008, 4")
        if mouse else counting.count_rates(measured, limits),
        "accuracy": lambda: imaging.count_accuracy(measured, limits, how),
        "tof": lambda: counting.time_of_flight(measured, limits),
        "resolution": lambda: imaging.resolution(
            measured, limits, how, clause="NU 4-2008, 3" if mouse else "NU 2-2018, 3"),
        "image-quality": lambda: _quality(mouse, measured, limits, how),
    }  # fmt: skip
    return makers[name]()


def _how(scanner: Scanner, threads: int) -> Imaging:
    from daq.cli.progress import EtaLine
    from recon.acceptance.imaging_parts import Imaging

    preset_mm = min(scanner.image.voxel_mm)
    smallest_rod_mm = 1.0
    return Imaging(preset_mm / 2, min(preset_mm, smallest_rod_mm), threads,
                   EtaLine("reconstructing"))  # fmt: skip


def _quality(mouse: bool, runs: Measured, limits: Limits, how: Imaging) -> Part:
    from recon.acceptance.imaging_parts import image_quality, mouse_image

    if len(runs) > 1:
        raise CommandError(f"image-quality: {len(runs)} runs were given, it takes one")
    if mouse:
        return mouse_image(runs[0], limits, how, mouse_phantom())
    return image_quality(runs[0], limits, how, quality_phantom())


def quality_phantom() -> QualityPhantom:
    """Return where the spheres and the lung of ``nema-quality`` are."""
    from emulator.object import nema_quality as phantom
    from recon.acceptance.imaging_parts import QualityPhantom
    from recon.analysis.contrast import Sphere, Warm

    spheres = [
        Sphere(one.centre_mm, 2 * one.half_mm[0], phantom.QUALITY_CONTRAST)
        for one in phantom.quality_shapes()
        if one.kind == "sphere"
    ]
    warm = Warm((0.0, 0.0, 0.0), phantom.QUALITY_DIAMETER_MM, phantom.QUALITY_LENGTH_MM)
    return QualityPhantom(warm, spheres, phantom.LUNG_MM, SCALED)


def mouse_phantom() -> MousePhantom:
    """Return where the parts of ``nema-mouse-quality`` are."""
    from emulator.object import nema_quality as phantom
    from recon.acceptance.mouse_quality import MousePhantom

    low, high = phantom.CHAMBERS_Z_MM
    middle = (low + high) / 2
    return MousePhantom(
        uniform_z_mm=(phantom.RODS_Z_MM[1] + low) / 2,
        rods=dict(zip(phantom.RODS_MM, phantom.rod_places_mm(), strict=True)),
        rods_z_mm=sum(phantom.RODS_Z_MM) / 2,
        cold={
            "water": (phantom.CHAMBERS_X_MM, 0.0, middle),
            "air": (-phantom.CHAMBERS_X_MM, 0.0, middle),
        },
    )
