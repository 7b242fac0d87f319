"""Scatter correction against the truth of emulated runs: figures and pictures of the docs.

    python benchmarks/recon_scatter.py RUN [RUN …] [--images docs/images] [--json]

A run needs its truth: emulate with ``--truth``, then ``tomoshibi truth RUN``. For each run an image
is made with scatter corrected, then the estimates (single-scatter simulation with tail fit; by
energies) are laid beside the true scatter: the amount, and profiles over the distance of lines
from the axis, their angle to the transaxial plane and, with time of flight, the offset.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daq import listmode
from daq.blocks import BlockKind
from daq.listmode import ListmodeReader
from daq.resort import run_config
from daq.truth_join import CLASSES
from recon.grid import Image, ReconError
from recon.line_model import LineModel
from recon.mu_map import load_mu_map
from recon.osem import osem
from recon.projector import Projector
from recon.randoms import CrystalRandoms, fan_counts
from recon.scatter import (
    EnergyScatter,
    EnergyWindow,
    ScatterRate,
    SingleScatter,
    estimate_energy_scatter,
    estimate_scatter,
)
from recon.scatter.spectra import scattered_energies
from recon.sensitivity import support_mask
from recon.sensitivity_cache import cached_sensitivity
from recon.sensitivity_lines import sampled_lines
from recon.system import ReconSystem

F8 = npt.NDArray[np.float64]
