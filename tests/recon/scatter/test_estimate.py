"""The amount of scatter: from tails, from energies, in numbers that are drawn and known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from hw.scanner.preset_file import load_scanner
from recon.core.scanner_tables import ReconSystem
from recon.lines.model import LineModel
from recon.lines.randoms import CrystalRandoms, fan_counts
from recon.live.scatter_job import check_certain
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import reconstruct
from recon.offline.run_data import RunData
from recon.projector.operator import Projector
from recon.scatter import (
    EnergyWindow,
    ScatterError,
    ScatterOptions,
    ScatterRate,
    SingleScatter,
    estimate_energy_scatter,
    estimate_scatter,
)
from recon.scatter.estimate import reaches_beyond
from recon.scatter.rate import settled
from recon.scatter.spectra import Spectra, scattered_energies, spectra
from recon.scatter.tails import solve
from rigs.scatter_gate import gate_run

RADIUS_MM, MU = 8.0, 0.04
MULTIPLE = 1.4  # what single scatter is multiplied by in the drawn counts
SECONDS = 1.0


@pytest.fixture(scope="module")
def system() -> ReconSystem:
    """Two faces of 60 mm: wide enough for lines that miss a ball of 8 mm and its margin."""
    bench = load_scanner("bench2")
    module = msgspec.structs.replace(bench.module, width_mm=60.0, height_mm=60.0)
    image = msgspec.structs.replace(bench.image, voxel_mm=(2.0, 2.0, 2.0))
    return ReconSystem.of(msgspec.structs.replace(bench, module=module, image=image))


@pytest.fixture(scope="module")
def ball(system: ReconSystem) -> np.ndarray:
    x, y, z = system.grid.axes_mm()
    return np.asarray(x**2 + y**2 + z**2 < RADIUS_MM**2, dtype=np.float32)


@pytest.fixture(scope="module")
def simulation(system: ReconSystem, ball: np.ndarray) -> SingleScatter:
    fine = ScatterOptions(spacing_mm=3.0, per_side=3, cell_mm=2.0)
    return SingleScatter(
        system, ball * np.float32(MU), EnergyWindow.of(system.scanner), options=fine
    )


@pytest.fixture(scope="module")
def activity(ball: np.ndarray) -> np.ndarray:
    return np.asarray(ball * (3e6 / ball.sum()), dtype=np.float32)


@pytest.fixture(scope="module")
def prompts(system: ReconSystem, simulation: SingleScatter, activity: np.ndarray) -> np.ndarray:
    """Every line's counts drawn from trues and MULTIPLE · single scatter, no randoms."""
    each = system.scanner.crystals_per_module
    a, b = (k.ravel() for k in np.meshgrid(np.arange(each), each + np.arange(each)))
    lines = np.zeros(len(a), dtype=COINCIDENCE)
    lines["crystal_a"], lines["crystal_b"] = a, b
    located = system.detection.locate(lines, voxel_volume_mm3=system.grid.voxel_volume_mm3)
    projector = Projector(system.grid, lanes=1)
    through = np.exp(-projector.forward(simulation.mu, located.lors))
    trues = located.gain * through * projector.forward(activity, located.lors)
    scatter = MULTIPLE * ScatterRate(system, simulation.table(activity)).of_lines(a, b)
    rng = np.random.default_rng(5)
    counts = rng.poisson((trues + scatter) * SECONDS)
    assert 50_000 < counts.sum() < 300_000
    records = np.repeat(lines, counts)
    depth_mm = system.detection.doi_depth_mm.astype(np.float64)
    share = np.exp(-system.detection.mu_per_mm * depth_mm)
    for name in ("doi_a", "doi_b"):
        records[name] = rng.choice(len(share), size=len(records), p=share / share.sum())
    return records


def test_scale_is_found_in_the_tails(
    system: ReconSystem, simulation: SingleScatter, activity: np.ndarray, prompts: np.ndarray
) -> None:
    for brighter in (1.0, 2.0):  # the image's own scale does not matter
        rate = estimate_scatter(
            LineModel(system), activity * np.float32(brighter), simulation.mu,
            np.array_split(prompts, 3), duration_s=SECONDS, simulation=simulation,
        )  # fmt: skip
        assert rate.about["scale_from"] == "tails"
        # 2.5 standard errors of counting: some 900 prompts in the tails
        assert rate.scale * brighter == pytest.approx(MULTIPLE, rel=0.08)
        assert 0.09 < rate.about["scale_sigma"] / rate.scale < 0.11
        assert rate.about["tail_prompts"] > 500


