"""What the last image of a run is made with: what ``tomoshibi reconstruct`` chooses for its counts.

So a run's delivered image and that of the command by default are one image, on the same voxels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hw.scanner.description import Scanner
from recon.core.field_of_view import field_of_view
from recon.core.grid import Image, ImageGrid
from recon.core.mu_map import resample
from recon.em.penalised import RelativeDifference
from recon.em.sensitivity import SensitivityStopped
from recon.em.sensitivity_cache import sensitivity
from recon.live.corrections import LiveCorrections
from recon.live.final_image import FinalChoice, threads_here
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from recon.offline.defaults import defaults


def counts_of(imager: LiveImager[CrystalLines]) -> float:
    """Return the prompts less randoms of an image's window."""
    randoms = imager.lines.randoms
    expected = 0.0 if randoms is None else randoms.total_per_s * imager.seconds
    return max(imager.prompts_in_window - expected, 0.0)


def final_choice(
    imager: LiveImager[CrystalLines],
    corrections: LiveCorrections,
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> FinalChoice:
    """Return the choice for the counts that a run's image now has.

    Other voxels have a sensitivity of their own, which takes seconds; ``stopped`` is polled.
    """
    counts, scanner = counts_of(imager), imager.lines.system.scanner
    found = defaults(counts, scanner)
    grid = _grid(scanner, found["voxel_mm"], imager.grid)
    return FinalChoice(
        iterations=found["iterations"],
        subsets=found["subsets"],
        grid=grid,
        sensitivity=None if grid == imager.grid else _sensitivity(imager.lines, grid, stopped),
        prior=RelativeDifference(found["beta"]),
        resolution=corrections.final_resolution(grid),
        fwhm_mm=found["post_filter_fwhm_mm"],
        about={"counts": round(counts), **found},
    )


def _grid(scanner: Scanner, voxel_mm: tuple[float, ...], live: ImageGrid) -> ImageGrid:
    """Return the preset's field in voxels of a size; that of the live image for the preset's."""
    if tuple(voxel_mm) == tuple(live.voxel_mm):
        return live
    return field_of_view(scanner, voxel_mm=voxel_mm).image


def _sensitivity(lines: CrystalLines, grid: ImageGrid, stopped: Callable[[], bool]) -> Image | None:
    """Return the sensitivity on other voxels, as offline; None if there was no time for it."""
    mu = lines.mu_per_mm
    if mu is not None:
        mu = resample(mu, lines.grid.voxel_mm, grid)
    system = replace(lines.system, grid=grid)
    try:
        return sensitivity(system, lines.factors, mu, threads=threads_here(), stopped=stopped)
    except SensitivityStopped:
        return None
