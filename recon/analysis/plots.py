"""The plots of a report: slices through the image, profiles, contrast and uniformity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hw.regions import Region
from recon.analysis.contrast import SphereContrast
from recon.analysis.picture import Picture, Triple
from recon.analysis.profile import Profile
from recon.analysis.report import Draw
from recon.analysis.uniformity import Uniformity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

VIEWS = (("transaxial", 0, 1, 2), ("coronal", 0, 2, 1), ("sagittal", 1, 2, 0))
"""Name of a view, its axes to the right and up, and the one it looks along."""


def draw_slices(picture: Picture, at_mm: Triple, regions: list[Region]) -> Draw:
    """Return a drawing of the three slices through a point, with the regions' outlines."""

    def draw(figure: FigureBase) -> None:
        most = max(float(np.quantile(picture.values, 0.9995)), 1e-30)
        index = np.clip(np.round(picture.index_of(at_mm)), 0, np.array(picture.values.shape) - 1)
        axes = figure.subplots(1, 3)
        for axis, (name, right, up, along) in zip(axes, VIEWS, strict=True):
            plane = picture.values.take(int(index[along]), axis=along)
            shown = axis.imshow(plane.T, cmap="gray_r", vmin=0, vmax=most, origin="lower",
                                extent=_extent(picture, right, up))  # fmt: skip
            place = picture.place_mm(index)[along]
            axis.set_title(f"{name}, {'xyz'[along]} = {place:.0f} mm", size=9)
            axis.set_xlabel(f"{'xyz'[right]}, mm")
            axis.set_ylabel(f"{'xyz'[up]}, mm")
            for region in regions:
                _outline(axis, region, place, (right, up, along))
        figure.colorbar(shown, ax=list(axes), shrink=0.7, label=picture.unit or "value")

    return draw


def _extent(picture: Picture, right: int, up: int) -> tuple[float, float, float, float]:
    ends = []
    for axis in (right, up):
        places, half = picture.axis_mm(axis), picture.voxel_mm[axis] / 2
        ends += [float(places[0] - half), float(places[-1] + half)]
    return ends[0], ends[1], ends[2], ends[3]


def _outline(axis: Axes, region: Region, place: float, view: tuple[int, int, int]) -> None:
    """Draw where the plane cuts the region (of a threshold: its box)."""
    right, up, along = view
    half, centre = region.half_mm, region.centre_mm
    if abs(place - centre[along]) >= half[along]:
        return
    across = [np.linspace(-1.02, 1.02, 201) * half[k] + centre[k] for k in (right, up)]
    points = [np.array([place])] * 3
    points[right], points[up] = across
    inside = region.holds(*np.ix_(*points)).squeeze(axis=along)
    axis.contour(*across, inside.T, levels=[0.5], linewidths=0.8, colors="tab:red")


def draw_profiles(profiles: list[Profile], unit: str) -> Draw:
    """Return a drawing of profiles side by side."""

    def draw(figure: FigureBase) -> None:
        axes = figure.subplots(1, len(profiles), squeeze=False, sharey=True)[0]
        for axis, profile in zip(axes, profiles, strict=True):
            axis.plot(profile.place_mm, profile.value, lw=1)
            axis.set_xlabel(f"{profile.axis}, mm")
            axis.grid(alpha=0.3)
        axes[0].set_ylabel(unit or "value")

    return draw


def draw_contrasts(found: list[SphereContrast]) -> Draw:
    """Return a drawing of recovery and variability against sphere diameter."""

    def draw(figure: FigureBase) -> None:
        axes = figure.subplots(1, 2)
        diameters = [one.diameter_mm for one in found]
        axes[0].plot(diameters, [100 * one.recovery for one in found], "o-")
        axes[0].axhline(100, color="0.6", lw=0.8)
        axes[0].set_ylabel("contrast recovery, %")
        axes[1].plot(diameters, [100 * one.variability for one in found], "o-")
        axes[1].set_ylabel("background variability, %")
        for axis in axes:
            axis.set_xlabel("sphere's diameter, mm")
            axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)

    return draw


def draw_uniformity(found: Uniformity) -> Draw:
    """Return a drawing of slice and ring means relative to the overall mean."""

    def draw(figure: FigureBase) -> None:
        axes = figure.subplots(1, 2, sharey=True)
        axes[0].plot(found.slice_z_mm, 100 * found.slices, "o-", ms=3)
        axes[0].set_xlabel("slice, z in mm")
        axes[0].set_ylabel("mean, % of all")
        axes[1].plot(found.ring_mm, 100 * found.rings, "o-", ms=3)
        axes[1].set_xlabel("ring's radius, mm")
        for axis in axes:
            axis.axhline(100, color="0.6", lw=0.8)
            axis.grid(alpha=0.3)

    return draw
