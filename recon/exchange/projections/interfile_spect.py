"""SPECT projections as Interfile (.hs header, .s values), as STIR reads them.

Keys of Interfile 3.3 as STIR's InterfilePDFSHeaderSPECT takes them: one file for each energy window
and head. Values are float32, view after view, rows up, columns.

STIR's camera stands at (−R sin φ, R cos φ) of its image axes, its bins run along (cos φ, sin φ),
CCW is growing φ (ProjDataInfo, SPECTUB_Tools). In these the image is to lie as our Interfile images
do, x to the left and y to the back of a patient head first and supine, z up; a µ map of ours fits.
So φ = 90° + ours, bins run against our u, rows up. (STIR's own DICOM converter takes φ from DICOM's
angle and leaves frames as they are: its images then stand upside down.)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hw.whole_file import whole_file
from recon.exchange.images.interfile import nuclide_lines, position_lines, time_lines, words
from recon.exchange.images.patient_axes import NOT_FOR_DIAGNOSIS
from recon.exchange.projections.orbit_views import OrbitViews, wrapped_deg
from recon.exchange.scan_facts import ScanFacts

STIR_AT_0_DEG = 90.0
"""STIR's angle of a camera that stands at our 0°, +x."""


def write_interfile_projections(
    path: Path, views: OrbitViews, metadata: Mapping[str, Any]
) -> list[Path]:
    """Write each window and head as ``path``'s stem, the window's name (and the head's number).

    Returns
    -------
    headers and values, in this order for each

    Raises
    ------
    FileWriteError
        if one cannot be written.
    """
    facts = ScanFacts.of(metadata)
    made: list[Path] = []
    for number, window in enumerate(views.windows):
        for head in range(len(views.head_deg)):
            of_head = f"_head{head + 1}" if len(views.head_deg) > 1 else ""
            name = f"{path.stem}_{window.name}{of_head}"
            header, values = path.with_name(f"{name}.hs"), path.with_name(f"{name}.s")
            frames = views.counts[number, head].swapaxes(-1, -2)[..., ::-1]
            with whole_file(values) as file:
                file.write(np.ascontiguousarray(frames, "<f4").data)
            lines = _header(values.name, views, facts, number, head)
            with whole_file(header) as file:
                file.write("\n".join(lines).encode() + b"\n")
            made += [header, values]
    return made


def _header(values: str, views: OrbitViews, facts: ScanFacts, number: int, head: int) -> list[str]:
    window, (n_u, n_v) = views.windows[number], views.counts.shape[-2:]
    start_deg = wrapped_deg(STIR_AT_0_DEG + views.head_deg[head] + views.start_deg)
    return [
        "!INTERFILE :=",
        "!imaging modality := nucmed",
        f"!originating system := {words(facts.scanner)}",
        f"; {NOT_FOR_DIAGNOSIS}",
        f"; run {words(facts.run)}; counts, nothing corrected",
        "!version of keys := 3.3",
        f"name of data file := {values}",
        "!GENERAL DATA :=",
        "!GENERAL IMAGE DATA :=",
        "!type of data := Tomographic",
        "imagedata byte order := LITTLEENDIAN",
        *position_lines(facts),
        *([] if facts.nuclide is None else nuclide_lines(facts.nuclide)),
        "number of energy windows := 1",
        f"energy window lower level [1] := {window.lld_keV:.6g}",
        f"energy window upper level [1] := {window.uld_keV:.6g}",
        "!SPECT STUDY (General) :=",
        "!number format := float",
        "!number of bytes per pixel := 4",
        "number of dimensions := 2",
        "matrix axis label [1] := bin coordinate",
        f"!matrix size [1] := {n_u}",
        f"!scaling factor (mm/pixel) [1] := {views.pitch_mm[0]:.9g}",
        "matrix axis label [2] := axial coordinate",
        f"!matrix size [2] := {n_v}",
        f"!scaling factor (mm/pixel) [2] := {views.pitch_mm[1]:.9g}",
        f"!number of projections := {views.views}",
        f"!extent of rotation := {min(360.0, views.step_deg * views.views):.9g}",
        "!process status := acquired",
        "!number of time frames := 1",
        *time_lines(0.0, float(views.seconds[head].sum())),
        "!SPECT STUDY (acquired data) :=",
        "!direction of rotation := CCW",
        f"start angle := {start_deg:.9g}",
        "orbit := Circular",
        f"radius := {views.radius_mm:.9g}",
        "!END OF INTERFILE :=",
    ]
