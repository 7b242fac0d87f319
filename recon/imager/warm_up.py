"""Compiles the kernels of reconstruction with the types used live: of one use each, or all."""

from __future__ import annotations

import time

import msgspec
import numpy as np

from coincidence.events import ANGLE, COINCIDENCE, SINGLE, WINDOW_SHIFT
from hw.physics.block_efficiency import warm_blocks
from hw.physics.cascades import PhotonPair
from hw.physics.energy_windows import spect_windows
from hw.scanner.preset_file import load_scanner
from recon.core.events import EventList
from recon.core.grid import Image, ImageGrid
from recon.core.radial_resolution import RadialResolution
from recon.core.scanner_tables import ReconSystem
from recon.core.tof import TofModel
from recon.em.event_store import EventStore
from recon.em.penalised import neighbours, relative_differences
from recon.exchange.petsird.time_blocks import warm_petsird
from recon.lines.normalisation import Normalisation
from recon.lines.randoms import CrystalRandoms
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from recon.offline.motion import MovingLineModel, PoseStream
from recon.projector.event_order import order_for_cache
from recon.projector.operator import Projector
from recon.scatter.cascades import PromptGammas
from recon.scatter.detector import EnergyWindow
from recon.scatter.rate import ScatterRate
from recon.scatter.simulation import ScatterOptions, SingleScatter
from recon.spect.offline import reconstruct_spect
from recon.spect.run import SpectOptions, SpectRun


def warm_scatter(system: ReconSystem) -> None:
    """Simulate the scatter of a small object."""
    matter = np.full(system.grid.shape, 0.01, dtype=np.float32)
    coarse = ScatterOptions(spacing_mm=60.0, per_side=1, cell_mm=30.0)
    window = EnergyWindow.of(system.scanner)
    simulation = SingleScatter(system, matter, window, options=coarse)
    rate = ScatterRate(system, simulation.table(matter))
    one = np.zeros(1, dtype=COINCIDENCE)
    rate.of_records(one, system.detection.locate(one, voxel_volume_mm3=1.0))


def warm_spect() -> None:
    """Reconstruct a few singles, from counts and as a list."""
    scanner = load_scanner("gamma_head_lehr")
    image = msgspec.structs.replace(scanner.image, shape=(4, 4, 4), voxel_mm=(16.0, 16.0, 16.0))
    small = msgspec.structs.replace(scanner, image=image)
    singles, angles = np.zeros(4, SINGLE), np.zeros(2, ANGLE)
    singles["time_ps"], singles["flags"], singles["crystal"] = 10**9, 2 << WINDOW_SHIFT, 2080
    angles["time_ps"] = [0, 10**9]
    mu: Image = np.full((4, 4, 4), 0.01, np.float32)
    run = SpectRun(small, spect_windows("Tc-99m"), [(singles, angles, 10**10)], mu)
    for list_mode in (False, True):
        options = SpectOptions(iterations=1, subsets=1, list_mode=list_mode)
        reconstruct_spect(run, options)


def warm_kernels() -> None:
    """Run every kernel once on one event; TOF and plain take the same compiled code."""
    warm_live()
    warm_live_scatter()
    warm_prompt_gamma()
    warm_offline()
    warm_petsird()
    warm_spect()


def warm_live() -> None:
    """Make a live image of one event, and what its sensitivity and the final image need."""
    system = _system()
    warm_blocks(system.scanner, system.geometry)
    events = _warm_lines(system)
    _warm_live(system)
    projector = _projector(events)
    values = projector.forward(np.ones(_GRID.shape, dtype=np.float32), events.lors)
    projector.back(values, events.lors)
    order_for_cache(events.lors)
    _warm_prior(_GRID)


def warm_live_scatter() -> None:
    """Estimate scatter as a live run with a µ map does."""
    warm_scatter(_system())


def warm_prompt_gamma() -> None:
    """Follow a few photons that come together, for nuclides that have such."""
    system, pair = _system(), PhotonPair(511.0, 600.0, 1.0)
    matter = np.full(system.grid.shape, 0.01, dtype=np.float32)
    PromptGammas.of(system, matter, EnergyWindow.of(system.scanner), [pair], chains=8).rate(matter)


def warm_offline() -> None:
    """Run the kernels of offline reconstruction that a live run has no need of."""
    events = _warm_lines(_system())
    projector = _projector(events)
    projector.em(np.ones(_GRID.shape, dtype=np.float32), EventList.plain(events.lors))
    _warm_algorithms(_GRID, events)
    _warm_prior(_GRID)


def _system() -> ReconSystem:
    return ReconSystem.of(load_scanner("bench2"))


def _warm_lines(system: ReconSystem) -> EventList:
    """Compute normalisation and randoms of one line."""
    scanner = system.scanner
    one = np.ones(scanner.n_crystals)
    factor = Normalisation.of_set(one, [], [], scanner)
    randoms = CrystalRandoms.of_delayeds(one, system, duration_s=1.0, delayed_factor=1)
    factor.of_lines(np.zeros(1, np.int64), np.ones(1, np.int64))
    poses = PoseStream(np.zeros((1, 7)))
    model = MovingLineModel(system, [factor], [randoms], poses=poses)
    return model.events(np.zeros(1, dtype=COINCIDENCE))


def _warm_algorithms(grid: ImageGrid, events: EventList) -> None:
    """Store events; blur an image of ones."""
    EventStore.build([EventList.plain(events.lors)], subsets=1).close()
    image = np.ones(grid.shape, dtype=np.float32)
    width = np.ones(grid.shape[:2])
    blur = RadialResolution(grid, radial_mm=width, tangential_mm=width, axial_mm=0.0)
    blur.adjoint(blur.apply(image))


def _warm_prior(grid: ImageGrid) -> None:
    """Penalise an image of ones."""
    image = np.ones(grid.shape, dtype=np.float32)
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


def _projector(events: EventList) -> Projector:
    return Projector(_GRID, tof=_TOF if events.lors.has_tof else None, lanes=1)


_GRID = ImageGrid((4, 4, 4), (1.0, 1.0, 1.0))
_TOF = TofModel(sigma_mm=10.0, bin_mm=1.0)
