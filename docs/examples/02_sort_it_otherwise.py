"""Sort a run otherwise: its raw log through the same sorter, with other windows.

The raw log is the record; coincidences are an outcome of it. The number of randoms grows with the
coincidence window, 2τ · S_a · S_b for singles rates S, while trues do not once the window holds the
time resolution: a window can be too narrow and too wide. With the run's own settings the result is
the run's, bit by bit.

    python 02_sort_it_otherwise.py [RUN]
"""

import sys

import numpy as np

from daq.replay.sort_again import changed_settings, resort
from recon import open_run

run = open_run(sys.argv[1] if len(sys.argv) > 1 else "runs/last")

again = resort(run.folder, run.settings)
print(
    f"own settings: {again.counts.prompts} prompts, same bits: {again.hash == run.summary['hash']}"
)

for window_ps in (500, 1000, 2000, 4000):
    settings = changed_settings(run.settings, {"window_ps": window_ps})
    found = resort(run.folder, settings)
    randoms = found.counts.delayeds / settings.delayed_factor
    print(f"τ = {window_ps} ps: {found.counts.prompts} prompts, {randoms:.0f} randoms")

# What is narrower than the run's windows needs no sorting: choose among the prompts.
narrow = sum(
    np.count_nonzero((block["energy_a"] >= 4600) & (block["energy_b"] >= 4600))
    for block in run.prompts()
)
print(f"both photons above 460 keV: {narrow} of {run.prompts().size} prompts")
