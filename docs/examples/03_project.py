"""Project: the operator A along lines of events, or along lines of your own.

(A x)_i = Σ_j a_ij x_j with chords a_ij in mm (Joseph's method; with time of flight, the part in the
event's time bin). Forward and back projection read the same rays, so that <A x, y> = <x, Aᵀ y> to
rounding. Names are those of parallelproj: ``A(x)``, ``A.adjoint(y)``.

    python 03_project.py [RUN]
"""

import sys

import numpy as np

from recon import Lors, Projector, open_run

run = open_run(sys.argv[1] if len(sys.argv) > 1 else "runs/last")
rng = np.random.default_rng(1)
x = rng.random(run.grid.shape, dtype=np.float32)

# Along the lines of the run's events. Here only geometry is wanted: the corrections are left out.
model = run.model(attenuation="none", scatter="none", randoms=False, block_efficiency=False)
events = model.events()
A = model.projector(threads=2).along(events)
y = rng.random(A.out_shape, dtype=np.float32)
left, right = np.vdot(A(x).astype("f8"), y), np.vdot(x.astype("f8"), A.adjoint(y))
print(f"{A.out_shape[0]} lines of events: <A x, y> / <x, Aᵀ y> - 1 = {left / right - 1:.1e}")

# Along lines of your own, (n, 3) float32 mm from end to end: a fan across the field of view.
angle = np.linspace(0, np.pi, 180, endpoint=False)
radius = max(run.grid.shape[0] * run.grid.voxel_mm[0], 200.0)
end = radius * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
lines = Lors((-end).astype(np.float32), end.astype(np.float32))
B = Projector(run.grid).along(lines)
uniform = np.ones(B.in_shape, dtype=np.float32)
chords = B(uniform)
width = run.grid.shape[0] * run.grid.voxel_mm[0]
print(f"chord through the grid at 0°: {chords[0]:.1f} mm, grid is {width:.1f} mm wide")