def test_the_simulations_own_scale_counts_where_all_of_the_object_is_in_the_image(
    system: ReconSystem, simulation: SingleScatter, activity: np.ndarray, prompts: np.ndarray
) -> None:
    longer = simulation.mu.copy()
    longer[:] = longer.max(axis=2, keepdims=True)  # to both ends of the image and beyond
    known = {"duration_s": SECONDS, "simulation": simulation}
    first = estimate_scatter(LineModel(system), activity, simulation.mu, [prompts], **known)
    for mu, source in ((simulation.mu, "tails, simulation"), (longer, "tails")):
        again = estimate_scatter(
            LineModel(system), activity, mu, [prompts], previous=first, **known
        )
        assert again.about["scale_from"] == source
        assert reaches_beyond(mu) is (mu is longer)


def test_factors_lower_scatter_as_they_lower_trues(
    system: ReconSystem, simulation: SingleScatter, activity: np.ndarray, prompts: np.ndarray
) -> None:
    class Half:
        content_hash = "half"

        def of_records(self, records: np.ndarray) -> np.ndarray:
            return np.full(len(records), 0.5, np.float32)

        def of_lines(self, crystal_a: np.ndarray, crystal_b: np.ndarray) -> np.ndarray:
            return np.full(len(crystal_a), 0.5, np.float32)

    plain, half = (
        estimate_scatter(
            LineModel(system, factors), activity, simulation.mu, [prompts],
            duration_s=SECONDS, simulation=simulation,
        )
        for factors in ([], [Half()])
    )  # fmt: skip
    located = system.detection.locate(prompts[:50], voxel_volume_mm3=1.0)
    # half the efficiency, twice the scale: the tails ask for the same counts
    np.testing.assert_allclose(
        half.of_records(prompts[:50], located), plain.of_records(prompts[:50], located), rtol=1e-3
    )
    assert half.about["scatter_per_s"] == pytest.approx(plain.about["scatter_per_s"], rel=1e-3)


def test_without_counts_the_scale_is_one_and_says_so(
    system: ReconSystem, simulation: SingleScatter, activity: np.ndarray, prompts: np.ndarray
) -> None:
    longer = simulation.mu.copy()
    longer[:] = longer.max(axis=2, keepdims=True)  # to both ends of the image and beyond
    for mu, records in ((simulation.mu, []), (longer, [prompts[:10]])):
        rate = estimate_scatter(
            LineModel(system), activity, mu, records,
            duration_s=SECONDS, simulation=simulation,
        )  # fmt: skip
        assert rate.scale == 1.0
        assert rate.about["scale_from"] == "none"
        assert "the amount is the simulation's" in rate.about["note"]


def test_nothing_to_scatter_is_no_scatter(system: ReconSystem, activity: np.ndarray) -> None:
    record = np.zeros(1, dtype=COINCIDENCE)
    record["crystal_b"] = 64
    located = system.detection.locate(record, voxel_volume_mm3=1.0)
    for image, mu, word in (
        (activity, activity * 0, "µ map is empty"),
        (activity * 0, np.minimum(activity, MU), "no activity"),
    ):
        rate = estimate_scatter(LineModel(system), image, mu, [record], duration_s=SECONDS)
        assert word in rate.about["note"]
        assert rate.of_records(record, located) == 0
    for seconds in (0.0, math.nan):
        with pytest.raises(ScatterError, match="duration"):
            estimate_scatter(LineModel(system), activity, activity * 0, duration_s=seconds)


def test_a_hostile_tail_is_held_within_bounds(
    system: ReconSystem, simulation: SingleScatter, activity: np.ndarray, prompts: np.ndarray
) -> None:
    rate = estimate_scatter(
        LineModel(system), activity * np.float32(1e-2), simulation.mu, [prompts],
        duration_s=SECONDS, simulation=simulation,
    )  # fmt: skip
    assert rate.scale == 4.0
    assert "held at" in rate.about["note"]
    with pytest.raises(ScatterError, match=r"known within 25\.0 % only.*look at the µ map"):
        check_certain(rate)  # a live image leaves it out


