"""Crystal efficiencies, block profile and geometric factors of a known source are recovered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from daq.calibration.fan_sums import FanSums, fan_sums_of_run, with_delayeds
from daq.calibration.module_pairs import pair_kinds
from daq.calibration.normalisation_fit import NormalisationResult, calibrate_normalisation
from daq.calibration.normalisation_model import SourceModel, expected_fans, source_model
from daq.calibration.normalisation_source import NormalisationSource
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import Status
from daq.folder.listmode_log import FILE_NAME, ListmodeReader
from daq.folder.run_config import RunConfig
from daq.service.run import Run
from hw.physics import block_efficiency
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from hw.wire.block_layout import BlockKind
from oracles.normalisation_factors import crystal_factor, pair_factor
from oracles.normalisation_truth import (
    Cylinder,
    allowed_pairs,
    draw_pairs,
    fan_sums,
    small_ring,
    thinned,
)
from recon.core.scanner_tables import ReconSystem

BENCH, RING = load_scanner("bench2"), small_ring()
SOURCE = NormalisationSource(radius_mm=15.0, length_mm=40.0, mu_per_mm=0.0096)
BENCH_SOURCE = NormalisationSource(radius_mm=8.0, length_mm=20.0, mu_per_mm=0.0096)


def every_pair(
    scanner: Scanner,
    source: NormalisationSource,
    energies_keV: tuple[float, float] | None = None,
) -> np.ndarray:
    """Return the model's P (n, n): each partner crystal stands as a module of its own."""
    geometry, allowed = build_geometry(scanner), allowed_pairs(scanner)
    model: SourceModel = source_model(
        scanner, geometry, source, allowed=allowed, energies_keV=energies_keV
    )
    n, module = scanner.n_crystals, geometry.crystal_module.astype(np.int64)
    pairs = np.empty((n, n))
    expected_fans(
        model.points, model.depths, np.arange(n), model.partner_points, model.partner_depths,
        np.arange(n), np.ones(n), model.places, model.partner_places,
        geometry.module_axes[module], model.blocks.along_u, model.blocks.along_v,
        allowed[module][:, module], model.mu_per_mm, source.numbers(), pairs,
    )  # fmt: skip
    return (pairs + pairs.T) / 2


def drawn_sums(
    scanner: Scanner,
    source: NormalisationSource,
    epsilon: np.ndarray,
    *,
    trues: float,
    seed: int,
    geometric: np.ndarray | None = None,
    randoms: float = 0.0,
    factor: int = 1,
) -> FanSums:
    """Draw each pair's counts from Poisson's distribution about the component model."""
    rng, each = np.random.default_rng(seed), scanner.crystals_per_module
    mean = every_pair(scanner, source) * np.outer(epsilon, epsilon)
    if geometric is not None:
        mean *= geometric.repeat(each, 0).repeat(each, 1)
    mean = np.triu(mean, 1) * (2 * trues / mean.sum())
    flat = allowed_pairs(scanner).repeat(each, 0).repeat(each, 1)
    chance = np.triu(flat, 1) * (2 * randoms / max(flat.sum(), 1))
    a, b = np.nonzero(np.triu(np.ones_like(mean), 1))
    pairs = np.stack([a, b], axis=1)
    prompts = np.repeat(pairs, rng.poisson((mean + chance)[a, b]), axis=0)
    delayeds = np.repeat(pairs, rng.poisson(factor * chance[a, b]), axis=0)
    return fan_sums(scanner, prompts, delayeds, factor=factor)


def spread(scanner: Scanner, sigma: float, seed: int) -> np.ndarray:
    """Return crystal efficiencies of mean 1."""
    random = np.random.default_rng(seed).standard_normal(scanner.n_crystals)
    value = np.clip(1 + sigma * random, 0.2, 1.8)
    return value / value.mean()


def found_of(sums: FanSums, scanner: Scanner, source: NormalisationSource) -> NormalisationResult:
    return calibrate_normalisation(sums, scanner, source, allowed=allowed_pairs(scanner))


