"""`tomoshibi export` of a SPECT run: its projections as DICOM NM TOMO or Interfile."""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import CommandError, finish, tell
from daq.cli.images.stored_images import identified_facts, keep_private, private_output
from daq.cli.progress import ProgressLine
from daq.folder.listing.run_images import EXPORTS
from hw.whole_file import whole_file

if TYPE_CHECKING:
    from recon.exchange.projections.orbit_views import OrbitViews

SUFFIXES = {"dicom": ".dcm", "interfile": ".hs"}


def export_projections(options: argparse.Namespace, folder: Path) -> int:
    """Write the projections of all energy windows, and a JSON with each view's angle and time."""
    from recon.exchange.projections.dicom_tomo import write_dicom_tomo
    from recon.exchange.projections.interfile_spect import write_interfile_projections

    private_output(options, folder)
    path = _path_of(options, folder)
    views = _views(folder, options.view_deg)
    facts = _facts(folder, identified=options.identified)
    if options.only_windows:
        views = views.only([name.strip() for name in options.only_windows.split(",")])
    write = write_dicom_tomo if options.format == "dicom" else write_interfile_projections
    files = write(path, views, facts)
    record = path.with_name(f"{path.stem}_views.json")
    with whole_file(record) as file:
        file.write(json.dumps(views.record(), indent=1).encode() + b"\n")
    files.append(record)
    if options.identified:
        keep_private(files)
    for note in views.notes:
        tell(f"note: {note}")
    counts = {w.name: int(views.counts[n].sum()) for n, w in enumerate(views.windows)}
    result = {
        "run": str(folder), "files": files, "views": views.views, "heads": len(views.head_deg),
        "start_deg": views.start_deg, "step_deg": views.step_deg, "counts": counts,
        "notes": views.notes,
    }  # fmt: skip
    finish(options, result, f"{files[0]}: {views.views} views, {sum(counts.values())} counts")
    return 0


def projection_object(folder: Path, place: Path, *, identified: bool, view_deg: float) -> Path:
    """Write a SPECT run's projections as DICOM into a folder; return the object's file."""
    from daq.folder.run_folder import run_config
    from recon.exchange.projections.dicom_tomo import write_dicom_tomo

    if run_config(folder).scanner().modality != "SPECT":
        raise CommandError(f"{folder.name} is no SPECT run: it has no projections")
    views = _views(folder, view_deg)
    return write_dicom_tomo(place / "p.dcm", views, _facts(folder, identified=identified))[0]


def _facts(folder: Path, *, identified: bool) -> dict[str, Any]:
    from daq.folder.run_folder import run_config
    from recon.exchange.scan_facts import nameable
    from recon.offline.kept_images.run_facts import run_facts

    known = {**nameable(run_facts(folder)), "scanner": run_config(folder).scanner().name}
    return {**known, **(identified_facts(folder) if identified else {})}


def _views(folder: Path, view_deg: float) -> OrbitViews:
    from recon.spect.projections import projections_of
    from recon.spect.run_input import spect_run

    progress = ProgressLine("reading")
    views = projections_of(
        spect_run(folder, attenuated=False),
        view_deg=view_deg,
        said=lambda share: progress(round(1000 * share), 1000),
    )
    progress.done()
    return views


def _path_of(options: argparse.Namespace, folder: Path) -> Path:
    suffix = SUFFIXES[options.format]
    if options.output is not None:
        path: Path = options.output
        if not path.name or path.is_dir():
            raise CommandError(f"--output {path} is a folder: give the name of a file in it")
        return path.with_suffix(suffix)
    name = f"{folder.resolve().name}-projections"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    paths = (folder / EXPORTS / f"{one}{suffix}" for one in names)
    return next(one for one in paths if not one.with_name(f"{one.stem}_views.json").exists())
