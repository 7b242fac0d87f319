"""A whole SPECT run to an image in Bq/mL, with what was corrected and how.

Activities are those of the run's start. What a run lacks (µ map, scatter windows, live times) is
left out visibly: in ``corrections`` and in ``warnings``; what cannot make an image is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from hw.scanner import Scanner
from hw.settings import EnergyWindow
from recon.grid import Image, ImageGrid
from recon.spect.collimator import FWHM_PER_SIGMA
from recon.spect.osem import Channel, Counts, Events, SpectOsem, ViewData
from recon.spect.peaks import Peak, SpectError, half_life_s, peaks_of
from recon.spect.projector import SpectProjector, field_radius_mm
from recon.spect.scatter import ScatterMethod, scatter_counts, usable_method
from recon.spect.views import VIEW_DEG, Records, View, ViewCounter, ViewSet

UNIT = "Bq/mL"
Said = Callable[[str, float], None]
Chunk = tuple[Records, Records, int]
"""Singles, angles that came before them, and the time up to which both are complete, ps."""

FEW_DEGREES = 150.0
MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class SpectOptions:
    """What is asked for.

    peaks : names of photopeak windows; () for all of the run
    scatter : ``auto`` takes TEW where the run has the windows, and says so where not
    attenuation, collimator_response, decay, dead_time : whether corrected
    sensitivity_cps_per_MBq : measured, of all peaks chosen together, in place of the computed one
    list_mode : whether events are taken one by one
    """

    iterations: int = 4
    subsets: int = 8
    peaks: tuple[str, ...] = ()
    scatter: Literal["auto", "tew", "dew", "none"] = "auto"
    attenuation: bool = True
    collimator_response: bool = True
    decay: bool = True
    dead_time: bool = True
    sensitivity_cps_per_MBq: float | None = None
    view_deg: float = VIEW_DEG
    list_mode: bool = False
    fwhm_mm: float = 0.0
    threads: int = 2


@dataclass(frozen=True)
class SpectRun:
    """What is known of a run.

    mu : µ at 511 keV on the scanner's image grid, 1/mm, where there is a map
    live_share : of each module, where the run's books have it
    end_s : how long the run was; 0: until its last single
    calibrated : whether the crystals' gains were calibrated
    """

    scanner: Scanner
    windows: tuple[EnergyWindow, ...]
    chunks: Iterable[Chunk]
    mu: Image | None = None
    live_share: tuple[float, ...] | None = None
    end_s: float = 0.0
    calibrated: bool = True


@dataclass(frozen=True)
class SpectImage:
    """The image in Bq/mL at the run's start, [x, y, z], and what is true of it."""

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
    """Return the image of a run; raises SpectError where there can be none."""
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
    """Return what sorts a run's singles into views."""
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
    """Return the image of singles that were sorted into views."""
    problem = problem_of(run, counter, options, peaks)
    osem = problem.osem
    image = osem.run(
        options.iterations,
        progress=lambda done, total, _: said("reconstructing", done / total),
        stopped=stopped,
    )
    image = in_Bq_per_mL(image, problem.grid, options.fwhm_mm)
    if not np.isfinite(image).all():
        raise SpectError("the image has voxels that are no numbers: please report this run")
    return SpectImage(image, problem.grid, problem.metadata(osem), problem.warnings)


@dataclass
class Problem:
    """All that EM needs of a run, and what to say of it."""

    grid: ImageGrid
    osem: SpectOsem
    about: dict[str, Any]
    warnings: tuple[str, ...]

    def metadata(self, osem: SpectOsem) -> dict[str, Any]:
        """Return what is true of the image."""
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
    """Return the problem that EM solves; raises SpectError where it has no data."""
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
    about = _about(run, views, peaks, scatter, counter, options, mu is not None, method)
    return Problem(grid, osem, about, tuple(warnings))


def in_Bq_per_mL(image: Image, grid: ImageGrid, fwhm_mm: float = 0.0) -> Image:
    """Return an image in Bq a voxel as Bq/mL, filtered with a Gaussian where asked."""
    density = image * np.float32(MM3_PER_ML / grid.voxel_volume_mm3)
    if fwhm_mm > 0:
        sigma = [fwhm_mm / FWHM_PER_SIGMA / voxel for voxel in grid.voxel_mm]
        density = ndimage.gaussian_filter(density, sigma, mode="constant")
    return np.ascontiguousarray(density, np.float32)


