"""The metadata of a SPECT image: how it was made, and which corrections were applied."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from recon.spect.peaks import Peak
from recon.spect.scatter import ScatterMethod
from recon.spect.views import ViewCounter, ViewSet

if TYPE_CHECKING:
    from recon.spect.run import SpectOptions, SpectRun

UNIT = "Bq/mL"


def about_run(
    run: SpectRun, views: ViewSet, peaks: tuple[Peak, ...],
    scatter: dict[str, npt.NDArray[np.float32]], counter: ViewCounter, options: SpectOptions,
    attenuated: bool, method: ScatterMethod,
) -> dict[str, Any]:  # fmt: skip
    """Return the facts about the image of a run.

    Parameters
    ----------
    run : what is known of the run
    views : the views and their counts
    peaks : the photopeaks that were reconstructed from
    scatter : by peak, the counts of scatter expected in each pixel of each view, (views, n_u, n_v)
    counter : sorted the singles; knows their time and those left out
    options : of the reconstruction
    attenuated : whether attenuation was corrected
    method : how scatter was estimated
    """
    counts = {peak.name: int(views.counts[peak.number].sum()) for peak in peaks}
    share = {p.name: float(scatter[p.name].sum()) / max(counts[p.name], 1) for p in peaks}
    collimator = run.scanner.collimator
    assert collimator is not None
    return {
        "modality": "SPECT",
        "created": run.start.isoformat() if run.start else "",
        "hash": run.hash,
        **run.identity.as_metadata(),
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
    """Return each correction, whether it was applied, and how.

    Parameters
    ----------
    run : what is known of the run
    peaks : the photopeaks that were reconstructed from
    options : of the reconstruction
    attenuated : whether attenuation was corrected
    method : how scatter was estimated
    share : by peak, scatter over all counts
    """
    energies = ", ".join(f"{peak.energy_keV:.0f}" for peak in peaks)
    shares = ", ".join(f"{100 * part:.0f} %" for part in share.values())
    live = options.dead_time and run.live_share is not None
    measured = options.sensitivity_cps_per_MBq is not None
    how = {
        "decay": (options.decay, f"each view to the run's start, {peaks[0].nuclide}"),
        "dead_time": (live, "views' times by the modules' live share"),
        "randoms": (False, "single photons have none"),
        "normalisation": (False, "crystals are assumed equal"),
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


def _normals(views: ViewSet) -> list[float]:
    """Return the cameras' viewing directions: the first, the step, how many; 0° is +x."""
    found = sorted({round(math.degrees(math.atan2(v.w[1], v.w[0])) % 360, 1) for v in views.views})
    step = float(np.median(np.diff(found))) if len(found) > 1 else 0.0
    return [found[0], round(step, 3), len(found)]
