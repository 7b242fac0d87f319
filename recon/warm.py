"""Compiles every kernel of reconstruction, in one process, with the types used live."""

from __future__ import annotations

import time

import numpy as np

from coincidence.events import COINCIDENCE
from hw.scanner import load_scanner
from recon.events import EventList
from recon.exchange.petsird_kernels import warm_petsird
from recon.grid import ImageGrid
from recon.live import LiveImager
from recon.live_lines import CrystalLines
from recon.prior import neighbours, relative_differences
from recon.projector import Projector
from recon.radial_resolution import RadialResolution
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
    _warm_algorithms(grid)
    _warm_live(system)
    warm_petsird()


def _warm_algorithms(grid: ImageGrid) -> None:
    """Blur and penalise an image of ones."""
    image = np.ones(grid.shape, dtype=np.float32)
    width = np.ones(grid.shape[:2])
    blur = RadialResolution(grid, radial_mm=width, tangential_mm=width, axial_mm=0.0)
    blur.adjoint(blur.apply(image))
    out = (np.zeros_like(image), np.zeros_like(image), np.zeros(1))
    one = np.float32(1.0)
    relative_differences(image, image, *neighbours(grid), one, one, one, *out)


def _warm_live(system: ReconSystem) -> None:
    """Make a live image of one event."""
    sensitivity = np.ones(system.grid.shape, dtype=np.float32)
    clock = time.monotonic
    imager = LiveImager(CrystalLines(system), sensitivity, clock=clock, capacity=8, frame_s=1.0)
    one = np.zeros(1, dtype=COINCIDENCE)
    one["crystal_b"] = system.scanner.n_crystals - 1
    imager.receive(one, one, watermark_ps=10**9)
    imager.update(budget_s=0.01)
    imager.close()


_TOF = TofModel(sigma_mm=10.0, bin_mm=1.0)
