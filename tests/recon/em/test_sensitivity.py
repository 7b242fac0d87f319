"""The sensitivity image: against plain Monte Carlo, attenuation, mask, cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import recon.em.sensitivity_cache as cache
from hw.physics import block_efficiency
from hw.scanner.preset_file import load_scanner
from oracles.reconstruction import simulated_records
from oracles.sensitivity_full import FullSensitivityError, full_sensitivity
from recon.core.grid import GridError
from recon.core.mu_map import MuMapError
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity import (
    SensitivityRatio,
    SensitivityStopped,
    coarse_grid,
    geometric_sensitivity,
    support_mask,
)
from recon.em.sensitivity_lines import sampled_lines
from recon.lines.normalisation import LiveShare, Normalisation
from recon.projector.operator import Projector

BRAIN = ReconSystem.of(load_scanner("caremibrain"))
FEW = 300_000
ENOUGH = 1_500_000

BENCH = ReconSystem.of(load_scanner("bench2"))


@pytest.fixture(scope="module")
def geometric() -> np.ndarray:
    return geometric_sensitivity(BRAIN, samples=ENOUGH)


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
    ratio = SensitivityRatio(BRAIN, samples=FEW).of(mu_per_mm=mu)[54:56, 54:56, 38:40].mean()
    assert ratio == pytest.approx(np.exp(-2 * 0.0096 * 60), rel=0.01)


def test_no_attenuation_leaves_it_as_it_is() -> None:
    none = np.zeros(BRAIN.grid.shape, np.float32)
    ratio = SensitivityRatio(BRAIN, samples=50_000).of(mu_per_mm=none)
    seen = BRAIN.grid.cylinder(100.0)
    assert np.allclose(ratio[seen], 1.0, atol=1e-5)


def test_same_samples_give_the_same_image() -> None:
    few = [geometric_sensitivity(BRAIN, samples=FEW) for _ in range(2)]
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
        cache.sensitivity(BRAIN, mu_per_mm=np.zeros((3, 3, 3), np.float32))


def test_map_in_per_cm_is_refused() -> None:
    with pytest.raises(MuMapError, match="divided by 10"):
        cache.sensitivity(BRAIN, mu_per_mm=np.full(BRAIN.grid.shape, 0.096, np.float32))


def test_factor_that_is_the_same_everywhere_scales_it() -> None:
    half = LiveShare.of_pairs(np.full((48, 48), 5.0), 10.0, BRAIN.scanner)
    ratio = SensitivityRatio(BRAIN, samples=50_000).of([half])
    assert np.allclose(ratio[BRAIN.grid.cylinder(100.0)], 0.5, atol=1e-5)


def test_module_that_is_blind_takes_its_lines_away() -> None:
    """At the centre only modules face to face see both photons: of the middle ring's 8 pairs one
    is gone, of the outer rings' none. Their shares follow from the image without all that ring."""
    dead = np.ones((3, 16, 1024))
    dead[1, 0] = 0
    ratio = SensitivityRatio(BRAIN, samples=FEW)
    lowered = ratio.of([Normalisation.of_set(dead.reshape(-1), [], [], BRAIN.scanner)])
    dead[1] = 0
    outer = ratio.of([Normalisation.of_set(dead.reshape(-1), [], [], BRAIN.scanner)])
    centre = (slice(53, 57), slice(53, 57), slice(37, 41))
    expected = 1 - (1 - outer[centre].mean()) / 8
    assert lowered[centre].mean() == pytest.approx(expected, abs=0.01)


def test_what_did_not_change_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    ratio = SensitivityRatio(BRAIN, samples=50_000)
    mu = np.full(BRAIN.grid.shape, 0.001, np.float32)
    once = ratio.of(mu_per_mm=mu)
    monkeypatch.setattr(ratio, "_survival", None)  # would fail if it were asked again
    assert np.array_equal(ratio.of(mu_per_mm=mu), once)


