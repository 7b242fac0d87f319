"""Own a calibration: find a quantity by a method of your own, and have it applied.

A calibration set holds arrays per crystal or module (``daq.folder.calibration_arrays``) with the
scanner that they are of and where they came from. Here the gains: each crystal's read-out energy of
the 511 keV photopeak, by a mean that is drawn to the peak in a few steps. A set is then applied by
sorting again; ``--calibration FILE`` does so in a run.

    python 10_own_calibration.py [RUN]
"""

import sys
import time
from pathlib import Path

import numpy as np

from daq.folder.calibration_set import SourceRun, Status, new_set, save_set
from daq.replay.sort_again import resort
from recon import open_run

run = open_run(sys.argv[1] if len(sys.argv) > 1 else "runs/last")
n = run.scanner.n_crystals

singles = np.concatenate(list(run.raw_singles()))
crystal, energy_keV = singles["crystal"], singles["energy"] / 10
peak = np.full(n, 511.0)
for width in (0.20, 0.15, 0.12, 0.12, 0.12):  # half width of the window around the peak so far
    near = np.abs(energy_keV / peak[crystal] - 1) < width
    count = np.bincount(crystal[near], minlength=n)
    total = np.bincount(crystal[near], weights=energy_keV[near], minlength=n)
    peak = np.where(count >= 50, total / np.maximum(count, 1), 511.0)

found = np.where(count >= 50, Status.FITTED, Status.NOT_CALIBRATED)
own = new_set(
    "own-gains",
    run.scanner,
    sources=(SourceRun(quantity="gain", run=run.name, raw_hash="", method="mean near 511 keV"),),
    values={"gain": 511.0 / peak},
    statuses={"gain": found},
)
path = save_set(own, Path(f"own-gains-{time.time_ns()}.npz"))  # a set is never overwritten
print(f"{path}: {(found == Status.FITTED).sum()} of {n} crystals, σ {100 * peak.std() / 511:.1f} %")

before, after = resort(run.folder), resort(run.folder, calibration=own)
print(
    f"prompts before {before.counts.prompts} ({before.calibration}), after {after.counts.prompts}"
)
