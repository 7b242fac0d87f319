"""From emissions per second and voxel to Bq/mL and SUV.

The reconstruction gives annihilation pairs per second and mL. With β⁺ fraction b of the nuclide and
the calibration factor K,

    C [Bq/mL] = K / b · pairs/(s·mL)

K is measured once per scanner with a uniform cylinder of known concentration, using the same
corrections as the images (``tomoshibi calibrate activity``): it covers what geometry and detection
model leave out, mostly the detection efficiency of the blocks and the energy window. It does not
depend on the nuclide.

SUV: :mod:`hw.physics.suv`.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from hw.bounded_files import FileRefused, read_object
from hw.physics.suv import suv_per_Bq_per_mL
from recon.core.decay import MOST_HALF_LIVES
from recon.core.grid import Image, ImageGrid, ReconError

EMISSIONS = "emissions/s/mL, uncalibrated"
BQ_PER_ML = "Bq/mL"
FORMAT = "tomoshibi activity calibration"
VERSION = 2
"""Block efficiency is included since 2: earlier factors are larger by its effect."""

FACTOR_BOUNDS = (1e-3, 1e3)


class QuantificationError(ReconError):
    """A calibration or patient figure cannot be used; the message says which and why."""


class ActivityCalibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The factor K of a scanner, its relative standard error, and what it was made with."""

    factor: float
    error: float
    scanner: str
    scanner_hash: str = ""
    lld_keV: float = 0.0
    uld_keV: float = 0.0
    corrections: dict[str, bool] = {}
    run: str = ""
    concentration_Bq_per_mL: float = 0.0
    region: str = ""
    created: str = ""
    format: str = FORMAT
    version: int = VERSION

    def check(self, *, scanner: str, scanner_hash: str) -> None:
        """Raise if the factor belongs to another scanner."""
        if self.scanner != scanner or (self.scanner_hash and self.scanner_hash != scanner_hash):
            raise QuantificationError(
                f"activity calibration of scanner {self.scanner} ({self.scanner_hash}), this is "
                f"{scanner} ({scanner_hash}): make one from a run of this scanner with "
                "`tomoshibi calibrate activity`"
            )

    def differences(self, applied: dict[str, bool], lld_keV: float, uld_keV: float) -> list[str]:
        """Return in words how an image differs from those the factor was made with."""
        words = [
            f"{name} {'on' if was else 'off'} there and {'off' if was else 'on'} here"
            for name, was in self.corrections.items()
            if name in applied and name not in _FREE and applied[name] != was
        ]
        if self.uld_keV and (self.lld_keV, self.uld_keV) != (lld_keV, uld_keV):
            words.append(
                f"energy window {self.lld_keV:g}-{self.uld_keV:g} keV there and "
                f"{lld_keV:g}-{uld_keV:g} keV here"
            )
        return words


_FREE = ("calibration", "decay", "motion", "prompt_gamma", "positron_range")
"""Corrections that do not affect the scale, are known exactly, or are one nuclide's own."""


