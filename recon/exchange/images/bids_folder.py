"""A BIDS dataset of one PET image (BIDS 1.10): a folder that a validator and BIDS apps take.

The participant is the run, by the letters and digits of its name: nobody is named. The image and
its JSON are those of :mod:`recon.exchange.images.nifti`; what BIDS requires and nobody recorded
(injected activity, its time, how it was given) is missing there too, and a validator says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hw.whole_file import whole_folder
from recon.core.frame_times import FrameTime
from recon.core.grid import Image, ImageGrid
from recon.exchange.images.nifti import write_nifti
from recon.exchange.scan_facts import ScanFacts, nameable

VERSION = "1.10.0"
OURS = frozenset({"", ".json", ".tsv"})
"""Endings of what a dataset of ours holds at its top."""

README = """\
One PET image, written by Tomoshibi (research software; not for diagnosis).

The participant is the run {run}: whom it is about is not said here. Times count from the run's
start. What was corrected, and how, is in the JSON beside the image.
"""


def write_bids(
    folder: Path,
    image: Image,
    grid: ImageGrid,
    frames: Sequence[FrameTime],
    metadata: Mapping[str, Any],
) -> Path:
    """Write a dataset; return the image's file.

    Parameters
    ----------
    image : [x, y, z] or [x, y, z, frame]
    frames : one per volume
    metadata : of the reconstruction; docs/reconstruction/exchange.md lists the keys used

    Raises
    ------
    ExchangeError, FileWriteError
        if the image does not fit, or the folder holds something else, or cannot be written.
    """
    facts = ScanFacts.of(nameable(metadata))
    subject = _label(facts.run) or "run"
    tracer = _label(str(facts.more.get("tracer") or (facts.nuclide.name if facts.nuclide else "")))
    name = f"sub-{subject}" + (f"_trc-{tracer}" if tracer else "") + "_pet.nii.gz"
    with whole_folder(folder, suffixes=OURS) as part:
        place = part / f"sub-{subject}" / "pet"
        place.mkdir(parents=True)
        write_nifti(place / name, image, grid, metadata, frames)
        (part / "README").write_text(README.format(run=facts.run), encoding="utf-8")
        _write_json(part / "dataset_description.json", _dataset(facts))
        _write_participants(part, subject, facts)
    return folder / f"sub-{subject}" / "pet" / name


def _label(text: str) -> str:
    """Return what of a text BIDS allows in a name: letters and digits."""
    return re.sub("[^0-9A-Za-z]", "", text)


def _dataset(facts: ScanFacts) -> dict[str, Any]:
    return {
        "Name": facts.run,
        "BIDSVersion": VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": "Tomoshibi", "Description": facts.algorithm}],
    }


def _write_participants(folder: Path, subject: str, facts: ScanFacts) -> None:
    weight_kg = facts.number("weight_kg")
    words = "n/a" if weight_kg is None else f"{weight_kg:g}"
    text = f"participant_id\tweight\nsub-{subject}\t{words}\n"
    (folder / "participants.tsv").write_text(text, encoding="utf-8")
    _write_json(
        folder / "participants.json",
        {"weight": {"Description": "body weight at the scan", "Units": "kg"}},
    )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
