"""The daq's state as telemetry for displays: everything the console shows, nothing it must ask."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from coincidence.select import SPECTRUM_BIN_DKEV
from daq.path.decode import STATE_NAMES
from daq.service.run import Run
from hw.messages.codec import Projections
from hw.messages.telemetry import Telemetry

if TYPE_CHECKING:
    from daq.service.service import DaqService


def compose_telemetry(service: DaqService) -> Telemetry:
    """Return the telemetry of this moment."""
    keeper = service.keeper
    run, control = keeper.run, keeper.control
    return Telemetry(
        state=control.state,
        reason=control.reason,
        run=run.name if run else "",
        folder=str(run.folder) if run else "",
        scanner=run.scanner.name if run else "",
        scanner_title=run.scanner.title if run else "",
        source=service.sources.describe(),
        elapsed_s=run.elapsed_s if run else 0.0,
        detector_time_s=run.pipeline.decoder.newest_ps * 1e-12 if run else 0.0,
        duration_s=run.config.duration_s if run else 0.0,
        settings=run.config.settings if run else None,
        rates=run.meter.rates() if run and control.state != "closed" else {},
        counters=_counters(service, run),
        spectrum=_bins(run.pipeline.selector.spectrum if run else None),
        spectrum_bin_keV=SPECTRUM_BIN_DKEV / 10,
        timing=_bins(run.pipeline.timing if run else None),
        timing_delayed=_bins(run.pipeline.timing_delayed if run else None),
        timing_bin_ps=run.pipeline.timing_bin_ps if run else 0.0,
        module_rates=run.module_rates() if run else [],
        module_states=[STATE_NAMES[s] for s in run.pipeline.decoder.line["state"]] if run else [],
        rings=run.scanner.ring.n_rings if run else 0,
        journal=list(keeper.journal.tail),
        wall_ns=time.monotonic_ns(),
        source_lag_s=service.sources.lag_s(),
        disk_free_GB=keeper.disk_free / 1e9,
        condition=run.condition() if run else "good",
        buffers={"singles_held": float(run.pipeline.order.held) if run else 0.0},
        calibration=run.calibration.identity if run and run.calibration else "none",
        uncalibrated=run.config.uncalibrated if run else "",
        module_angles_deg=angles(run) if run else [],
        finishing=_finishing(run) if control.state == "stopping" else 0.0,
        **(_statistics(run) if run and control.state != "closed" else {}),
    )


def compose_projections(service: DaqService) -> Projections | None:
    """Return the run's planar pictures; None where it has none."""
    run = service.keeper.run
    if run is None or run.projections is None:
        return None
    pictures = run.projections.message(
        run.name, wall_ns=time.monotonic_ns(), angles_deg=angles(run)
    )
    pictures.final = service.keeper.control.state == "closed"
    return pictures


def angles(run: Run) -> list[float | None]:
    """Return where each module of a run's scanner stands; [] where it cannot move."""
    return run.pipeline.angles.degrees() if run.pipeline.angles else []


def _finishing(run: Run | None) -> float:
    """Return how far the imager is with the final image."""
    return run.imager.finishing if run is not None and run.imager is not None else 0.0


def _statistics(run: Run) -> dict[str, Any]:
    """Return what is told of the last seconds: randoms by both estimates, live fractions."""
    randoms, live = run.statistics.recent_randoms(), run.statistics.recent_live()
    return {
        "window_rates": run.streams.rates(),
        "randoms": randoms.telemetry() if randoms else {},
        "randoms_alarm": run.randoms_alarm,
        "module_live": live.modules if live else [],
        "pair_live": live.pairs if live else 0.0,
    }


def _counters(service: DaqService, run: Run | None) -> dict[str, int]:
    counters = {"stray_frames": service.stray_frames}
    counters["invalid_messages"] = service.sources.invalid_messages
    counters["journal_write_errors"] = service.keeper.journal.write_errors
    if run is None:
        return counters
    books = run.books()
    counters.update({f"frames.{key}": value for key, value in books.frames().items()})
    counters.update({f"singles.{key}": value for key, value in books.singles().items()})
    counters.update(run.coincidences())
    if run.pipeline.angles:
        counters.update({f"angles.{key}": value for key, value in books.angles().items()})
    counters["imager.undelivered"] = run.undelivered
    counters["bytes"] = run.bytes_written
    return counters


def _bins(histogram: np.ndarray | None) -> bytes:
    return b"" if histogram is None else histogram.astype("<u4").tobytes()
