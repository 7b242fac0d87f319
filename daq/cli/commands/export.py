"""Write a run's coincidences in another program's list-mode format, or one of its images as it is.

Of a SPECT run, the projections:

dicom    NM TOMO, one file: all energy windows, heads and views (PyTomography reads it).
interfile  NAME_WINDOW.hs and .s for each energy window, as STIR reads them.

Of a PET run, the coincidences:

petsird  one file: scanner, prompts, delayeds. No times of events, only of time blocks. Its readers
         take their own version only (--petsird-version): the newest petsird package 0.12, STIR 6.5
         0.9. `tomoshibi import petsird` reads all four.
castor   NAME.Cdh and NAME.Cdf (prompts), with the scanner as PET_TOMOSHIBI_….hscan and .lut, which
         go to CASToR's folder config/scanner. Corrections can be stored with every event; then
         NAME_sensitivity.hdr goes with them (castor-recon -sens), which makes the image Bq/mL.
safir    STIR's SAFIR format: NAME.clm.safir (prompts, delayeds), crystal map, template, .par of the
         list, NAME_lm_to_projdata.par for STIR's lm_to_projdata. No time of flight.

Of either, the events as tables for pandas, polars, MATLAB or ROOT (./tomoshibi setup lab):

parquet, hdf5, root  coincidences, or singles and angles; and where the crystals are. --singles of a
         PET run: every single that its modules sent, as they sent it.

With --image NAME (live, live_unfiltered, bsrem, …) the image that the run holds is written as
nifti, dicom, interfile, hdf5 or bids (a dataset's folder): not made anew, so that a viewer shows
what the console showed.

Needs a few MB of memory; writes all or nothing. docs/reconstruction/exchange.md has the
conventions.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import (
    CommandError,
    add_json_option,
    add_runs_option,
    find_run,
    finish,
    positive,
    tell,
    whole,
)
from daq.cli.images.export_projections import export_projections
from daq.cli.images.export_tables import SUFFIXES as TABLES
from daq.cli.images.export_tables import export_tables
from daq.cli.images.stored_images import export_image
from daq.cli.progress import ProgressLine
from daq.folder.listing.run_images import EXPORTS
from hw.bounded_files import FileRefused, read_object

if TYPE_CHECKING:
    from daq.folder.run_config import RunConfig
    from hw.scanner.description import Scanner
    from hw.scanner.geometry import Geometry
    from recon.exchange.event_parts import Part
    from recon.exchange.scan_facts import ScanFacts

MOST_ENERGY_BINS = 1000
IMAGE_FORMATS = ("nifti", "dicom", "interfile", "bids", "hdf5")
PROJECTION_FORMATS = ("dicom", "interfile")
PETSIRD_VERSIONS = ("0.12", "0.11", "0.10", "0.9")
SUFFIXES = {"petsird": ".petsird", "castor": ".Cdh", "safir": ".clm.safir"}

EXAMPLES = """\
examples:
  tomoshibi export last --format petsird
  tomoshibi export RUN --format petsird --block-ms 10 --energy-bins 5 --output brain.petsird
  tomoshibi export RUN --format petsird --petsird-version 0.9     (for STIR 6.5)
  tomoshibi export RUN --format castor --corrections attenuation,randoms --output brain.Cdh
  tomoshibi export last --image live --format dicom
  tomoshibi export SPECT_RUN --format dicom --view-deg 6 --output head.dcm
  tomoshibi export RUN --format parquet --output events.parquet
  tomoshibi export RUN --format safir    (then, in its folder, STIR's lm_to_projdata)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run_folder", metavar="RUN", help='a run: folder, name, or "last"')
    parser.add_argument(
        "--format",
        required=True,
        choices=list(dict.fromkeys([*SUFFIXES, *TABLES, *IMAGE_FORMATS])),
    )
    parser.add_argument("--image", metavar="NAME",
                        help="an image in RUN/images instead of the events, by its name without "
                        "ending: live is the last one that the console showed")  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FILE",
                        help="the file (default: RUN/export/NAME.petsird, .Cdh or "
                        ".clm.safir; NAME-2 and so on if that is there; of an image "
                        "a NIfTI file, other formats go beside it)")  # fmt: skip
    parser.add_argument("--identified", action="store_true",
                        help="dicom: with the patient of the run's identity.json in it; only to a "
                        "--output outside of the run's folder")  # fmt: skip
    parser.add_argument("--singles", action="store_true",
                        help="tables: every single of the raw log, neither calibrated nor "
                        "selected, in order of arrival, instead of the coincidences")  # fmt: skip
    parser.add_argument("--no-delayeds", action="store_true", help="leave the delayeds out")
    parser.add_argument("--block-ms", type=whole, default=1, metavar="MS",
                        help="petsird: length of a time block, the only time of its events "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--energy-bins", type=whole, default=1, metavar="N",
                        help="petsird: energy bins from LLD to ULD (default: %(default)s: no "
                        "energies)")  # fmt: skip
    parser.add_argument("--tof-bin-ps", type=positive, metavar="PS",
                        help="petsird: most that a TOF bin is wide; there is an odd number of "
                        "them (default: 25; one bin for a scanner without TOF)")  # fmt: skip
    parser.add_argument("--petsird-version", choices=PETSIRD_VERSIONS,
                        default=PETSIRD_VERSIONS[0],
                        help="petsird: version of the schema (default: %(default)s)")  # fmt: skip
    parser.add_argument("--corrections", default="", metavar="NAMES",
                        help="castor: attenuation, normalisation, randoms, separated by commas; "
                        "stored with every event")  # fmt: skip
    parser.add_argument("--only-windows", default="", metavar="NAMES",
                        help="projections: these energy windows alone, separated by commas; some "
                        "programs (pylinac) take one")  # fmt: skip
    parser.add_argument("--view-deg", type=positive, default=3.0, metavar="DEG",
                        help="projections: width of the bins of angle that become views "
                        "(default: %(default)g)")  # fmt: skip
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Export."""
    from daq.folder.run_folder import run_config

    folder = find_run(options.run_folder, options.runs)
    _check_format(options)
    if options.image:
        return export_image(options, folder)
    if options.format in TABLES:
        return export_tables(options, folder)
    config = run_config(folder)
    if config.scanner().modality == "SPECT":
        if options.format not in PROJECTION_FORMATS:
            raise CommandError(
                f"{folder.name} is a SPECT run: it has no coincidences to export, but projections "
                f"(--format {' or '.join(PROJECTION_FORMATS)}) and images (--image)"
            )
        return export_projections(options, folder)
    if options.format in IMAGE_FORMATS:
        raise CommandError(
            f"--format {options.format} is for images and SPECT projections: name an image with "
            "--image, or make one with `tomoshibi reconstruct`"
        )
    if options.corrections and options.format != "castor":
        raise CommandError(f"--corrections: {options.format} has no place for them; castor has")
    path = options.output or _new_path(folder, _suffix(options))
    if not path.name or path.is_dir():
        raise CommandError(f"--output {path} is a folder: give the name of a file in it")
    if options.energy_bins > MOST_ENERGY_BINS:
        raise CommandError(f"--energy-bins {options.energy_bins}: at most {MOST_ENERGY_BINS}")
    _check_there(folder)
    progress = ProgressLine("exporting")
    job = _Export(options, folder, config, path, progress)
    writers = {"petsird": _petsird, "castor": _castor, "safir": _safir}
    result = writers[options.format](job)
    progress.done()
    for note in result["notes"]:
        tell(f"note: {note}")
    words = f"{result['files'][0]}: {result['prompts']} prompts, {result['delayeds']} delayeds"
    finish(options, {"run": str(folder), **result}, words)
    return 1 if result["damaged"] else 0


def _check_format(options: argparse.Namespace) -> None:
    """Refuse a format of images for events, and the other way."""
    if options.identified and options.format != "dicom":
        raise CommandError("--identified: only DICOM has a place for a patient")
    if options.singles and (options.image or options.format not in TABLES):
        raise CommandError(f"--singles: they are written as {', '.join(TABLES)}")
    if options.image and options.format not in IMAGE_FORMATS:
        raise CommandError(f"--image: an image is written as {', '.join(IMAGE_FORMATS)}")


def _check_there(folder: Path) -> None:
    """Refuse a run whose list-mode log cannot be read, before anything is written."""
    from daq.errors import LogError
    from daq.folder.listmode_log import FILE_NAME, ListmodeReader
    from recon.offline.run_reader import remedy_for

    try:
        ListmodeReader(folder / FILE_NAME)
    except LogError as error:
        raise CommandError(f"{error}; {remedy_for(folder / FILE_NAME)}") from error


def _new_path(folder: Path, suffix: str) -> Path:
    """Return the first free name in the run's folder of exported files."""
    name = folder.resolve().name
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    paths = (folder / EXPORTS / f"{one}{suffix}" for one in names)
    return next(path for path in paths if not path.exists())


