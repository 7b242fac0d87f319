"""What triple energy windows miss of a photopeak's scatter, computed for the object at hand.

TEW takes the scatter under a peak from that in the window below. But there photons have scattered
by wider angles than under the peak (at 140 keV by more than 50°, not less), so that they come from
further around their source: TEW finds too little scatter over a source and too much beside it. A
Monte Carlo of the current image in the µ map counts scattered photons as the peak's window does and
as TEW would estimate them; their difference,

    D = S_trial − TEW_trial,      S = TEW_measured + D,

is added to the measured estimate. What the trial does not contain (other lines' scatter, walls,
activity off the grid) stays as measured. Nothing is fitted: image, µ and sensitivity are those of
the reconstruction. Trials are made for cameras a few degrees apart; views between them take the
mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import ndimage

from hw.arrays import F4, F8
from hw.messages.sort_settings import EnergyWindow
from hw.physics.constants import ELECTRON_REST_KEV, FWHM_PER_SIGMA
from hw.scanner.description import Scanner
from recon.core.grid import Image, ImageGrid
from recon.spect.collimator import collimator_response
from recon.spect.crystal import counted_share
from recon.spect.matter import mu_per_mm, scale_mu
from recon.spect.peaks import Peak
from recon.spect.scatter import SMOOTH_FWHM_MM, ScatterMethod, chosen_windows
from recon.spect.scatter_kernels import bound_at, density, scattered_counts
from recon.spect.views import View

PHOTONS = 80_000
"""Each serves every camera: what a trial adds to noise is a small part of the windows' own. Pixels
above ``PIXEL_MM2`` need fewer for the same noise."""

PIXEL_MM2 = 16.0

APART_DEG = 12.0
MOST_SCATTERS = 6
_ENERGIES = 13
_LEAST = 0.72
"""Of the line's energy: photons below reach no window of it (20 keV, three σ, below NaI's)."""

_ANGLES = 400
_WATER_BOUND = (
    (0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1, 1.25, 1.5, 2, 2.5, 3, 3.5, 4, 5),
    (0, 0.2362, 0.5364, 0.7008, 0.7817, 0.8235, 0.8505, 0.8716, 0.89, 0.9214, 0.9459, 0.9761,
     0.9899, 0.9956, 0.9981, 0.999, 1.0),
)  # fmt: skip
"""S of water by x, 1/Å: J. H. Hubbell et al., J. Phys. Chem. Ref. Data 4 (1975) 471 (xraylib)."""


def tew_defect(
    image_Bq: Image, mu_511: Image, grid: ImageGrid, scanner: Scanner,
    windows: Sequence[EnergyWindow], peak: Peak, views: Sequence[View], method: ScatterMethod,
    *, photons: int | None = None, threads: int = 1, seed: int = 1,
) -> F4:  # fmt: skip
    """Return D: counts to add to TEW's estimate in each pixel of each view, before clipping.

    Parameters
    ----------
    image_Bq : (nx, ny, nz), activity of each voxel, Bq
    mu_511 : (nx, ny, nz), µ at 511 keV on the same grid, 1/mm
    grid : of both
    scanner : the preset
    windows : the run's energy windows, among them those beside the peak
    peak : the photopeak
    views : camera positions for which D is wanted
    method : how scatter is estimated from the windows
    photons : number that is followed; by default ``PHOTONS``, fewer for small pixels
    threads : each follows its share of the photons
    seed : of the random numbers

    Returns
    -------
    D
        (views, n_u, n_v) float32
    """
    module = scanner.module
    box = _box(mu_511)
    image_Bq, mu = image_Bq[box], np.ascontiguousarray(scale_mu(mu_511[box], peak.energy_keV))
    origin = [grid.origin_mm[k] + box[k].start * grid.voxel_mm[k] for k in range(3)]
    total = float(image_Bq.sum(dtype=np.float64))
    served = _served(views)
    if total <= 0 or not served:
        return np.zeros((len(views), module.n_u, module.n_v), np.float32)
    span = np.array([_LEAST * peak.energy_keV, peak.energy_keV])
    bound = np.interp(np.arange(81) / 16, *_WATER_BOUND)
    table = _table(scanner, windows, peak, span, bound, method)
    chosen = [views[k] for k in served]
    towards = np.array([[*v.w, *v.u] for v in chosen])
    shift = np.array([[v.centre_mm[0] * v.u[0] + v.centre_mm[1] * v.u[1], v.centre_mm[2]]
                      for v in chosen])  # fmt: skip
    sums = np.cumsum(image_Bq.reshape(-1), dtype=np.float64) / total
    sums[-1] = 1.0
    area = module.pitch_u_mm * module.pitch_v_mm
    photons = photons or round(PHOTONS * min(1.0, PIXEL_MM2 / area))
    shape = (threads, 2, len(chosen), module.n_u, module.n_v)
    out = np.zeros(shape, np.float32)

    def lane(number: int) -> None:
        scattered_counts(
            sums, mu, np.array(origin), np.array(grid.voxel_mm), towards, shift,
            np.array([module.pitch_u_mm, module.pitch_v_mm]), table, bound, span,
            photons // threads, MOST_SCATTERS, seed + number, out[number, 0], out[number, 1],
        )  # fmt: skip

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lane, range(threads)))
    peak_rate, tew_rate = out.mean(axis=0) * np.float32(total * peak.counts_per_decay)
    blur = float(peak.response.sigma_mm(scanner.bore_mm))
    wide = math.hypot(blur, SMOOTH_FWHM_MM / FWHM_PER_SIGMA)
    defect = _blurred(peak_rate, blur, scanner) - _blurred(tew_rate, wide, scanner)
    exposure = np.array([view.exposure_s for view in views])[:, None, None]
    return np.asarray(_between(defect, views, served) * exposure, np.float32)


def _box(mu: Image) -> tuple[slice, slice, slice]:
    """Return the box of attenuating matter; activity beyond it hardly scatters in it."""
    ends = []
    for axis in range(3):
        there = np.flatnonzero(mu.max(axis=tuple(a for a in range(3) if a != axis)) > 0)
        ends.append(slice(int(there[0]), int(there[-1]) + 1) if len(there) else slice(0, 0))
    return ends[0], ends[1], ends[2]


def _table(
    scanner: Scanner, windows: Sequence[EnergyWindow], peak: Peak, span: F8, bound: F8,
    method: ScatterMethod,
) -> F8:  # fmt: skip
    """Return the kernel's table; shares are relative to a photon at the line itself."""
    energies = np.linspace(span[0], span[1], _ENERGIES)
    let = [collimator_response(scanner, float(e)).efficiency for e in (span[0], span[1])]
    passed = np.interp(energies, span, np.array(let) / let[1])
    own = _share(scanner, span[1], windows[peak.number], peak.gain_spread)
    line = mu_per_mm("water", span[1])
    rows = []
    for energy, open_ in zip(energies.tolist(), passed.tolist(), strict=True):
        here = mu_per_mm("water", energy)
        whole = here.photo + here.incoherent
        in_peak = _share(scanner, energy, windows[peak.number], peak.gain_spread)
        seen, spill = 0.0, 0.0
        for factor, window in chosen_windows(peak, method):
            seen += factor * _share(scanner, energy, windows[window.number], peak.gain_spread)
            spill += factor * window.spill
        estimated = (seen - spill * in_peak) / max(0.05, 1.0 - spill)
        rows.append((whole / (line.photo + line.incoherent), here.incoherent / whole,
                     4 * math.pi / _whole_density(energy, bound),
                     open_ * in_peak / own, open_ * estimated / own))  # fmt: skip
    return np.array(rows)


