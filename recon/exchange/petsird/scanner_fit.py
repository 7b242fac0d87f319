"""Fits one of our scanners to the geometry of a PETSIRD file.

Our presets are rings of equal flat modules (docs/scanners.md); PETSIRD's can be anything. All
detecting elements are placed by the file's transforms and a preset is fitted to them; then every
element is compared with the crystal and DOI bin assigned to it. Any that is more than
``TOLERANCE_MM`` off is an error, so that a wrong fit cannot pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.arrays import F8
from hw.errors import TomoshibiError
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import parse_scanner
from recon.core.tof import HALF_C_MM_PER_PS
from recon.exchange.errors import ExchangeError
from recon.exchange.petsird.reader import BinMap, energy_middles, tof_middles

TOLERANCE_MM = 0.05
ADVICE = "only rings of equal flat modules fit a preset; reconstruct it with STIR or YRT-PET"


@dataclass(frozen=True)
class FittedScanner:
    """A preset, its TOML text, what the file's bins are in it, and the rotation about z that
    brought a module of the file to +x."""

    scanner: Scanner
    toml: str
    bins: BinMap
    turned_deg: float


FARTHEST_MM = 1e5


@dataclass(frozen=True)
class _Block:
    """Elements of a module on a grid: sizes n (u, v, w), pitch and box (mm), inner face, and the
    place of each element on the grid (k, 3)."""

    n: tuple[int, int, int]
    pitch_mm: tuple[float, float, float]
    face_mm: float
    place: npt.NDArray[np.int64]


def fit_scanner(header: dict[str, Any]) -> FittedScanner:
    """Return the preset that a header's geometry fits.

    Raises
    ------
    ExchangeError
        if the geometry does not fit; the message says what.
    """
    try:
        return _fitted(header)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        if isinstance(error, TomoshibiError):
            raise
        raise ExchangeError(f"the header's scanner is damaged: {error!r}") from error


def _fitted(header: dict[str, Any]) -> FittedScanner:
    about = header["scanner"]
    types = about["scannerGeometry"]["replicatedModules"]
    if len(types) != 1:
        raise ExchangeError(f"{len(types)} types of modules: {ADVICE}")
    centre, half = _element_boxes(types[0])
    module_centre = centre.mean(axis=1)
    rings, sectors, order, turned = _ring_places(module_centre)
    centre = _turned(centre, -turned)
    block = _block(centre[order[0]], half)
    ring_z = np.sort(module_centre[order.reshape(rings, sectors)[:, 0], 2])
    pitch_z = float(np.diff(ring_z).mean()) if rings > 1 else block.n[1] * block.pitch_mm[1]
    text = _toml(about, block, (rings, sectors, pitch_z), types[0])
    scanner = parse_scanner(text, source="the scanner of the PETSIRD file")
    bins = _bins(scanner, about, block, order, len(centre[0]))
    _compare(scanner, centre, bins)
    return FittedScanner(scanner, text, bins, math.degrees(turned))


def _element_boxes(modules: dict[str, Any]) -> tuple[F8, F8]:
    """Return the centres of all elements (modules, elements, 3), and half the box in its frame."""
    elements = modules["object"]["detectingElements"]
    corners = np.array([c["c"] for c in elements["object"]["shape"]["corners"]], np.float64)
    within = np.array([t["matrix"] for t in elements["transforms"]], np.float64)
    placed = np.array([t["matrix"] for t in modules["transforms"]], np.float64)
    if not len(within) or not len(placed):
        raise ExchangeError("no detecting elements: the file describes no scanner")
    if not np.allclose(within[:, :, :3], np.eye(3), atol=1e-4):
        raise ExchangeError(f"detecting elements are turned within their module: {ADVICE}")
    middle = within[:, :, :3] @ corners.mean(axis=0) + within[:, :, 3]
    centre = np.einsum("mij,ej->mei", placed[:, :, :3], middle) + placed[:, None, :, 3]
    if not (np.abs(centre) < FARTHEST_MM).all():  # also where they are no numbers
        raise ExchangeError(
            f"detecting elements lie beyond {FARTHEST_MM:g} mm of the centre: the file is damaged"
        )
    outward = _outward(placed[0], middle.mean(axis=0))
    return centre, (np.ptp(corners, axis=0) / 2)[outward]


def _outward(placed: F8, middle: F8) -> list[int]:
    """Return which axes of the module's frame are tangential, axial and outward."""
    radial = placed[:, :3] @ middle + placed[:, 3]
    radial = np.array([radial[0], radial[1], 0.0]) / max(math.hypot(radial[0], radial[1]), 1e-9)
    w = int(np.argmax(np.abs(placed[:, :3].T @ radial)))
    v = int(np.argmax(np.abs(placed[2, :3])))
    if v == w:
        raise ExchangeError(f"modules do not face the scanner's axis: {ADVICE}")
    return [3 - v - w, v, w]


