"""Scatter under a photopeak, view by view, from the windows beside it: an additive term for EM.

Triple energy windows (TEW; K. Ogawa et al., IEEE Trans. Med. Imaging 10 (1991) 408): the trapezium
between the windows below and above,

    T = (C_low / w_low + C_high / w_high) · w_peak / 2.

Its windows also hold some of the peak's own unscattered photons, f for each one in the peak's
window (energy resolution, lost charge; :mod:`recon.spect.crystal`). With F = Σ f · w_peak / 2w that
share is subtracted:

    S = T − F · (C_peak − S)    ⟹    S = (T − F · C_peak) / (1 − F)

For NaI at 140 keV F is 0.064: plain TEW mistakes 6 % of the primaries for scatter. If there is only
a window below (dual window, R. J. Jaszczak et al., J. Nucl. Med. 25 (1984) 893) the height above is
0. All three counts are smoothed first, over the view and over neighbouring angles of the same
camera: scatter is smooth, but noise would enter the image. S is not negative.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from hw.arrays import F4
from hw.physics.constants import FWHM_PER_SIGMA
from hw.scanner.description import Scanner
from recon.spect.peaks import Peak, ScatterWindow, SpectError
from recon.spect.views import ViewSet

ScatterMethod = Literal["tew", "dew", "none"]
SMOOTH_FWHM_MM = 12.0
SMOOTH_SIGMA_DEG = 4.0
"""As little as noise allows: 25 mm and 8° spread a hot sphere's scatter over its surroundings, and
leave 1.3 % too much in a sphere of 60 mm (benchmarks/recon_spect.py's head, 400 MBq)."""


def usable_method(peaks: tuple[Peak, ...], asked: str) -> tuple[ScatterMethod, str]:
    """Return the method that the run's windows allow, and a note if it is another.

    asked : ``tew``, ``dew`` or ``none`` is mandatory; ``auto``: the best one possible

    Raises
    ------
    SpectError
        if the run lacks the windows of the requested method.
    """
    if asked == "none":
        return "none", "switched off"
    lacking = [peak.name for peak in peaks if not any(w.below for w in peak.scatter)]
    if not lacking:
        return ("dew" if asked == "dew" else "tew"), ""
    words = (
        f"{lacking[0]} has no scatter window below it in this run: scatter cannot be estimated "
        "from energies. Record with --spect NUCLIDE, or sort the raw log again with it"
    )
    if asked != "auto":
        raise SpectError(words)
    return "none", words


def scatter_counts(
    views: ViewSet, peak: Peak, scanner: Scanner, method: ScatterMethod, defect: F4 | None = None
) -> F4:
    """Return the scatter expected in each pixel of each view, (views, n_u, n_v) float32.

    Parameters
    ----------
    views : the counts of all windows
    peak : the photopeak that the scatter lies under
    scanner : the preset
    method : ``tew``, ``dew`` or ``none``
    defect : (views, n_u, n_v), counts that the windows miss (:mod:`recon.spect.scatter_trial`)
    """
    nothing = np.zeros(views.counts.shape[1:], np.float32)
    if method == "none":
        return nothing
    exposure = np.array([view.exposure_s for view in views.views])
    spread = _neighbours(views)
    rate, spill = np.zeros(views.counts.shape[1:]), 0.0
    for factor, window in chosen_windows(peak, method):
        rate += factor * _smooth(views.counts[window.number], exposure, spread, scanner)
        spill += factor * window.spill
    peak_rate = _smooth(views.counts[peak.number], exposure, spread, scanner)
    estimate = (rate - spill * peak_rate) / max(0.05, 1.0 - spill) * exposure[:, None, None]
    if defect is not None:
        estimate += defect
    return np.asarray(np.clip(estimate, 0.0, peak_rate * exposure[:, None, None]), np.float32)


def chosen_windows(peak: Peak, method: ScatterMethod) -> list[tuple[float, ScatterWindow]]:
    """Return the windows that a method uses, and the factor on each one's counts."""
    chosen = [w for w in peak.scatter if w.below or method == "tew"]
    width = {low: sum(w.width_keV for w in chosen if w.below == low) for low in (True, False)}
    return [(peak.width_keV / 2 / width[w.below], w) for w in chosen]


def _neighbours(views: ViewSet) -> npt.NDArray[np.float64]:
    """Return the weight of each view in each smoothed one, (views, views)."""
    angle = np.array([view.angle_deg for view in views.views])
    module = np.array([view.module for view in views.views])
    apart = np.abs(angle[:, None] - angle[None, :]) % 360.0
    apart = np.minimum(apart, 360.0 - apart)
    near = np.exp(-0.5 * (apart / SMOOTH_SIGMA_DEG) ** 2)
    return np.asarray(near * (module[:, None] == module[None, :]))


def _smooth(
    counts: F4, exposure: npt.NDArray[np.float64], spread: npt.NDArray[np.float64], scanner: Scanner
) -> npt.NDArray[np.float64]:
    """Return smoothed counts per second of exposure, (views, n_u, n_v)."""
    module = scanner.module
    sigma = [SMOOTH_FWHM_MM / FWHM_PER_SIGMA / p for p in (module.pitch_u_mm, module.pitch_v_mm)]
    wide = np.tensordot(spread, counts.astype(np.float64), axes=1)
    rate = wide / np.maximum(spread @ exposure, 1e-9)[:, None, None]
    return np.asarray(ndimage.gaussian_filter(rate, [0, *sigma], mode="nearest", truncate=3.0))
