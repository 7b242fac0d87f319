"""Reconstruction of SPECT runs: `tomoshibi reconstruct` of a run with collimators."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.common import CommandError, finish, positive, tell
from daq.cli.progress import ProgressLine
from recon.spect.run_input import is_whole, spect_run

if TYPE_CHECKING:
    from recon.spect.offline import SpectImage
    from recon.spect.run import SpectOptions

IMAGE_NAME = "spect.nii.gz"
BOUNDS = {
    "iterations": (1, 1000),
    "subsets": (1, 1000),
    "threads": (1, 64),
    "fwhm_mm": (0, 100),
    "view_deg": (0.1, 90),
    "sensitivity_cps_per_MBq": (1e-3, 1e7),
}


def add_spect_options(parser: argparse.ArgumentParser) -> None:
    """Add what only SPECT runs know."""
    group = parser.add_argument_group("SPECT")
    group.add_argument("--peaks", type=_names, default=(), metavar="NAMES",
                       help="photopeak windows, such as Lu-177_113,Lu-177_208 (default: all of the "
                            "run, as one image)")  # fmt: skip
    group.add_argument("--scatter-windows", dest="spect_scatter", default="auto",
                       choices=("auto", "tew", "dew", "none"),
                       help="scatter from three or two energy windows, or none (default: tew where "
                            "the run has the windows)")  # fmt: skip
    group.add_argument("--no-collimator-response", action="store_true",
                       help="take the collimator's blur as none")  # fmt: skip
    group.add_argument("--sensitivity-cps-per-MBq", type=positive, metavar="S",
                       help="measured sensitivity of the peaks together, instead of the computed "
                            "one")  # fmt: skip
    group.add_argument("--view-deg", type=positive, default=3.0, metavar="DEG",
                       help="width of a view (default: %(default)g)")  # fmt: skip
    group.add_argument("--list-mode", action="store_true",
                       help="take events one by one, not pictures of counts")  # fmt: skip


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def run_spect(options: argparse.Namespace, folder: Path) -> int:
    """Reconstruct a SPECT run's singles and write the image."""
    from daq.cli.images.output_files import check_output
    from recon.core.frame_times import FrameTime
    from recon.exchange.images.formats import MadeImage, formats_of, write_images
    from recon.spect.offline import reconstruct_spect

    asked, formats = spect_options(options), formats_of(options.format)
    path = check_output(options.output or folder / "images" / IMAGE_NAME)
    progress = ProgressLine("reconstructing")
    unit, attenuated = options.mu_unit.replace("-", "_"), asked.attenuation
    made = reconstruct_spect(
        spect_run(folder, mu_map=options.mu_map, mu_unit=unit, attenuated=attenuated),
        asked,
        said=lambda what, share: progress.say(f"{what}: {100 * share:3.0f} %"),
    )
    progress.done()
    _check_required(made, options.require)
    warnings = [*_about_cut(folder), *made.warnings]
    for words in warnings:
        tell(f"tomoshibi: {words}")
    about = {"run": folder.name, **made.metadata, "warnings": warnings}
    frames = [FrameTime(0.0, about["duration_s"], prompts=about["prompts_used"])]
    image = MadeImage(made.image, made.grid, frames, about, modality="SPECT")
    written = write_images(image, path, formats)
    total_MBq = float(made.image.sum()) * made.grid.voxel_volume_mm3 / 1e9
    finish(options, {"run": str(folder), "image": str(path), "images": list(map(str, written)),
                     "total_MBq": total_MBq, **about},
           f"{written[0]}: {made.metadata['prompts_used']} counts in {made.metadata['views']} "
           f"views, {total_MBq:.4g} MBq")  # fmt: skip
    return 0


def spect_options(options: argparse.Namespace) -> SpectOptions:
    """Return the options of the command line as reconstruction takes them, checked."""
    from recon.spect.run import SpectOptions

    for name, (least, most) in BOUNDS.items():
        value = getattr(options, name, None)
        if value is not None and not least <= value <= most:
            option = f"--{name.replace('_', '-')}"
            raise CommandError(f"{option} {value:g}: must lie in {least:g}..{most:g}")

    def off(name: str) -> bool:
        return bool(getattr(options, f"no_{name}", False))

    return SpectOptions(
        iterations=options.iterations,
        subsets=options.subsets,
        peaks=options.peaks,
        scatter="none" if options.scatter == "none" else options.spect_scatter,
        attenuation=options.attenuation != "none",
        collimator_response=not options.no_collimator_response,
        decay=not off("decay"),
        dead_time=not off("dead_time"),
        sensitivity_cps_per_MBq=options.sensitivity_cps_per_MBq,
        view_deg=options.view_deg,
        list_mode=options.list_mode,
        fwhm_mm=options.fwhm_mm,
        threads=options.threads,
    )


def _about_cut(folder: Path) -> list[str]:
    from daq.folder.singles_log import FILE_NAME

    if is_whole(folder / FILE_NAME):
        return []
    return ["the singles log was not closed: it is used up to its last whole block"]


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
