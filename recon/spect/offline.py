"""From a whole SPECT run to an image in Bq/mL, with a record of its corrections.

Activities are those at the run's start. What a run lacks (µ map, scatter windows, live times) is
reported in ``corrections`` and ``warnings``; data that cannot make an image raise an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from hw.messages.sort_settings import EnergyWindow
from hw.physics.constants import FWHM_PER_SIGMA
from hw.scanner.description import Scanner
from recon.core.grid import Image, ImageGrid
from recon.spect.osem import Channel, Events, Projections, SpectOsem, ViewData
from recon.spect.peaks import Peak, SpectError, half_life_s, peaks_of
from recon.spect.projector import SpectProjector, field_radius_mm
from recon.spect.run import SpectOptions, SpectRun
from recon.spect.scatter import ScatterMethod, scatter_counts, usable_method
from recon.spect.scatter_trial import tew_defect
from recon.spect.sidecar import about_run
from recon.spect.views import View, ViewCounter, ViewSet

Said = Callable[[str, float], None]
FEW_DEGREES = 150.0
UNCALIBRATED = (
    "no energy calibration in this run: gains that are off move counts out of the window, and "
    "activities by several per cent. Calibrate before the run (docs/calibration/overview.md), or "
    "give a measured sensitivity (--sensitivity-cps-per-MBq)"
)
FIRST_UPDATES = 8
"""Updates before scatter is computed from the image: scatter is smoother than the image."""

MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class SpectImage:
    """The image in Bq/mL at the run's start, [x, y, z], and its facts."""

    image: Image
    grid: ImageGrid
    metadata: dict[str, Any]
    warnings: tuple[str, ...] = field(default=())


def reconstruct_spect(
    run: SpectRun,
    options: SpectOptions,
    *,
    said: Said = lambda what, share: None,
    stopped: Callable[[], bool] = lambda: False,
) -> SpectImage:
    """Return the image of a run; raises SpectError if there can be none."""
    peaks = peaks_of(run.scanner, run.windows, names=options.peaks, calibrated=run.calibrated)
    counter = counter_of(run.scanner, run.windows, peaks, options)
    for done, (singles, angles, watermark_ps) in enumerate(run.chunks):
        counter.take(singles, angles, watermark_ps=watermark_ps)
        said("reading", min(1.0, counter.end_ps * 1e-12 / run.end_s) if run.end_s else done % 2)
    counter.end_ps = max(counter.end_ps, round(run.end_s * 1e12))
    return image_of(run, counter, options, peaks=peaks, said=said, stopped=stopped)


def counter_of(
    scanner: Scanner, windows: Sequence[EnergyWindow], peaks: tuple[Peak, ...],
    options: SpectOptions,
) -> ViewCounter:  # fmt: skip
    """Return the counter that sorts a run's singles into views."""
    return ViewCounter(
        scanner,
        len(windows),
        view_deg=options.view_deg,
        half_life_s=half_life_s(peaks),
        keep_events=options.list_mode,
    )


def image_of(
    run: SpectRun,
    counter: ViewCounter,
    options: SpectOptions,
    *,
    peaks: tuple[Peak, ...],
    said: Said = lambda what, share: None,
    stopped: Callable[[], bool] = lambda: False,
) -> SpectImage:
    """Return the image of singles already sorted into views.

    Parameters
    ----------
    run : what is known of the run
    counter : holds the sorted singles
    options : iterations and corrections
    peaks : the photopeaks to reconstruct from
    said : called with the current step and the share (0..1) that is done
    stopped : polled regularly; True ends the iterations early
    """
    problem = problem_of(run, counter, options, peaks)
    image = solved(problem, run, options, said=said, stopped=stopped)
    image = in_Bq_per_mL(image, problem.grid, options.fwhm_mm)
    if not np.isfinite(image).all():
        raise SpectError("the image has voxels that are not finite: please report this run")
    return SpectImage(image, problem.grid, problem.metadata(problem.osem), problem.warnings)


