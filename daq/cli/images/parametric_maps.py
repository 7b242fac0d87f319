"""The parametric maps that ``tomoshibi reconstruct --parametric`` writes beside the series."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.common import CommandError
from daq.cli.images.asked_options import Declared, OptionGroup

if TYPE_CHECKING:
    from recon.core.grid import Image
    from recon.offline.options import ReconOptions
    from recon.offline.parametric import InputFunction
    from recon.offline.reconstruction import Reconstruction

LEAST_FRAMES = 2
KINDS = ("mean", "patlak", "washout")


def add_parametric_options(parser: argparse.ArgumentParser) -> Declared:
    """Add the options of parametric maps."""
    title = "parametric maps of a dynamic series (needs --frames)"
    group = OptionGroup(parser, title)
    group.add("--parametric", default="", metavar="NAMES",
              help="mean, patlak, washout, separated by commas")  # fmt: skip
    group.add("--input", type=Path, metavar="FILE",
              help="plasma's curve for Patlak, decay-corrected: CSV t_s,Bq_per_mL; or the name of "
                   "a signal of the run, as it was measured")  # fmt: skip
    group.add("--patlak-from", type=float, default=0.0, metavar="S",
              help="use frames that begin at this time or later (default: all)")  # fmt: skip
    return group.declared


def kinds_of(options: argparse.Namespace, folder: Path) -> tuple[str, ...]:
    """Return the maps asked for; refuse impossible ones before the work begins."""
    names = tuple(part.strip() for part in options.parametric.split(",") if part.strip())
    for name in names:
        if name not in KINDS:
            raise CommandError(f"--parametric {name}: there are {', '.join(KINDS)}")
    if names and not options.frames:
        raise CommandError("--parametric needs a series: give --frames")
    if names and options.gates:
        raise CommandError("--parametric needs a course of time: leave --gates out")
    if "patlak" in names:
        _plasma(options, folder)
    return names


def check_frames(kinds: tuple[str, ...], plan: ReconOptions) -> None:
    """Refuse maps of a single frame."""
    if kinds and len(plan.frames) < LEAST_FRAMES:
        raise CommandError(f"--parametric needs a series: {LEAST_FRAMES} --frames or more")


def _plasma(options: argparse.Namespace, folder: Path) -> tuple[InputFunction, bool]:
    """Return the plasma's curve, and whether it is the run's own, as it was measured."""
    from daq.folder.signals.signal_file import given_or_kept
    from recon.offline.parametric import InputFunction

    if options.input is None:
        raise CommandError("--parametric patlak needs the plasma's curve: --input FILE")
    path = given_or_kept(options.input, folder)
    return InputFunction.load(path), path.parent == folder


def _corrected_plasma(
    made: Reconstruction, options: argparse.Namespace, folder: Path
) -> InputFunction:
    """Return the plasma's curve, corrected for decay to the series' time."""
    plasma, as_measured = _plasma(options, folder)
    if not as_measured:
        return plasma
    if not made.corrections.applied()["decay"]:
        raise CommandError("--input: blood as measured needs a series corrected for decay")
    about = made.metadata
    return plasma.decayed_back(about["half_life_s"], about["decay_reference_s"])


def write_maps(
    made: Reconstruction,
    options: argparse.Namespace,
    kinds: tuple[str, ...],
    path: Path,
    folder: Path,
) -> list[Path]:
    """Write each map as NIfTI beside the series; return the files.

    Parameters
    ----------
    made : the series; options : of the command; kinds : the maps
    path : the series' file
    folder : the run, whose own signal the plasma's curve may be
    """
    from recon.exchange.images.nifti import write_nifti

    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    written = []
    for name, unit, image in _maps(made, options, kinds, folder):
        target = path.with_name(f"{stem}-{name}.nii.gz")
        about = {**made.metadata, "parametric": name, "unit": unit, "series": name}
        write_nifti(target, image, made.grid, metadata=about)
        written.append(target)
    return written


def _maps(
    made: Reconstruction, options: argparse.Namespace, kinds: tuple[str, ...], folder: Path
) -> list[tuple[str, str, Image]]:
    from recon.offline.parametric import mean_map, patlak_maps, washout_maps

    unit = str(made.metadata["unit"])
    maps: list[tuple[str, str, Image]] = []
    if "mean" in kinds:
        maps.append(("mean", unit, mean_map(made.image, made.frames)))
    if "patlak" in kinds:
        plasma = _corrected_plasma(made, options, folder)
        slope, intercept = patlak_maps(made.image, made.frames, plasma, from_s=options.patlak_from)
        maps += [("patlak-slope", "1/s", slope), ("patlak-intercept", "1", intercept)]
    if "washout" in kinds:
        rate, start = washout_maps(made.image, made.frames)
        maps += [("washout-rate", "1/s", rate), ("washout-start", unit, start)]
    return maps
