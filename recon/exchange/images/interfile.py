"""Interfile images (.hv header, .v values) as STIR reads and writes them.

Interfile 3.3 (A. Todd-Pokropek, T. Cradduck, F. Deconinck, Nucl. Med. Commun. 13 (1992) 673) with
STIR's keys for PET (STIR, "Interfile" in its glossary and ``interfile_keys``). Values are float32,
little-endian, x fastest, frames one after another. STIR's image axes are the scanner's. For a
patient lying head in and supine they are LPS: x to the left, y to the back, z to the head; ours are
then RAS, so x and y are reversed. ``first pixel offset`` is the centre of the first voxel from the
scanner's centre.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hw.physics.nuclides import Nuclide
from hw.whole_file import whole_file
from recon.core.frame_times import FrameTime, as_volumes
from recon.core.grid import Image, ImageGrid
from recon.exchange.images.patient_axes import NOT_FOR_DIAGNOSIS, first_voxel_mm, lps_planes
from recon.exchange.scan_facts import NO_DATE, NUCLIDE_CODES, ScanFacts


def write_interfile(
    path: Path,
    image: Image,
    grid: ImageGrid,
    frames: Sequence[FrameTime],
    metadata: Mapping[str, Any],
) -> list[Path]:
    """Write an image as ``path`` (.hv) and the values beside it (.v); return both.

    Parameters
    ----------
    image : [x, y, z] or [x, y, z, frame]
    frames : one per volume
    metadata : of the reconstruction; docs/reconstruction/exchange.md lists the keys used

    Raises
    ------
    ExchangeError
        if a voxel is not finite, the shape does not fit, or the disk is full.
    """
    volumes = as_volumes(image, grid, frames)
    facts = ScanFacts.of(metadata)
    header, values = path.with_suffix(".hv"), path.with_suffix(".v")
    with whole_file(values) as file:
        for number in range(len(frames)):
            file.write(lps_planes(volumes[..., number]).astype("<f4", copy=False).data)
    with whole_file(header) as file:
        file.write("\n".join(_header(values.name, grid, frames, facts)).encode() + b"\n")
    return [header, values]


def _header(
    values: str, grid: ImageGrid, frames: Sequence[FrameTime], facts: ScanFacts
) -> list[str]:
    pet = str(facts.more.get("modality", "PET")) != "SPECT"
    lines = [
        "!INTERFILE :=",
        f"!imaging modality := {'PT' if pet else 'nucmed'}",
        "!originating system := " + words(facts.scanner),
        f"; {NOT_FOR_DIAGNOSIS}",
        f"; run {words(facts.run)}; {words(facts.algorithm)}",
        f"; unit {words(facts.unit)}",
        f"; corrections {', '.join(sorted(facts.applied)) or 'none'}",
        "!version of keys := STIR4.0" if pet else "!version of keys := 3.3",
        f"!name of data file := {values}",
        "!GENERAL DATA :=",
        "!GENERAL IMAGE DATA :=",
        f"!type of data := {'PET' if pet else 'Tomographic'}",
        "imagedata byte order := LITTLEENDIAN",
        *position_lines(facts),
    ]
    if facts.created != NO_DATE:
        lines.append(f"!study date (UTC) := {facts.created:%Y:%m:%d}")
        lines.append(f"!study time (UTC) := {facts.created:%H:%M:%S}")
    if facts.nuclide is not None:
        lines += nuclide_lines(facts.nuclide)
    return lines + _study(grid, pet=pet) + _times(frames) + ["!END OF INTERFILE :="]


def nuclide_lines(nuclide: Nuclide) -> list[str]:
    """Return its name as STIR's table (radionuclide_names.json) has it, which is DICOM's; of others
    STIR takes half-life and branching as they stand here."""
    _, name = NUCLIDE_CODES.get(nuclide.name, ("", nuclide.name))
    lines = [
        "number of radionuclides := 1",
        f"radionuclide name [1] := {name}",
        f"radionuclide halflife (sec) [1] := {nuclide.half_life_s:.9g}",
    ]
    if nuclide.beta_plus_fraction:
        lines.append(f"radionuclide branching factor [1] := {nuclide.beta_plus_fraction:.6g}")
    return lines


def position_lines(facts: ScanFacts) -> list[str]:
    """Return how the patient lay."""
    first = {"H": "head_in", "F": "feet_in"}.get(facts.position[0], "unknown")
    turned = {"S": "supine", "P": "prone", "DR": "right", "DL": "left"}
    how = "unknown" if first == "unknown" else turned[facts.position[2:]]
    return [f"patient orientation := {first}", f"patient rotation := {how}"]


def _study(grid: ImageGrid, *, pet: bool) -> list[str]:
    lines = ["!PET STUDY (General) :=", "!PET data type := Image"] if pet else []
    lines += [
        "process status := Reconstructed",
        "!number format := float",
        "!number of bytes per pixel := 4",
        "number of dimensions := 3",
    ]
    first_mm = first_voxel_mm(grid)
    for axis, name in enumerate("xyz", 1):
        lines += [
            f"matrix axis label [{axis}] := {name}",
            f"!matrix size [{axis}] := {grid.shape[axis - 1]}",
            f"scaling factor (mm/pixel) [{axis}] := {grid.voxel_mm[axis - 1]:.9g}",
            f"first pixel offset (mm) [{axis}] := {first_mm[axis - 1]:.9g}",
        ]
    return lines


def _times(frames: Sequence[FrameTime]) -> list[str]:
    lines = [f"!number of time frames := {len(frames)}"]
    for number, frame in enumerate(frames, 1):
        lines += time_lines(frame.start_s, frame.duration_s, number)
        if frame.gate is not None:
            lines.append(f"; frame {number} is gate {frame.gate}")
    return lines


def time_lines(start_s: float, duration_s: float, number: int = 1) -> list[str]:
    """Return start and duration of a time frame."""
    return [
        f"image relative start time (sec) [{number}] := {start_s:.9g}",
        f"!image duration (sec) [{number}] := {duration_s:.9g}",
    ]


def words(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())
