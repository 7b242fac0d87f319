"""Reconstruction of SPECT runs: `tomoshibi reconstruct` of a run with collimators."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.common import CommandError, finish, tell
from daq.cli.images.asked_options import Declared, OptionGroup, given
from daq.cli.images.reconstruct_options import dicom_facts
from daq.cli.progress import ProgressLine
from recon.spect.run import SpectOptions
from recon.spect.run_input import read_through, spect_run

if TYPE_CHECKING:
    from recon.spect.offline import SpectImage

IMAGE_NAME = "spect.nii.gz"


def add_spect_options(parser: argparse.ArgumentParser) -> Declared:
    """Add the options for SPECT runs only."""
    group = OptionGroup(parser, "SPECT")
    group.add_fields(SpectOptions, "SPECT")
    return group.declared


def run_spect(options: argparse.Namespace, folder: Path) -> int:
    """Reconstruct a SPECT run's singles and write the image."""
    from daq.cli.images.output_files import choices_of, output_of
    from recon.core.frame_times import FrameTime
    from recon.exchange.images.formats import MadeImage, formats_of, write_images
    from recon.spect.offline import reconstruct_spect

    asked, formats = spect_options(options), formats_of(options.format, modality="SPECT")
    choices = choices_of(options, folder)
    path = output_of(options, folder / "images" / IMAGE_NAME, choices)
    progress = ProgressLine("reconstructing")
    unit, attenuated = options.mu_unit.replace("-", "_"), asked.attenuation
    made = reconstruct_spect(
        spect_run(
            folder,
            mu_map=options.mu_map,
            mu_unit=unit,
            attenuated=attenuated,
            **dicom_facts(options),
        ),
        asked,
        said=lambda what, share: progress.say(f"{what}: {100 * share:3.0f} %"),
    )
    progress.done()
    _check_required(made, options.require)
    cut, damaged = _about_log(folder)
    warnings = [*cut, *made.warnings]
    for words in warnings:
        tell(f"tomoshibi: {words}")
    about = {"run": folder.name, **made.metadata, "warnings": warnings, "choices": choices,
             "damaged": damaged}  # fmt: skip
    frames = [FrameTime(0.0, about["duration_s"], prompts=about["prompts_used"])]
    image = MadeImage(made.image, made.grid, frames, about, modality="SPECT")
    written = write_images(image, path, formats)
    total_MBq = float(made.image.sum()) * made.grid.voxel_volume_mm3 / 1e9
    finish(options, {"run": str(folder), "image": str(path), "images": list(map(str, written)),
                     "total_MBq": total_MBq, **about},
           f"{written[0]}: {made.metadata['prompts_used']} counts in {made.metadata['views']} "
           f"views, {total_MBq:.4g} MBq")  # fmt: skip
    return 1 if damaged else 0


def spect_options(options: argparse.Namespace) -> SpectOptions:
    """Return the settings of the reconstruction from the command line, checked."""
    if options.attenuation not in ("map", "none"):
        raise CommandError(f"--attenuation {options.attenuation} is for PET runs: map or none here")
    if options.scatter == "energy":
        raise CommandError("--scatter energy is for PET runs: use --scatter-windows here")
    values = given(options, SpectOptions) | {"attenuation": options.attenuation != "none"}
    if options.scatter == "none":
        values["scatter"] = "none"
    return SpectOptions(**values)


def _about_log(folder: Path) -> tuple[list[str], bool]:
    """Return what is not used of the singles log, and whether it is damaged."""
    from daq.folder.listmode_log import listmode_notes
    from daq.folder.singles_log import FILE_NAME

    log = read_through(folder / FILE_NAME)
    return listmode_notes(log), bool(log.damage)


def _check_required(made: SpectImage, names: list[str]) -> None:
    for name in names:
        known = made.metadata["corrections"].get(name)
        if known is None or name in ("normalisation", "randoms"):
            raise CommandError(f"--require {name}: SPECT images have no such correction")
        if not known["applied"]:
            raise CommandError(
                f"correction {name} is required, and this run or these options do not have it: "
                f"{'; '.join(made.warnings) or 'see --help'}"
            )
