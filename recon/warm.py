"""Compiles every kernel of reconstruction, in one process, with the types used live."""

from __future__ import annotations

import numpy as np

from coincidence.events import COINCIDENCE
from hw.scanner import load_scanner
from recon.events import EventList
from recon.grid import ImageGrid
from recon.projector import Projector
from recon.system import ReconSystem
from recon.tof import TofModel


def warm_kernels() -> None:
    """Run every kernel once on one event; TOF and plain take the same compiled code."""
    system = ReconSystem.of(load_scanner("bench2"))
    events = system.events(np.zeros(1, dtype=COINCIDENCE))
    grid = ImageGrid((4, 4, 4), (1.0, 1.0, 1.0))
    projector = Projector(grid, tof=_TOF if events.lors.has_tof else None, lanes=1)
    image = np.ones(grid.shape, dtype=np.float32)
    values = projector.forward(image, events.lors)
    projector.back(values, events.lors)
    projector.em(image, EventList.plain(events.lors))


_TOF = TofModel(sigma_mm=10.0, bin_mm=1.0)
