"""Against GATE 10: with all corrections a uniform cylinder of water is seen as uniform."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest

import recon.offline.scatter_step
from hw.scanner.preset_file import load_scanner
from recon.core.grid import Image, ImageGrid
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import Reconstruction, reconstruct
from recon.offline.run_data import RunData
from recon.scatter import ScatterOptions, SingleScatter
from rigs.scatter_gate import GateRun, gate_run

RINGS_MM = 85 * np.sqrt(np.arange(5) / 4)
"""Four rings of equal area, 15 mm from the edge."""

NOISE = np.array([0.056, 0.068, 0.031, 0.024])
"""Of the rings' means: standard deviation over images of the 6,904 trues, drawn again."""


def rings_of(image: Image, grid: ImageGrid) -> np.ndarray:
    """Return the means of the rings over 120 mm length, relative to their mean."""
    x, y, z = grid.axes_mm()
    radius = np.hypot(x, y)[:, :, 0]
    disc = image[:, :, np.abs(z.ravel()) <= 60].mean(axis=2)
    number = np.digitize(radius, RINGS_MM) - 1
    means = np.array([disc[number == ring].mean() for ring in range(4)])
    return np.asarray(means / means.mean())


@pytest.fixture
def run(reference_data: Path) -> GateRun:
    """200 ms: 13,955 prompts, of which 6,531 scattered and 520 random, and 476 delayeds."""
    path = reference_data / "gate" / "watercyl20cm_2MBq_200ms_singles.npz"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return gate_run(path, load_scanner("caremibrain"), lld_keV=350.0, uld_keV=650.0)


def reconstructed(run: GateRun, *, corrected: bool) -> Reconstruction:
    """Reconstruct in voxels of 4 mm, with everything that is known or with nothing."""
    scanner = load_scanner("caremibrain")
    coarse = msgspec.structs.replace(scanner.image, shape=(55, 55, 39), voxel_mm=(4.0, 4.0, 4.0))
    scanner = msgspec.structs.replace(scanner, image=coarse)
    x, y, z = ImageGrid(coarse.shape, coarse.voxel_mm).axes_mm()
    water = (np.hypot(x, y) <= 100) & (np.abs(z) <= 78)
    data = RunData.of_records(
        run.prompts,
        run.delayeds if corrected else None,
        scanner=scanner,
        duration_s=run.duration_s,
        mu_map=np.where(water, 0.0096, 0).astype(np.float32) if corrected else None,
    )
    options = ReconOptions(iterations=3, subsets=4, psf_fwhm_mm=6.0, decay=False, threads=1)
    return reconstruct(data, options)


@pytest.mark.reference_data
def test_gates_cylinder_is_uniform_with_all_corrections(
    run: GateRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    # coarser than a user's: points and cells within 4 % (test_recon_scatter_simulation.py), chains
    # within 1 %
    few = ScatterOptions(spacing_mm=28.0, cell_mm=10.0, chains=10_000)
    coarse = partial(SingleScatter, options=few)
    monkeypatch.setattr(recon.offline.scatter_step, "SingleScatter", coarse)
    made = reconstructed(run, corrected=True)
    about = made.metadata["corrections"]
    for name in ("attenuation", "randoms", "scatter"):
        assert about[name]["applied"], name
    # 10 % of the scatter: its fit's own error and that of 476 delayeds
    assert about["scatter"]["share_of_prompts"] == pytest.approx(6531 / 13955, rel=0.1)
    # 2 sigma of the delayeds and of the randoms themselves
    assert about["randoms"]["randoms_per_s"] * run.duration_s == pytest.approx(520, abs=2 * 32)
    # 3 % is asked of the image; 200 ms of data cannot tell it closer than noise lets them
    assert (np.abs(rings_of(made.image, made.grid) - 1) <= 0.03 + 3 * NOISE).all()


@pytest.mark.reference_data
def test_gates_cylinder_is_not_uniform_without(run: GateRun) -> None:
    """The same measure sees that corrections are left out."""
    made = reconstructed(run, corrected=False)
    assert (np.abs(rings_of(made.image, made.grid) - 1) > 0.03 + 3 * NOISE).any()
