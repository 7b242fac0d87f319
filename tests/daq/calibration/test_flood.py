"""Raw positions find their crystals: lattices of peaks, distorted blocks, blocks without peaks."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from scipy.stats import norm

from daq.calibration.flood_fit import (
    calibrate_flood,
    equalised_map,
    expected_from_centre,
    module_map,
)
from daq.calibration.flood_map import POSITIONS, SIDE, flood_of_run, mosaic, picture
from daq.calibration.flood_peaks import FloodError, peaks_map
from daq.folder.calibration_arrays import REJECTED, CalibrationSetError
from daq.folder.calibration_set import Status
from daq.folder.run_config import RunConfig
from daq.service.run import Run
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from hw.wire.protocol import FRAME_PERIOD_TICKS, pack_words
from rigs.frames_factory import ModuleSender

BENCH = load_scanner("bench2")


def block_events(
    rng: np.random.Generator,
    *,
    n_u: int = 8,
    n_v: int = 8,
    each: int = 2000,
    sigma: float = 0.14,
    compression: float = 0.12,
    rotation: float = 0.0,
    shift: float = 0.0,
    dead: tuple[int, ...] = (),
    floor: float = 0.03,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw raw positions and true crystals of a pixelated block; −1: scattered, of no crystal.

    sigma : of a peak, in crystals; compression : of the edges, towards the middle; floor : share
        of counts spread over the block
    """
    weight = np.clip(1 + 0.15 * rng.standard_normal(n_u * n_v), 0.4, 1.6)
    weight[list(dead)] = 0.0
    n = each * n_u * n_v
    crystal = rng.choice(n_u * n_v, n, p=weight / weight.sum())
    x = (crystal % n_u + 0.5 + sigma * rng.standard_normal(n)) / n_u * 2 - 1
    y = (crystal // n_u + 0.5 + sigma * rng.standard_normal(n)) / n_v * 2 - 1
    # light guides pull the edges in, and curve the rows; the sensors' gains shear the picture
    a = 0.9 * (x - compression * x**3 + 0.04 * x * y**2 + 0.02 * y) + shift
    b = 0.9 * (y - compression * y**3 + 0.04 * y * x**2 - 0.03 * x)
    a, b = a * np.cos(rotation) - b * np.sin(rotation), a * np.sin(rotation) + b * np.cos(rotation)
    flat = rng.random(n) < floor
    a[flat], b[flat] = rng.uniform(-0.9, 0.9, (2, int(flat.sum())))
    u, v = (np.clip(((w + 1) * SIDE / 2).astype(int), 0, SIDE - 1) for w in (a, b))
    return u + SIDE * v, np.where(flat, -1, crystal)


def flood_of(positions: np.ndarray) -> np.ndarray:
    return np.bincount(positions, minlength=POSITIONS)


def agreement(crystal_map: np.ndarray, positions: np.ndarray, crystal: np.ndarray) -> float:
    """Return the share of counts of a crystal that the map gives to it."""
    of_crystal = crystal >= 0
    return float((crystal_map[positions] == crystal)[of_crystal].mean())


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"compression": 0.25},
        {"rotation": 0.06},
        {"shift": 0.05},
        {"n_u": 12, "n_v": 12},
        {"n_u": 5, "n_v": 9},
        {"n_u": 1, "n_v": 8},
        {"dead": (5, 27, 28)},
        {"dead": (0, 63)},
        {"each": 300},
    ],
)
def test_counts_go_to_the_crystal_they_came_from(block: dict[str, object]) -> None:
    positions, crystal = block_events(np.random.default_rng(1), **block)  # type: ignore[arg-type]
    n_u, n_v = int(block.get("n_u", 8)), int(block.get("n_v", 8))  # type: ignore[call-overload]
    found = peaks_map(flood_of(positions).reshape(SIDE, SIDE).astype(float), n_u, n_v)
    assert agreement(found.crystal_map, positions, crystal) > 0.98
    assert found.peak_to_valley > 3
    assert set(np.unique(found.crystal_map)) - {REJECTED} == set(range(n_u * n_v))
    assert found.weak == len(block.get("dead", ()))  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [1.0, 20.0])