def _share(scanner: Scanner, energy: float, window: EnergyWindow, spread: float) -> float:
    return counted_share(scanner, energy, window.lld_keV, window.uld_keV, gain_spread=spread)


def _whole_density(energy: float, bound: F8) -> float:
    """Return the integral of the scatter density over all directions."""
    cosine = (np.arange(_ANGLES) + 0.5) * 2 / _ANGLES - 1
    ratio = 1 / (1 + energy / ELECTRON_REST_KEV * (1 - cosine))
    values = [
        density(r, c) * bound_at(bound, energy, c) for r, c in zip(ratio, cosine, strict=True)
    ]
    return float(2 * math.pi * np.sum(values) * 2 / _ANGLES)


def _served(views: Sequence[View]) -> list[int]:
    """Return views of each camera that are at least ``APART_DEG`` apart."""
    chosen: list[int] = []
    order = sorted(range(len(views)), key=lambda k: (views[k].module, views[k].angle_deg))
    for k in order:
        last = views[chosen[-1]] if chosen else None
        here = views[k]
        if (
            last is None
            or last.module != here.module
            or here.angle_deg - last.angle_deg >= APART_DEG - 1e-3
        ):
            chosen.append(k)
    return chosen


def _between(defect: F4, views: Sequence[View], served: list[int]) -> F4:
    """Return for each view the mean over nearby simulated views, (views, n_u, n_v)."""
    angle = np.array([view.angle_deg for view in views])
    module = np.array([view.module for view in views])
    apart = np.abs(angle[:, None] - angle[served][None, :]) % 360
    apart = np.minimum(apart, 360 - apart)
    weight = np.exp(-0.5 * (apart / (APART_DEG / 2)) ** 2) + 1e-12
    weight = weight * (module[:, None] == module[served][None, :])
    weight /= weight.sum(axis=1, keepdims=True)
    return np.asarray(np.tensordot(weight, defect, axes=1), np.float32)


def _blurred(rate: F4, sigma_mm: float, scanner: Scanner) -> F4:
    module = scanner.module
    sigma = [0.0, sigma_mm / module.pitch_u_mm, sigma_mm / module.pitch_v_mm]
    return np.asarray(ndimage.gaussian_filter(rate, sigma, mode="nearest", truncate=3.0))
