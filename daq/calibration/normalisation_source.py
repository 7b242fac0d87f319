"""The source of a normalisation: a uniform cylinder, hollow cylinder or box of known size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from daq.folder.calibration_arrays import CalibrationSetError
from hw.arrays import F8

Shape = Literal["cylinder", "box"]

WATER_511_PER_MM = 0.0096
"""Linear attenuation of water at 511 keV, 0.096/cm (NIST XCOM, J. H. Hubbell and S. M. Seltzer)."""


@dataclass(frozen=True)
class NormalisationSource:
    """A uniform source centred at ``position_mm``, with the scanner's axes.

    shape : "cylinder" along z of ``radius_mm`` and ``length_mm``, hollow if ``inner_radius_mm`` is
        above 0 (a rod source on its orbit is a thin hollow cylinder); "box" of ``size_mm`` (a plane
        source is a thin box)
    mu_per_mm : attenuation of the source's body, hollow or not; 0 for none
    """

    shape: Shape = "cylinder"
    radius_mm: float = 100.0
    length_mm: float = 200.0
    inner_radius_mm: float = 0.0
    size_mm: tuple[float, float, float] = (200.0, 2.0, 200.0)
    position_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    mu_per_mm: float = 0.0

    def __post_init__(self) -> None:
        lengths = (
            {"radius": self.radius_mm, "length": self.length_mm}
            if self.shape == "cylinder"
            else dict(zip(("x size", "y size", "z size"), self.size_mm, strict=True))
        )
        for name, value in lengths.items():
            if not 0 < value <= 4000:
                raise CalibrationSetError(
                    f"source: its {name} is {value:g} mm, it must be above 0 and at most 4000"
                )
        if not 0 <= self.inner_radius_mm < self.radius_mm:
            raise CalibrationSetError(
                f"source: its inner radius is {self.inner_radius_mm:g} mm, it must be 0 (full) or "
                f"less than the radius, {self.radius_mm:g} mm"
            )
        if not 0 <= self.mu_per_mm <= 0.1:
            raise CalibrationSetError(
                f"source: its attenuation is {self.mu_per_mm:g}/mm, it must be between 0 and 0.1 "
                f"(water: {WATER_511_PER_MM})"
            )

    def scaled(self, by: float) -> NormalisationSource:
        """Return the source with another outline, its hole and length as they are."""
        x, y, z = self.size_mm
        radius_mm = max(self.radius_mm * by, (self.radius_mm + self.inner_radius_mm) / 2)
        return replace(self, radius_mm=radius_mm, size_mm=(x * by, y * by, z))

    def numbers(self) -> F8:
        """Return the source for the kernel: (9,) f8."""
        cylinder = (self.radius_mm, self.inner_radius_mm, self.length_mm / 2)
        box = tuple(size / 2 for size in self.size_mm)
        extent = cylinder if self.shape == "cylinder" else box
        return np.array([self.shape == "box", *extent, *self.position_mm, self.mu_per_mm, 0.0])
