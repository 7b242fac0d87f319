"""The detectors' blur from geometry, and the cost of modelling it.

Its figures are in docs/reconstruction/algorithms.md.

    python benchmarks/recon_resolution.py [PRESET …]

For each preset (default: caremibrain and tof_brain) the FWHM (mm) on the axis and at 50 and 100 mm
from it; and the milliseconds of processor time that an update spends in the Gaussian and in the
radial model, forward and back once each, on the preset's grid. Prints one line of JSON per preset.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from hw.physics.constants import FWHM_PER_SIGMA
from hw.scanner.preset_file import load_scanner
from recon.core.detector_response import DetectorBlur, detector_resolution
from recon.core.grid import ImageGrid
from recon.core.resolution import GaussianResolution, Resolution

RADII_MM = (0.0, 50.0, 100.0)
REPEATS = 5


def widths(preset: str) -> dict[str, list[float]]:
    """Return FWHM over ``RADII_MM``, the axial one once."""
    blur = DetectorBlur.of(load_scanner(preset))
    radii = np.array(RADII_MM)
    sigma = {
        "radial": blur.radial_mm(radii),
        "tangential": blur.tangential_mm(radii),
        "axial": np.array([blur.axial_mm()]),
    }
    return {
        name: [round(FWHM_PER_SIGMA * float(one), 2) for one in values]
        for name, values in sigma.items()
    }


def update_ms(model: Resolution, grid: ImageGrid) -> float:
    """Return the median processor time of blurring an image forward and back."""
    image = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
    model.adjoint(model.apply(image))  # compiles
    times = []
    for _ in range(REPEATS):
        begun = time.process_time()
        model.adjoint(model.apply(image))
        times.append(time.process_time() - begun)
    return round(1e3 * float(np.median(times)), 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("presets", nargs="*", metavar="PRESET")
    for preset in parser.parse_args().presets or ("caremibrain", "tof_brain"):
        scanner = load_scanner(preset)
        grid = ImageGrid(scanner.image.shape, scanner.image.voxel_mm)
        models = {
            "gaussian_ms": GaussianResolution(grid, (3.0, 3.0, 3.0)),
            "radial_ms": detector_resolution(scanner, grid, threads=1),
        }
        told = {name: update_ms(model, grid) for name, model in models.items()}
        print(json.dumps({"preset": preset, "fwhm_mm": widths(preset), **told}), flush=True)


if __name__ == "__main__":
    main()
