"""Reconstruct a run's list-mode log offline: corrected, quantified, in frames or gates.

Every correction that the run allows is applied: µ map, delayeds, live times, normalisation from its
calibration set, scatter, decay. What was applied, what was not, and why, is printed and written in
the image's metadata. With an activity calibration the image is in Bq/mL; with weight and injected
activity SUV is given as well. SPECT runs are reconstructed from their singles.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.common import CommandError, add_json_option, add_runs_option, find_run, finish, tell
from daq.cli.images.asked_options import Declared, given, refuse_foreign
from daq.cli.images.output_files import add_output_options, choices_of, output_of
from daq.cli.images.parametric_maps import (
    add_parametric_options,
    check_frames,
    kinds_of,
    write_maps,
)
from daq.cli.images.reconstruct_options import (
    add_algorithm_options,
    add_correction_options,
    add_dicom_options,
    add_field_options,
    add_quantification_options,
    add_time_options,
    check_suv,
    dicom_facts,
    extras_of,
    recon_options,
    sources_of,
)
from daq.cli.images.reconstruct_spect import add_spect_options, run_spect
from daq.cli.progress import EtaLine

if TYPE_CHECKING:
    from recon.offline.reconstruction import Reconstruction

EXAMPLES = """\
examples:
  tomoshibi reconstruct last
  tomoshibi reconstruct RUN --iterations 4 --subsets 8 --output brain.nii.gz --json
  tomoshibi reconstruct RUN --voxel-mm 1 --fov-mm 120 --centre-mm 0,30,0
  tomoshibi reconstruct RUN --attenuation contour --scatter none --psf 3
  tomoshibi reconstruct RUN --calibration activity.json --require calibration --format nifti,dicom
  tomoshibi reconstruct RUN --weight-kg 70 --injected-MBq 250 --injected-at -3600 --suv
  tomoshibi reconstruct RUN --frames 10x60s,5x120s
  tomoshibi reconstruct RUN --gates 8 --gate-signal r_waves.csv --gate-source cardiac
  tomoshibi reconstruct RUN --poses poses.csv --pose-reference 0
  tomoshibi reconstruct RUN --frames 12x10s,8x60s --parametric patlak --input plasma.csv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run_folder", metavar="RUN", help='a run: folder, name, or "last"')
    add_output_options(parser)
    parser.add_argument(
        "--format",
        default="nifti",
        metavar="NAMES",
        help="nifti, dicom, interfile, separated by commas (default: %(default)s)",
    )
    declare_options(parser)
    add_runs_option(parser)
    add_json_option(parser)


def declare_options(parser: argparse.ArgumentParser) -> Declared:
    """Add all options of a reconstruction; return the modality of each."""
    return [
        *add_algorithm_options(parser),
        *add_field_options(parser),
        *add_correction_options(parser),
        *add_time_options(parser),
        *add_quantification_options(parser),
        *add_parametric_options(parser),
        *add_spect_options(parser),
        *add_dicom_options(parser),
    ]


def run(options: argparse.Namespace) -> int:
    """Reconstruct and write the image."""
    from daq.folder.run_folder import run_config

    folder = find_run(options.run_folder, options.runs)
    modality = run_config(folder).scanner().modality
    refuse_foreign(options, declare_options(argparse.ArgumentParser()), modality)
    return run_spect(options, folder) if modality == "SPECT" else _run_pet(options, folder)


def _run_pet(options: argparse.Namespace, folder: Path) -> int:
    from recon.exchange.images.formats import MadeImage, formats_of, write_images
    from recon.offline.defaults import algorithm_meant
    from recon.offline.options import ReconOptions
    from recon.offline.reconstruction import reconstruct
    from recon.offline.run_reader import run_data

    formats, kinds = formats_of(options.format), kinds_of(options, folder)
    choices = choices_of(options, folder)
    name = algorithm_meant(given(options, ReconOptions))
    path = output_of(options, folder / "images" / f"{name}.nii.gz", choices)
    progress = EtaLine("reconstructing")
    progress("reading the log", 0.0)
    data = run_data(folder, **sources_of(options), **dicom_facts(options))
    if options.nuclide:
        data = replace(data, labels={**data.labels, "nuclide": options.nuclide})
    plan, extras = recon_options(options, data, path.parent), extras_of(options, folder, data)
    check_frames(kinds, plan)
    if options.suv:
        check_suv(plan, extras, data)
    made = reconstruct(data, plan, extras, progress=progress)
    progress.done()
    made = replace(made, metadata={**made.metadata, "choices": choices})
    if options.suv:
        made = _as_suv(made)
    image = MadeImage(made.image, made.grid, made.frames, made.metadata, parts=made.parts)
    written = write_images(image, path, formats) + write_maps(made, options, kinds, path, folder)
    tell(_told(made))
    result = {
        "run": str(folder),
        "image": str(written[0]),
        "images": [str(p) for p in written],
        **made.metadata,
        "corrections": made.corrections.applied(),
        "corrections_how": made.metadata["corrections"],
        "suv_factor": made.suv_factor,
        "damaged": data.damaged,
    }
    finish(options, result, f"{path}: {made.metadata['prompts_used']} prompts")
    return 1 if data.damaged else 0


def _as_suv(made: Reconstruction) -> Reconstruction:
    import numpy as np

    from hw.physics.suv import UNIT

    if made.suv_factor is None:
        raise CommandError(
            "--suv: the image could not be calibrated and corrected for decay: "
            + "; ".join(made.metadata["notes"])
        )
    factor = made.suv_factor
    parts = tuple(one and one.scaled(factor) for one in made.parts)
    about = {**made.metadata, "unit": UNIT}
    return replace(made, image=made.image * np.float32(factor), metadata=about, parts=parts)


def _told(made: Reconstruction) -> str:
    """Describe what was corrected, what could not be, and other notes."""
    applied = [name for name, on in made.corrections.applied().items() if on]
    lines = [f"corrected: {', '.join(applied)}; unit {made.metadata['unit']}"]
    lines += [f"NOT corrected: {name}: {why}" for name, why in made.corrections.missing().items()]
    lines += [f"note: {words}" for words in made.metadata["notes"]]
    return "\n".join(lines)
