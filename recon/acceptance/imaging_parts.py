"""The parts of NU 2 and NU 4 that measure images: resolution, image quality, accuracy of counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hw.arrays import F8
from hw.scanner.judged_figure import Figure, Limits
from recon.acceptance.count_accuracy import REGION_MM, count_errors
from recon.acceptance.count_rates import NecrCurve, necr_points, peaks_of
from recon.acceptance.curves import draw_curves
from recon.acceptance.images_of_runs import Progress, corrected_image, point_image, relative_image
from recon.acceptance.judged import Part
from recon.acceptance.line_sinogram import NU2, line_alone
from recon.acceptance.lung_residual import lung_residuals
from recon.acceptance.measured_run import AcceptanceError, MeasuredRun, line_counts
from recon.acceptance.mouse_quality import MousePhantom, mouse_quality
from recon.analysis.contrast import Sphere, Warm, sphere_contrasts
from recon.analysis.picture import Picture
from recon.analysis.plots import draw_contrasts, draw_slices
from recon.analysis.point_width import point_widths
from recon.analysis.report import Section, Table

VOXELS_PER_FWHM = 3.0
"""Voxels that the standards want within the FWHM."""

FAR_MM = 50.0
"""Distance from the axis from which a point has the limit of far ones, if the preset has one."""

LIST_MODE = (
    "images are of list-mode OSEM without filter or resolution model; the standard asks for "
    "filtered back-projection. EM makes points in a cold surrounding sharper"
)


@dataclass(frozen=True)
class Imaging:
    """How images are made: voxels of points and of the mouse phantom, threads, and who hears of
    progress.
    """

    voxel_mm: float
    mouse_voxel_mm: float
    threads: int
    progress: Progress


def resolution(
    runs: list[MeasuredRun], limits: Limits, how: Imaging, *, clause: str = "NU 2-2018, 3"
) -> Part:
    """NU 2, section 3 and NU 4, section 3: FWHM and FWTM of points."""
    figures, rows, widest_voxel = [], [], 0.0
    for run in sorted(runs, key=lambda one: (abs(one.number("z_mm", 0.0)), _radius(one))):
        x, y, z = (run.number(key, 0.0) for key in ("x_mm", "y_mm", "z_mm"))
        image = point_image(run, how.voxel_mm, threads=how.threads, progress=how.progress)
        found = point_widths(image, near_mm=(x, y, z))
        names = _directions(x, y)
        where = f"{_radius(run):g} mm off the axis, z = {z:g} mm"
        for axis, name in enumerate(names):
            figures.append(limits.judged(f"FWHM, {name}, {where}", found.fwhm_mm[axis],
                                         _width_limit(run, limits), unit="mm",
                                         form=".2f"))  # fmt: skip
        rows.append([where, *(f"{found.fwhm_mm[k]:.2f} / {found.fwtm_mm[k]:.2f}"
                              for k in _order(names))])  # fmt: skip
        widest_voxel = max(widest_voxel, how.voxel_mm / min(found.fwhm_mm))
    deviations = [LIST_MODE]
    if widest_voxel > 1 / VOXELS_PER_FWHM:
        deviations.append(
            f"voxels of {how.voxel_mm:g} mm are {widest_voxel:.2f} of the smallest FWHM (at most a "
            "third)"
        )
    if "NU 2" in clause and not any(_radius(run) > 150 for run in runs):
        deviations.append(
            "no point 200 mm off the axis: it does not fit into this scanner, or is missing"
        )
    title = "Spatial resolution"
    words = [f"Points in air ({clause}); FWHM / FWTM in mm."]
    table = Table(["point", "radial", "tangential", "axial"], rows)
    return Part("resolution", title, figures, deviations, Section(title, words, [table]))


def _width_limit(run: MeasuredRun, limits: Limits) -> str:
    far = _radius(run) >= FAR_MM and limits.states("most_far_fwhm_mm")
    return "most_far_fwhm_mm" if far else "most_fwhm_mm"


def _radius(run: MeasuredRun) -> float:
    return math.hypot(run.number("x_mm", 0.0), run.number("y_mm", 0.0))


def _directions(x_mm: float, y_mm: float) -> tuple[str, str, str]:
    """Return what x, y and z are at a point: sources stand off the axis along x or along y."""
    return ("radial", "tangential", "axial") if abs(x_mm) > abs(y_mm) else (
        "tangential", "radial", "axial"
    )  # fmt: skip


def _order(names: tuple[str, str, str]) -> list[int]:
    return [names.index(name) for name in ("radial", "tangential", "axial")]


@dataclass(frozen=True)
class QualityPhantom:
    """NU 2's spheres and lung in a warm cylinder."""

    warm: Warm
    spheres: list[Sphere]
    lung_mm: float
    deviation: str


def image_quality(run: MeasuredRun, limits: Limits, how: Imaging, phantom: QualityPhantom) -> Part:
    """NU 2-2018, section 7: recovery, variability, and what is left in the lung."""
    image = corrected_image(run, threads=how.threads, progress=how.progress)
    found = sphere_contrasts(image, phantom.spheres, phantom.warm, insert_mm=phantom.lung_mm)
    figures = []
    for one in found:
        size = f"sphere of {one.diameter_mm:g} mm"
        for what, value, key in (
            ("contrast recovery", one.recovery, "least_contrast_recovery_percent"),
            ("background variability", one.variability, "most_variability_percent"),
        ):
            name = f"{what}, {size}"
            figures.append(limits.judged(name, value * 100, key, unit="%", form=".1f"))
    background = found[-1].background
    half = phantom.warm.length_mm / 2 - 20
    z, residual = lung_residuals(image, background, half_length_mm=min(half, _half_image(image)))
    figures.append(limits.judged("lung residual, mean of the slices", float(residual.mean()) * 100,
                                 "most_lung_residual_percent", unit="%", form=".1f"))  # fmt: skip
    deviations = [phantom.deviation, *_missing(image)]
    plots = [
        draw_slices(image, (0.0, 0.0, 0.0), []), draw_contrasts(found),
        draw_curves([("", z, 100 * residual)], "slice, z in mm", "lung residual, %"),
    ]  # fmt: skip
    title = "Image quality, accuracy of corrections"
    words = [
        "Hot spheres of 10 to 37 mm, 4 : 1, and a cold lung insert (NU 2-2018, 7). "
        + str(image.metadata.get("algorithm", ""))
    ]
    return Part("image-quality", title, figures, deviations, Section(title, words, [], plots))


