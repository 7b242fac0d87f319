"""A run as it lies on the disk after it was closed: two modules, 0.2 s."""

from __future__ import annotations

from pathlib import Path

from daq.folder.listing.manifest import write_manifest
from daq.folder.run_config import RunConfig
from daq.service.run import Run
from rigs.frames_factory import sent_run

FRAMES = sent_run(n_modules=2, crystals_per_module=64, periods=40)


def store_run(config: RunConfig, root: Path) -> Path:
    """Record a run of ``bench2`` in ``root``, close it, and return its folder."""
    config.run_tag = FRAMES.report.run_tag
    run = Run(config, root)
    for k in range(0, len(FRAMES.frames), 8):
        run.process(FRAMES.frames[k : k + 8])
    run.reports.append(FRAMES.report)
    run.finish()
    run.write_summary()
    write_manifest(run.folder)
    return run.folder
