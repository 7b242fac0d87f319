"""The sensitivity image: against plain Monte Carlo, attenuation, mask, cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recon_oracles import simulated_records

import recon.sensitivity_cache as cache
from hw.scanner import load_scanner
from recon.grid import GridError
from recon.mu_map import MuMapError
from recon.sensitivity import (
    SensitivityStopped,
    attenuation_ratio,
    coarse_grid,
    geometric_sensitivity,
    support_mask,
)
from recon.system import ReconSystem

BRAIN = ReconSystem.of(load_scanner("caremibrain"))
FEW = 300_000
ENOUGH = 1_500_000


MODEL = (BRAIN.detection, BRAIN.geometry, BRAIN.allowed, BRAIN.grid)


@pytest.fixture(scope="module")
def geometric() -> np.ndarray:
    return geometric_sensitivity(*MODEL, samples=ENOUGH)


@pytest.mark.parametrize("point", [(1.0, 1.0, 1.0), (61.0, 31.0, 21.0), (-21.0, 51.0, -57.0)])
def test_equals_the_share_of_pairs_that_are_detected(
    geometric: np.ndarray, point: tuple[float, float, float]
) -> None:
    """Absolute scale: emit pairs from a point, follow both photons into the blocks, count."""
    emitted = 150_000
    spread = np.random.default_rng(1).uniform(-5, 5, (emitted, 3))
    records = simulated_records(BRAIN.scanner, BRAIN.geometry, np.array(point) + spread, seed=7)
    # odd coordinates: the cube of 10 mm around them is one of whole voxels
    corner = np.round((np.array(point) - 5.0 - BRAIN.grid.origin_mm) / 2.0 + 0.5).astype(int)
    near = tuple(slice(i, i + 5) for i in corner)
    assert geometric[near].mean() == pytest.approx(len(records) / emitted, rel=0.02)


def test_attenuation_of_a_sphere_at_its_centre() -> None:
    """All lines through the centre of a sphere cross 2R: exp(-2µR) whatever the geometry."""
    x, y, z = BRAIN.grid.axes_mm()
    mu = np.where(x**2 + y**2 + z**2 < 60.0**2, np.float32(0.0096), np.float32(0))
    ratio = attenuation_ratio(*MODEL, mu, samples=FEW)[54:56, 54:56, 38:40].mean()
    assert ratio == pytest.approx(np.exp(-2 * 0.0096 * 60), rel=0.01)


def test_no_attenuation_leaves_it_as_it_is() -> None:
    ratio = attenuation_ratio(*MODEL, np.zeros(BRAIN.grid.shape, np.float32), samples=50_000)
    seen = BRAIN.grid.cylinder(100.0)
    assert np.allclose(ratio[seen], 1.0, atol=1e-5)


def test_same_samples_give_the_same_image() -> None:
    few = [geometric_sensitivity(*MODEL, samples=FEW) for _ in range(2)]
    assert np.array_equal(*few)


def test_mask_is_the_seen_cylinder(geometric: np.ndarray) -> None:
    mask = support_mask(geometric, BRAIN.grid)
    assert mask[55, 55, 39] and not mask[0, 0, 39]
    assert not support_mask(np.zeros_like(geometric), BRAIN.grid).any()


def test_coarse_grid_covers_the_fine_one() -> None:
    coarse = coarse_grid(BRAIN.grid)
    for n, size, m, fine in zip(
        coarse.shape, coarse.voxel_mm, BRAIN.grid.shape, BRAIN.grid.voxel_mm, strict=True
    ):
        assert size >= 4.0 and n * size >= m * fine


def test_map_of_another_size_is_refused() -> None:
    with pytest.raises(GridError, match="µ map has shape"):
        attenuation_ratio(*MODEL, np.zeros((3, 3, 3), np.float32))


def test_map_in_per_cm_is_refused() -> None:
    with pytest.raises(MuMapError, match="divided by 10"):
        attenuation_ratio(*MODEL, np.full(BRAIN.grid.shape, 0.096, np.float32))


def test_can_be_stopped() -> None:
    with pytest.raises(SensitivityStopped):
        geometric_sensitivity(*MODEL, stopped=lambda: True)


class TestCache:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(cache, "sensitivity_folder", lambda: tmp_path / "sensitivity")
        self.computed = 0

        def compute(*args: object, **options: object) -> np.ndarray:
            self.computed += 1
            return np.full(BRAIN.grid.shape, 0.5, np.float32)

        monkeypatch.setattr(cache, "geometric_sensitivity", compute)
        monkeypatch.setattr(cache, "attenuation_ratio", compute)
        return tmp_path / "sensitivity"

    def get(self, mu: np.ndarray | None = None) -> np.ndarray:
        return cache.cached_sensitivity(
            BRAIN.scanner, BRAIN.geometry, BRAIN.allowed, BRAIN.grid, mu_per_mm=mu
        )

    def test_second_time_comes_from_disk(self) -> None:
        first, second = self.get(), self.get()
        assert self.computed == 1 and np.array_equal(first, second)

    def test_another_map_is_another_image(self) -> None:
        self.get()
        self.get(np.zeros(BRAIN.grid.shape, np.float32))
        assert self.computed == 2  # the geometric image is shared

    def test_torn_file_is_computed_anew(self, folder: Path) -> None:
        self.get()
        for file in folder.iterdir():
            file.write_bytes(file.read_bytes()[:1000])
        self.get()
        assert self.computed == 2

    def test_unwritable_folder_is_no_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setattr(cache, "sensitivity_folder", lambda: tmp_path / "file" / "x")
        assert self.get().any()

    def test_only_the_newest_are_kept(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cache, "KEPT_FILES", 2)
        for level in range(4):
            self.get(np.full(BRAIN.grid.shape, level * 1e-3, np.float32))
        assert len(list(folder.iterdir())) == 2
