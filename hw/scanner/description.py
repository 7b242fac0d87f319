"""Scanner presets: TOML in, a frozen and checked `Scanner` out, or a `ScannerError`.

A preset that loads is usable: every number lies within bounds, the modules do not overlap, the
crystals fit the event word, the delayed window excludes true coincidences, and the image lies where
the allowed module pairs see it fully (PET) or collimators have room in front of the modules
(SPECT). The error names file, key, value, bound and remedy. Lengths are in mm, times in the unit of
the key's name, energies in keV.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from hw.errors import TomoshibiError
from hw.scanner.limits import AcceptanceLimits
from hw.scanner.qc_limits import QcLimits

MAX_CRYSTALS_PER_MODULE = 4096  # 12-bit crystal field of the event word
RAW_POSITION_BINS = 64
"""Bins of a raw position along u and along v: 64 × 64 fill the word's 12-bit crystal field."""

__all__ = [
    "MAX_CRYSTALS_PER_MODULE", "RAW_POSITION_BINS", "Acquisition", "Backing", "Collimator",
    "ImageGrid", "Module", "Motion", "Response", "Ring", "Scanner", "ScannerError",
]  # fmt: skip


class ScannerError(TomoshibiError, ValueError):
    """A scanner preset that cannot be used; the message names file, key, value and bound."""


LengthMm = Annotated[float, Meta(gt=0, le=2000)]
BlurMm = Annotated[float, Meta(ge=0, le=100)]
DurationNs = Annotated[float, Meta(ge=0, le=1_000_000)]
EnergyKeV = Annotated[float, Meta(ge=0, le=1638.2)]  # 14 bits of 0.1 keV, the last one: overflow
Extent = Annotated[int, Meta(ge=1, le=1024)]
VoxelMm = Annotated[float, Meta(ge=0.05, le=50)]