def test_likeliest_scale_of_drawn_counts() -> None:
    rng = np.random.default_rng(1)
    scatter, random = rng.uniform(0, 4, 2000), rng.uniform(0, 2, 2000)
    fit = solve(rng.poisson(1.3 * scatter + random).astype(float), scatter, random)
    assert fit.scale == pytest.approx(1.3, abs=4 * 1.3 * fit.relative_error)
    assert 0.01 < fit.relative_error < 0.03
    assert solve(np.zeros(5), np.zeros(5), np.zeros(5)).relative_error == math.inf
    assert solve(np.ones(5), np.ones(5), np.full(5, 2.0)).relative_error == math.inf


def test_each_estimate_is_of_the_mean_with_the_one_before(
    system: ReconSystem, simulation: SingleScatter, activity: np.ndarray
) -> None:
    table = simulation.table(activity)
    first = ScatterRate(system, table, scale=1.5, activity=activity)
    other = np.roll(activity, 2, axis=0) * np.float32(3.0)
    np.testing.assert_allclose(settled(other, first), (other + 1.5 * activity) / 2, rtol=1e-5)
    assert settled(other, None) is other


def test_the_amount_of_scatter_does_not_swing_over_rounds(
    system: ReconSystem, simulation: SingleScatter, activity: np.ndarray
) -> None:
    """As in a cylinder of 20 cm: scatter is 0.84 of the trues, and the image is what it leaves."""
    over_trues = 0.84
    right = ScatterRate(system, simulation.table(activity)).total_per_s
    middle = np.zeros(4000, dtype=COINCIDENCE)  # lines through the ball: no tails
    middle["crystal_a"], middle["crystal_b"] = 27, system.scanner.crystals_per_module + 27
    seconds = len(middle) / (right + right / over_trues)
    found, shares = None, []
    for _ in range(4):
        before = 0.0 if found is None else found.total_per_s / right
        image = activity * np.float32(1.0 + over_trues - over_trues * before)
        found = estimate_scatter(
            LineModel(system), image, simulation.mu, [middle], duration_s=seconds,
            simulation=simulation, previous=found,
        )  # fmt: skip
        shares.append(found.total_per_s / right)
    assert shares == pytest.approx([1.0] * 4, abs=0.01)
    assert found is not None and found.about["scale_from"] == "simulation"
    assert found.about["scale_sigma"] / found.scale == pytest.approx(0.05, rel=0.01)


def drawn_energies(real: Spectra) -> np.ndarray:
    """Return records of one line: 60,000 trues, 30,000 single and 6,000 multiple scatter."""
    rng = np.random.default_rng(2)
    drawn = [
        rng.choice(template.size, number, p=template.ravel())
        for template, number in (
            (real.of_trues(), 60_000),
            (real.of_single(), 30_000),
            (real.of_multiple(), 6_000),
        )
    ]
    middle = (real.edges_keV[1:] + real.edges_keV[:-1]) / 2
    bin_a, bin_b = np.divmod(np.concatenate(drawn), len(real.trues))
    records = np.zeros(len(bin_a), dtype=COINCIDENCE)
    records["crystal_b"] = 64
    records["energy_a"], records["energy_b"] = middle[bin_a] * 10, middle[bin_b] * 10
    return records


def test_energies_of_a_peak_too_wide_give_way_to_the_simulation(
    simulation: SingleScatter, activity: np.ndarray
) -> None:
    arriving = scattered_energies(simulation, activity)
    wide = drawn_energies(spectra(simulation, arriving, fwhm_511=0.18, gain=1.0))  # 0.12 by design
    bench = load_scanner("bench2")  # whose sensitivity other tests make, too
    x, y, z = ReconSystem.of(bench).grid.axes_mm()
    mu = np.where(x**2 + y**2 + z**2 < RADIUS_MM**2, np.float32(MU), np.float32(0))
    data = RunData.of_records(wide[::20], scanner=bench, duration_s=SECONDS, mu_map=mu)
    found = reconstruct(data, ReconOptions(iterations=1, subsets=1, scatter="energy"))
    scatter = found.metadata["corrections"]["scatter"]
    assert scatter["applied"]
    assert "calibrate energies" in scatter["how"]
    assert "scatter = energy was asked for" in scatter["how"]
    assert scatter["scale_from"] in ("tails", "none")
    assert np.isfinite(found.image).all()