@dataclass
class Problem:
    """All that EM needs from a run, and the facts to report."""

    grid: ImageGrid
    osem: SpectOsem
    views: ViewSet
    method: ScatterMethod
    mu: Image | None
    about: dict[str, Any]
    warnings: tuple[str, ...]
    by_trial: bool = False

    def metadata(self, osem: SpectOsem) -> dict[str, Any]:
        """Return the metadata of the image."""
        return {
            **self.about,
            "iterations": len(osem.log_likelihood),
            "subsets": osem.subsets,
            "log_likelihood": osem.log_likelihood,
            "warnings": list(self.warnings),
        }


def problem_of(
    run: SpectRun, counter: ViewCounter, options: SpectOptions, peaks: tuple[Peak, ...]
) -> Problem:
    """Return the problem for EM; raises SpectError if there are no data."""
    method, words = usable_method(peaks, options.scatter)
    warnings = [words] if words and options.scatter == "auto" else []
    peaks = _calibrated(peaks, options.sensitivity_cps_per_MBq)
    share = run.live_share if options.dead_time else None
    views = counter.views(share, decay=options.decay)
    _check_counts(views, peaks, counter)
    warnings += _about_angles(views, run.scanner, counter)
    mu = run.mu if options.attenuation else None
    if options.attenuation and mu is None:
        warnings.append("no µ map: attenuation is not corrected, activities come out too low")
    grid = ImageGrid(run.scanner.image.shape, run.scanner.image.voxel_mm)
    unknown_gains = not run.calibrated and run.scanner.response.gain_spread > 0
    if unknown_gains and options.sensitivity_cps_per_MBq is None:
        warnings.append(UNCALIBRATED)
    if options.dead_time and run.live_share is None:
        warnings.append(
            "the run has no live times: dead time is not corrected, activities come out too low"
        )
    if mu is not None:
        grid.check(mu, what="µ map")
    scatter = {peak.name: scatter_counts(views, peak, run.scanner, method) for peak in peaks}
    channels = [
        Channel(
            SpectProjector(
                run.scanner, grid, peak, mu=mu, threads=options.threads,
                collimator_response=options.collimator_response,
            ),
            _data(views, counter, peak, scatter[peak.name], list_mode=options.list_mode),
        )
        for peak in peaks
    ]  # fmt: skip
    mask = grid.cylinder(field_radius_mm(run.scanner, grid))
    osem = SpectOsem(channels, views.views, mask, _subsets(options.subsets, len(views)))
    about = about_run(run, views, peaks, scatter, counter, options, mu is not None, method)
    trial = options.scatter == "auto" and method == "tew" and mu is not None
    return Problem(grid, osem, views, method, mu, about, tuple(warnings), trial)