def test_sampled_image_agrees_with_the_sum_over_all_lines() -> None:
    """16,384 lines of two modules, with efficiencies and attenuation.

    Crystals of 3.2 mm lie on a comb, which smoothing by 4 mm leaves at 1.6 % rms; the gain in the
    middle of a crystal differs from the mean over its volume by 1 %.
    """
    rng = np.random.default_rng(0)
    efficiency = rng.uniform(0.7, 1.3, BENCH.scanner.n_crystals)
    factors = [Normalisation.of_set(efficiency, [], [], BENCH.scanner)]
    x, y, z = BENCH.grid.axes_mm()
    mu = np.where(x**2 + y**2 + z**2 < 12.0**2, np.float32(0.0096), np.float32(0))
    full = full_sensitivity(BENCH, factors, mu)
    sampled = geometric_sensitivity(BENCH, samples=FEW)
    sampled = sampled * SensitivityRatio(BENCH, samples=FEW).of(factors, mu)
    smooth = [gaussian_filter(image, 4.0 / 2.355) for image in (sampled, full)]
    middle = (slice(8, 24),) * 3
    error = smooth[0][middle] / smooth[1][middle] - 1
    assert abs(error.mean()) < 0.02 and error.std() < 0.025


def test_too_many_lines_for_the_full_sum() -> None:
    with pytest.raises(FullSensitivityError, match="use the sampled"):
        full_sensitivity(BRAIN)


def test_can_be_stopped() -> None:
    with pytest.raises(SensitivityStopped):
        geometric_sensitivity(BRAIN, stopped=lambda: True)


class TestCache:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(cache, "sensitivity_folder", lambda: tmp_path / "sensitivity")
        self.computed = 0

        def compute(*args: object, **options: object) -> np.ndarray:
            self.computed += 1
            return np.full(BRAIN.grid.shape, 0.5, np.float32)

        monkeypatch.setattr(cache, "geometric_sensitivity", compute)

        class Ratio:
            def __init__(self, *args: object, **options: object) -> None:
                self.of = compute

        monkeypatch.setattr(cache, "SensitivityRatio", Ratio)
        return tmp_path / "sensitivity"

    def get(self, mu: np.ndarray | None = None, efficiency: float = 1.0) -> np.ndarray:
        factors = []
        if efficiency != 1.0:
            crystals = np.full(BRAIN.scanner.n_crystals, efficiency)
            factors = [Normalisation.of_set(crystals, [], [], BRAIN.scanner)]
        return cache.sensitivity(BRAIN, factors, mu)

    def test_second_time_comes_from_disk(self) -> None:
        first, second = self.get(), self.get()
        assert self.computed == 1 and np.array_equal(first, second)

    def test_another_map_is_another_image(self) -> None:
        self.get()
        self.get(np.zeros(BRAIN.grid.shape, np.float32))
        assert self.computed == 2  # the geometric image is shared

    def test_another_normalisation_is_another_image(self) -> None:
        for efficiency in (1.0, 0.9, 0.8, 0.9):
            self.get(efficiency=efficiency)
        assert self.computed == 3

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


def test_coincidences_of_nemas_line_are_gates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GATE 10: 14.57 cps/kBq for a line of 700 mm in air on the axis, pairs of unlike blocks."""
    monkeypatch.setenv("TOMOSHIBI_CACHE", str(tmp_path))
    monkeypatch.setattr(block_efficiency, "PHOTONS", 8_000)
    brain = load_scanner("caremibrain")
    system = ReconSystem.of(brain, min_sector_difference=1, energies_keV=(350.0, 650.0))
    x, y, _ = system.grid.axes_mm()
    rod = np.broadcast_to(np.hypot(x, y) < 10, system.grid.shape).astype(np.float32)
    projector = Projector(system.grid, lanes=1)
    seen = sum(
        float(lines.weight @ projector.forward(rod, lines.lors))
        for lines in sampled_lines(system, samples=300_000)
    )
    per_mm = seen / rod[:, :, 0].sum() * system.grid.voxel_mm[2]  # ∫ s dz; beyond the image 0
    # 2 %: 0.7 % of lines that meet the rod, 0.6 % of the block efficiency's photons
    assert per_mm / 700 * 1000 == pytest.approx(14.57, rel=0.02)
