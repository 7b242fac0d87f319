"""Reconstruction, live and offline, and its public interface for notebooks and scripts.

    from recon import open_run, reconstruct

    run = open_run("runs/last")
    image = reconstruct(run, iterations=4, psf_fwhm_mm=4.0)
    image.save("brain.nii.gz", formats=("nifti", "dicom"))

The interface is what ``__all__`` lists. Names are loaded on first use, so that importing part of
the room stays cheap. docs/examples/ has a runnable example for each use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recon.core.events import EventList, Lors
    from recon.core.grid import ImageGrid, ReconError
    from recon.live.imager import LiveImager
    from recon.offline.event_blocks import EventBlocks
    from recon.offline.opened_run import Run, open_run
    from recon.offline.options import ReconOptions
    from recon.offline.run_image import RunImage, reconstruct
    from recon.offline.run_model import EventTerms, RunModel
    from recon.projector.operator import LineOperator, Projector
    from recon.spect.run import SpectOptions

__all__ = [
    "EventBlocks",
    "EventList",
    "EventTerms",
    "ImageGrid",
    "LineOperator",
    "LiveImager",
    "Lors",
    "Projector",
    "ReconError",
    "ReconOptions",
    "Run",
    "RunImage",
    "RunModel",
    "SpectOptions",
    "open_run",
    "reconstruct",
]

_HOME = {
    "recon.core.events": ("EventList", "Lors"),
    "recon.core.grid": ("ImageGrid", "ReconError"),
    "recon.live.imager": ("LiveImager",),
    "recon.offline.event_blocks": ("EventBlocks",),
    "recon.offline.opened_run": ("Run", "open_run"),
    "recon.offline.options": ("ReconOptions",),
    "recon.offline.run_image": ("RunImage", "reconstruct"),
    "recon.offline.run_model": ("EventTerms", "RunModel"),
    "recon.projector.operator": ("LineOperator", "Projector"),
    "recon.spect.run": ("SpectOptions",),
}
"""The module of each name; the ``TYPE_CHECKING`` block above tells type checkers the same."""


def __getattr__(name: str) -> object:
    """Load a name of the face when it is first asked for (PEP 562)."""
    for home, names in _HOME.items():
        if name in names:
            found: object = getattr(importlib.import_module(home), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the face beside what is loaded already."""
    return sorted({*globals(), *__all__})