@dataclass(frozen=True)
class Patient:
    """What SUV needs: body weight, injected activity, injection time (s since the run's start).

    Without the weight (None) there is no SUV; images still say what was injected, and when.
    """

    weight_kg: float | None
    injected_Bq: float
    injected_s: float = 0.0

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("weight_kg", self.weight_kg, 1e-3, 1e3),
            ("injected_Bq", self.injected_Bq, 1.0, 1e13),
        ):
            if value is not None and not least <= value <= most:
                raise QuantificationError(f"{name} = {value:g}: must lie in {least:g}..{most:g}")
        if not math.isfinite(self.injected_s):
            raise QuantificationError(f"injected_s = {self.injected_s}: must be finite")

    def suv_per_Bq_per_mL(self, half_life_s: float, reference_s: float) -> float | None:
        """Return SUV per Bq/mL, both at the reference time; None without the weight."""
        half_lives = (reference_s - self.injected_s) / half_life_s
        if abs(half_lives) > MOST_HALF_LIVES:
            raise QuantificationError(
                f"injected at {self.injected_s:g} s, {half_lives:.4g} half-lives ({half_life_s:g} "
                f"s) before the time that decay is corrected to, {reference_s:g} s: at most "
                f"{MOST_HALF_LIVES:g}. Give the right --injected-at and --decay-reference"
            )
        if self.weight_kg is None:
            return None
        return suv_per_Bq_per_mL(self.weight_kg, self.injected_Bq, half_lives_since=half_lives)

    def as_metadata(self, start: dt.datetime | None) -> dict[str, Any]:
        """Return what an image tells of it; ``start``: the run's, None if not known."""
        facts: dict[str, Any] = {
            "administered_activity_Bq": self.injected_Bq,
            "injected_s": self.injected_s,
        }
        if self.weight_kg is not None:
            facts["weight_kg"] = self.weight_kg
        if start is not None:
            facts["administered_at"] = (start + dt.timedelta(seconds=self.injected_s)).isoformat()
        return facts


def load_calibration(path: Path) -> ActivityCalibration:
    """Return the calibration in a JSON file; raises QuantificationError if it is not one."""
    try:
        found = msgspec.convert(read_object(path), ActivityCalibration)
    except (FileRefused, msgspec.MsgspecError) as error:
        raise QuantificationError(f"{path}: no activity calibration: {error}") from error
    if found.version != VERSION:
        raise QuantificationError(
            f"{path}: an activity calibration of version {found.version}, made with another "
            f"detection model than this program's (version {VERSION}): make it again with "
            "`tomoshibi calibrate activity`"
        )
    least, most = FACTOR_BOUNDS
    if found.format != FORMAT or not least <= found.factor <= most or not 0 <= found.error <= 1:
        raise QuantificationError(
            f"{path}: format {found.format!r}, factor {found.factor:g} ± {found.error:g}: needs "
            f"{FORMAT!r} and a factor in {least:g}..{most:g}"
        )
    return found


@dataclass(frozen=True)
class Region:
    """A cylinder along z in which a mean is taken, clear of the object's edges."""

    radius_mm: float
    length_mm: float
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def mask(self, grid: ImageGrid) -> npt.NDArray[np.bool_]:
        """Return the voxels whose centre is inside; raises QuantificationError if none is."""
        x, y, z = grid.axes_mm()
        a, b, c = self.centre_mm
        inside = ((x - a) ** 2 + (y - b) ** 2 <= self.radius_mm**2) & (
            np.abs(z - c) <= self.length_mm / 2
        )
        if not inside.any():
            raise QuantificationError(f"{self}: no voxel of the image lies in it")
        return np.asarray(inside)

    def __str__(self) -> str:
        return (
            f"cylinder of radius {self.radius_mm:g} mm, {self.length_mm:g} mm long, "
            f"at {self.centre_mm} mm"
        )


@dataclass(frozen=True)
class MeanInRegion:
    """Mean of an image in a region; ``error`` is relative, from the spread of its slices."""

    mean: float
    error: float
    voxels: int
    slices: npt.NDArray[np.float64] = field(repr=False)


def mean_in(image: Image, grid: ImageGrid, region: Region) -> MeanInRegion:
    """Return the mean in a region, and its error from the spread of independent z slices."""
    mask = region.mask(grid)
    counts = mask.sum(axis=(0, 1))
    sums = np.where(mask, image, 0).sum(axis=(0, 1), dtype=np.float64)
    slices = sums[counts > 0] / counts[counts > 0]
    mean = float(slices.mean())
    spread = float(slices.std(ddof=1)) / math.sqrt(len(slices)) if len(slices) > 1 else mean
    return MeanInRegion(mean, spread / mean if mean > 0 else 1.0, int(mask.sum()), slices)
