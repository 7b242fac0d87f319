"""Where every crystal is: a scanner's geometry as plain arrays, in mm.

The frame is right-handed, with z axial and the origin at the scanner's centre. Module = ring·N +
sector; sector k is centred at ``Ring.sector_angle_rad(k)`` from +x (2πk/N on a whole ring), ring 0
is at the most negative z. Each module has the axes u (tangential, counter-clockwise seen from +z),
v (axial, +z) and w (outward normal), with w = u × v. Crystal in module = iu + n_u·iv; global
crystal = module·crystals_per_module + crystal in module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.arrays import F8
from hw.scanner.description import Scanner

LINEAR_ATTENUATION_PER_MM = {"LYSO": 0.0774, "NaI": 0.243, "CZT": 0.374}
"""Linear attenuation without coherent scatter, 1/mm, by material: of LYSO at 511 keV, of NaI and
CZT, which stand behind collimators, at 140.5 keV.

Photoelectric and incoherent cross sections of xraydb 4.5.8 (Elam, Ravel, Sieber, Radiat. Phys.
Chem. 63 (2002) 121) for Lu1.8Y0.2SiO5:Ce of 7.1 g/cm³, NaI of 3.667 and Cd0.9Zn0.1Te of 5.78.
Coherent scatter, 5 % more in LYSO, takes no photon away; data sheets' attenuation lengths (12 mm:
Saint-Gobain Crystals, PreLude 420) include it.
"""


@dataclass(frozen=True)
class Geometry:
    """Arrays of one scanner's geometry; m modules, n crystals. Treat them as constants.

    module_centre_mm : (m, 3) f8, centre of the module's front face
    module_axes : (m, 3, 3) f8, rows u, v, w
    crystal_front_mm : (n, 3) f4, centre of the crystal's entrance face
    crystal_normal : (n, 3) f4, w of the crystal's module
    crystal_module : (n,) u2
    crystal_ring : (n,) u2
    doi_depth_mm : (doi_bins,) f4, depth below the entrance face that stands for a DOI bin
    allowed_pairs : (m, m) bool, symmetric; the pairs that may form a coincidence, none for SPECT

    All for angle 0 if the scanner moves: :func:`module_poses` turns modules. The position of an
    event is ``crystal_front_mm + crystal_normal·doi_depth_mm[doi]``.
    """

    module_centre_mm: F8
    module_axes: F8
    crystal_front_mm: npt.NDArray[np.float32]
    crystal_normal: npt.NDArray[np.float32]
    crystal_module: npt.NDArray[np.uint16]
    crystal_ring: npt.NDArray[np.uint16]
    doi_depth_mm: npt.NDArray[np.float32]
    allowed_pairs: npt.NDArray[np.bool_]


def build_geometry(scanner: Scanner) -> Geometry:
    """Return the geometry of a scanner."""
    ring, module = scanner.ring, scanner.module
    centre, axes = module_poses(scanner)
    offset = _crystal_offsets_mm(scanner)
    front = centre[:, None, :] + offset @ axes[:, :2, :]
    of_module = np.repeat(np.arange(scanner.n_modules), scanner.crystals_per_module)
    return Geometry(
        module_centre_mm=centre,
        module_axes=axes,
        crystal_front_mm=front.reshape(-1, 3).astype(np.float32),
        crystal_normal=axes[of_module, 2, :].astype(np.float32),
        crystal_module=of_module.astype(np.uint16),
        crystal_ring=(of_module // ring.modules_per_ring).astype(np.uint16),
        doi_depth_mm=doi_depths_mm(
            module.thickness_mm, doi_bins=module.doi_bins, material=module.material
        ),
        allowed_pairs=allowed_module_pairs(scanner),
    )


def module_poses(scanner: Scanner, angle_deg: npt.ArrayLike = 0.0) -> tuple[F8, F8]:
    """Return the modules' poses at an angle: centres of front faces (m, 3) mm, axes (m, 3, 3).

    A gantry turns all modules about the scanner's axis; a swivel turns each about the axial line
    through the middle of its front face, which stays where it is. Counter-clockwise seen from +z
    is positive. A scanner that cannot move stands at 0.

    Parameters
    ----------
    angle_deg : one angle for all modules, or (m,) one each, as given by angle words

    Raises
    ------
    ValueError for an angle other than 0 if the scanner cannot move.
    """
    turn = np.radians(np.broadcast_to(np.asarray(angle_deg, np.float64), (scanner.n_modules,)))
    if scanner.motion is None and turn.any():
        raise ValueError(f"{scanner.name} has no [motion]: its modules stand at 0°")
    sector = _sector_angles(scanner)
    axes = _module_axes(sector + turn)
    swivels = scanner.motion is not None and scanner.motion.kind == "swivel"
    outward = _module_axes(sector)[:, 2, :] if swivels else axes[:, 2, :]
    centre = scanner.ring.inradius_mm * outward
    centre[:, 2] = _ring_z_mm(scanner)
    return centre, axes


def crystal_position_mm(
    geometry: Geometry, crystal: npt.ArrayLike, doi: npt.ArrayLike
) -> npt.NDArray[np.float32]:
    """Return the positions that stand for (crystal, DOI bin), shape (..., 3) f4."""
    crystal = np.asarray(crystal)
    depth = geometry.doi_depth_mm[np.asarray(doi)]
    return geometry.crystal_front_mm[crystal] + geometry.crystal_normal[crystal] * depth[..., None]


def crystal_at(
    scanner: Scanner, geometry: Geometry, module: npt.ArrayLike, position_mm: npt.ArrayLike
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
    """Return the global crystals (k,) u4 and DOI bins (k,) u1 at points within known modules.

    A point outside its module is assigned to the crystal and bin at the nearest face: rounding at
    the surface of a block must not lose an event.

    Parameters
    ----------
    module : (k,) integer
    position_mm : (k, 3) float, in the scanner's frame
    """
    block = scanner.module
    module = np.asarray(module, dtype=np.int64)  # a narrow type would overflow below
    relative = np.asarray(position_mm, dtype=np.float64) - geometry.module_centre_mm[module]
    local = np.einsum("kij,kj->ki", geometry.module_axes[module], relative)
    u = _bin(local[:, 0] + block.width_mm / 2, block.pitch_u_mm, block.n_u)
    v = _bin(local[:, 1] + block.height_mm / 2, block.pitch_v_mm, block.n_v)
    doi = _bin(local[:, 2], block.thickness_mm / block.doi_bins, block.doi_bins)
    crystal = module * scanner.crystals_per_module + u + block.n_u * v
    return crystal.astype(np.uint32), doi.astype(np.uint8)


def lor_sector_difference(
    scanner: Scanner, module_a: npt.ArrayLike, module_b: npt.ArrayLike
) -> npt.NDArray[np.int64]:
    """Return the cyclic difference of two modules' sectors, 0 to modules_per_ring // 2. For whole
    rings: the ends of an arc are not neighbours."""
    n = scanner.ring.modules_per_ring
    difference = np.abs(
        np.asarray(module_a, dtype=np.int64) % n - np.asarray(module_b, dtype=np.int64) % n
    )
    return np.minimum(difference, n - difference)


def allowed_module_pairs(
    scanner: Scanner, *, min_sector_difference: int | None = None
) -> npt.NDArray[np.bool_]:
    """Return which modules may form a coincidence, (m, m) bool, symmetric.

    Any two rings may pair; the sectors must differ by the preset's minimum, or by the one given.
    Behind collimators (SPECT) none may pair.
    """
    if scanner.modality == "SPECT":
        return np.zeros((scanner.n_modules, scanner.n_modules), np.bool_)
    least = scanner.acquisition.min_sector_difference
    if min_sector_difference is not None:
        least = min_sector_difference
    module = np.arange(scanner.n_modules)
    return np.asarray(lor_sector_difference(scanner, module[:, None], module[None, :]) >= least)


def mean_interaction_depth_mm(thickness_mm: float, *, material: str = "LYSO") -> float:
    """Return the mean interaction depth of photons that enter a slab at right angles.

    For photons of 511 keV in LYSO, of 140.5 keV in NaI and CZT. The depth is exponential with µ,
    cut off at the thickness T, so its mean is

        1/µ − T·exp(−µT) / (1 − exp(−µT)).
    """
    mu = LINEAR_ATTENUATION_PER_MM[material]
    return 1 / mu - thickness_mm / math.expm1(mu * thickness_mm)


def doi_depths_mm(
    thickness_mm: float, *, doi_bins: int, material: str = "LYSO"
) -> npt.NDArray[np.float32]:
    """Return the depth that stands for each DOI bin, (doi_bins,) f4, bin 0 at the entrance face.

    The bin's middle; with a single bin, the mean interaction depth, which lies in front of the
    middle.
    """
    if doi_bins == 1:
        return np.array([mean_interaction_depth_mm(thickness_mm, material=material)], np.float32)
    return ((np.arange(doi_bins) + 0.5) * (thickness_mm / doi_bins)).astype(np.float32)


def _sector_angles(scanner: Scanner) -> F8:
    """Return the direction of each module's outward normal at rest, (m,) rad."""
    ring = scanner.ring
    return np.array([ring.sector_angle_rad(k) for k in range(ring.modules_per_ring)] * ring.n_rings)


def _module_axes(angle: F8) -> F8:
    cos, sin, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return np.stack([-sin, cos, zero, zero, zero, one, cos, sin, zero], axis=1).reshape(-1, 3, 3)


def _ring_z_mm(scanner: Scanner) -> F8:
    ring = np.arange(scanner.n_modules) // scanner.ring.modules_per_ring
    return np.asarray((ring - (scanner.ring.n_rings - 1) / 2) * scanner.ring.ring_pitch_mm)


def _crystal_offsets_mm(scanner: Scanner) -> F8:
    """Return the crystals' (u, v) from the module's centre, (crystals_per_module, 2)."""
    block = scanner.module
    u = (np.arange(block.n_u) - (block.n_u - 1) / 2) * block.pitch_u_mm
    v = (np.arange(block.n_v) - (block.n_v - 1) / 2) * block.pitch_v_mm
    return np.stack([np.tile(u, block.n_v), np.repeat(v, block.n_u)], axis=1)


def _bin(distance_mm: F8, pitch_mm: float, count: int) -> npt.NDArray[np.int64]:
    return np.clip(np.floor(distance_mm / pitch_mm), 0, count - 1).astype(np.int64)