def test_a_noisy_channel_does_not_draw_the_lattice_to_itself(share: float) -> None:
    positions, crystal = block_events(np.random.default_rng(8))
    flood = flood_of(positions)
    flood[np.bincount(positions[crystal == 9]).argmax()] += int(share * len(positions))
    found = peaks_map(flood.reshape(SIDE, SIDE).astype(float), 8, 8)
    assert agreement(found.crystal_map, positions, crystal) > 0.98


def test_overlapping_peaks_are_parted_as_well_as_their_overlap_allows() -> None:
    positions, crystal = block_events(np.random.default_rng(2), sigma=0.22, compression=0.05)
    found = peaks_map(flood_of(positions).reshape(SIDE, SIDE).astype(float), 8, 8)
    # of a normal peak this share lies within half a crystal, in u and in v; edges gain a little
    best = (1 - 2 * norm.sf(0.5 / 0.22)) ** 2
    assert agreement(found.crystal_map, positions, crystal) > best - 0.005


def test_a_map_is_not_made_where_there_are_no_peaks() -> None:
    positions, _ = block_events(np.random.default_rng(3), sigma=1.0)
    with pytest.raises(FloodError, match="no 8 × 8 lattice of peaks"):
        module_map(flood_of(positions), BENCH)
    whole_row, _ = block_events(np.random.default_rng(3), dead=tuple(range(8)))
    with pytest.raises(FloodError, match=r"lattice of peaks|no peak"):
        module_map(flood_of(whole_row), BENCH)
    with pytest.raises(FloodError, match="100 counts, 3200 are needed"):
        module_map(flood_of(positions[:100]), BENCH)


def test_a_module_without_its_own_map_takes_the_scanners_and_is_marked() -> None:
    rng = np.random.default_rng(4)
    scanner = wide_bench(4)
    events = [block_events(rng, shift=0.01 * k) for k in range(4)]
    counts = np.stack([flood_of(positions) for positions, _ in events])
    counts[2] = 0  # silent
    counts[3] = flood_of(rng.integers(0, POSITIONS, 100_000))  # a flood without peaks
    found = calibrate_flood(counts, scanner)
    assert found.status.tolist() == [Status.FITTED] * 2 + [Status.SCANNER] * 2
    assert set(found.reasons) == {2, 3}
    assert "0 counts" in found.reasons[2]
    assert "no 8 × 8 lattice" in found.reasons[3]
    np.testing.assert_array_equal(found.crystal_map[2], found.crystal_map[3])
    for k in (0, 1, 2):  # the mean map serves a module whose flood lies 0.6 positions aside
        assert agreement(found.crystal_map[k], *events[k]) > (0.98 if k < 2 else 0.95)
    assert (found.assigned[:2] > 0.99).all()
    assert np.isnan(found.peak_to_valley[2:]).all()


def wide_bench(modules: int) -> Scanner:
    """Return bench2 with more modules, for floods only."""
    ring = msgspec.structs.replace(BENCH.ring, modules_per_ring=modules)
    return msgspec.structs.replace(BENCH, ring=ring)


def test_no_usable_module_and_wrong_shapes_are_refused() -> None:
    with pytest.raises(CalibrationSetError, match=r"no module of bench2.*module 0: 0 counts"):
        calibrate_flood(np.zeros((2, POSITIONS), np.int64), BENCH)
    with pytest.raises(CalibrationSetError, match=r"bench2 needs \(2, 4096\)"):
        calibrate_flood(np.zeros((3, POSITIONS), np.int64), BENCH)
    block = msgspec.structs.replace(BENCH.module, n_u=65, n_v=2)
    wide = msgspec.structs.replace(BENCH, module=block)
    with pytest.raises(CalibrationSetError, match="more than the 64 × 64"):
        calibrate_flood(np.zeros((2, POSITIONS), np.int64), wide)


def squeezed(x: np.ndarray) -> np.ndarray:
    """What a monolithic block's centroid makes of a true place in −1 … 1: pulled to the middle."""
    return 0.92 * x - 0.2 * x**3