def error_within_modules(found: NormalisationResult, truth: np.ndarray, modules: int) -> np.ndarray:
    """Return found over true ε less 1, (modules, crystals), each module's mean taken off: two
    modules that only see each other tell the product of their efficiencies, not which has what."""
    ratio = (crystal_factor(found) / truth).reshape(modules, -1)
    return ratio / ratio.mean(axis=1, keepdims=True) - 1


@pytest.mark.parametrize("randoms", [0.0, 0.5])
def test_efficiencies_are_recovered_as_well_as_counts_allow(randoms: float) -> None:
    truth = spread(BENCH, 0.2, 1)
    sums = drawn_sums(BENCH, BENCH_SOURCE, truth, trues=2e6, seed=2, randoms=randoms * 2e6,
                      factor=2)  # fmt: skip
    found = found_of(sums, BENCH, BENCH_SOURCE)
    error = error_within_modules(found, truth, 2).ravel()
    assert (found.status == Status.FITTED).all()
    assert np.sqrt(np.mean(error**2)) < 1.2 * np.sqrt(np.mean(found.error**2))
    assert np.mean((error / found.error) ** 2) == pytest.approx(1.0, abs=0.4)  # χ² of 128
    assert found.error.mean() < 0.012
    assert found.trues == pytest.approx(2e6, rel=0.005)


def test_no_place_in_the_block_is_biased_by_half_a_percent() -> None:
    truth = spread(BENCH, 0.2, 3)
    found = found_of(drawn_sums(BENCH, BENCH_SOURCE, truth, trues=8e6, seed=4), BENCH, BENCH_SOURCE)
    error = error_within_modules(found, truth, 2).reshape(2, 8, 8)
    edge = np.ones((8, 8), bool)
    edge[1:-1, 1:-1] = False
    for part in (error[:, edge], error[:, ~edge], error[:, :4], error[:, 4:], error[:, :, 4:]):
        assert abs(part.mean()) < 0.005


