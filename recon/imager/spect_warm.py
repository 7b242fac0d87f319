"""Compiles the kernels of SPECT with the types used live: a handful of singles, one iteration."""

from __future__ import annotations

import msgspec
import numpy as np

from coincidence.events import ANGLE, SINGLE, WINDOW_SHIFT
from hw.physics.energy_windows import spect_windows
from hw.scanner.description import load_scanner
from recon.core.grid import Image
from recon.spect.offline import SpectOptions, SpectRun, reconstruct_spect


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