def _half_image(image: Picture) -> float:
    z = image.axis_mm(2)
    return float(min(-z[0], z[-1])) - 10.0


def _missing(image: Picture) -> list[str]:
    applied = image.metadata.get("applied", {})
    wanted = ("randoms", "normalisation", "attenuation", "scatter", "dead_time", "decay")
    return [f"the image is not corrected for {name}" for name in wanted if not applied.get(name)]


def mouse_image(run: MeasuredRun, limits: Limits, how: Imaging, phantom: MousePhantom) -> Part:
    """NU 4-2008, section 6: uniformity, recovery of rods, spill-over."""
    image = corrected_image(
        run, threads=how.threads, progress=how.progress, voxel_mm=(how.mouse_voxel_mm,)
    )
    found = mouse_quality(image, phantom)
    uniform = found.uniform
    figures = [
        limits.judged("uniformity, SD of the voxels over their mean", uniform.variation * 100,
                      "most_uniformity_sd_percent", unit="%", form=".1f"),
        Figure("least voxel over the mean", uniform.least / uniform.mean),
        Figure("greatest voxel over the mean", uniform.most / uniform.mean),
    ]  # fmt: skip
    figures += [
        limits.judged(f"recovery, rod of {rod.diameter_mm:g} mm", rod.recovery, "least_recovery",
                      sigma=rod.recovery * rod.relative_sd, form=".2f")
        for rod in found.rods
    ]  # fmt: skip
    for name, (ratio, spread) in found.spill_over.items():
        figures.append(limits.judged(f"spill-over, {name}", ratio, "most_spill_over",
                                     sigma=ratio * spread, form=".2f"))  # fmt: skip
    title = "Image quality, attenuation and scatter"
    words = ["The mouse phantom (NU 4-2008, 6). " + str(image.metadata.get("algorithm", ""))]
    sizes = [rod.diameter_mm for rod in found.rods]
    plots = [
        draw_slices(image, (0.0, 0.0, phantom.rods_z_mm), []),
        draw_curves([("", sizes, [rod.recovery for rod in found.rods])], "rod, mm", "recovery"),
    ]  # fmt: skip
    section = Section(title, words, [], plots)
    return Part("image-quality", title, figures, _missing(image), section)


def count_accuracy(
    runs: list[MeasuredRun], limits: Limits, how: Imaging,
    image_of: Callable[..., Picture] = relative_image,
) -> Part:  # fmt: skip
    """NU 2-2018, section 6: accuracy of the corrections of losses and randoms, from images."""
    values = []
    for run in runs:
        image = image_of(run, threads=how.threads, progress=how.progress)
        values.append(_disc_means(image))
    activity = np.array([run.start_MBq for run in runs])  # the images are corrected for decay
    try:
        found = count_errors(activity, np.array(values))
    except ValueError as error:
        raise AcceptanceError(f"accuracy: {error}") from error
    lines = [line_counts(run, NU2) for run in runs]
    points = necr_points(lines, aligned_by=line_alone(peaks_of(lines)))
    peak = NecrCurve(sorted(points)).peak_MBq()
    greatest = found.greatest_up_to(max(peak, float(found.activity_MBq[3])))
    figures = [
        limits.judged("greatest error up to the peak of the NECR, all slices", greatest * 100,
                      "most_count_error_percent", unit="%", form=".1f")
    ]  # fmt: skip
    figures += [
        Figure(f"error at {at:.3g} MBq, all slices", error * 100, "%", form=".1f")
        for at, error in zip(found.activity_MBq, found.together, strict=True)
    ]
    low, high = np.nanmin(found.slices, axis=1), np.nanmax(found.slices, axis=1)
    at = found.activity_MBq
    plot = draw_curves([("all slices", at, 100 * found.together), ("least slice", at, 100 * low),
                        ("greatest slice", at, 100 * high)], "activity, MBq",
                       "relative error, %")  # fmt: skip
    title = "Accuracy of count losses and randoms"
    words = [f"Mean of a {REGION_MM:g} mm disc over activity, to the lowest three (NU 2-2018, 6)."]
    deviations = [one for one in _missing(image) if "scatter" not in one]
    deviations.append(
        "scatter is not corrected, it is the same share at each activity and cancels in the ratio"
    )
    return Part("accuracy", title, figures, deviations, Section(title, words, [], [plot]))


def _disc_means(image: Picture) -> F8:
    z = image.axis_mm(2)
    x, y = image.axis_mm(0), image.axis_mm(1)
    inside = np.hypot(x[:, None], y[None, :]) <= REGION_MM / 2
    if not inside.any() or len(z) == 0:
        raise AcceptanceError(f"{image.name}: the image does not hold a disc of {REGION_MM:g} mm")
    return np.asarray(image.values[inside].mean(axis=0))