@pytest.mark.parametrize("bins", [8, 16, 32])
def test_a_monolithic_block_is_cut_where_its_distribution_says(bins: int) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.uniform(-1, 1, (2, 2_000_000))
    u, v = (((squeezed(w) + 1) * SIDE / 2).astype(int) for w in (x, y + 0 * x))
    found = equalised_map(flood_of(u + SIDE * v).reshape(SIDE, SIDE).astype(float), bins, bins)
    table = found.crystal_map.reshape(SIDE, SIDE)
    edges = np.linspace(-1, 1, bins + 1)[1:-1]
    true_edges = (squeezed(edges) + 1) * SIDE / 2
    seen = slice(8, 56)  # where there are counts
    for line in range(8, 56):
        cuts_u = np.searchsorted(table[line] % bins, np.arange(1, bins))
        cuts_v = np.searchsorted(table[:, line] // bins, np.arange(1, bins))
        assert np.abs(cuts_u - true_edges).max() <= 1.0
        assert np.abs(cuts_v - true_edges).max() <= 1.0
    assert (np.diff(table[seen, seen] % bins, axis=1) >= 0).all()


def test_the_density_of_a_source_at_the_centre_is_taken_off() -> None:
    scanner = load_scanner("caremibrain")
    middle, outer = (
        expected_from_centre(scanner, build_geometry(scanner), module=m) for m in (16, 0)
    )
    assert middle[16, 16] > middle[0, 0] * 1.03
    np.testing.assert_allclose(middle, middle[::-1, ::-1], rtol=1e-5)
    assert (outer[-1] > 1.3 * outer[0]).all(), "the outer ring's far end sees less"
    flood = np.kron(outer, np.ones((2, 2))) * 100  # a faithful read-out, two positions a bin
    v, u = np.mgrid[:SIDE, :SIDE]
    true = (u // 2 + 32 * (v // 2)).ravel()
    np.testing.assert_array_equal(equalised_map(flood, 32, 32, expected=outer).crystal_map, true)
    assert (equalised_map(flood, 32, 32).crystal_map == true).mean() < 0.9


def test_a_monolithic_scanner_gets_a_map_of_every_crystal() -> None:
    scanner = load_scanner("caremibrain")
    flood = np.zeros((scanner.n_modules, POSITIONS), np.int64)
    flood[:2] = np.random.default_rng(6).poisson(200.0, (2, POSITIONS))
    found = calibrate_flood(flood, scanner)
    assert (np.bincount(found.crystal_map[0], minlength=1024) > 0).all()
    assert (found.assigned[:2] == 1).all()
    assert (found.status[2:] == Status.SCANNER).all()


def test_the_picture_shows_the_borders_of_the_crystals() -> None:
    table = (np.arange(POSITIONS) % SIDE >= 20).astype(np.uint16)
    large = picture(np.full(POSITIONS, 9), table, zoom=4)
    assert large.shape == (256, 256)
    assert (large[:, 80] > large.min()).all()
    assert np.count_nonzero(large > large.min()) == 256
    every = mosaic(np.arange(5 * POSITIONS).reshape(5, POSITIONS))
    assert every.shape == (2 * 66, 3 * 66), "five modules in two rows of three"
    assert every.max() == 1.0


def test_the_flood_of_a_run_counts_its_raw_positions_in_the_energy_window(
    make_config: Callable[..., RunConfig], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(7)
    run = Run(make_config(name="flood"), tmp_path_factory.mktemp("flood"))
    run.start()
    wanted, outside = np.zeros((2, POSITIONS), int), 0
    senders = [ModuleSender(m) for m in (0, 1)]
    for period in range(3):
        for m, sender in enumerate(senders):
            position, energy = rng.integers(0, POSITIONS, 500), rng.integers(2000, 9000, 500)
            ticks = np.sort(rng.integers(0, FRAME_PERIOD_TICKS, 500))
            words = pack_words(time_ticks=ticks, crystal=position, energy_dkeV=energy)
            run.process([sender.frame(words, last=period == 2)])
            inside = (energy >= 4000) & (energy <= 6500)
            np.add.at(wanted[m], position[inside], 1)
            outside += int((~inside).sum())
    run.finish()
    run.write_summary()
    found = flood_of_run(run.folder, low_keV=400, high_keV=650)
    np.testing.assert_array_equal(found.counts, wanted)
    assert found.out_of_window == outside