def solved(
    problem: Problem,
    run: SpectRun,
    options: SpectOptions,
    *,
    said: Said = lambda what, share: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Image:
    """Return the image in Bq per voxel, updating scatter on the way.

    Parameters
    ----------
    problem : projectors and measurements
    run : what is known of the run
    options : iterations, subsets, scatter, threads
    said : called with the current step and the share (0..1) that is done
    stopped : polled regularly; True ends the iterations early
    """
    initial = None
    if problem.by_trial:
        said("scatter", 0.0)
        initial = with_trial(problem, run, options, stopped)
    return problem.osem.run(
        options.iterations,
        initial=initial,
        progress=lambda done, total, _: said("reconstructing", done / total),
        stopped=stopped,
    )


def with_trial(
    problem: Problem, run: SpectRun, options: SpectOptions, stopped: Callable[[], bool]
) -> Image:
    """Add to the scatter what TEW misses, as found from the image after a few updates; return that
    image.
    """
    osem, mu = problem.osem, problem.mu
    assert mu is not None
    image = osem.run(math.ceil(FIRST_UPDATES / osem.subsets), stopped=stopped)
    osem.log_likelihood.clear()
    if stopped():
        return image
    channels = []
    for channel in osem.channels:
        peak = channel.projector.peak
        defect = tew_defect(
            image, mu, problem.grid, run.scanner, run.windows, peak, osem.views, problem.method,
            threads=options.threads,
        )  # fmt: skip
        scatter = scatter_counts(problem.views, peak, run.scanner, problem.method, defect)
        share = float(scatter.sum()) / max(problem.about["counts_per_peak"][peak.name], 1)
        problem.about["scatter_share"][peak.name] = share
        channels.append(replace(channel, data=channel.data.with_scatter(scatter)))
    osem.channels = channels
    shares = ", ".join(f"{100 * s:.0f} %" for s in problem.about["scatter_share"].values())
    problem.about["corrections"]["scatter"]["how"] = (
        f"tew and what it misses by Monte Carlo, {shares} of the counts"
    )
    return image


def in_Bq_per_mL(image: Image, grid: ImageGrid, fwhm_mm: float = 0.0) -> Image:
    """Return an image in Bq per voxel as Bq/mL, with a Gaussian filter if requested."""
    density = image * np.float32(MM3_PER_ML / grid.voxel_volume_mm3)
    if fwhm_mm > 0:
        sigma = [fwhm_mm / FWHM_PER_SIGMA / voxel for voxel in grid.voxel_mm]
        density = ndimage.gaussian_filter(density, sigma, mode="constant")
    return np.ascontiguousarray(density, np.float32)


def _subsets(asked: int, views: int) -> int:
    """Return the number of subsets: each has at least four views, as fewer make poor images."""
    return max(1, min(asked, views // 4)) if asked >= 1 else asked


def _data(
    views: ViewSet, counter: ViewCounter, peak: Peak, scatter: npt.NDArray[np.float32], *,
    list_mode: bool,
) -> ViewData:  # fmt: skip
    if not list_mode:
        return Projections(views.counts[peak.number], scatter)
    view, pixel = counter.events(peak.number)
    return Events.of(view, pixel, np.ones(len(view), np.float32), scatter)


def _calibrated(peaks: tuple[Peak, ...], cps_per_MBq: float | None) -> tuple[Peak, ...]:
    if cps_per_MBq is None:
        return peaks
    factor = cps_per_MBq * 1e-6 / sum(peak.counts_per_decay for peak in peaks)
    return tuple(replace(p, counts_per_decay=p.counts_per_decay * factor) for p in peaks)


def _check_counts(views: ViewSet, peaks: tuple[Peak, ...], counter: ViewCounter) -> None:
    counts = sum(float(views.counts[peak.number].sum()) for peak in peaks)
    if counts > 0:
        return
    lost = f"; {counter.without_angle} singles came before any angle" * bool(counter.without_angle)
    lost += f"; {counter.damaged} damaged records were left out" * bool(counter.damaged)
    names = ", ".join(peak.name for peak in peaks)
    raise SpectError(f"no counts in {names}{lost}: there is nothing to reconstruct")


def _about_angles(views: ViewSet, scanner: Scanner, counter: ViewCounter) -> list[str]:
    """Return warnings if the cameras did not turn far enough."""
    words = []
    if counter.damaged:
        words.append(f"{counter.damaged} damaged records were left out: the log is not sound")
    if counter.without_angle:
        words.append(f"{counter.without_angle} singles without a known angle were left out")
    if scanner.motion is not None and scanner.motion.kind == "gantry":
        seen = turn_seen_deg(views.views)
        if seen < FEW_DEGREES:
            words.append(
                f"the cameras saw {seen:.0f}° only: the image is distorted along the missing "
                "directions. At least 180° are needed (--gantry step:64x10s, turn:6deg/s)"
            )
    return words


def turn_seen_deg(views: Sequence[View]) -> float:
    """Return the angular range covered by the cameras: 360° less the widest gap."""
    if not views:
        return 0.0
    normals = sorted(math.degrees(math.atan2(v.w[1], v.w[0])) % 360 for v in views)
    return 360.0 - float(np.diff([*normals, normals[0] + 360.0]).max())