def _ring_places(centre: F8) -> tuple[int, int, npt.NDArray[np.int64], float]:
    """Return rings, sectors, the modules in our order, and the first sector's angle (rad)."""
    angle = np.arctan2(centre[:, 1], centre[:, 0])
    heights = np.unique(np.round(centre[:, 2] / TOLERANCE_MM) * TOLERANCE_MM)
    distinct = [z for i, z in enumerate(heights) if i == 0 or z - heights[i - 1] > 1.0]
    rings = len(distinct)
    sectors, rest = divmod(len(centre), rings)
    step = 2 * math.pi / max(sectors, 1)
    offset = float(np.angle(np.exp(1j * sectors * angle).mean())) / max(sectors, 1)
    sector = np.rint((angle - offset) / step).astype(np.int64) % max(sectors, 1)
    ring = np.argmin(np.abs(centre[:, 2, None] - np.array(distinct)), axis=1)
    place = ring * sectors + sector
    if rest or sectors < 2 or len(np.unique(place)) != len(centre):
        raise ExchangeError(
            f"{len(centre)} modules at {rings} heights are not rings of equal sectors: {ADVICE}"
        )
    offset = 0.0 if abs(offset) < 1e-6 else offset
    return rings, sectors, np.argsort(place), offset


def _turned(centre: F8, angle: float) -> F8:
    cos, sin = math.cos(angle), math.sin(angle)
    return centre @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _block(centre: F8, half: F8) -> _Block:
    """Return the grid that the elements of the module at +x stand on: u = +y, v = +z, w = +x."""
    local = centre[:, [1, 2, 0]]
    n, pitch, place = [], [], []
    for axis, words in enumerate(("tangential", "axial", "radial")):
        steps = np.unique(np.round(local[:, axis] / TOLERANCE_MM).astype(np.int64))
        levels = steps[np.r_[True, np.diff(steps) > 1]] * TOLERANCE_MM
        extent = float(np.ptp(local[:, axis]))
        step = extent / (len(levels) - 1) if len(levels) > 1 else 2 * float(half[axis])
        if len(levels) > 1 and np.ptp(np.diff(levels)) > 3 * TOLERANCE_MM:
            raise ExchangeError(f"{words} distances of the elements are not equal: {ADVICE}")
        n.append(len(levels))
        pitch.append(step)
        place.append(np.rint((local[:, axis] - local[:, axis].min()) / step).astype(np.int64))
    grid = np.stack(place, axis=1)
    if len(np.unique(grid, axis=0)) != len(local) or math.prod(n) != len(local):
        raise ExchangeError(f"{len(local)} elements do not fill a grid of {n}: {ADVICE}")
    face = float(local[:, 2].min()) - float(half[2])
    return _Block((n[0], n[1], n[2]), (pitch[0], pitch[1], pitch[2]), face, grid)


def _bins(
    scanner: Scanner,
    about: dict[str, Any],
    block: _Block,
    order: npt.NDArray[np.int64],
    elements: int,
) -> BinMap:
    module_of = np.empty(len(order), np.int64)
    module_of[order] = np.arange(len(order))
    u, v, w = block.place.T
    crystal = module_of[:, None] * scanner.crystals_per_module + (u + block.n[0] * v)
    tof = about["tofBinEdges"][0][0]["edges"] if about["tofBinEdges"] else np.zeros(0)
    energy = about["eventEnergyBinEdges"]
    return BinMap(
        crystal=crystal.reshape(-1).astype(np.uint32),
        doi=np.tile(w, len(order)).astype(np.uint8),
        energy_dkeV=energy_middles(energy[0]["edges"] if energy else np.zeros(0)),
        tof_ps=tof_middles(tof),
    )


def _compare(scanner: Scanner, centre: F8, bins: BinMap) -> None:
    """Raise if an element does not lie where its crystal and DOI bin do."""
    geometry, module = build_geometry(scanner), scanner.module
    depth = (bins.doi + 0.5) * (module.thickness_mm / module.doi_bins)
    ours = geometry.crystal_front_mm[bins.crystal] + (
        geometry.crystal_normal[bins.crystal] * depth[:, None]
    )
    off_mm = float(np.abs(ours - centre.reshape(-1, 3)).max())
    if off_mm > TOLERANCE_MM:
        raise ExchangeError(
            f"the best fitting ring of modules misses an element by {off_mm:.2f} mm "
            f"(at most {TOLERANCE_MM}): {ADVICE}"
        )