def _subsets(asked: int, views: int) -> int:
    """Return the subsets to take: each has four views at least, for fewer make poor images."""
    return max(1, min(asked, views // 4)) if asked >= 1 else asked


def _data(
    views: ViewSet, counter: ViewCounter, peak: Peak, scatter: npt.NDArray[np.float32], *,
    list_mode: bool,
) -> ViewData:  # fmt: skip
    if not list_mode:
        return Counts(views.counts[peak.number], scatter)
    view, pixel = counter.events(peak.number)
    return Events.of(view, pixel, np.ones(len(view), np.float32), scatter)


def _calibrated(peaks: tuple[Peak, ...], cps_per_MBq: float | None) -> tuple[Peak, ...]:
    if cps_per_MBq is None:
        return peaks
    if not (math.isfinite(cps_per_MBq) and cps_per_MBq > 0):
        raise SpectError(f"a sensitivity of {cps_per_MBq:g} counts/s per MBq: needs one above 0")
    factor = cps_per_MBq * 1e-6 / sum(peak.counts_per_decay for peak in peaks)
    return tuple(replace(p, counts_per_decay=p.counts_per_decay * factor) for p in peaks)


def _check_counts(views: ViewSet, peaks: tuple[Peak, ...], counter: ViewCounter) -> None:
    counts = sum(float(views.counts[peak.number].sum()) for peak in peaks)
    if counts > 0:
        return
    lost = f"; {counter.without_angle} singles came before any angle" * bool(counter.without_angle)
    names = ", ".join(peak.name for peak in peaks)
    raise SpectError(f"no counts in {names}{lost}: there is nothing to reconstruct")


def _about_angles(views: ViewSet, scanner: Scanner, counter: ViewCounter) -> list[str]:
    """Return warnings where a camera did not go round far enough."""
    words = []
    if counter.without_angle:
        words.append(f"{counter.without_angle} singles without a known angle were left out")
    if scanner.motion is not None and scanner.motion.kind == "gantry":
        seen = turn_seen_deg(views.views)
        if seen < FEW_DEGREES:
            words.append(
                f"the cameras saw {seen:.0f}° only: the image is distorted along the directions "
                "that are missing. At least 180° are needed (--gantry step:64x10s, turn:6deg/s)"
            )
    return words


def turn_seen_deg(views: Sequence[View]) -> float:
    """Return the angle about the axis from which cameras looked: 360° less the widest gap."""
    if not views:
        return 0.0
    normals = sorted(math.degrees(math.atan2(v.w[1], v.w[0])) % 360 for v in views)
    return 360.0 - float(np.diff([*normals, normals[0] + 360.0]).max())


def _normals(views: ViewSet) -> list[float]:
    """Return where cameras looked from: the first direction, the step, how many; 0° is +x."""
    found = sorted({round(math.degrees(math.atan2(v.w[1], v.w[0])) % 360, 1) for v in views.views})
    step = float(np.median(np.diff(found))) if len(found) > 1 else 0.0
    return [found[0], round(step, 3), len(found)]


def _about(
    run: SpectRun, views: ViewSet, peaks: tuple[Peak, ...],
    scatter: dict[str, npt.NDArray[np.float32]], counter: ViewCounter, options: SpectOptions,
    attenuated: bool, method: ScatterMethod,
) -> dict[str, Any]:  # fmt: skip
    counts = {peak.name: int(views.counts[peak.number].sum()) for peak in peaks}
    share = {p.name: float(scatter[p.name].sum()) / max(counts[p.name], 1) for p in peaks}
    collimator = run.scanner.collimator
    assert collimator is not None
    return {
        "modality": "SPECT",
        "algorithm": "list-mode OSEM" if options.list_mode else "projection OSEM",
        "scanner": run.scanner.name,
        "nuclide": peaks[0].nuclide,
        "unit": UNIT,
        "voxel_mm": list(run.scanner.image.voxel_mm),
        "duration_s": counter.end_ps * 1e-12,
        "prompts_used": sum(counts.values()),
        "counts_per_peak": counts,
        "singles_without_angle": counter.without_angle,
        "views": len(views),
        "view_deg": options.view_deg,
        "angles_deg": _normals(views),
        "view_angles_deg": [round(view.angle_deg, 3) for view in views.views],
        "energy_windows": [
            {"name": p.name, "low_keV": p.lld_keV, "high_keV": p.uld_keV,
             "line_keV": round(p.energy_keV, 2)} for p in peaks
        ],
        "collimator": collimator.name,
        "radius_mm": run.scanner.bore_mm,
        "sensitivity_cps_per_MBq": {p.name: 1e6 * p.counts_per_decay for p in peaks},
        "scatter_share": share,
        "post_filter_fwhm_mm": options.fwhm_mm,
        "corrections": corrections(
            run, peaks, options, attenuated=attenuated, method=method, share=share
        ),
    }  # fmt: skip


def corrections(
    run: SpectRun, peaks: tuple[Peak, ...], options: SpectOptions, *, attenuated: bool,
    method: ScatterMethod, share: dict[str, float],
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Return each correction, whether it was applied, and how."""
    energies = ", ".join(f"{peak.energy_keV:.0f}" for peak in peaks)
    shares = ", ".join(f"{100 * part:.0f} %" for part in share.values())
    live = options.dead_time and run.live_share is not None
    measured = options.sensitivity_cps_per_MBq is not None
    how = {
        "decay": (options.decay, f"each view to the run's start, {peaks[0].nuclide}"),
        "dead_time": (live, "views' times by the modules' live share"),
        "randoms": (False, "single photons have none"),
        "normalisation": (False, "crystals are taken as equal"),
        "attenuation": (attenuated, f"µ map of the run, scaled from 511 keV to {energies} keV"),
        "scatter": (method != "none", f"{method} from the windows beside, {shares} of the counts"),
        "collimator_response": (
            options.collimator_response, "by distance, from the holes, with penetration"
        ),
        "calibration": (True, "measured sensitivity" if measured else
                        "computed from collimator, crystal and energy window"),
        "sensitivity": (True, "the same model as the projector's"),
    }  # fmt: skip
    off = "not applied"
    return {
        name: {"applied": applied, "how": words if applied or name == "randoms" else off}
        for name, (applied, words) in how.items()
    }