class Ring(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arrangement of modules: rings of flat modules, all facing the axis.

    n_rings : number of rings along z
    modules_per_ring : sectors of a ring; sector k is centred at k·arc/modules_per_ring from +x
    inradius_mm : from the axis to the modules' front faces
    ring_pitch_mm : axial distance between ring centres
    arc_deg : angle divided among the sectors of a ring; 360 is a whole ring
    """

    n_rings: Annotated[int, Meta(ge=1, le=256)]
    modules_per_ring: Annotated[int, Meta(ge=1, le=1024)]
    inradius_mm: LengthMm
    ring_pitch_mm: LengthMm
    arc_deg: Annotated[float, Meta(gt=0, le=360)] = 360.0

    def sector_angle_rad(self, sector: int) -> float:
        """Return the direction of a sector's outward normal, from +x towards +y."""
        return math.radians(self.arc_deg) * sector / self.modules_per_ring


class Module(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One detector module: a block of scintillator read out as n_u × n_v × doi_bins elements.

    width_mm, height_mm, thickness_mm : extent along u (tangential), v (axial) and w (outward)
    monolithic : True if the crystals are virtual bins of one continuous block
    """

    width_mm: LengthMm
    height_mm: LengthMm
    thickness_mm: Annotated[float, Meta(gt=0, le=100)]
    material: Literal["LYSO", "NaI", "CZT"]
    monolithic: bool
    n_u: Annotated[int, Meta(ge=1, le=MAX_CRYSTALS_PER_MODULE)]
    n_v: Annotated[int, Meta(ge=1, le=MAX_CRYSTALS_PER_MODULE)]
    doi_bins: Annotated[int, Meta(ge=1, le=8)]  # 3 bits of the event word

    @property
    def pitch_u_mm(self) -> float:
        """Distance between the centres of neighbouring crystals along u."""
        return self.width_mm / self.n_u

    @property
    def pitch_v_mm(self) -> float:
        """Distance between the centres of neighbouring crystals along v."""
        return self.height_mm / self.n_v


class Response(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How detector and electronics respond to a photon; widths are FWHM unless stated as σ.

    energy_fwhm_511 : relative energy resolution at 511 keV, FWHM / 511 keV
    ctr_fwhm_ps : coincidence time resolution, so one module has ctr/√2
    position_fwhm_mm : blur along u and v before binning into crystals
    doi_fwhm_mm : blur along w before binning into DOI bins; meaningless if doi_bins is 1
    integration_ns : further light within this time of a hit adds to it (pile-up)
    dead_time_ns : per module, from each accepted hit; if paralysable, also from each dead one
    gain_spread : σ of the crystals' relative gain before calibration
    skew_spread_ps : σ of the crystals' time offset before calibration
    walk_ps, walk_spread_ps : mean and σ of the crystals' time walk, the coefficient of
        √(511 keV/E) − 1
    curvature_spread : σ of the crystals' non-linearity of energy; 0.01 is 0.5 % at 255 keV
    efficiency_spread : σ of the crystals' relative efficiency
    doi_gain_range, doi_time_range_ps : change of relative gain and time stamp from the front face
        to the back face, linear in between
    position_readout : what the event word's crystal field holds: the crystal, or the raw position u
        + 64·v from light sharing, which the host has to look up
    raw_blur_fwhm_mm : blur of the raw position, in mm of the block's width in the raw picture
    raw_compression : κ of the raw position's tanh law; 0: proportional to the place
    tail_share, tail_mean : share of hits that lose charge (semiconductors), and their mean relative
        loss, exponentially distributed

    Keys with a default may be left out of a preset.
    """

    energy_fwhm_511: Annotated[float, Meta(gt=0, lt=1)]
    ctr_fwhm_ps: Annotated[float, Meta(gt=0, le=100_000)]
    position_fwhm_mm: BlurMm
    doi_fwhm_mm: BlurMm
    integration_ns: DurationNs
    dead_time_ns: DurationNs
    dead_time_model: Literal["non-paralysable", "paralysable"]
    gain_spread: Annotated[float, Meta(ge=0, le=0.5)]
    skew_spread_ps: Annotated[float, Meta(ge=0, le=1_000_000)]
    walk_ps: Annotated[float, Meta(ge=-5000, le=5000)] = 0.0
    walk_spread_ps: Annotated[float, Meta(ge=0, le=1000)] = 0.0
    curvature_spread: Annotated[float, Meta(ge=0, le=0.05)] = 0.0
    efficiency_spread: Annotated[float, Meta(ge=0, le=0.2)] = 0.0
    doi_gain_range: Annotated[float, Meta(ge=-0.5, le=0.5)] = 0.0
    doi_time_range_ps: Annotated[float, Meta(ge=-5000, le=5000)] = 0.0
    position_readout: Literal["crystal", "raw"] = "crystal"
    raw_blur_fwhm_mm: BlurMm = 1.0
    raw_compression: Annotated[float, Meta(ge=0, le=1.5)] = 0.8
    tail_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    tail_mean: Annotated[float, Meta(ge=0, le=1)] = 0.0


class Collimator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A parallel-hole collimator in front of each module; a scanner that has one is for SPECT.

    name : the makers' name, such as LEHR
    hole : shape of the holes; hexagonal ones form a triangular lattice, with a side along v
    hole_mm : width of a hole, flat to flat
    septum_mm : thickness of the wall between two holes
    length_mm : length of the holes
    gap_mm : from the collimator's back to the crystal's front face
    cover_mm : thickness of the crystal's aluminium cover, which lies in the gap
    material : material of the septa
    least_keV, most_keV : range of line energies that it is meant for
    """

    name: Annotated[str, Meta(min_length=1, max_length=20)]
    hole: Literal["hexagonal", "square"]
    hole_mm: Annotated[float, Meta(gt=0, le=50)]
    septum_mm: Annotated[float, Meta(gt=0, le=20)]
    length_mm: Annotated[float, Meta(gt=0, le=200)]
    gap_mm: Annotated[float, Meta(ge=0, le=50)]
    cover_mm: Annotated[float, Meta(ge=0, le=5)] = 0.0
    material: Literal["Pb", "W"]
    least_keV: EnergyKeV
    most_keV: EnergyKeV


class Backing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lies behind a module and scatters photons back into it: light guide, sensors.

    material : a name of ``emulator.physics.materials``
    """

    material: Literal["glass"]
    thickness_mm: Annotated[float, Meta(gt=0, le=200)]


class Motion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the modules can move; angle words in the stream give the angle at each time.

    kind : gantry (all modules turn about the scanner's axis) or swivel (each column turns about its
        own long axis, through the middle of its front face)
    most_deg_per_s : greatest speed
    least_deg, most_deg : range of the angle
    """

    kind: Literal["gantry", "swivel"]
    most_deg_per_s: Annotated[float, Meta(gt=0, le=360)]
    least_deg: Annotated[float, Meta(ge=-360, le=360)]
    most_deg: Annotated[float, Meta(ge=-360, le=720)]


class Acquisition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The windows a run starts with.

    lld_keV, uld_keV : a single is accepted if lld ≤ energy ≤ uld; for SPECT, the only window of a
        run whose nuclide is not known
    window_ps : τ; a prompt has |Δt| ≤ τ
    delay_ps : D of the delayed window, D ≤ Δt ≤ D + τ
    min_sector_difference : least cyclic difference of the sectors of a pair
    tof : whether Δt is used in reconstruction

    The last four are required for PET and omitted for SPECT, where they are 0.
    """

    lld_keV: EnergyKeV
    uld_keV: EnergyKeV
    window_ps: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 0
    delay_ps: Annotated[int, Meta(ge=1, le=1_000_000_000_000)] = 0
    min_sector_difference: Annotated[int, Meta(ge=1, le=512)] = 0
    tof: bool = False


class ImageGrid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The default image grid, centred in the scanner: voxels [x, y, z] and their size in mm."""

    shape: tuple[Extent, Extent, Extent]
    voxel_mm: tuple[VoxelMm, VoxelMm, VoxelMm]


class Scanner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole preset; load it with `load_scanner`, which also checks it.

    acceptance : what `tomoshibi acceptance` demands of it (``hw/scanner/limits.py``)
    qc : what the daily quality control demands of it (``hw/scanner/qc_limits.py``)
    """

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    status: Literal["model of a published scanner", "design", "bench"]
    ring: Ring
    module: Module
    response: Response
    acquisition: Acquisition
    image: ImageGrid
    collimator: Collimator | None = None
    backing: Backing | None = None
    motion: Motion | None = None
    acceptance: AcceptanceLimits | None = None
    qc: QcLimits = QcLimits()

    @property
    def modality(self) -> Literal["PET", "SPECT"]:
        """SPECT if there is a collimator; windowed singles are then recorded."""
        return "PET" if self.collimator is None else "SPECT"

    @property
    def bore_mm(self) -> float:
        """Radius of the free space around the axis, up to the crystals or the collimators."""
        if self.collimator is None:
            return self.ring.inradius_mm
        return self.ring.inradius_mm - self.collimator.gap_mm - self.collimator.length_mm

    @property
    def n_modules(self) -> int:
        """Number of modules in all rings."""
        return self.ring.n_rings * self.ring.modules_per_ring

    @property
    def crystals_per_module(self) -> int:
        """Number of crystals (or virtual crystals) per module."""
        return self.module.n_u * self.module.n_v

    @property
    def n_crystals(self) -> int:
        """Number of crystals in the scanner."""
        return self.n_modules * self.crystals_per_module

    @property
    def axial_mm(self) -> float:
        """Extent along z, from the edge of the first ring to that of the last."""
        return (self.ring.n_rings - 1) * self.ring.ring_pitch_mm + self.module.height_mm

    @property
    def full_view_radius_mm(self) -> float:
        """Radius of the cylinder that no excluded pair's LOR, from hit to hit, enters.

        The excluded pairs nearest to the axis have sectors d = min_sector_difference − 1 apart
        and use the far edges of both front faces. These edges lie at the radius √(r² + (w/2)²)
        and 2πd/N + 2·atan(w/2r) apart, so their chord passes the axis at

            √(r² + (w/2)²) · cos(πd/N + atan(w/2r)).

        Within that radius every direction in the plane is seen, except in the gaps between modules.
        """
        r, half_width = self.ring.inradius_mm, self.module.width_mm / 2
        excluded = self.acquisition.min_sector_difference - 1
        half_angle = math.pi * excluded / self.ring.modules_per_ring + math.atan2(half_width, r)
        return math.hypot(r, half_width) * math.cos(half_angle)