def _toml(
    about: dict[str, Any],
    block: _Block,
    ring: tuple[int, int, float],
    modules: dict[str, Any],
) -> str:
    """Return the preset as TOML; what PETSIRD does not give is set to have no effect."""
    rings, sectors, ring_pitch_mm = ring
    n_u, n_v, n_w = block.n
    width, height, thick = (n * p for n, p in zip(block.n, block.pitch_mm, strict=True))
    edges = about["eventEnergyBinEdges"]
    keV = edges[0]["edges"] if edges and len(edges[0]["edges"]) > 1 else np.array([350.0, 650.0])
    tof = about["tofBinEdges"][0][0]["edges"] if about["tofBinEdges"] else np.zeros(0)
    window_ps = round(abs(float(tof[0])) / HALF_C_MM_PER_PS) if len(tof) > 1 else 5000
    ctr_ps = float(about["tofResolution"][0][0]) / HALF_C_MM_PER_PS if about["tofResolution"] else 0
    least = _least_sector_difference(about, sectors)
    full_mm = _full_view_mm(block.face_mm, width, sectors, least)
    radius_mm = min(full_mm, block.face_mm) - 1.0
    voxel_mm = max(0.5, round(min(block.pitch_mm[:2]) / 2, 2))
    across = max(2, min(256, 2 * int(radius_mm / voxel_mm)))
    axial_mm = (rings - 1) * ring_pitch_mm + height
    along = max(1, min(512, round(axial_mm / voxel_mm)))
    title = "".join(c for c in str(about["modelName"]) if c.isprintable() and c not in '"\\')
    fwhm = float(about["energyResolutionAt511"][0]) if len(about["energyResolutionAt511"]) else 0.0
    return f"""\
# Made from the header of a PETSIRD file. PETSIRD does not tell dead time, blur and spread of the
# detectors: they are set to what has no effect, or to the least that is allowed.
name = "imported"
title = "{(title or "imported")[:190]}"
status = "design"

[ring]
n_rings = {rings}
modules_per_ring = {sectors}
inradius_mm = {block.face_mm:.6f}
ring_pitch_mm = {max(ring_pitch_mm, height):.6f}

[module]
width_mm = {width:.6f}
height_mm = {height:.6f}
thickness_mm = {thick:.6f}
material = "LYSO"
monolithic = false
n_u = {n_u}
n_v = {n_v}
doi_bins = {n_w}

[response]
energy_fwhm_511 = {fwhm if 0 < fwhm < 1 else 0.12:.6f}
ctr_fwhm_ps = {ctr_ps if ctr_ps > 0 else 1000.0:.3f}
position_fwhm_mm = 0.0
doi_fwhm_mm = 0.0
integration_ns = 0.0
dead_time_ns = 0.0
dead_time_model = "non-paralysable"
gain_spread = 0.0
skew_spread_ps = 0.0

[acquisition]
lld_keV = {float(keV[0]):.1f}
uld_keV = {float(keV[-1]):.1f}
window_ps = {window_ps}
delay_ps = {100 * window_ps}
min_sector_difference = {least}
tof = {"true" if len(tof) > 2 else "false"}

[image]
shape = [{across}, {across}, {along}]
voxel_mm = [{voxel_mm}, {voxel_mm}, {voxel_mm}]
"""


def _least_sector_difference(about: dict[str, Any], sectors: int) -> int:
    """Return the smallest sector difference that coincides, from the table of module pairs; 1 if
    the file has none."""
    table = about["detectionEfficiencies"]["modulePairSGIDLUT"]
    least = sectors
    for i, row in enumerate(table[0][0] if table else []):
        for j, group in enumerate(row):
            if group >= 0:
                difference = abs(i - j) % sectors
                least = min(least, min(difference, sectors - difference))
    return max(1, least) if least < sectors else 1


def _full_view_mm(inradius: float, width: float, sectors: int, least: int) -> float:
    """Return ``Scanner.full_view_radius_mm`` of a ring that is yet to be made."""
    half_angle = math.pi * (least - 1) / sectors + math.atan2(width / 2, inradius)
    return math.hypot(inradius, width / 2) * math.cos(half_angle)
