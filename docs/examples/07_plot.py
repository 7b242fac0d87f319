"""Plot: spectrum, times of flight, image and sensitivity on one page, with matplotlib.

python 07_plot.py [RUN]
"""

import sys

import matplotlib as mpl

mpl.use("Agg")  # into a file; leave this line out in a notebook
import matplotlib.pyplot as plt
import numpy as np

from recon import open_run, reconstruct

run = open_run(sys.argv[1] if len(sys.argv) > 1 else "runs/last")
image = reconstruct(run, iterations=3, post_filter_fwhm_mm=4, scatter="none")  # to be quick
sensitivity = run.model(scatter="none").sensitivity

energy_keV, tof_ps = np.zeros(700, int), np.zeros(100, int)
for block in run.prompts():  # view by view: no list of events in memory
    for side in ("energy_a", "energy_b"):
        energy_keV += np.histogram(block[side] / 10, bins=700, range=(0, 700))[0]
    tof_ps += np.histogram(block["tof_ps"], bins=100, range=(-2000, 2000))[0]

figure, axes = plt.subplots(2, 2, figsize=(9, 8), layout="constrained")
axes[0, 0].stairs(energy_keV, np.linspace(0, 700, 701), fill=True)
axes[0, 0].set(title="prompts", xlabel="energy (keV)", xlim=(300, 700))
axes[0, 1].stairs(tof_ps, np.linspace(-2000, 2000, 101), fill=True)
axes[0, 1].set(title="prompts", xlabel="t_b − t_a (ps)")

middle = run.grid.shape[2] // 2
x, y = (run.grid.shape[k] * run.grid.voxel_mm[k] / 2 for k in range(2))
for axis, values, title in (
    (axes[1, 0], image.image, image.unit),
    (axes[1, 1], sensitivity, "sensitivity"),
):
    slice_xy = values[:, :, middle].T
    shown = axis.imshow(slice_xy, origin="lower", cmap="gray_r", extent=(-x, x, -y, y))
    axis.set(title=title, xlabel="x (mm)", ylabel="y (mm)")
    figure.colorbar(shown, ax=axis)
figure.savefig("example.png", dpi=120)
print(f"written example.png: {energy_keV.sum() // 2} prompts, slice {middle}")
