"""LM-OSEM of a run of ours by parallelproj's projectors: is its image of a cylinder even and level?

parallelproj (G. Schramm and F. Thielemans, Front. Nucl. Med. 3 (2024) 1324562; Apache-2.0) is no
dependency: its C++ library is built from its sources, outside of this repository, and called with
ctypes. It gets our lines, what is expected on each besides the image (randoms and scatter over the
line's factors) and the exposure (with --lines N it makes that, too). Projections forth and back are
its own, by Joseph's method; ours follow rays through voxels. The resolution model is a Gaussian in
the image.

    git clone https://github.com/KUL-recon-lab/libparallelproj
    g++ -O3 -fopenmp -shared -fPIC -Ilibparallelproj/include -Ilibparallelproj/src \
        libparallelproj/src/*.cpp -o libparallelproj.so
    tomoshibi demo --headless --fast --live-frames 0 --phantom cylinder --nuclide F-18 \
        --activity-MBq 10 --duration 4 --runs RUNS --name cyl
    python docs/interop/parallelproj_cylinder.py RUNS/cyl libparallelproj.so

Prints level and evenness of its image and of ours by the same algorithm, and writes a picture with
--picture; docs/interop/parallelproj.md has what came out.
"""

from __future__ import annotations

import argparse
import ctypes
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from coincidence.events import COINCIDENCE
from recon import Projector, RunModel, open_run
from recon.core.events import EventList

F4 = npt.NDArray[np.float32]
VOLUME_ML = np.pi * 100.0**2 * 150.0 / 1000.0
"""Of the phantom ``cylinder``, 20 cm wide and 15 cm long."""
BETA_PLUS = 0.9673
"""Of the decays of F-18, ICRP 107."""
ITERATIONS, SUBSETS = 4, 8
VOXEL_MM, FWHM_MM = 4.0, 5.0
RINGS_MM, SLABS_MM = (0, 20, 40, 60, 80), (0, 12, 24, 36, 48)


class Parallelproj:
    """Non-TOF projections along lines by the library: ``joseph3d_fwd`` and ``joseph3d_back``."""

    def __init__(self, library: Path, model: RunModel) -> None:
        self._library = ctypes.CDLL(str(library))
        grid = model.grid
        self._shape = np.array(grid.shape, np.int32)
        self._origin = np.array([float(np.asarray(a).reshape(-1)[0]) for a in grid.axes_mm()], "f4")
        self._voxel = np.array(grid.voxel_mm, "f4")

    def forward(self, image: F4, events: EventList) -> F4:
        """Return the integrals of an image along lines, mm."""
        found = np.zeros(len(events), np.float32)
        self._call("joseph3d_fwd", events, image, found)
        return found

    def back(self, values: F4, events: EventList) -> F4:
        """Return the adjoint."""
        image = np.zeros(tuple(self._shape), np.float32)
        self._call("joseph3d_back", events, image, values)
        return image

    def _call(self, name: str, events: EventList, image: F4, values: F4) -> None:
        def of(array: npt.NDArray[Any]) -> ctypes.c_void_p:
            return ctypes.c_void_p(array.ctypes.data)

        start, end = (
            np.ascontiguousarray(ends, "f4") for ends in (events.lors.start, events.lors.end)
        )
        image = np.ascontiguousarray(image, "f4")
        values = np.ascontiguousarray(values, "f4")
        getattr(self._library, name)(
            of(start), of(end), of(image), of(self._origin), of(self._voxel), of(values),
            ctypes.c_size_t(len(values)), of(self._shape), ctypes.c_int(0), ctypes.c_int(64),
        )  # fmt: skip


def drawn_lines(run: Any, model: RunModel, count: int, seed: int) -> tuple[EventList, F4, float]:
    """Return lines drawn evenly from all that the scanner has, what an emission on each is counted
    with, and how many lines each stands for."""
    scanner, geometry = run.scanner, run.geometry
    rng, per_module = np.random.default_rng(seed), scanner.crystals_per_module
    depths = np.concatenate([next(model.data.prompts())[f"doi_{side}"] for side in "ab"])
    pairs = np.argwhere(np.triu(geometry.allowed_pairs, 1))
    chosen = pairs[rng.integers(0, len(pairs), count)]
    records = np.zeros(count, COINCIDENCE)
    for side, module in (("a", chosen[:, 0]), ("b", chosen[:, 1])):
        records[f"crystal_{side}"] = module * per_module + rng.integers(0, per_module, count)
        records[f"doi_{side}"] = rng.choice(depths, count)
    terms = model.terms(records)
    lines = len(pairs) * per_module**2  # at each depth as often as it is measured
    return EventList.plain(terms.lors), terms.multiplicative.astype("f4"), lines / count


