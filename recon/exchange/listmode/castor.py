"""CASToR list mode: datafile (.Cdh header, .Cdf events) and scanner look-up table (.hscan, .lut).

Format: CASToR 3.1, classes iDataFilePET (WriteHeader, WriteListEvent) and iScannerPET. An event is
the time in ms (u4), then f4 values as the header's flags select, in this order: attenuation
correction factor, scatter rate, random rate (1/s), normalisation factor, TOF (ps); then the two
crystals (u4). Factors are those by which counts are multiplied: exp(+∫µ) and 1 / efficiency.

CASToR's element is layer · crystals + crystal, one layer per DOI bin; its position in the table is
the point that represents the depth (``hw.scanner.geometry.crystal_position_mm``), so no mean depth
of interaction is added (−1 in the header). Orientations point outwards. CASToR puts the event at
L/2 + TOF·c/2 from its first crystal, so with crystal_a first, TOF is −tof_ps of our record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hw.arrays import Records
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry
from hw.whole_file import whole_file
from recon.exchange.errors import ExchangeError
from recon.exchange.event_parts import Part, intervals
from recon.exchange.scan_facts import ScanFacts

Values = Callable[[Records], npt.NDArray[np.float32]]
Correction = Literal["attenuation", "scatter", "randoms", "normalisation"]
CORRECTIONS: dict[Correction, str] = {
    "attenuation": "Attenuation correction flag",
    "scatter": "Scatter correction flag",
    "randoms": "Random correction flag",
    "normalisation": "Normalization correction flag",
}
"""In the order of the event, with the header's keys."""

STEP_PS = 1_000_000_000
LONGEST_MS = 2**32 - 1


@dataclass(frozen=True)
class CastorOptions:
    """What a file holds besides crystals and times.

    corrections : functions of records that give each event's factor, or its rate in 1/s
    tof : whether events carry their time difference
    duration_s : of the scan
    calibration_factor : from CASToR's values to Bq/mL at the scan's start, with the nuclide's decay
        and β⁺ fraction in it, so that CASToR must not correct for them; None if it is not known
    """

    duration_s: float
    tof: bool
    window_ps: int
    corrections: Mapping[Correction, Values] = field(default_factory=dict)
    calibration_factor: float | None = None


def event_type(options: CastorOptions) -> np.dtype[Any]:
    """Return the dtype of an event in the .Cdf."""
    fields = [("time_ms", "<u4")]
    fields += [(name, "<f4") for name in CORRECTIONS if name in options.corrections]
    fields += [("tof_ps", "<f4")] if options.tof else []
    return np.dtype([*fields, ("crystal_1", "<u4"), ("crystal_2", "<u4")])


def write_castor(
    path: Path,
    parts: Iterable[Part],
    scanner: Scanner,
    geometry: Geometry,
    options: CastorOptions,
    facts: ScanFacts,
) -> list[Path]:
    """Write the prompts of a run as ``path`` (.Cdh) with its .Cdf, .hscan and .lut beside it.

    The scanner's files go to CASToR's folder config/scanner; the datafile names it.

    Parameters
    ----------
    parts : whether delayeds, and ``COINCIDENCE`` records; each kind in order of time
    options : what an event holds besides crystals and time
    facts : of the scan, for the header

    Raises
    ------
    ExchangeError
        if the disk refuses; no part of the datafile is left then.
    """
    header, data = path.with_suffix(".Cdh"), path.with_suffix(".Cdf")
    kind = event_type(options)
    events = 0
    with whole_file(data) as file:
        for interval in intervals(parts, step_ps=STEP_PS):
            if interval.until_ps // STEP_PS > LONGEST_MS:
                raise ExchangeError(f"{data}: {interval.until_ps} ps do not fit 32 bits of ms")
            file.write(_events(interval.prompts, kind, options, scanner).data)
            events += len(interval.prompts)
    name = castor_name(scanner)
    with whole_file(header) as file:
        file.write(_header(data.name, events, name, options, scanner, facts).encode())
    table = write_scanner(path.parent, name, scanner, geometry)
    return [header, data, *table]


def castor_name(scanner: Scanner) -> str:
    """Return the name by which CASToR finds the scanner's files."""
    return f"PET_TOMOSHIBI_{scanner.name}"


