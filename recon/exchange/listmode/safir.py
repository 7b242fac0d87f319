"""STIR's SAFIR list mode: 8-byte records behind a 32-byte header, crystal map, template.

Format: STIR 6, CListRecordSAFIR.h, CListModeDataSAFIR.cxx, DetectorCoordinateMap; checked against
the files of STIR's examples (SAFIR_genericScanner). A record is a little-endian word of 64 bits:

    event   ring A (8 bits), ring B (8), detector A (16), detector B (16), layer A (4), layer B (4),
            6 reserved, random (1: a delayed), type 0
    time    ms (48), 15 reserved, type 1

Rings count axial crystals from the lowest z, detectors crystals around from +x counter-clockwise,
layers DOI bins. The crystal map gives each its position. STIR's axes for a patient head in and
supine are LPS, ours RAS (:mod:`recon.exchange.images.nifti`): positions in the map are turned by
180° about z, so that STIR's image is oriented correctly. The format has no time of flight.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw.arrays import U8, Records
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry, crystal_position_mm, mean_interaction_depth_mm
from hw.whole_file import whole_file
from recon.exchange.errors import ExchangeError
from recon.exchange.event_parts import Part, intervals

MAGIC = b"MUPET CListModeData"
HEADER_BYTES = 32
MOST_RINGS, MOST_DETECTORS, MOST_LAYERS = 256, 65536, 16
ENDINGS = ("_crystals.txt", "_template.hs", "_template.s", ".par", "_lm_to_projdata.par")
STEP_PS = 1_000_000_000
TIME_BIT = np.uint64(1 << 63)
RANDOM_BIT = np.uint64(1 << 62)


def safir_index(scanner: Scanner, crystal: npt.ArrayLike) -> tuple[U8, U8]:
    """Return ring and detector of global crystals."""
    module, place = np.divmod(np.asarray(crystal, np.int64), scanner.crystals_per_module)
    ring, sector = np.divmod(module, scanner.ring.modules_per_ring)
    iv, iu = np.divmod(place, scanner.module.n_u)
    rings = ring * scanner.module.n_v + iv
    detectors = sector * scanner.module.n_u + iu
    return rings.astype(np.uint64), detectors.astype(np.uint64)


def safir_words(records: Records, scanner: Scanner, *, delayed: bool = False) -> U8:
    """Return records as words of the format, without time words."""
    ring_a, detector_a = safir_index(scanner, records["crystal_a"])
    ring_b, detector_b = safir_index(scanner, records["crystal_b"])
    layers = records["doi_a"].astype(np.uint64) | records["doi_b"].astype(np.uint64) << np.uint64(4)
    words = (
        ring_a
        | ring_b << np.uint64(8)
        | detector_a << np.uint64(16)
        | detector_b << np.uint64(32)
        | layers << np.uint64(48)
    )
    return words | RANDOM_BIT if delayed else words


def write_safir(
    path: Path,
    parts: Iterable[Part],
    scanner: Scanner,
    geometry: Geometry,
) -> list[Path]:
    """Write ``path`` (.clm.safir), crystal map, projection template (.hs with its .s), .par of the
    list and .par of lm_to_projdata; return them.

    Parameters
    ----------
    parts : whether delayeds, and ``COINCIDENCE`` records; each kind in order of time

    Raises
    ------
    ExchangeError
        if the rings, detectors or layers do not fit the bits, or the file cannot be written.
    """
    _check_fits(scanner)
    stem = path.name.removesuffix(".safir").removesuffix(".clm")
    crystal_map, template, empty, par, job = (path.with_name(f"{stem}{end}") for end in ENDINGS)
    with whole_file(path) as file:
        file.write(MAGIC.ljust(HEADER_BYTES, b"\0"))
        for interval in intervals(parts, step_ps=STEP_PS):
            file.write(_timed(interval.prompts, interval.delayeds, scanner).data)
    with whole_file(crystal_map) as file:
        file.write(_map_text(scanner, geometry).encode())
    with whole_file(empty):
        pass  # STIR opens what the template names, and reads none of it
    with whole_file(template) as file:
        file.write(_template(scanner, crystal_map.name, empty.name).encode())
    with whole_file(par) as file:
        file.write(_par(path.name, crystal_map.name, template.name).encode())
    with whole_file(job) as file:
        file.write(_job(par.name, template.name, f"{stem}_sinograms").encode())
    return [path, crystal_map, template, empty, par, job]


def _check_fits(scanner: Scanner) -> None:
    rings = scanner.ring.n_rings * scanner.module.n_v
    detectors = scanner.ring.modules_per_ring * scanner.module.n_u
    for what, number, most in (
        ("axial crystals", rings, MOST_RINGS),
        ("crystals around", detectors, MOST_DETECTORS),
        ("depth bins", scanner.module.doi_bins, MOST_LAYERS),
    ):
        if number > most:
            raise ExchangeError(
                f"{scanner.name} has {number} {what}, SAFIR's records hold {most}: export PETSIRD"
            )


def _timed(prompts: Records, delayeds: Records, scanner: Scanner) -> npt.NDArray[np.uint64]:
    """Return all events in order of time, with a time record before the first of each ms."""
    words = np.concatenate(
        [safir_words(prompts, scanner), safir_words(delayeds, scanner, delayed=True)]
    )
    ms = np.concatenate([prompts["time_ps"], delayeds["time_ps"]]) // STEP_PS
    order = np.argsort(ms, kind="stable")
    words, ms = words[order], ms[order]
    new = np.flatnonzero(np.diff(ms, prepend=-1))
    made = np.insert(words, new, ms[new].astype(np.uint64) | TIME_BIT)
    return made.astype("<u8")


def _map_text(scanner: Scanner, geometry: Geometry) -> str:
    lines = ["#ring\t#detector\t#layer\tx\ty\tz"]
    crystals = np.arange(scanner.n_crystals)
    rings, detectors = (index.astype(np.int64) for index in safir_index(scanner, crystals))
    order = np.lexsort((detectors, rings))
    for layer in range(scanner.module.doi_bins):
        place = crystal_position_mm(geometry, crystals, np.full(len(crystals), layer))
        lines += [
            f"{rings[i]}\t{detectors[i]}\t{layer}\t"
            f"{-place[i, 0]:.4f}\t{-place[i, 1]:.4f}\t{place[i, 2]:.4f}"
            for i in order
        ]
    return "\n".join(lines) + "\n"


def _template(scanner: Scanner, crystal_map: str, data: str) -> str:
    """Return a projection data template of the scanner in STIR's "Generic" geometry."""
    module, ring = scanner.module, scanner.ring
    rings = ring.n_rings * module.n_v
    around = ring.modules_per_ring * module.n_u
    segments = np.arange(-(rings - 1), rings)
    sizes = ",".join(str(rings - abs(k)) for k in segments)
    differences = ",".join(map(str, segments))
    bins = max(2, around // 2 // 2 * 2)
    depth_cm = _mean_depth_cm(scanner)
    return f"""\
!INTERFILE  :=
!imaging modality := PT
name of data file := {data}
originating system := {scanner.name}
!version of keys := STIR4.0
!GENERAL DATA :=
!GENERAL IMAGE DATA :=
!type of data := PET
imagedata byte order := LITTLEENDIAN
!PET STUDY (General) :=
!PET data type := Emission
applied corrections := {{None}}
!number format := float
!number of bytes per pixel := 4
number of dimensions := 4
matrix axis label [4] := segment
!matrix size [4] := {2 * rings - 1}
matrix axis label [3] := view
!matrix size [3] := {around // 2}
matrix axis label [2] := axial coordinate
!matrix size [2] := {{ {sizes}}}
matrix axis label [1] := tangential coordinate
!matrix size [1] := {bins}
minimum ring difference per segment := {{ {differences}}}
maximum ring difference per segment := {{ {differences}}}
Scanner parameters:=
Scanner type := {scanner.name}
Number of rings := {rings}
Number of detectors per ring := {around}
Inner ring diameter (cm) := {ring.inradius_mm / 5:.6g}
Average depth of interaction (cm) := {depth_cm:.6g}
Distance between rings (cm) := {module.pitch_v_mm / 10:.6g}
Default bin size (cm) := {module.pitch_u_mm / 20:.6g}
View offset (degrees) := 0
Maximum number of non-arc-corrected bins := {bins}
Default number of arc-corrected bins := {bins}
Energy resolution := {scanner.response.energy_fwhm_511:.6g}
Reference energy (in keV) := 511
Number of blocks per bucket in transaxial direction := 1
Number of blocks per bucket in axial direction := 1
Number of crystals per block in axial direction := {module.n_v}
Number of crystals per block in transaxial direction := {module.n_u}
Number of detector layers := {module.doi_bins}
Number of crystals per singles unit in axial direction := 1
Number of crystals per singles unit in transaxial direction := 1
Scanner geometry (BlocksOnCylindrical/Cylindrical/Generic) := Generic
Name of crystal map := {crystal_map}
Distance between crystals in axial direction (cm) := {module.pitch_v_mm / 10:.6g}
Distance between crystals in transaxial direction (cm) := {module.pitch_u_mm / 10:.6g}
Distance between blocks in axial direction (cm) := {ring.ring_pitch_mm / 10:.6g}
Distance between blocks in transaxial direction (cm) := {module.width_mm / 10:.6g}
end scanner parameters:=
effective central bin size (cm) := {module.pitch_u_mm / 20:.6g}
number of time frames := 1
!END OF INTERFILE :=
"""


def _mean_depth_cm(scanner: Scanner) -> float:
    module = scanner.module
    return mean_interaction_depth_mm(module.thickness_mm, material=module.material) / 10


def _par(data: str, crystal_map: str, template: str) -> str:
    return f"""\
CListModeDataSAFIR Parameters:=
  listmode data filename:= {data}
  crystal map filename:= {crystal_map}
  template projection data filename:= {template}
END CListModeDataSAFIR Parameters:=
"""


def _job(par: str, template: str, made: str) -> str:
    """Return what STIR's lm_to_projdata is to do: all prompts, unless told otherwise."""
    return f"""\
lm_to_projdata Parameters:=
  input file := {par}
  output filename prefix := {made}
  template_projdata := {template}
  maximum absolute segment number to process := -1
  num_events_to_store := 2000000000
  store prompts := 1
  store delayeds := 0
  num_segments_in_memory := -1
End :=
"""