def exposure_of(projector: Parallelproj, run: Any, model: RunModel, count: int) -> F4:
    """Return T · sensitivity by the library's own back projection of drawn lines."""
    total = np.zeros(model.grid.shape, np.float32)
    piece = 500_000
    for number in range(-(-count // piece)):
        events, factor, each = drawn_lines(run, model, piece, number)
        total += projector.back(factor * np.float32(each), events)
    return total * np.float32(model.duration_s / -(-count // piece))


def image_of(projector: Any, model: RunModel, events: EventList, exposure: F4) -> F4:
    """Return the image by list-mode OSEM, emissions a second in each voxel."""
    sigma = FWHM_MM / 2.3548 / np.array(model.grid.voxel_mm)
    mask = model.mask
    smooth = gaussian_filter(exposure, sigma)
    image = (mask * np.float32(len(events) / exposure[mask].sum(dtype="f8"))).astype("f4")
    inverse = np.divide(1.0, smooth, out=np.zeros_like(smooth), where=mask & (smooth > 0))
    subsets = [events.take(slice(k, None, SUBSETS)) for k in range(SUBSETS)]
    for number in range(ITERATIONS * SUBSETS):
        some = subsets[number % SUBSETS]
        expected = projector.forward(gaussian_filter(image, sigma), some) + some.addend
        ratio = np.divide(
            some.weight, expected, out=np.zeros_like(expected), where=expected > 1e-25
        )
        image = image * inverse * SUBSETS * gaussian_filter(projector.back(ratio, some), sigma)
    return image.astype("f4")


class Ours:
    """Our projector with the same interface."""

    def __init__(self, model: RunModel) -> None:
        self._of = Projector(model.grid, threads=2)

    def forward(self, image: F4, events: EventList) -> F4:
        """Return the integrals along lines."""
        return self._of.forward(image, events.lors)

    def back(self, values: F4, events: EventList) -> F4:
        """Return the adjoint."""
        return self._of.back(values, events.lors)


def judged(image: F4, model: RunModel, truth: float) -> dict[str, Any]:
    """Return the level within 85 mm of the axis and 120 mm of length over the truth, and rings of
    20 mm and slabs of 12 mm at both ends over the mean within 60 mm."""
    x, y, z = np.meshgrid(*(np.asarray(a).reshape(-1) for a in model.grid.axes_mm()), indexing="ij")
    radius, long = np.hypot(x, y), np.abs(z)
    inner = image[(radius < 60) & (long < 60)].mean()
    rings = [image[(radius >= a) & (radius < a + 20) & (long < 60)].mean() for a in RINGS_MM]
    slabs = [image[(radius < 70) & (long >= a) & (long < a + 12)].mean() for a in SLABS_MM]
    return {
        "level": round(float(image[(radius < 85) & (long < 60)].mean() / truth), 4),
        "rings": [round(float(one / inner), 3) for one in rings],
        "slabs": [round(float(one / inner), 3) for one in slabs],
    }


def main() -> None:
    """Print what comes out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("library", type=Path, help="libparallelproj.so")
    parser.add_argument("--picture", type=Path, help="PNG to write")
    parser.add_argument("--activity-MBq", type=float, default=10.0, help="that was emulated")
    drawn = "make the exposure from N drawn lines (default: take ours)"
    parser.add_argument("--lines", type=int, default=0, metavar="N", help=drawn)
    asked = parser.parse_args()
    run = open_run(asked.run)
    model = run.model(voxel_mm=(VOXEL_MM,) * 3, tof=False, threads=2)
    truth = asked.activity_MBq * 1e6 / VOLUME_ML
    known = json.loads((run.folder / "activity.json").read_text(encoding="utf-8"))
    per_mL = np.float32(model.grid.voxel_volume_mm3 / 1000 * BETA_PLUS / known["factor"])
    theirs, events = Parallelproj(asked.library, model), model.events()
    exposure = model.exposure
    if asked.lines:
        exposure = exposure_of(theirs, run, model, asked.lines)
    seen = model.mask & (model.exposure > 0.2 * model.exposure.max())
    ratio = exposure[seen].astype("f8") / model.exposure[seen]
    found: dict[str, Any] = {
        "events": len(events), "voxel_mm": VOXEL_MM,
        "exposure over ours": [round(float(ratio.mean()), 4), round(float(ratio.std()), 4)],
    }  # fmt: skip
    images = {
        "parallelproj": image_of(theirs, model, events, exposure) / per_mL,
        "ours, the same algorithm": image_of(Ours(model), model, events, model.exposure) / per_mL,
    }
    for name, image in images.items():
        found[name] = judged(image, model, truth)
    print(json.dumps(found, indent=1))
    if asked.picture:
        draw(asked.picture, images, truth)


def draw(path: Path, images: dict[str, F4], truth: float) -> None:
    """Write the middle planes side by side, black 1.3 times the truth, and a profile."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6))
    for axis, (name, image) in zip(axes, images.items(), strict=False):
        middle = image.shape[2] // 2
        plane = image[:, :, middle - 3 : middle + 3].mean(axis=2)
        axis.imshow(plane.T, cmap="gray_r", vmin=0, vmax=1.3 * truth, origin="lower")
        axis.set_title(name)
        axis.set_axis_off()
        centre = image.shape[1] // 2
        block = image[:, centre - 4 : centre + 4, middle - 3 : middle + 3]
        axes[2].plot(block.mean(axis=(1, 2)) / truth, label=name)
    axes[2].set_ylim(0, 1.4)
    axes[2].set_title("through the middle, over the truth")
    axes[2].legend(loc="lower center")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