def test_geometric_factors_of_the_kinds_of_pairs_are_recovered() -> None:
    truth, kinds = spread(RING, 0.15, 5), pair_kinds(RING, allowed_pairs(RING))
    factors = np.random.default_rng(6).uniform(0.7, 1.3, kinds.max() + 1)
    geometric = np.where(kinds >= 0, factors[kinds], 1.0)
    sums = drawn_sums(RING, SOURCE, truth, trues=4e6, seed=7, geometric=geometric)
    found = found_of(sums, RING, SOURCE)
    # what belongs to a module and what to its pairs is a convention; their product is not
    a, b = np.nonzero(np.triu(every_pair(RING, SOURCE), 1))
    wanted = truth[a] * truth[b] * geometric[a // 16, b // 16]
    got = pair_factor(a, b, efficiency=found.efficiency, block_profile=found.block_profile,
                      geometric=found.geometric)  # fmt: skip
    ratio = got / wanted / np.mean(got / wanted)
    for kind in np.unique(kinds[a // 16, b // 16][sums.pair_trues[a // 16, b // 16] > 1e4]):
        of_kind = kinds[a // 16, b // 16] == kind
        # one standard error of the least of them
        assert np.mean(ratio[of_kind]) == pytest.approx(1.0, abs=0.01)
    assert found.pair_chi2_before > 20 > 2 > found.pair_chi2_after
    # each module's fan is left as modelled, so a module's own efficiency is in its crystals
    assert (found.geometric == found.geometric.T).all()


def test_blocks_lower_the_model_as_they_lower_the_reconstructions_gains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both divide by the same efficiency, or a normalised image would hold it twice or not."""
    monkeypatch.setenv("TOMOSHIBI_CACHE", str(tmp_path))
    monkeypatch.setattr(block_efficiency, "PHOTONS", 8_000)
    plain, lowered = every_pair(BENCH, BENCH_SOURCE), every_pair(BENCH, BENCH_SOURCE, (350, 650))
    a, b = (k.ravel() for k in np.meshgrid(np.arange(64), 64 + np.arange(64)))
    lines = np.zeros(len(a), dtype=COINCIDENCE)
    lines["crystal_a"], lines["crystal_b"] = a, b
    gains = [
        system.detection.locate(lines, voxel_volume_mm3=1.0).gain
        for system in (ReconSystem.of(BENCH), ReconSystem.of(BENCH, energies_keV=(350, 650)))
    ]
    lit = plain[a, b] > 0.1 * plain.max()  # the source fills the crystals' line well
    ratio = lowered[a, b][lit] / plain[a, b][lit] * (gains[0] / gains[1])[lit]
    # points all over a crystal against its middle, with tables that know each place to 2 %
    assert np.abs(ratio.mean() - 1) < 0.01
    assert ratio.std() < 0.03


def test_the_source_model_agrees_with_a_plain_monte_carlo_of_the_bench() -> None:
    pairs = draw_pairs(BENCH, Cylinder(8.0, 20.0, 0.0096), decays=1_500_000, seed=1, slope=0.39)
    truth = spread(BENCH, 0.1, 2)
    found = found_of(fan_sums(BENCH, thinned(pairs, BENCH, truth, seed=3)), BENCH, BENCH_SOURCE)
    error = error_within_modules(found, truth, 2)
    assert np.mean((error.ravel() / found.error) ** 2) == pytest.approx(1.0, abs=0.5)
    profile = error.reshape(2, 8, 8)
    assert np.mean(profile[:, [0, 7]]) == pytest.approx(0.0, abs=0.01)
    assert np.mean(profile[:, 2:6, 2:6]) == pytest.approx(0.0, abs=0.01)


def test_the_source_model_agrees_with_a_plain_monte_carlo_of_a_ring() -> None:
    """Oblique lines, lines through two blocks, lines through the gaps, two rings."""
    pairs = draw_pairs(RING, Cylinder(15.0, 40.0, 0.0096), decays=500_000, seed=4, slope=0.56)
    sums = fan_sums(RING, thinned(pairs, RING, np.ones(RING.n_crystals), seed=5))
    found = found_of(sums, RING, SOURCE)
    kinds = pair_kinds(RING, allowed_pairs(RING))
    seen = np.unique(kinds[found.geometric_fitted])
    assert len(seen) >= 4
    for kind in seen:
        assert found.geometric[kinds == kind].mean() == pytest.approx(1.0, abs=0.06)
    assert found.block_profile.std() < 0.03
    assert found.pair_chi2_before < 2.5


def test_a_source_off_centre_that_was_not_told_shows_in_chi2() -> None:
    moved = NormalisationSource(radius_mm=15, length_mm=40, mu_per_mm=0.0096, position_mm=(4, 0, 0))
    sums = drawn_sums(RING, moved, np.ones(RING.n_crystals), trues=1e6, seed=8)
    assert found_of(sums, RING, moved).pair_chi2_after < 2
    assert found_of(sums, RING, SOURCE).pair_chi2_after > 5


def test_dead_crystals_and_silent_modules() -> None:
    truth = spread(RING, 0.1, 9)
    truth[[5, 77]] = 0.0  # dead
    truth[32:48] = 0.0  # a module without counts
    found = found_of(drawn_sums(RING, SOURCE, truth, trues=1e6, seed=10), RING, SOURCE)
    np.testing.assert_allclose(crystal_factor(found)[[5, 77]], 0.0, atol=1e-9)
    assert (found.status[[5, 77]] == Status.FITTED).all(), "zero is what was measured"
    assert (found.status[32:48] == Status.SCANNER).all()
    assert found.efficiency[32] == pytest.approx(found.efficiency[truth > 0].mean(), rel=0.05)
    alive = np.flatnonzero(truth)
    assert np.std((crystal_factor(found) / truth.clip(0.1))[alive]) < 0.03


def test_thin_crystals_take_the_mean_of_their_modules_counts() -> None:
    by_module = np.random.default_rng(13).uniform(0.6, 1.4, 16)
    truth = spread(RING, 0.02, 14) * by_module.repeat(16)
    found = found_of(drawn_sums(RING, SOURCE, truth, trues=1.1e4, seed=1), RING, SOURCE)
    few = (found.status == Status.MODULE).reshape(16, 16)
    assert few.all(axis=1).any(), "modules without any crystal of enough counts"
    assert not few.all()
    efficiency = found.efficiency.reshape(16, 16)
    for module in np.flatnonzero(few.any(axis=1)):
        values = efficiency[module][few[module]]
        assert np.ptp(values) < 1e-12, "the module's mean, at the block profile of its place"
    ratio = crystal_factor(found).reshape(16, 16).mean(axis=1) / by_module
    # some 1400 counts a module are 2.7 %; opposite modules' errors go against each other
    assert np.std(ratio / ratio.mean()) < 0.08


def test_the_block_profile_is_found_though_no_crystal_counts_enough() -> None:
    profile = np.full((4, 4), 1.1)
    profile[[0, -1]], profile[:, [0, -1]] = 0.9, 0.9
    profile /= profile.mean()
    truth = np.tile(profile.ravel(), 16)
    found = found_of(drawn_sums(RING, SOURCE, truth, trues=1e4, seed=15), RING, SOURCE)
    thin = (found.status == Status.MODULE).reshape(16, 16)
    assert thin.mean() > 0.6
    # some 1250 counts at each place of the block are 2.8 %
    np.testing.assert_allclose(found.block_profile, profile.ravel(), atol=4 * 0.028)
    edge = profile.ravel() < 1.0
    ratio = found.block_profile[edge].mean() / found.block_profile[~edge].mean()
    assert ratio == pytest.approx(0.9 / 1.1, abs=4 * 0.016)


def test_the_model_is_finer_for_small_scanners_and_bounded_for_large_ones() -> None:
    lines = []
    for scanner, most in ((BENCH, 160_000_000), (load_scanner("caremibrain"), 160_000_000)):
        model = source_model(scanner, build_geometry(scanner), NormalisationSource(),
                             allowed=allowed_pairs(scanner))  # fmt: skip
        lines.append(model.lines)
        assert model.lines <= most
        assert np.bincount(model.group_of).sum() == scanner.n_crystals
    assert model.points.nbytes + model.partner_points.nbytes < 2_000_000
    assert lines[0] > 1_000_000


def test_groups_of_partners_give_the_fans_of_single_partners() -> None:
    scanner = load_scanner("tof_brain")
    geometry, allowed = build_geometry(scanner), allowed_pairs(scanner)
    source = NormalisationSource(radius_mm=100, length_mm=150, mu_per_mm=0.0096)
    some = np.arange(0, scanner.n_crystals, 50)
    fans = []
    for most in (50_000_000, 12_000_000):
        model = source_model(scanner, geometry, source, allowed=allowed, most_lines=most)
        part = SourceModel(**{**model.__dict__, "points": model.points[some]})
        fans.append(_fans_of(part, some))
    ratio = fans[1] / fans[0]
    assert (ratio / ratio.mean()).std() < 0.005


def _fans_of(model: SourceModel, crystals: np.ndarray) -> np.ndarray:
    geometry = model.geometry
    fans = np.empty((len(crystals), len(model.allowed)))
    expected_fans(
        model.points, model.depths,
        geometry.crystal_module[crystals].astype(np.int64), model.partner_points,
        model.partner_depths, model.partner_module,
        np.bincount(model.group_of).astype(float),
        model.places[crystals], model.partner_places, np.ascontiguousarray(geometry.module_axes),
        model.blocks.along_u, model.blocks.along_v, model.allowed, model.mu_per_mm,
        model.source.numbers(), fans,
    )  # fmt: skip
    return fans.sum(axis=1)


def test_a_hollow_cylinder_and_a_box_are_sources_too() -> None:
    hollow = NormalisationSource(radius_mm=12, inner_radius_mm=10, length_mm=20)
    plane = NormalisationSource(shape="box", size_mm=(2, 22, 22))
    for source in (hollow, plane):
        truth = spread(BENCH, 0.2, 11)
        found = found_of(drawn_sums(BENCH, source, truth, trues=1e6, seed=12), BENCH, source)
        assert np.std(error_within_modules(found, truth, 2).ravel() / found.error) < 1.25
    whole, inner = (
        every_pair(BENCH, NormalisationSource(radius_mm=r, length_mm=20)) for r in (12, 10)
    )
    np.testing.assert_allclose(every_pair(BENCH, hollow), whole - inner, atol=1e-9 * whole.max())


def test_pair_factors_are_products_and_empty_components_are_one() -> None:
    efficiency = np.array([1.0, 2.0, 3.0, 4.0])
    a, b = np.array([0, 1]), np.array([2, 3])
    empty = np.empty(0)
    plain = pair_factor(a, b, efficiency=efficiency, block_profile=empty,
                        geometric=np.empty((0, 0)))  # fmt: skip
    assert plain.tolist() == [3.0, 8.0]
    full = pair_factor(a, b, efficiency=efficiency, block_profile=np.array([0.5, 1.0]),
                       geometric=np.array([[1.0, 3.0], [3.0, 1.0]]))  # fmt: skip
    assert full.tolist() == [3.0 * 0.25 * 3.0, 8.0 * 3.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"radius_mm": 0.0}, "radius is 0 mm"),
        ({"length_mm": float("nan")}, "length is nan mm"),
        ({"inner_radius_mm": 100.0}, "inner radius is 100 mm"),
        ({"mu_per_mm": 1.0}, "attenuation is 1/mm"),
        ({"shape": "box", "size_mm": (1.0, -1.0, 1.0)}, "y size is -1 mm"),
    ],
)
def test_impossible_sources_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(CalibrationSetError, match=message):
        NormalisationSource(**values)  # type: ignore[arg-type]


def test_too_few_coincidences_and_another_scanner_are_refused() -> None:
    few = drawn_sums(RING, SOURCE, np.ones(RING.n_crystals), trues=500, seed=1)
    with pytest.raises(CalibrationSetError, match="at least 10000"):
        found_of(few, RING, SOURCE)
    with pytest.raises(CalibrationSetError, match="bench2 has 128 in 2"):
        found_of(few, BENCH, BENCH_SOURCE)
    far = NormalisationSource(radius_mm=2, length_mm=2, position_mm=(40, 0, 0))
    many = drawn_sums(RING, SOURCE, np.ones(RING.n_crystals), trues=2e4, seed=1)
    with pytest.raises(CalibrationSetError, match="correct its shape, size or position"):
        found_of(many, RING, far)


def test_fan_sums_of_a_run_are_those_of_its_list_mode_log(
    make_config: Callable[..., RunConfig], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from rigs.frames_factory import sent_run

    sent = sent_run(n_modules=2, crystals_per_module=64, singles_per_frame=2000, periods=4)
    run = Run(make_config(name="fans"), tmp_path_factory.mktemp("fans"))
    run.start()
    run.process(sent.frames)
    run.finish()
    run.write_summary()
    sums = fan_sums_of_run(run.folder)
    log = ListmodeReader(run.folder / FILE_NAME)
    for kind, fans, table in (
        (BlockKind.PROMPTS, sums.prompts, sums.pair_prompts),
        (BlockKind.DELAYEDS, sums.delayeds, sums.pair_delayeds),
    ):
        records = log.read_all(kind)
        both = np.concatenate([records["crystal_a"], records["crystal_b"]])
        np.testing.assert_array_equal(fans, np.bincount(both, minlength=128))
        assert table[0, 1] == table[1, 0] == len(records)
    assert sums.prompts.sum() > 0


def test_a_run_without_a_delayed_window_is_given_one(
    make_config: Callable[..., RunConfig],
) -> None:
    settings = make_config().settings
    assert with_delayeds(settings, BENCH) is settings
    none = msgspec.structs.replace(settings, delay_ps=0)
    assert with_delayeds(none, BENCH).delay_ps == BENCH.acquisition.delay_ps
    wide = msgspec.structs.replace(none, window_ps=200_000)
    assert with_delayeds(wide, BENCH).delay_ps == 600_000, "above twice the window"