def test_energies_tell_the_amount_that_was_drawn(
    system: ReconSystem, simulation: SingleScatter, activity: np.ndarray
) -> None:
    arriving = scattered_energies(simulation, activity)
    real = spectra(simulation, arriving, fwhm_511=0.13, gain=1.01)  # not the preset's 0.12 and 1
    records, bins = drawn_energies(real), len(real.trues)
    found = estimate_energy_scatter(
        LineModel(system), activity, simulation.mu, [records],
        duration_s=SECONDS, simulation=simulation,
    )  # fmt: skip
    mixture = found.mixture
    assert mixture.spectra.gain == pytest.approx(1.01, abs=0.003)
    assert mixture.spectra.fwhm_511 == pytest.approx(0.13, rel=0.04)
    # the fit's own error at these counts is 3 %; the spectra are those that were drawn from
    assert mixture.scatter == pytest.approx(36_000, rel=0.1)
    assert found.plain.total_per_s * SECONDS == pytest.approx(mixture.scatter, rel=1e-3)
    # weighted with trues, the relative chance of scatter is that of scatter: means are equal
    ratio = mixture.scatter_over_trues()
    assert (ratio * mixture.spectra.of_trues()).sum() == pytest.approx(1.0)
    low, peak = int(0.05 * bins), int(np.argmax(real.trues))
    assert ratio[low, low] > 20 * ratio[peak, peak]
    located = system.detection.locate(records[:4], voxel_volume_mm3=1.0)
    outside = records[:4].copy()
    outside["energy_a"] = [0, 65535, 3000, 6600]
    np.testing.assert_array_equal(found.scatter.of_records(outside, located), 0.0)
    assert (found.scatter.of_records(records[:4], located) > 0).all()
    with pytest.raises(ScatterError, match="at least 2000"):
        estimate_energy_scatter(
            LineModel(system), activity, simulation.mu, [records[:100]],
            duration_s=SECONDS, simulation=simulation,
        )  # fmt: skip


@pytest.mark.reference_data
def test_scatter_fraction_of_gates_cylinder(reference_data: Path) -> None:
    path = reference_data / "gate" / "watercyl20cm_2MBq_200ms_singles.npz"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    scanner = load_scanner("caremibrain")
    system = ReconSystem.of(scanner)
    run = gate_run(path, scanner, lld_keV=350.0, uld_keV=650.0)
    x, y, z = system.grid.axes_mm()
    water = np.asarray((np.hypot(x, y) <= 100) & (np.abs(z) <= 78), dtype=np.float32)
    randoms = CrystalRandoms.of_delayeds(
        fan_counts(run.delayeds, scanner.n_crystals), system,
        duration_s=run.duration_s, delayed_factor=1,
    )  # fmt: skip
    # 60 % of randoms' error is the delayeds' own: 476 of them
    assert len(run.delayeds) == pytest.approx(run.random.sum(), abs=4 * math.sqrt(1000))
    simulation = SingleScatter(
        system, water * np.float32(0.0096), EnergyWindow.of(scanner),
        options=ScatterOptions(spacing_mm=28.0, cell_mm=10.0, chains=10_000),
    )  # fmt: skip
    arguments = {"duration_s": run.duration_s, "randoms": randoms, "simulation": simulation}
    model, image = LineModel(system), np.asarray(water * (1e6 / water.sum()), dtype=np.float32)
    simulated = estimate_scatter(model, image, simulation.mu, [run.prompts], **arguments)
    energies = estimate_energy_scatter(
        model, image, simulation.mu, [run.prompts], [run.delayeds], **arguments
    )
    truth = run.scattered.sum() / len(run.prompts)
    assert truth == pytest.approx(0.468, abs=0.005)
    # 10 %: 14,000 prompts of 200 ms, 263 of them in the tails, leave 3 to 4 % of noise
    assert simulated.about["share_of_prompts"] == pytest.approx(truth, rel=0.1)
    assert energies.about["share_of_prompts"] == pytest.approx(truth, rel=0.1)
    assert replace(energies.plain, scale=1.0).total_per_s > 0
