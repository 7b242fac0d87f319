"""Reconstruct a run's list-mode log offline, with list-mode OSEM, to NIfTI.

Attenuation is corrected with the run's µ map where it has one, randoms with its delayeds; what
was corrected and what was not stands in the sidecar. Scatter is not corrected yet.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from daq.cli.common import CommandError, add_json_option, add_runs_option, find_run, finish
from daq.cli.progress import ProgressLine

EXAMPLES = """\
examples:
  tomoshibi reconstruct last
  tomoshibi reconstruct RUN --iterations 4 --subsets 8 --output brain.nii.gz --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run_folder", metavar="RUN", help='a run: folder, name, or "last"')
    parser.add_argument("--output", type=Path, metavar="FILE",
                        help="NIfTI file (default: RUN/images/osem.nii.gz)")  # fmt: skip
    parser.add_argument("--iterations", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--subsets", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--fwhm-mm", type=float, default=0.0, metavar="MM",
                        help="Gaussian post-filter (default: none)")  # fmt: skip
    parser.add_argument("--no-attenuation", action="store_true", help="ignore the µ map")
    parser.add_argument("--no-randoms", action="store_true", help="ignore the delayeds")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Reconstruct and write the image."""
    from daq import listmode
    from daq.blocks import BlockKind
    from daq.listmode import ListmodeReader
    from daq.resort import run_config
    from daq.run import MU_MAP_NAME
    from recon.grid import ImageGrid
    from recon.mu_map import load_mu_map
    from recon.nifti import write_nifti
    from recon.offline import reconstruct

    if options.iterations < 1 or options.subsets < 1:
        raise CommandError("--iterations and --subsets must be at least 1")
    folder = find_run(options.run_folder, options.runs)
    config = run_config(folder)
    scanner = config.scanner()
    if scanner.modality == "SPECT":
        raise CommandError(
            f"{folder.name} is a SPECT run: its images are not reconstructed yet. "
            "projections.npz has its pictures, singles.tmws its photons and angles"
        )
    log = ListmodeReader(folder / listmode.FILE_NAME)
    prompts = log.read_all(BlockKind.PROMPTS)
    if not len(prompts):
        raise CommandError(f"{folder.name} has no prompts: there is nothing to reconstruct")
    mu_map = folder / MU_MAP_NAME
    has_mu_map = mu_map.exists() and not options.no_attenuation
    grid = ImageGrid(scanner.image.shape, scanner.image.voxel_mm)
    progress = ProgressLine("reconstructing")
    made = reconstruct(
        prompts,
        None if options.no_randoms else log.read_all(BlockKind.DELAYEDS),
        scanner=scanner,
        mu_map=load_mu_map(mu_map, grid) if has_mu_map else None,
        iterations=options.iterations,
        subsets=options.subsets,
        threads=options.threads,
        window_ps=config.settings.window_ps,
        min_sector_difference=config.settings.min_sector_difference,
        delayed_factor=config.settings.delayed_factor,
        post_filter_fwhm_mm=options.fwhm_mm,
        progress=lambda what, share: progress.say(f"{what}: {100 * share:3.0f} %"),
    )
    progress.done()
    path = options.output or folder / "images" / "osem.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(path, made.image, grid, metadata=made.metadata)
    finish(options, {"run": str(folder), "image": str(path), **made.metadata},
           f"{path}: {made.metadata['prompts_used']} prompts")  # fmt: skip
    return 0
