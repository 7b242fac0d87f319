"""The DICOM objects of an image that a run holds: itself, its regions, a report of them, a map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import CommandError
from daq.cli.images.stored_images import dicom_files, made_image, named_image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from recon.exchange.images.formats import MadeImage
    from recon.hospital.objects.common import About


def objects_of_image(
    folder: Path, name: str, place: Path, *, identified: bool, regions: bool
) -> list[Path]:
    """Write an image's objects into a folder; return their files, the image's own first.

    Parameters
    ----------
    folder : the run
    name : of the image; a parametric map becomes a Parametric Map, any other PET or NM
    place : an empty folder
    identified : with the patient of identity.json
    regions : with the run's regions as a segmentation, and a report of what is in them
    """
    from recon.hospital.objects.parametric_map import parametric_map

    made = made_image(folder, name, identified=identified)
    paths = dicom_files(made, place)
    about, more = _about(made, paths), []
    if kind := str(made.metadata.get("parametric") or ""):
        if regions:
            raise CommandError(f"--regions: {name} is a parametric map; send them with its image")
        more, paths = [parametric_map(made.image, about, name=kind)], []
    if regions:
        more = _regions(folder, name, made, about, identified=identified)
    for number, one in enumerate(more, 1):
        path = place / f"object{number}.dcm"
        one.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _about(made: MadeImage, paths: Sequence[Path]) -> About:
    from pydicom import dcmread

    from recon.exchange.scan_facts import ScanFacts
    from recon.hospital.objects.common import About

    facts = ScanFacts.of(made.metadata)
    return About([dcmread(path) for path in paths], facts, made.grid)


def _regions(
    folder: Path, name: str, made: MadeImage, about: About, *, identified: bool
) -> list[Dataset]:
    from daq.folder.identity.identity_file import refuse_identity_in
    from daq.folder.region_file import read_regions
    from recon.analysis.picture import read_picture
    from recon.analysis.regions import measure
    from recon.hospital.objects.measurements import measurement_report, remarks
    from recon.hospital.objects.segmentation import segmentation

    regions = read_regions(folder)
    if not regions:
        raise CommandError(f"--regions: {folder.name} has none: draw some in the console")
    if not identified:
        refuse_identity_in(folder, " ".join(one.name for one in regions), "name of a region")
    picture = read_picture(named_image(folder, name))
    segments = segmentation(regions, made.image, about)
    said = remarks(made.metadata, _summary(folder), _last_qc(folder))
    values = [measure(one, picture) for one in regions]
    return [segments, measurement_report(about, segments, values, said)]


def _summary(folder: Path) -> dict[str, Any]:
    from hw.bounded_files import FileRefused, read_object

    try:
        return dict(read_object(folder / "summary.json"))
    except FileRefused:
        return {}


def _last_qc(folder: Path) -> str:
    """Return what the scanner's newest quality control found; "" where there is none."""
    from daq.folder.quality.qc_history import MOST_LOOKED_AT, qc_history
    from daq.folder.run_folder import run_config

    scanner = run_config(folder).scanner().name
    newest = qc_history(folder.parent, scanner=scanner, most=MOST_LOOKED_AT).newest
    if newest is None:
        return ""
    return f"{newest[1].verdict}, of {newest[1].measured}"
