"""Pictures of imported data: three cuts through an image, with lines or sinograms beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.arrays import F8
from hw.whole_file import whole_file
from recon.core.grid import Image, ImageGrid

CUTS = ((2, "x", "y"), (1, "x", "z"), (0, "y", "z"))


def save_cuts(
    path: Path,
    image: Image,
    grid: ImageGrid,
    *,
    title: str,
    beside: tuple[str, npt.NDArray[Any]] | None = None,
    points_mm: Sequence[F8] = (),
    projected: bool = False,
) -> Path:
    """Write a PNG of three cuts, inverted grey from 0 to the cut's 99.9th percentile.

    The cuts go through the centre of the image's activity.

    Parameters
    ----------
    path : of the PNG file
    image : (nx, ny, nz), in any unit
    grid : where its voxels lie
    title : heading of the picture
    beside : a title and a 2-D array (a sinogram) shown first
    points_mm : (3,) each, places in mm that are marked with rings
    projected : show the maximum along each axis instead of a cut, scaled to a fifth of the maximum
    """
    from matplotlib.figure import Figure

    panels = len(CUTS) + (beside is not None)
    figure = Figure(figsize=(3.3 * panels, 3.9), dpi=72, layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(1, panels)))
    if beside is not None:
        words, array = beside
        panel = axes.pop(0)
        panel.imshow(array, cmap="gray_r", vmin=0, vmax=np.percentile(array, 99.9), aspect="auto")
        panel.set(title=words, xlabel="bin", ylabel="view")
    middle = _middle(image, grid)
    for panel, (axis, across, up) in zip(axes, CUTS, strict=True):
        _draw(panel, image, grid, axis, middle, projected)
        panel.set(xlabel=f"{across} / mm", ylabel=f"{up} / mm")
        kept = [k for k in range(3) if k != axis]
        for point in points_mm:
            panel.plot(*point[kept], "o", ms=13, mfc="none", mec="tab:red", mew=1.5)
    figure.suptitle(title, fontsize=10)
    with whole_file(path) as file:
        figure.savefig(file, format="png")
    return path


def _middle(image: Image, grid: ImageGrid) -> F8:
    seen = image.clip(0)
    total = float(seen.sum()) or 1.0
    return np.array([float((seen * axis).sum()) / total for axis in grid.axes_mm()])


def _draw(panel: Any, image: Image, grid: ImageGrid, axis: int, at_mm: F8, projected: bool) -> None:
    place = round((at_mm[axis] - grid.origin_mm[axis]) / grid.voxel_mm[axis])
    place = int(np.clip(place, 0, grid.shape[axis] - 1))
    shown = image.max(axis=axis) if projected else image.take(place, axis=axis)
    kept = [k for k in range(3) if k != axis]
    low = [grid.origin_mm[k] - grid.voxel_mm[k] / 2 for k in kept]
    size = [grid.shape[k] * grid.voxel_mm[k] for k in kept]
    extent = (low[0], low[0] + size[0], low[1], low[1] + size[1])
    top = 0.2 * float(shown.max()) if projected else float(np.percentile(shown, 99.9))
    top = max(top, 1e-30)
    panel.imshow(shown.T, origin="lower", extent=extent, cmap="gray_r", vmin=0, vmax=top)
    where = "maximum along" if projected else f"{at_mm[axis]:.0f} mm on"
    panel.set_title(f"{where} {'xyz'[axis]}", fontsize=9)