def _events(
    records: Records, kind: np.dtype[Any], options: CastorOptions, scanner: Scanner
) -> npt.NDArray[np.void]:
    made = np.empty(len(records), kind)
    made["time_ms"] = records["time_ps"] // STEP_PS
    for name, values in options.corrections.items():
        made[name] = values(records)
    if options.tof:
        made["tof_ps"] = -records["tof_ps"].astype(np.float32)
    n = scanner.n_crystals
    for crystal, ours in (("crystal_1", "a"), ("crystal_2", "b")):
        made[crystal] = records[f"doi_{ours}"].astype(np.uint32) * n + records[f"crystal_{ours}"]
    return made


def _header(
    data: str,
    events: int,
    scanner_name: str,
    options: CastorOptions,
    scanner: Scanner,
    facts: ScanFacts,
) -> str:
    flags = {key: int(name in options.corrections) for name, key in CORRECTIONS.items()}
    factor = 1.0 if options.calibration_factor is None else options.calibration_factor
    isotope = facts.nuclide.name if facts.nuclide else "unknown"
    lines = {
        "Data filename": data,
        "Number of events": events,
        "Data mode": "list-mode",
        "Data type": "PET",
        "Start time (s)": 0,
        "Duration (s)": f"{options.duration_s:.9g}",
        "Scanner name": scanner_name,
        "Maximum number of lines per event": 1,
        "Calibration factor": f"{factor:.9g}",
        "Isotope": isotope if options.calibration_factor is None else "unknown",
        "TOF information flag": int(options.tof),
    }
    if options.tof:
        lines["TOF resolution (ps)"] = f"{scanner.response.ctr_fwhm_ps:g}"
        lines["List TOF measurement range (ps)"] = 2 * options.window_ps
        lines["List TOF quantization bin size (ps)"] = 1
    return "".join(f"{key}: {value}\n" for key, value in {**lines, **flags}.items())


def write_scanner(
    folder: Path, name: str, scanner: Scanner, geometry: Geometry
) -> tuple[Path, Path]:
    """Write the look-up table of a scanner and its header."""
    table, header = folder / f"{name}.lut", folder / f"{name}.hscan"
    place = geometry.crystal_front_mm[None] + (
        geometry.crystal_normal[None] * geometry.doi_depth_mm[:, None, None]
    )
    rows = np.concatenate(
        [place, np.broadcast_to(geometry.crystal_normal, place.shape)], axis=2, dtype="<f4"
    )
    with whole_file(table) as file:
        file.write(np.ascontiguousarray(rows, dtype="<f4").data)
    with whole_file(header) as file:
        file.write(_scanner_header(name, scanner).encode())
    return header, table


def _scanner_header(name: str, scanner: Scanner) -> str:
    module, layers = scanner.module, scanner.module.doi_bins
    depth = module.thickness_mm / layers

    def each(value: float) -> str:
        return ", ".join([f"{value:g}"] * layers)

    radius = ", ".join(f"{scanner.ring.inradius_mm + k * depth:g}" for k in range(layers))
    image = scanner.image
    angle = 360.0 * scanner.acquisition.min_sector_difference / scanner.ring.modules_per_ring
    own_deg = np.degrees(np.arctan2(module.width_mm / 2, scanner.ring.inradius_mm))
    lines = {
        "scanner name": name,
        "modality": "PET",
        "description": f"{scanner.title} (made by Tomoshibi from its preset; research only)",
        "scanner radius": radius,
        "number of rings in scanner": scanner.ring.n_rings * module.n_v,
        "number of elements": scanner.n_crystals * layers,
        "number of layers": layers,
        "number of crystals in layer(s)": each(scanner.n_crystals),
        "crystals size depth": each(depth),
        "crystals size transaxial": each(module.pitch_u_mm),
        "crystals size axial": each(module.pitch_v_mm),
        "min angle difference": f"{max(0.0, angle - 2 * float(own_deg)):g}",
        "mean depth of interaction": each(-1),
        "voxels number transaxial": image.shape[0],
        "voxels number axial": image.shape[2],
        "field of view transaxial": f"{image.shape[0] * image.voxel_mm[0]:g}",
        "field of view axial": f"{image.shape[2] * image.voxel_mm[2]:g}",
    }
    return "".join(f"{key}: {value}\n" for key, value in lines.items())
