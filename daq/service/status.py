"""The daq's state as telemetry for displays: everything that the console shows, unasked."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from coincidence.select import SPECTRUM_BIN_DKEV
from daq.service.data_sources import Sources
from daq.service.run import Run
from daq.service.run_life import RunLife
from daq.service.watching.run_ends import counted, noise_percent
from daq.service.watching.silence import states_shown
from hw.messages.patient_position import UNKNOWN
from hw.messages.pictures import Projections
from hw.messages.telemetry import Telemetry

MOST_INTERRUPTIONS = 20


def compose_telemetry(life: RunLife, sources: Sources, *, stray_frames: int) -> Telemetry:
    """Return the current telemetry.

    stray_frames : data frames that came while no run was open
    """
    run = life.run
    return Telemetry(
        state=life.state,
        reason=life.reason,
        reason_id=life.told.id if life.told else "",
        reason_values=life.told.values if life.told else {},
        run=run.name if run else "",
        folder=str(run.folder) if run else "",
        scanner=run.scanner.name if run else "",
        scanner_title=run.scanner.title if run else "",
        source=sources.describe(),
        elapsed_s=run.elapsed_s if run else 0.0,
        detector_time_s=run.newest_ps * 1e-12 if run else 0.0,
        duration_s=run.config.duration_s if run else 0.0,
        settings=run.config.settings if run else None,
        rates=run.takers.rates.now() if run and life.state != "closed" else {},
        counters=_counters(life, sources, stray_frames),
        spectrum=_bins(run.pipeline.spectrum if run else None),
        spectrum_bin_keV=SPECTRUM_BIN_DKEV / 10,
        timing=_bins(run.takers.pairs.timing if run else None),
        timing_delayed=_bins(run.takers.pairs.timing_delayed if run else None),
        timing_bin_ps=run.takers.pairs.timing_bin_ps if run else 0.0,
        module_rates=run.takers.rates.of_modules() if run else [],
        module_states=states_shown(run, heard=life.hears) if run else [],
        rings=run.scanner.ring.n_rings if run else 0,
        journal=list(life.journal.tail),
        wall_ns=time.monotonic_ns(),
        source_lag_s=sources.lag_s(),
        disk_free_GB=life.disk_free / 1e9,
        condition=run.condition() if run else "good",
        buffers=_buffers(run),
        calibration=run.calibration.identity if run and run.calibration else "none",
        uncalibrated=run.config.uncalibrated if run else "",
        module_angles_deg=run.pipeline.module_angles_deg if run else [],
        finishing=_finishing(run) if life.state == "stopping" else 0.0,
        checks=life.checks(),
        patient_position=run.config.patient_position if run else UNKNOWN,
        interruptions=run.interruptions.all[-MOST_INTERRUPTIONS:] if run else [],
        silent=life.silent() if run and life.state == "running" else {},
        alarms=life.alarms.shown(),
        alarms_hidden=life.alarms.not_shown,
        **_plan(life),
        **(_statistics(run) if run and life.state != "closed" else {}),
    )


def _plan(life: RunLife) -> dict[str, Any]:
    """Return by what protocol the run is taken, what ends it, and how far it is."""
    run = life.run
    config = run.config if run else life.template
    if config is None:
        return {}
    return {
        "protocol": config.protocol.label if config.protocol else "",
        "orbit": config.orbit,
        "until": config.until,
        "counted": counted(run) if run else 0,
        "noise_percent": noise_percent(run) if run else 0.0,
    }


def compose_projections(life: RunLife) -> Projections | None:
    """Return the run's planar pictures; None if it has none."""
    run = life.run
    if run is None or run.takers.projections is None:
        return None
    pictures = run.takers.projections.message(
        run.name, wall_ns=time.monotonic_ns(), angles_deg=run.pipeline.module_angles_deg
    )
    pictures.final = life.state == "closed"
    return pictures


def _finishing(run: Run | None) -> float:
    """Return how far the imager is with the final image."""
    return run.imager.finishing if run is not None and run.imager is not None else 0.0


def _statistics(run: Run) -> dict[str, Any]:
    """Return the statistics of the last seconds: randoms by both estimates, and live fractions."""
    statistics = run.takers.statistics
    randoms, live = statistics.recent_randoms(), statistics.recent_live()
    return {
        "window_rates": run.takers.streams.rates(),
        "randoms": randoms.telemetry() if randoms else {},
        "randoms_alarm": run.randoms_alarm,
        "module_live": live.modules if live else [],
        "pair_live": live.pairs if live else 0.0,
    }


def _buffers(run: Run | None) -> dict[str, float]:
    """Return what waits: singles for the horizon, and what is recorded and not sorted yet."""
    if run is None:
        return {}
    behind_ps = run.newest_ps - run.pipeline.newest_ps if run.backlog else 0
    return {
        "singles_held": float(run.pipeline.held),
        "not_on_disk_bytes": float(max(run.bytes_written - run.disk.synced_bytes, 0)),
        "unsorted_bytes": float(run.backlog.bytes),
        "unsorted_s": max(behind_ps, 0) * 1e-12,
        "image_share": run.load.image_share,
    }


def _counters(life: RunLife, sources: Sources, stray_frames: int) -> dict[str, int]:
    return {
        "stray_frames": stray_frames,
        "invalid_messages": sources.invalid_messages,
        "journal_write_errors": life.journal.write_errors,
        **(life.run.counters() if life.run else {}),
    }


def _bins(histogram: np.ndarray | None) -> bytes:
    return b"" if histogram is None else histogram.astype("<u4").tobytes()
