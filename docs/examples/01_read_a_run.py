"""Read a run: singles, coincidences, what each line is expected to hold, sensitivity.

A run is a folder; ``open_run`` reads of it what you ask for. Events are views of the log's file,
block by block: looking at them copies nothing. In T seconds the line of event i is expected to hold

    ȳ_i = T · ( m_i (A λ)_i + r_i + q_i )

λ emissions per second and voxel, A chords in mm, m everything that multiplies (gain of the crystal
pair, attenuation, normalisation, live share), r randoms and q scatter per second.

    python 01_read_a_run.py [RUN]
"""

import sys

import numpy as np

from recon import ReconError, open_run

run = open_run(sys.argv[1] if len(sys.argv) > 1 else "runs/last")
nuclide = run.nuclide.name if run.nuclide else "no nuclide named"
print(f"{run.name}: {run.scanner.name}, {run.duration_s:.3f} s, {nuclide}")
print(f"window {run.energy_window_keV} keV, image {run.grid.shape} of {run.grid.voxel_mm} mm")

# Coincidences: a loop over the blocks of the file.
prompts, delayeds = run.prompts(), run.delayeds()
energy_keV = np.concatenate([block["energy_a"] for block in prompts]) / 10  # one column, 2 bytes
print(f"{prompts.size} prompts in {len(prompts)} blocks, mean energy {energy_keV.mean():.0f} keV")
print(f"{delayeds.size} delayeds, {delayeds.size / run.settings.delayed_factor:.0f} randoms")
print(f"views of the file, not copies: {not any(block.flags.owndata for block in prompts)}")

# Singles: those in energy windows, where the run has such, or else all, as the modules sent them.
try:
    singles = list(run.singles())
except ReconError:
    singles = list(run.raw_singles())
crystals = np.bincount(np.concatenate([block["crystal"] for block in singles]))
print(f"{sum(map(len, singles))} singles, busiest crystal {crystals.argmax()}")

# What is expected of each event, in the order of the prompts.
model = run.model()
terms = model.terms(prompts.concatenate())  # here it is one array: a copy of 32 bytes an event
print(f"applied: {', '.join(k for k, on in model.corrections.applied().items() if on)}")
print(f"not: {model.corrections.missing()}")
print(f"gain {terms.gain.mean():.3g} /mm, attenuation {terms.attenuation.mean():.3f}")
print(f"normalisation {terms.normalisation.mean():.3f}, live share {terms.live_share.mean():.3f}")
print(f"randoms {terms.randoms.mean():.3g} /s, scatter {terms.scatter.mean():.3g} /s a line")
print(f"addend (r + q) / m: {terms.addend.shape}, mean {terms.addend.mean():.3g}")
print(f"sensitivity {model.sensitivity.shape}, at most {100 * model.sensitivity.max():.2f} %")
