"""A SPECT run's projections for other programs: all windows, equal steps of the gantry's orbit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hw.arrays import F8, U4
from hw.scanner.geometry import module_poses
from recon.exchange.projections.orbit_views import OrbitViews, chosen_bins, equal_steps
from recon.spect.peaks import SpectError
from recon.spect.run import SpectRun
from recon.spect.views import VIEW_DEG, ViewCounter, ViewSet


def projections_of(
    run: SpectRun,
    *,
    view_deg: float = VIEW_DEG,
    said: Callable[[float], None] = lambda share: None,
) -> OrbitViews:
    """Return the projections of a run; its singles are read once.

    view_deg : width of the bins of angle that become views

    Raises
    ------
    SpectError, ExchangeError
        if the scanner's cameras do not turn about its axis, nobody said their angles, or they do
        not stand at equal steps.
    """
    scanner = run.scanner
    if scanner.motion is None or scanner.motion.kind != "gantry" or scanner.ring.n_rings != 1:
        raise SpectError(
            f"{scanner.name}: DICOM and Interfile hold projections of one ring of cameras that a "
            "gantry turns about the axis. This run's singles are in its singles log "
            "(docs/file-format.md), its image: tomoshibi reconstruct"
        )
    counter = ViewCounter(scanner, len(run.windows), view_deg=view_deg)
    for singles, angles, watermark_ps in run.chunks:
        counter.take(singles, angles, watermark_ps=watermark_ps)
        said(min(1.0, counter.end_ps * 1e-12 / run.end_s) if run.end_s else 0.0)
    counter.end_ps = max(counter.end_ps, round(run.end_s * 1e12))
    found = counter.views(decay=False)
    bins = math.ceil(360 / view_deg)
    seconds, moment, counts = _by_bin(found, scanner.n_modules, bins, view_deg)
    chosen = chosen_bins(seconds.sum(axis=0))
    angle = moment[:, chosen].sum(axis=0) / seconds[:, chosen].sum(axis=0)
    angle += 360.0 * np.cumsum(np.diff(chosen, prepend=chosen[0]) < 0)
    start, step = equal_steps(angle)
    kept = counts[:, :, chosen]
    _, axes = module_poses(scanner)
    collimator, module = scanner.collimator, scanner.module
    return OrbitViews(
        windows=run.windows,
        head_deg=tuple(round(math.degrees(math.atan2(w[1], w[0])), 6) for w in axes[:, 2]),
        start_deg=start,
        step_deg=step,
        angle_deg=angle,
        seconds=seconds[:, chosen],
        counts=kept,
        pitch_mm=(module.pitch_u_mm, module.pitch_v_mm),
        radius_mm=scanner.bore_mm,
        collimator=collimator.name if collimator else "",
        left_out=counter.placed + counter.without_angle - int(kept.sum(dtype=np.int64)),
    )


def _by_bin(found: ViewSet, heads: int, bins: int, view_deg: float) -> tuple[F8, F8, U4]:
    """Return seconds and seconds · degrees of each head and bin, and counts (windows, heads, bins,
    n_u, n_v)."""
    seconds, moment = np.zeros((heads, bins)), np.zeros((heads, bins))
    windows, _, n_u, n_v = found.counts.shape
    counts = np.zeros((windows, heads, bins, n_u, n_v), np.uint32)
    for number, view in enumerate(found.views):
        place = view.module, round(view.angle_deg / view_deg) % bins
        seconds[place] += view.seconds
        moment[place] += view.seconds * view.angle_deg
        counts[:, *place] += found.counts[:, number].astype(np.uint32)
    return seconds, moment, counts
