"""Against GATE 10: the reconstructed point source lies where it was simulated."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from hw.scanner.geometry import build_geometry, crystal_at
from hw.scanner.preset_file import load_scanner
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import reconstruct
from recon.offline.run_data import RunData


def records_of_true_pairs(path: Path) -> np.ndarray:
    """Return one record per decay of which two blocks got 350 to 650 keV (singles by truth)."""
    scanner = load_scanner("caremibrain")
    geometry = build_geometry(scanner)
    with np.load(path) as data:
        # 15 % at 511 keV, as sqrt of energy; the file's energies are not blurred
        rng = np.random.default_rng(0)
        energy = data["E_keV"] + rng.normal(size=len(data["E_keV"])) * 0.15 / 2.3548 * np.sqrt(
            511.0 * data["E_keV"]
        )
        window = (energy >= 350) & (energy <= 650)
        event, block, xyz = (data[key][window] for key in ("event", "block", "xyz_mm"))
    order = np.argsort(event, kind="stable")
    event, block, xyz = event[order], block[order].astype(np.int64), xyz[order]
    _, first, number = np.unique(event, return_index=True, return_counts=True)
    one = first[number == 2]
    two = one + 1
    allowed = geometry.allowed_pairs[block[one], block[two]]
    one, two = one[allowed], two[allowed]
    crystal, doi = crystal_at(scanner, geometry, block, xyz)
    swap = crystal[one] > crystal[two]
    a, b = np.where(swap, two, one), np.where(swap, one, two)
    records = np.zeros(len(a), dtype=COINCIDENCE)
    records["crystal_a"], records["crystal_b"] = crystal[a], crystal[b]
    records["doi_a"], records["doi_b"] = doi[a], doi[b]
    records["time_ps"] = np.arange(len(records)) * 10**6
    return records


@pytest.mark.reference_data
def test_point_source_lies_within_half_a_voxel_of_the_centre(
    reference_data: Path,
) -> None:
    path = reference_data / "gate" / "point_center_2e5decays_singles.npz"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    records = records_of_true_pairs(path)
    assert len(records) == pytest.approx(0.1286 * 2e5, rel=0.03)
    scanner = load_scanner("caremibrain")
    coarse = msgspec.structs.replace(scanner.image, shape=(55, 55, 39), voxel_mm=(4.0, 4.0, 4.0))
    scanner = msgspec.structs.replace(scanner, image=coarse)
    data = RunData.of_records(records, scanner=scanner)
    image = reconstruct(data, ReconOptions(iterations=2, subsets=4)).image
    peak = np.unravel_index(image.argmax(), image.shape)
    near = tuple(slice(k - 3, k + 4) for k in peak)
    weights = image[near]
    for axis, (k, n, size) in enumerate(
        zip(peak, image.shape, scanner.image.voxel_mm, strict=True)
    ):
        place = (np.arange(k - 3, k + 4) - (n - 1) / 2) * size
        centroid = np.average(place, weights=weights.sum(axis=tuple({0, 1, 2} - {axis})))
        assert abs(centroid) < 1.0  # half a voxel of the preset's, a quarter of these
