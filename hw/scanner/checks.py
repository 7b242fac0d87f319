"""Checks that need several keys of a preset: overlapping modules, contradictory windows.

Each check returns a complaint in words (key, value, bound, remedy) or None. Modules stand at the
angles of ``Ring.sector_angle_rad``; a parallel-hole collimator is as wide as its module and lies in
front of it, towards the axis.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hw.scanner.description import MAX_CRYSTALS_PER_MODULE, RAW_POSITION_BINS

if TYPE_CHECKING:
    from hw.scanner.description import Scanner

MAX_MODULES = 65535  # 16-bit module field of the frame header
MAX_RAW_CRYSTALS = RAW_POSITION_BINS // 2  # along an axis: two bins each, or none is told apart
_TOLERANCE_MM = 1e-6
_COINCIDENCE_KEYS = ("window_ps", "delay_ps", "min_sector_difference")


def contradiction(scanner: Scanner) -> str | None:
    """Return the first complaint about a preset as a whole, None if there is none."""
    checks = [_check_layout, _check_word, _check_energies]
    if scanner.modality == "PET":
        checks += [_check_pet, _check_windows, _check_view]
    else:
        checks += [_check_spect, _check_collimator, _check_motion]
    return next((words for check in checks if (words := check(scanner)) is not None), None)


def least_radius_mm(width_mm: float, scanner: Scanner) -> float:
    """Return the radius at which faces of a given width, one sector apart, touch at their edges.

    Two flat faces perpendicular to their radii, an angle α apart, meet at r = w / (2 tan(α/2));
    from half a turn on they never do.
    """
    ring = scanner.ring
    step_rad = ring.sector_angle_rad(1)
    if ring.modules_per_ring == 1 or step_rad > math.pi - 1e-9:
        return 0.0
    return width_mm / (2 * math.tan(step_rad / 2))


def _check_layout(scanner: Scanner) -> str | None:
    ring, module = scanner.ring, scanner.module
    if module.height_mm > ring.ring_pitch_mm + _TOLERANCE_MM and ring.n_rings > 1:
        return (
            f"ring.ring_pitch_mm = {ring.ring_pitch_mm:g}: rings overlap, the pitch must be "
            f"≥ module.height_mm = {module.height_mm:g}; widen the pitch"
        )
    least_mm = least_radius_mm(module.width_mm, scanner)
    if ring.inradius_mm < least_mm - _TOLERANCE_MM:
        return (
            f"ring.inradius_mm = {ring.inradius_mm:g}: neighbouring modules overlap, it must be "
            f"≥ module.width_mm / (2 tan({_half_step(scanner)})) = {least_mm:.3f}; "
            "widen the ring or use fewer or narrower modules"
        )
    return None


def _half_step(scanner: Scanner) -> str:
    """Describe half the angle between neighbours."""
    ring = scanner.ring
    n = ring.modules_per_ring
    return f"π/{n}" if ring.arc_deg == 360 else f"{ring.arc_deg:g}°/{2 * n}"


def _check_word(scanner: Scanner) -> str | None:
    module, ring = scanner.module, scanner.ring
    if scanner.crystals_per_module > MAX_CRYSTALS_PER_MODULE:
        return (
            f"module.n_u × module.n_v = {module.n_u} × {module.n_v} = "
            f"{scanner.crystals_per_module}: at most {MAX_CRYSTALS_PER_MODULE}, the crystal field "
            "of the event word has 12 bits; use fewer crystals"
        )
    most = max(module.n_u, module.n_v)
    if scanner.response.position_readout == "raw" and most > MAX_RAW_CRYSTALS:
        return (
            f"response.position_readout = 'raw': module.n_u = {module.n_u} and module.n_v = "
            f"{module.n_v} must be ≤ {MAX_RAW_CRYSTALS}, half of the raw position's "
            f"{RAW_POSITION_BINS} bins; use fewer crystals or position_readout = 'crystal'"
        )
    if scanner.n_modules > MAX_MODULES:
        return (
            f"ring.n_rings × ring.modules_per_ring = {ring.n_rings} × {ring.modules_per_ring} = "
            f"{scanner.n_modules}: at most {MAX_MODULES}, the module field of the frame header "
            "has 16 bits; use fewer modules"
        )
    return None


def _check_energies(scanner: Scanner) -> str | None:
    acquisition = scanner.acquisition
    if acquisition.lld_keV >= acquisition.uld_keV:
        return (
            f"acquisition.lld_keV = {acquisition.lld_keV:g}: the energy window is empty, it must "
            f"be < acquisition.uld_keV = {acquisition.uld_keV:g}; lower it or raise uld_keV"
        )
    return None


# --- PET ----------------------------------------------------------------------------------------


def _check_pet(scanner: Scanner) -> str | None:
    """Check a scanner without collimator: it needs coincidences, so a whole ring, at rest."""
    for key in _COINCIDENCE_KEYS:
        if getattr(scanner.acquisition, key) == 0:
            return f"acquisition.{key} is missing: add it (see a shipped preset for its meaning)"
    if scanner.ring.arc_deg != 360:
        return (
            f"ring.arc_deg = {scanner.ring.arc_deg:g}: must be 360, coincidences are sorted for "
            "whole rings; leave it out, or give the scanner a [collimator] (SPECT)"
        )
    if scanner.motion is not None:
        return (
            f"motion.kind = {scanner.motion.kind!r}: only a scanner with a [collimator] (SPECT) "
            "can move; leave the table [motion] out"
        )
    return None


def _check_windows(scanner: Scanner) -> str | None:
    acquisition = scanner.acquisition
    if acquisition.delay_ps <= 2 * acquisition.window_ps:
        return (
            f"acquisition.delay_ps = {acquisition.delay_ps}: must be > 2 × acquisition.window_ps "
            f"= {2 * acquisition.window_ps}, or delayeds would contain true coincidences; "
            "raise the delay"
        )
    return None


def _check_view(scanner: Scanner) -> str | None:
    furthest = scanner.ring.modules_per_ring // 2
    difference = scanner.acquisition.min_sector_difference
    if difference > furthest:
        return (
            f"acquisition.min_sector_difference = {difference}: must be ≤ {furthest}, half of "
            f"ring.modules_per_ring = {scanner.ring.modules_per_ring}, or no pair is allowed; "
            "lower it"
        )
    for axis in (0, 1):
        half_mm = scanner.image.shape[axis] * scanner.image.voxel_mm[axis] / 2
        if half_mm > scanner.full_view_radius_mm + _TOLERANCE_MM:
            return (
                f"image.shape[{axis}] × image.voxel_mm[{axis}] / 2 = {half_mm:g} mm: must be ≤ "
                f"{scanner.full_view_radius_mm:.1f} mm, the radius seen fully with "
                f"acquisition.min_sector_difference = {difference}; make the image smaller or "
                "lower min_sector_difference"
            )
    return None


# --- SPECT --------------------------------------------------------------------------------------


def _check_spect(scanner: Scanner) -> str | None:
    for key in _COINCIDENCE_KEYS:
        value = getattr(scanner.acquisition, key)
        if value != 0:
            return (
                f"acquisition.{key} = {value}: a scanner with a [collimator] records single "
                "photons and sorts no coincidences; leave it out"
            )
    return None


def _check_collimator(scanner: Scanner) -> str | None:
    collimator, ring, module = scanner.collimator, scanner.ring, scanner.module
    assert collimator is not None  # what makes it SPECT
    if collimator.least_keV >= collimator.most_keV:
        return (
            f"collimator.least_keV = {collimator.least_keV:g}: must be < collimator.most_keV = "
            f"{collimator.most_keV:g}, or it is meant for no energy; lower it"
        )
    period_mm = collimator.hole_mm + collimator.septum_mm
    if period_mm > min(module.width_mm, module.height_mm):
        return (
            f"collimator.hole_mm + collimator.septum_mm = {period_mm:g} mm: must be ≤ "
            f"{min(module.width_mm, module.height_mm):g} mm, the module's face; use smaller holes"
        )
    depth_mm = collimator.length_mm + collimator.gap_mm
    face_mm = ring.inradius_mm - depth_mm
    if face_mm <= _TOLERANCE_MM:
        return (
            f"collimator.length_mm + collimator.gap_mm = {depth_mm:g}: must be < ring.inradius_mm "
            f"= {ring.inradius_mm:g}, or the collimator reaches the axis; widen the ring"
        )
    least_mm = least_radius_mm(module.width_mm, scanner)
    if face_mm < least_mm - _TOLERANCE_MM:
        return (
            f"ring.inradius_mm = {ring.inradius_mm:g}: neighbouring collimators overlap, their "
            f"faces at {face_mm:g} must be at ≥ module.width_mm / (2 tan({_half_step(scanner)})) "
            f"= {least_mm:.3f}; widen the ring to {least_mm + depth_mm:.3f}, or use fewer or "
            "narrower modules"
        )
    return None


def _check_motion(scanner: Scanner) -> str | None:
    motion = scanner.motion
    if motion is not None and motion.least_deg >= motion.most_deg:
        return (
            f"motion.least_deg = {motion.least_deg:g}: must be < motion.most_deg = "
            f"{motion.most_deg:g}, or nothing moves; leave the table [motion] out or widen it"
        )
    return None
