"""Raw positions: the light-sharing law, its truth, and the words that carry it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from emulator.config import EmulatorConfig
from emulator.detector.crystal_tracking import DEPOSIT_KEV, DEPOSIT_SIZE, DEPOSIT_U, DEPOSIT_V
from emulator.detector.raw_position import ideal_crystal_map, raw_address, raw_bin, raw_share
from emulator.detector.response import HIT, MADE, respond
from emulator.engines.emulation import frames_of_run
from emulator.engines.prepare import prepare
from hw.scanner.description import Scanner
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from oracles.emulation import decode_frame, ideal, random_state

NAMES = ("bench2", "caremibrain", "tof_brain")


def raw(name: str, **values: object) -> Scanner:
    scanner = load_scanner(name)
    return changed(scanner, response=changed(scanner.response, position_readout="raw", **values))


def raw_preset(folder: Path, name: str = "bench2", *, blur_mm: float = 0.8) -> str:
    line = f'[response]\nposition_readout = "raw"\nraw_blur_fwhm_mm = {blur_mm}'
    path = folder / "raw.toml"
    path.write_text(scanner_to_toml_text(name).replace("[response]", line), encoding="utf-8")
    return str(path)


@given(compression=st.floats(0, 1.5), x=st.floats(-1, 1))
def test_law_is_odd_rises_and_stays_in_the_picture(compression, x):
    share = raw_share(x, compression)
    assert 0.05 - 1e-12 <= share <= 0.95 + 1e-12
    assert share + raw_share(-x, compression) == pytest.approx(1.0)
    assert raw_share(min(x + 0.01, 1.0), compression) >= share


def test_edge_crystals_are_seen_closer_together_than_those_in_the_middle():
    seen = [raw_share(x, 0.8) for x in (np.arange(8) + 0.5) / 4 - 1]
    spacing = np.diff(seen)
    assert spacing[0] < 0.75 * spacing[3]
    assert np.diff([raw_share(x, 0.0) for x in (np.arange(8) + 0.5) / 4 - 1]) == pytest.approx(
        0.9 / 8
    )


def test_places_outside_the_picture_go_to_its_border():
    assert [raw_bin(share) for share in (-0.2, 0.0, 0.5, 0.999, 1.0, 1.3)] == [0, 0, 32, 63, 63, 63]


@pytest.mark.parametrize("name", NAMES)
def test_ideal_map_finds_every_crystal_at_its_own_spot(name):
    scanner = raw(name)
    crystal_map = ideal_crystal_map(scanner)
    assert (crystal_map.shape, crystal_map.dtype) == ((4096,), np.uint16)
    assert np.unique(crystal_map).tolist() == list(range(scanner.crystals_per_module))
    if not scanner.module.monolithic:
        spots = [crystal_map[raw_address(scanner, c)] for c in range(scanner.crystals_per_module)]
        assert spots == list(range(scanner.crystals_per_module))


def addresses_of(config: EmulatorConfig, u_mm: np.ndarray, v_mm: np.ndarray) -> np.ndarray:
    """Return the raw positions of deposits at places in module 0."""
    tables = ideal(config, energy_sigma=0.0).response
    state, hits, deposit = random_state(), np.zeros(1, HIT), np.zeros(DEPOSIT_SIZE)
    found = []
    for u, v in zip(u_mm, v_mm, strict=True):
        deposit[DEPOSIT_KEV], deposit[DEPOSIT_U], deposit[DEPOSIT_V] = 511.0, u, v
        assert respond(state, deposit, 0, 0.0, tables, hits, 0) == MADE
        found.append(int(hits[0]["crystal"]))
    return np.array(found)


def test_pixelated_block_is_seen_as_one_spot_per_crystal(tmp_path):
    config = EmulatorConfig(scanner=raw_preset(tmp_path, blur_mm=0.0), phantom="point")
    random = np.random.default_rng(3)
    u, v = random.uniform(-12.8, 12.8, (2, 3000))
    crystal = ((u + 12.8) // 3.2 + 8 * ((v + 12.8) // 3.2)).astype(int)
    found = addresses_of(config, u, v)
    assert len(set(found)) == 64
    assert (prepare(config).truth.crystal_map[found] == crystal).all()


def test_blur_mixes_neighbours_most_at_the_edges(tmp_path):
    config = EmulatorConfig(scanner=raw_preset(tmp_path, blur_mm=2.0), phantom="point")
    random = np.random.default_rng(3)
    u, v = random.uniform(-12.8, 12.8, (2, 6000))
    column = ((u + 12.8) // 3.2).astype(int)
    found = prepare(config).truth.crystal_map[addresses_of(config, u, v)] % 8
    right = [(found[column == c] == c).mean() for c in range(8)]
    assert 0.6 < np.mean(right) < 0.98
    assert (right[1] + right[6]) < (right[3] + right[4])


def test_monolithic_block_is_seen_without_steps(tmp_path):
    path = raw_preset(tmp_path, "caremibrain", blur_mm=0.0)
    config = EmulatorConfig(scanner=path, phantom="point")
    random = np.random.default_rng(3)
    u, v = random.uniform(-25, 25, (2, 3000))
    found = prepare(config).truth.crystal_map[addresses_of(config, u, v)].astype(int)
    assert np.abs(found % 32 - (u + 25) // 1.5625).max() <= 1
    assert np.abs(found // 32 - (v + 25) // 1.5625).max() <= 1


def test_words_carry_raw_positions_that_the_map_spreads_over_all_crystals(tmp_path):
    config = EmulatorConfig(
        scanner=raw_preset(tmp_path), phantom="point", activity_Bq=5e6, noisy_crystals=(63,)
    )
    instrument = prepare(config)
    counts = np.zeros(4096, np.int64)
    for frames in frames_of_run(instrument, config, periods=12):
        for frame in frames:
            for event in decode_frame(frame)["events"]:
                counts[event["crystal"]] += 1
    crystals = np.bincount(instrument.truth.crystal_map, weights=counts, minlength=64)
    assert counts[64:].sum() > counts[:64].sum()
    assert crystals.min() > 0.5 * np.median(crystals)
