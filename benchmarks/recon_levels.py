"""Level and evenness of a cylinder's image, live and offline, beside what was emulated.

    tomoshibi demo --headless --fast --live-frames 0 --phantom cylinder --nuclide F-18 \
        --activity-MBq 10 --duration 6 --runs FOLDER --name NAME
    python benchmarks/recon_levels.py FOLDER/NAME …

Prints for each run, of the image that the run delivered (``images/live.nii.gz``), of the image by
default, of its DICOM files as pydicom reads them, of plain OSEM (4 x 8) with the resolution model
of 2 mm voxels, and of NEGML: the level within 85 mm of the
axis and 120 mm of length over the emulated concentration; rings of 20 mm over the mean within 60
mm; slabs of 12 mm from 36 mm on; and what scatter and prompt γ were found to be of the prompts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pydicom

from hw.arrays import F8
from recon import open_run, reconstruct

VOLUME_ML = np.pi * 100.0**2 * 150.0 / 1000.0
ALIKE = "by default"
"""The image with the choices of the delivered one, of which DICOM files are made, too."""
IMAGES: dict[str, dict[str, Any]] = {
    ALIKE: {},
    "osem": {"algorithm": "osem", "iterations": 4, "subsets": 8, "psf_fwhm_mm": 2.6},
    "negml": {"algorithm": "negml"},
}
EDGES_MM = (0, 20, 40, 60, 80)
SLABS_MM = (36, 48, 60)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--only", choices=IMAGES, help="this image alone, and the delivered one")
    asked = parser.parse_args()
    print("| run | image | level | rings | slabs | scatter | prompt γ |")
    print("|---|---|---|---|---|---|---|")
    for folder in asked.runs:
        run = open_run(folder)
        truth = float(run.labels["activity_MBq"]) * 1e6 / VOLUME_ML
        told = json.loads((folder / "images" / "live.json").read_text(encoding="utf-8"))
        live = read(folder / "images" / "live.nii.gz")
        print(line(folder.name, "live", *live, truth, told), flush=True)
        for name, options in IMAGES.items():
            if asked.only not in (None, name):
                continue
            made = reconstruct(run, **options)
            axes = [np.asarray(axis, np.float64).ravel() for axis in made.grid.axes_mm()]
            print(line(folder.name, name, made.image, axes, truth, made.metadata), flush=True)
            if name == ALIKE:
                with tempfile.TemporaryDirectory() as place:
                    made.save(Path(place) / "image.nii.gz", formats=("dicom",))
                    seen = read_dicom(Path(place))
                print(line(folder.name, f"{name}, DICOM", *seen, truth, made.metadata), flush=True)


def read(path: Path) -> tuple[F8, list[F8]]:
    """Return an image of a file, and its voxels' places from its middle."""
    loaded = nib.load(path)
    image = np.asarray(loaded.dataobj, dtype=np.float64)
    steps = np.abs(np.diag(loaded.affine))[:3]
    return image, [
        (np.arange(n) - (n - 1) / 2) * step for n, step in zip(image.shape, steps, strict=True)
    ]


def read_dicom(folder: Path) -> tuple[F8, list[F8]]:
    """Return what a viewer makes of the planes in a folder: rescaled, at their own places."""
    planes = sorted(map(pydicom.dcmread, folder.rglob("*.dcm")), key=lambda one: one.SliceLocation)
    values = [p.pixel_array * float(p.RescaleSlope) + float(p.RescaleIntercept) for p in planes]
    image = np.stack(values, axis=-1).transpose(1, 0, 2)  # row, column -> x, y
    steps = (*map(float, reversed(planes[0].PixelSpacing)), float(planes[0].SliceThickness))
    return image, [
        (np.arange(n) - (n - 1) / 2) * step for n, step in zip(image.shape, steps, strict=True)
    ]


def line(
    name: str, which: str, image: npt.NDArray[Any], axes: list[F8], truth: float,
    told: dict[str, Any],
) -> str:  # fmt: skip
    """Return one row of the table."""
    x, y, z = np.meshgrid(*axes, indexing="ij")
    radius, long = np.hypot(x, y), np.abs(z)
    inner = image[(radius < 60) & (long < 60)].mean()
    rings = [image[(radius >= a) & (radius < a + 20) & (long < 60)].mean() for a in EDGES_MM]
    slabs = [image[(radius < 70) & (long >= a) & (long < a + 12)].mean() for a in SLABS_MM]
    level = image[(radius < 85) & (long < 60)].mean() / truth
    shares = [told["corrections"][key].get("share_of_prompts", "") for key in FOUND]
    words = [" ".join(f"{one / inner:.3f}" for one in some) for some in (rings, slabs)]
    return f"| {name} | {which} | {level:.3f} | {' | '.join(words)} | {shares[0]} | {shares[1]} |"


FOUND = ("scatter", "prompt_gamma")

if __name__ == "__main__":
    main()