def _suffix(options: argparse.Namespace) -> str:
    return SUFFIXES[options.format]


def _about(folder: Path, config: RunConfig) -> dict[str, Any]:
    """Return what the run's own files say about it, for headers."""
    from daq.folder.run_identity import RunIdentity
    from recon.exchange.scan_facts import nameable

    about: dict[str, Any] = {"run": folder.resolve().name, "scanner": config.scanner().name}
    for name in ("run.json", "summary.json"):
        path = folder / name
        found = _facts_in(path)
        about |= {key: found[key] for key in ("created", "hash") if key in found}
    about |= RunIdentity.of(folder).as_metadata()
    nuclide = config.labels.get("nuclide")
    known = nameable({**about, **({"nuclide": nuclide} if nuclide else {})})
    if nuclide and not known["nuclide"]:
        tell(f"note: nuclide {nuclide} is not in the table: the file names none")
    return known


class _Parts:
    """A run's coincidences for exporters, counted on the way."""

    def __init__(self, folder: Path, *, delayeds: bool, progress: ProgressLine) -> None:
        self._folder, self._delayeds, self._progress = folder, delayeds, progress
        self.counts = [0, 0]
        self.notes: list[str] = []
        self.damaged = False

    def __iter__(self) -> Iterator[Part]:
        from daq.folder import listmode_log as listmode
        from daq.folder.listmode_log import ListmodeReader, listmode_notes
        from hw.wire.block_layout import BlockKind

        path = self._folder / listmode.FILE_NAME
        size = max(1, path.stat().st_size)
        reader = ListmodeReader(path)
        for kind, records, offset in reader.placed():
            delayed = kind is BlockKind.DELAYEDS
            if kind not in (BlockKind.PROMPTS, BlockKind.DELAYEDS):
                continue
            if delayed and not self._delayeds:
                continue
            self.counts[delayed] += len(records)
            self._progress(offset, size)
            yield delayed, records
        self.notes, self.damaged = listmode_notes(reader), bool(reader.damage)

    @property
    def summary(self) -> dict[str, Any]:
        """How many events were read, and notes about them."""
        return {
            "prompts": self.counts[0],
            "delayeds": self.counts[1],
            "notes": self.notes,
            "damaged": self.damaged,
        }


