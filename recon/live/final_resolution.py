"""The resolution model of a run's last image: the one that ``tomoshibi reconstruct`` would choose.

While the run goes on the image has none. Without a model, images of few counts read some per cent
too high, for their noise cannot go below 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from hw.physics.nuclides import Nuclide
from hw.scanner.description import Scanner
from recon.attenuation.range_in_object import range_in_object
from recon.core.detector_response import usual_fwhm_mm
from recon.core.grid import Image, ImageGrid
from recon.core.range_resolution import uniform_resolution
from recon.core.resolution import Resolution


@dataclass(frozen=True)
class FinalResolution:
    """A resolution model and how it is described.

    fwhm_mm : of the detectors' and voxels' Gaussian positrons_of : the nuclide whose positron range
    it includes, "" for none
    """

    model: Resolution | None
    fwhm_mm: float
    positrons_of: str = ""

    @property
    def words(self) -> str:
        """The model, as part of how an image was made."""
        range_too = f" and the positrons of {self.positrons_of}" if self.positrons_of else ""
        return f"resolution model {self.fwhm_mm:g} mm{range_too}"


def final_resolution(
    scanner: Scanner, grid: ImageGrid, nuclide: Nuclide | None, mu_per_mm: Image | None
) -> FinalResolution:
    """Return the model for a scanner and an image's voxels and, if it is known, a nuclide in the
    object of a µ map.
    """
    fwhm = usual_fwhm_mm(scanner, grid.voxel_mm)
    blur = None if nuclide is None else range_in_object(nuclide, mu_per_mm)
    model = uniform_resolution(grid, fwhm, blur)
    return FinalResolution(model, fwhm, nuclide.name if nuclide and blur else "")
