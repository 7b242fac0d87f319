"""`tomoshibi export --image`: an image that a run holds, in another format, as it is."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import CommandError, finish
from daq.cli.images.output_files import check_output
from daq.errors import LogError
from daq.folder.identity.identity_file import read_identity
from daq.folder.listing.run_images import ENDING, EXPORTS, images_of

if TYPE_CHECKING:
    from recon.exchange.images.formats import MadeImage

SERIES_ENDINGS = (ENDING, ".hv", ".dcm", "-dicom", "-bids", ".h5")


def export_image(options: argparse.Namespace, folder: Path) -> int:
    """Write the image; its values are those of the file, what it is of is as the run now says."""
    from daq.folder.run_folder import run_config
    from recon.exchange.images.formats import write_images
    from recon.offline.kept_images.run_facts import run_facts
    from recon.offline.kept_images.stored_image import stored_image

    source = named_image(folder, options.image)
    path = _output_of(options, folder)
    modality = run_config(folder).scanner().modality
    made = stored_image(source, modality, run_facts(folder))
    if options.identified:
        made = replace(made, metadata={**made.metadata, **identified_facts(folder)})
    files = write_images(made, path, [options.format])
    if options.identified:
        keep_private(files)
    result = {
        "run": str(folder),
        "image": str(source),
        "files": files,
        "unit": made.metadata["unit"],
    }
    finish(options, result, f"{files[0]}: {source.name} of {folder.name}, as it is")
    return 0


def made_image(folder: Path, name: str, *, identified: bool) -> MadeImage:
    """Return an image that a run holds, and what it is of.

    identified : with the patient of identity.json, which must be there then
    """
    from daq.folder.run_folder import run_config
    from recon.offline.kept_images.run_facts import run_facts
    from recon.offline.kept_images.stored_image import stored_image

    modality = run_config(folder).scanner().modality
    made = stored_image(named_image(folder, name), modality, run_facts(folder))
    if identified:
        return replace(made, metadata={**made.metadata, **identified_facts(folder)})
    return made


def dicom_files(made: MadeImage, place: Path) -> list[Path]:
    """Write an image as DICOM into a folder; return the objects' files."""
    from recon.exchange.images.formats import write_images

    found = write_images(made, place / "image.nii.gz", ["dicom"])
    return [one for path in found for one in (sorted(path.glob("*")) if path.is_dir() else [path])]


def identified_facts(folder: Path) -> dict[str, Any]:
    """Return who a run is about as metadata, with the study's UID if a worklist gave one."""
    known = identity_of(folder)
    study_uid = known.pop("study_uid")
    return {"identity": known, **({"study_uid": study_uid} if study_uid else {})}


def identity_of(folder: Path) -> dict[str, str]:
    """Return who a run is about, as its identity.json says; raises CommandError if it does not."""
    try:
        found = read_identity(folder)
    except LogError as error:
        raise CommandError(str(error)) from error
    if found is None:
        raise CommandError(f"--identified: {folder.name} does not say whom it is about")
    return {
        name: getattr(found, name)
        for name in (
            "patient_id", "name", "birth_date", "sex", "accession_number", "referring_physician",
            "study_uid", "procedure_id", "step_id",
        )
    }  # fmt: skip


def keep_private(files: list[Path]) -> None:
    """Let only their owner read files that identify a person."""
    for path in files:
        for one in (*path.glob("*"), path) if path.is_dir() else (path,):
            one.chmod(0o700 if one.is_dir() else 0o600)


def private_output(options: argparse.Namespace, folder: Path) -> None:
    """Refuse to write whom a run is about into its own folder."""
    if options.identified and (
        options.output is None or options.output.resolve().is_relative_to(folder.resolve())
    ):
        raise CommandError(
            "--identified needs an --output outside of the run's folder: of a run, identity.json "
            "alone says whom it is about"
        )


def named_image(folder: Path, name: str) -> Path:
    """Return an image of a run; raises CommandError naming those that there are."""
    found = {path.name.removesuffix(ENDING): path for path in images_of(folder)}
    if name not in found:
        holds = ", ".join(sorted(found)) or "no image"
        raise CommandError(f"--image {name}: {folder.name} holds {holds}")
    return found[name]


def _output_of(options: argparse.Namespace, folder: Path) -> Path:
    """Return the NIfTI file beside which it goes: as named, or the first free one."""
    private_output(options, folder)
    if options.output is not None:
        path = check_output(options.output)
        if not _free(path):
            raise CommandError(f"--output {path} is there already: give another name")
        return path
    number, path = 1, folder / EXPORTS / f"{options.image}{ENDING}"
    while not _free(path):
        number += 1
        path = path.with_name(f"{options.image}-{number}{ENDING}")
    return check_output(path)


def _free(path: Path) -> bool:
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    return not any(
        path.with_name(f"{stem}{ending}").exists() for ending in (*SERIES_ENDINGS, ".nii")
    )