def _facts_in(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one if the file is missing or damaged."""
    try:
        return read_object(path)
    except FileRefused:
        return {}


@dataclass(frozen=True)
class _Export:
    """What to export, and where: the same for all formats."""

    options: argparse.Namespace
    folder: Path
    config: RunConfig
    path: Path
    progress: ProgressLine

    @cached_property
    def scanner(self) -> Scanner:
        """The run's scanner."""
        return self.config.scanner()

    @cached_property
    def geometry(self) -> Geometry:
        """The positions of its crystals."""
        from hw.scanner.geometry import build_geometry

        return build_geometry(self.scanner)

    @property
    def facts(self) -> ScanFacts:
        """The facts about the run for headers."""
        from recon.exchange.scan_facts import ScanFacts

        return ScanFacts.of(_about(self.folder, self.config))

    @property
    def duration_s(self) -> float:
        """Detector time from the run's summary; 0 if that is missing or damaged."""
        try:
            return float(_facts_in(self.folder / "summary.json")["detector_time_s"])
        except (KeyError, TypeError, ValueError):
            return 0.0

    @property
    def delayeds(self) -> bool:
        """Whether delayeds are wanted."""
        return not self.options.no_delayeds

    def parts(self, *, delayeds: bool) -> _Parts:
        """Return the run's coincidences, which can be read once."""
        return _Parts(self.folder, delayeds=delayeds, progress=self.progress)


def _petsird(job: _Export) -> dict[str, Any]:
    from daq.folder.run_folder import own_calibration
    from recon.exchange.petsird.header import Binning, header_of
    from recon.exchange.petsird.writer import write_petsird

    options, settings = job.options, job.config.settings
    binning = Binning.of(
        job.scanner,
        window_ps=settings.window_ps,
        lld_keV=settings.lld_keV,
        uld_keV=settings.uld_keV,
        energy_bins=options.energy_bins,
        tof_bin_ps=None if options.tof_bin_ps is None else max(1, round(options.tof_bin_ps)),
    )
    delayeds = job.delayeds and settings.delay_ps > 0
    known = own_calibration(job.folder)
    has = known is not None and known.statuses["efficiency"].any()
    header = header_of(
        job.scanner, job.geometry, binning, job.facts, policy=settings.policy,
        delayeds=delayeds, efficiency=known.efficiency if known is not None and has else None,
    )  # fmt: skip
    parts = job.parts(delayeds=delayeds)
    done = write_petsird(
        job.path,
        parts,
        header,
        binning,
        doi_bins=job.scanner.module.doi_bins,
        block_ms=options.block_ms,
        duration_s=job.duration_s,
        delayeds=delayeds,
        version=options.petsird_version,
    )
    return {"files": [job.path], "bytes": done.bytes, **parts.summary}


def _castor(job: _Export) -> dict[str, Any]:
    from recon.exchange.listmode.castor import CastorOptions, castor_name, write_castor
    from recon.exchange.listmode.castor_images import write_castor_image
    from recon.offline.castor_corrections import castor_model

    wanted = [name.strip() for name in job.options.corrections.split(",") if name.strip()]
    model = castor_model(job.folder, wanted)
    castor = CastorOptions(
        duration_s=job.duration_s,
        tof=job.scanner.acquisition.tof,
        window_ps=job.config.settings.window_ps,
        corrections=model.corrections if model else {},
        calibration_factor=model.calibration_factor if model else None,
    )
    parts = job.parts(delayeds=False)
    files = write_castor(job.path, parts, job.scanner, job.geometry, castor, job.facts)
    notes = parts.notes
    if model:
        name = castor_name(job.scanner)
        images = {"sensitivity": model.sensitivity, "mumap": model.mu_per_cm}
        for kind, image in images.items():
            if image is not None:
                path = job.path.with_name(f"{job.path.stem}_{kind}.hdr")
                files += write_castor_image(path, image, model.grid, name)
        notes = [
            *notes,
            f"castor-recon -df {files[0].name} -sens {job.path.stem}_sensitivity.hdr …",
        ]
    return {"files": files, "corrections": wanted, **parts.summary, "notes": notes}


def _safir(job: _Export) -> dict[str, Any]:
    from recon.exchange.listmode.safir import write_safir

    parts = job.parts(delayeds=job.delayeds)
    files = write_safir(job.path, parts, job.scanner, job.geometry)
    return {"files": files, **parts.summary}
