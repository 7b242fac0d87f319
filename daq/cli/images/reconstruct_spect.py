"""Reconstruction of SPECT runs: `tomoshibi reconstruct` of a run with collimators."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import CommandError, finish, positive, tell
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from daq.folder.singles_log import SinglesReader
    from recon.core.mu_map import MuUnit
    from recon.spect.offline import Chunk, SpectImage, SpectOptions, SpectRun

CHUNK_RECORDS = 200_000
IMAGE_NAME = "spect.nii.gz"
BOUNDS = {
    "iterations": (1, 1000),
    "subsets": (1, 1000),
    "threads": (1, 64),
    "fwhm_mm": (0, 100),
    "view_deg": (0.1, 90),
    "sensitivity_cps_per_MBq": (1e-3, 1e7),
}
LONGEST_S = 9e6
"""Times are int64 in ps."""
MARGIN = 1e-3
"""By which live shares may exceed 1: a run's last period may reach beyond its end."""


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
    from daq.cli.images.output_files import check_output, formats_of
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
    written = _write(made, path, about, formats)
    total_MBq = float(made.image.sum()) * made.grid.voxel_volume_mm3 / 1e9
    finish(options, {"run": str(folder), "image": str(path), "images": list(map(str, written)),
                     "total_MBq": total_MBq, **about},
           f"{written[0]}: {made.metadata['prompts_used']} counts in {made.metadata['views']} "
           f"views, {total_MBq:.4g} MBq")  # fmt: skip
    return 0


def _write(
    made: SpectImage, path: Path, metadata: dict[str, Any], formats: tuple[str, ...]
) -> list[Path]:
    """Write the image in every format; ``path`` is the NIfTI's, the others go beside it."""
    from recon.core.frame_times import FrameTime
    from recon.exchange.images.dicom_nm import write_dicom_nm
    from recon.exchange.images.interfile import write_interfile
    from recon.exchange.images.nifti import write_nifti

    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    counts = made.metadata["prompts_used"]
    frames, written = [FrameTime(0.0, made.metadata["duration_s"], prompts=counts)], []
    if "nifti" in formats:
        write_nifti(path, made.image, made.grid, metadata)
        written.append(path)
    if "dicom" in formats:
        target = path.with_name(f"{stem}.dcm")
        written += write_dicom_nm(target, made.image, made.grid, frames, metadata)
    if "interfile" in formats:
        target = path.with_name(f"{stem}.hv")
        written += write_interfile(target, made.image, made.grid, frames, metadata)[:1]
    return written


def spect_options(options: argparse.Namespace) -> SpectOptions:
    """Return the options of the command line as reconstruction takes them, checked."""
    from recon.spect.offline import SpectOptions

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


def spect_run(
    folder: Path,
    *,
    mu_map: Path | None = None,
    mu_unit: MuUnit = "auto",
    attenuated: bool = True,
) -> SpectRun:
    """Return what the files of a run tell; raises CommandError where the singles are missing.

    attenuated : whether the µ map is read
    """
    from daq.folder.singles_log import FILE_NAME, SinglesReader
    from daq.replay.sort_again import run_config
    from daq.service.run import MU_MAP_NAME
    from recon.core.grid import ImageGrid
    from recon.core.mu_map import load_mu_map
    from recon.spect.offline import SpectRun

    path = folder / FILE_NAME
    if not path.exists():
        raise CommandError(
            f"{folder.name} has no {FILE_NAME}: it was recorded without windows for singles. Sort "
            "its raw log again: tomoshibi sort RUN --spect NUCLIDE --output FILE"
        )
    config = run_config(folder)
    scanner = config.scanner()
    log, summary = SinglesReader(path), _summary(folder)
    chosen = mu_map or folder / MU_MAP_NAME
    has_mu = attenuated and (mu_map is not None or chosen.exists())
    grid = ImageGrid(scanner.image.shape, scanner.image.voxel_mm)
    return SpectRun(
        scanner=scanner,
        windows=log.windows,
        chunks=chunks_of(log),
        mu=load_mu_map(chosen, grid, unit=mu_unit) if has_mu else None,
        live_share=live_share(summary, scanner.n_modules),
        end_s=end_s(summary) if is_whole(path) else 0.0,
        calibrated=bool(config.calibration),
    )


def is_whole(path: Path) -> bool:
    """Return whether a singles log was closed: one that was cut ends with its last whole block."""
    from daq.folder.singles_log import SinglesReader

    log = SinglesReader(path)
    for _ in log:
        pass
    return log.closed


def chunks_of(log: SinglesReader, records: int = CHUNK_RECORDS) -> Iterator[Chunk]:
    """Yield a log's singles with the angles before them, many blocks at once."""
    import numpy as np

    from coincidence.events import ANGLE, SINGLE
    from daq.folder.blocks import BlockKind

    parts: dict[BlockKind, list[Any]] = {BlockKind.SINGLES: [], BlockKind.ANGLES: []}
    empty = {BlockKind.SINGLES: np.empty(0, SINGLE), BlockKind.ANGLES: np.empty(0, ANGLE)}

    def chunk() -> Chunk:
        singles, angles = (
            np.concatenate([empty[kind], *parts[kind]])
            for kind in (BlockKind.SINGLES, BlockKind.ANGLES)
        )
        ends = [int(a["time_ps"].max(initial=0)) for a in (singles, angles)]
        return singles, angles, max(ends)

    held = 0
    for kind, found in log:
        parts[kind].append(found)
        held += len(found)
        if held >= records and kind is BlockKind.SINGLES:
            yield chunk()
            held, parts = 0, {kind: [] for kind in parts}
    if held:
        yield chunk()


def _summary(folder: Path) -> dict[str, Any]:
    import json

    from daq.service.run import SUMMARY_NAME

    try:
        found = json.loads((folder / SUMMARY_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def live_share(summary: dict[str, Any], modules: int) -> tuple[float, ...] | None:
    """Return each module's live share; None where a run was cut off and has no sound books."""
    try:
        books = summary["live_time"]
        detector_s = float(books["detector_s"])
        share = tuple(float(live) / detector_s for live in books["module_s"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    sound = len(share) == modules and all(0 < part <= 1 + MARGIN for part in share)
    return share if sound else None


def end_s(summary: dict[str, Any]) -> float:
    """Return how long a run was, 0 where that is not known."""
    try:
        end_s = float(summary["detector_time_s"])
    except (KeyError, TypeError, ValueError):
        return 0.0
    return end_s if 0 < end_s < LONGEST_S else 0.0
