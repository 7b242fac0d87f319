"""Each crystal's errors are known truth, and what is read out carries exactly those errors.

The host's corrections are written out here again; they must give the true time and energy back.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from emulator.config import EmulationError, EmulatorConfig
from emulator.detector.crystal_tracking import DEPOSIT_KEV, DEPOSIT_SIZE, DEPOSIT_W
from emulator.detector.miscalibration import CURVATURE, EFFICIENCY, GAIN, WALK, draw_crystals
from emulator.detector.response import (
    BELOW_TRIGGER,
    HIT,
    MADE,
    TRIGGER_LATENCY_PS,
    UNREAD,
    ResponseTables,
    bend,
    respond,
    response_tables,
)
from emulator.engines.emulation import Emulation
from emulator.engines.instrument import Instrument
from emulator.engines.library_build import library_key
from emulator.engines.prepare import prepare
from hw.scanner.description import Scanner, ScannerError
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from oracles.emulation import ideal, random_state

SHARP = {"time_sigma_ps": 0.0, "energy_sigma": 0.0, "doi_sigma_mm": 0.0}
BENCH = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=4e6, seed=11)


def with_response(scanner: Scanner, **values: object) -> Scanner:
    return changed(scanner, response=changed(scanner.response, **values))


def preset(folder: Path, **values: object) -> str:
    """Write a changed bench2 preset; return its path."""
    lines = scanner_to_toml_text("bench2").splitlines()
    kept = [line for line in lines if line.split(" ")[0] not in values]
    place = kept.index("[response]") + 1
    new = [f"{key} = {value!r}" for key, value in values.items()]
    path = folder / "mine.toml"
    path.write_text("\n".join([*kept[:place], *new, *kept[place:]]), encoding="utf-8")
    return str(path)


def hits_of(instrument: Instrument, slices: int) -> tuple[np.ndarray, dict[str, float]]:
    emulation = Emulation(instrument, activity_Bq=4e6, seed=5)
    found = []
    for k in range(slices):
        part = emulation.emulate_slice(k)
        found.append(part.hits.copy())
        emulation.digitize(part, last=k == slices - 1)
    return np.concatenate(found), emulation.totals.truth()


def read_out(tables: ResponseTables, energy_keV: float, *, depth_mm: float = 1.0) -> np.void:
    """Return the hit of a deposit in the middle of module 0."""
    hits, deposit = np.zeros(1, HIT), np.zeros(DEPOSIT_SIZE)
    deposit[DEPOSIT_KEV], deposit[DEPOSIT_W] = energy_keV, depth_mm
    assert respond(random_state(), deposit, 0, 0.0, tables, hits, 0) == MADE
    return hits[0]


def corrected_keV(read_keV: float, curvature: float) -> float:
    return read_keV * (1 + curvature * (read_keV / 511 - 1))


@given(curvature=st.floats(-0.2, 0.2), energy_keV=st.floats(20, 900))
def test_the_hosts_correction_undoes_the_non_linearity(curvature, energy_keV):
    assert corrected_keV(bend(energy_keV, curvature), curvature) == pytest.approx(energy_keV)


def test_non_linearity_leaves_511_keV_and_straight_crystals_alone():
    assert bend(511.0, 0.13) == pytest.approx(511.0)
    assert bend(300.0, 0.0) == 300.0


def test_energy_beyond_the_parabolas_end_still_rises_with_the_deposit():
    energies = [bend(e, -0.2) for e in np.arange(20.0, 1600.0)]
    assert (np.diff(energies) > 0).all()


@pytest.mark.parametrize("energy_keV", [120.0, 300.0, 511.0, 900.0])
def test_walk_and_non_linearity_of_a_crystal_are_in_its_words(energy_keV):
    tables = ideal(BENCH, **SHARP).response
    middle = 4 + 8 * 4
    plain = read_out(tables, energy_keV)
    assert plain["crystal"] == middle
    tables.crystals[middle, [WALK, CURVATURE]] = 250.0, 0.04
    read = read_out(tables, energy_keV)
    late_ps = 250.0 * ((511 / energy_keV) ** 0.5 - 1)
    assert int(read["time_ps"]) - int(plain["time_ps"]) == pytest.approx(late_ps, abs=1)
    assert plain["time_ps"] == TRIGGER_LATENCY_PS
    assert corrected_keV(read["energy"] / 10, 0.04) == pytest.approx(energy_keV, abs=0.1)


def test_what_is_called_hopeless_would_trigger_in_no_crystal():
    tables = response_tables(load_scanner("bench2"), serial="a", trigger_keV=100)
    blurred = np.linspace(1.0, tables.hopeless_keV, 500)[:, None]
    gain, curvature = tables.crystals[:, GAIN].astype(float), tables.crystals[:, CURVATURE]
    root = np.sqrt((1 - curvature) ** 2 + 4 / 511 * curvature * blurred)
    read_out = 2 * blurred / (1 - curvature + root) * gain * tables.doi_gain.max()
    assert read_out.max() < 100
    assert read_out.max() > 99.99  # and no deposit is looked up in vain


def test_depth_errors_follow_the_depth_bin_and_are_right_in_the_mean():
    scanner = with_response(load_scanner("bench2"), doi_gain_range=-0.1, doi_time_range_ps=60.0)
    tables = response_tables(scanner, serial="a", trigger_keV=100)
    ideal_crystals = ideal(BENCH).response.crystals
    tables = tables._replace(crystals=ideal_crystals, **SHARP)
    front, back = (read_out(tables, 500.0, depth_mm=depth) for depth in (1.0, 14.0))
    assert (front["doi"], back["doi"]) == (0, 1)
    assert (front["energy"], back["energy"]) == (5125, 4875)
    assert int(back["time_ps"]) - int(front["time_ps"]) == 30
    assert tables.doi_gain.mean() == pytest.approx(1)
    assert tables.doi_ps.mean() == pytest.approx(0)


def test_spreads_are_the_presets_and_half_of_the_variance_is_the_modules():
    scanner = with_response(
        load_scanner("tof_brain"),
        walk_ps=100.0,
        walk_spread_ps=20.0,
        curvature_spread=0.02,
        efficiency_spread=0.03,
    )
    rows = draw_crystals(scanner, serial="d")
    assert rows[:, WALK].mean() == pytest.approx(100, abs=10)
    assert rows[:, WALK].std() == pytest.approx(20, rel=0.15)
    assert rows[:, CURVATURE].std() == pytest.approx(0.02, rel=0.15)
    relative = rows[:, EFFICIENCY] / rows[:, EFFICIENCY].mean()
    assert relative.std() == pytest.approx(0.03, rel=0.15)
    assert rows[:, EFFICIENCY].max() == 1
    of_modules = rows[:, WALK].reshape(48, 144).mean(axis=1)
    assert of_modules.var() == pytest.approx(0.5 * 20**2, rel=0.5)


def test_new_errors_do_not_move_the_gain_and_skew_of_a_serial_number():
    bench = load_scanner("bench2")
    plain = with_response(bench, walk_ps=0.0, curvature_spread=0.0, efficiency_spread=0.0)
    without, with_them = (draw_crystals(one, serial="c") for one in (plain, bench))
    assert (without[:, :2] == with_them[:, :2]).all()


def test_another_seed_is_another_run_of_the_same_instrument():
    config = changed(BENCH, dead_crystals=3, noisy_crystals=2)
    one, other = (prepare(changed(config, seed=seed)) for seed in (1, 2))
    assert one.serial == "bench2-0001"
    assert (one.response.crystals == other.response.crystals).all()
    assert (one.truth.dead == other.truth.dead).all() and one.truth.dead.sum() == 3
    assert (one.truth.noisy == other.truth.noisy).all()


def test_another_serial_number_is_another_instrument():
    config = changed(BENCH, dead_crystals=3)
    one, other = (prepare(changed(config, serial=serial)) for serial in ("", "bench2-0002"))
    assert other.serial == "bench2-0002"
    assert (one.response.crystals != other.response.crystals).any(axis=0).all()
    assert (one.truth.dead != other.truth.dead).any()


def test_an_event_library_holds_no_instruments_errors_and_is_shared():
    keys = {
        library_key(prepare(changed(BENCH, serial=serial)), 1000) for serial in ("", "bench2-0002")
    }
    assert len(keys) == 1


def test_a_serial_number_that_no_file_could_have_is_refused():
    with pytest.raises(ScannerError, match=r"serial number '\.\./x'"):
        prepare(changed(BENCH, serial="../x"))


def test_crystals_read_out_their_efficiencys_share_of_triggers():
    instrument = ideal(BENCH)
    full, _ = hits_of(instrument, 30)
    efficiency = np.where(np.arange(128) % 2, 0.6, 1.0)
    instrument.response.crystals[:, EFFICIENCY] = efficiency
    thinned, truth = hits_of(instrument, 30)
    index = [h["module"].astype(int) * 64 + h["crystal"] for h in (full, thinned)]
    before, after = (np.bincount(i, minlength=128) for i in index)
    odd = np.arange(128) % 2 == 1
    share = after[odd].sum() / before[odd].sum()
    assert share == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / before[odd].sum()) + 0.01)
    assert after[~odd].sum() == pytest.approx(before[~odd].sum(), rel=0.05)
    assert truth["unread"] == pytest.approx(0.4 * before[odd].sum(), rel=0.05)


def test_dead_crystals_are_silent_and_their_deposits_counted():
    config = changed(BENCH, dead_crystals=(7, 64, 127))
    instrument = prepare(config)
    hits, truth = hits_of(instrument, 10)
    seen = np.bincount(hits["module"].astype(int) * 64 + hits["crystal"], minlength=128) > 0
    assert np.flatnonzero(instrument.truth.dead).tolist() == [7, 64, 127]
    assert not seen[instrument.truth.dead].any()
    assert seen[~instrument.truth.dead].all()
    assert truth["unread"] > 0


def test_number_of_dead_crystals_is_drawn_by_the_serial_number():
    serials = ("bench2-0002", "bench2-0002", "bench2-0003")
    dead = [prepare(changed(BENCH, dead_crystals=9, serial=one)).truth.dead for one in serials]
    assert [d.sum() for d in dead] == [9, 9, 9]
    assert (dead[0] == dead[1]).all()
    assert (dead[0] != dead[2]).any()


def test_crystals_drawn_dead_spare_the_noisy_ones_that_are_named():
    truth = prepare(changed(BENCH, dead_crystals=126, noisy_crystals=(17, 42))).truth
    assert np.flatnonzero(truth.noisy).tolist() == np.flatnonzero(~truth.dead).tolist() == [17, 42]


def test_noisy_crystals_trigger_at_their_rate_without_a_source():
    config = changed(BENCH, noisy_crystals=(3, 70), noise_Hz=1e5)
    instrument = prepare(config)
    emulation = Emulation(instrument, activity_Bq=1.0, seed=5)
    hits = np.concatenate([emulation.emulate_slice(k).hits for k in range(60)])
    index = hits["module"].astype(int) * 64 + hits["crystal"]
    expected = 1e5 * 60 * 5.24288e-3
    for crystal in (3, 70):
        assert (index == crystal).sum() == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert np.isin(index, (3, 70)).mean() > 0.999
    assert np.flatnonzero(instrument.truth.noisy).tolist() == [3, 70]
    excess = hits["energy"] / 1000 - 1  # over the 100 keV trigger
    assert excess.min() >= 0
    assert excess.mean() == pytest.approx(0.5, rel=0.02)
    assert hits["time_ps"].mean() == pytest.approx(5.24288e9 / 2, rel=0.02)


def test_noise_is_in_the_sums():
    config = changed(BENCH, noisy_crystals=2, dead_crystals=30, noise_Hz=5e4)
    _, truth = hits_of(prepare(config), 5)
    ends = ("below_trigger", "unread", "emitted", "dead", "piled_up", "lost", "off", "after_end")
    assert truth["noise"] == pytest.approx(2 * 5e4 * 5 * 5.24288e-3, rel=0.1)
    assert truth["deposits"] + truth["noise"] == sum(truth[k] for k in ends)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"dead_crystals": (128,)}, "crystal 128 does not exist, bench2 has crystals 0 to 127"),
        ({"dead_crystals": 129}, "dead_crystals = 129: bench2 has 128 crystals"),
        (
            {"dead_crystals": (5,), "noisy_crystals": (4, 5)},
            "noisy_crystals: crystal 5 is among dead_crystals",
        ),
        ({"dead_crystals": 128, "noisy_crystals": 1}, "noisy_crystals = 1: bench2 has 0"),
        ({"noisy_crystals": -1}, "noisy_crystals"),
        ({"noise_Hz": 0.0}, "noise_Hz"),
    ],
)
def test_crystals_that_cannot_be_are_refused_by_name(settings, told):
    with pytest.raises(EmulationError, match=told):
        prepare(changed(BENCH, **settings))


def test_truth_names_every_error_and_is_the_kernels_own(tmp_path):
    path = preset(
        tmp_path,
        walk_ps=80.0,
        walk_spread_ps=10.0,
        curvature_spread=0.01,
        efficiency_spread=0.05,
        dead_time_model="paralysable",
    )
    instrument = prepare(changed(BENCH, scanner=path, dead_crystals=2))
    truth, rows = instrument.truth, instrument.response.crystals
    assert np.shares_memory(truth.gain, rows)
    assert truth.walk_ps.mean() == pytest.approx(80, abs=20)
    assert 0 < truth.curvature.std() < 0.02
    assert (truth.efficiency == 0).sum() == 2
    assert truth.relative_efficiency[~truth.dead].mean() == pytest.approx(1)
    assert 0.02 < truth.relative_efficiency[~truth.dead].std() < 0.1  # two modules only
    assert (truth.dead_time_ps, truth.dead_time_model) == (200_000, "paralysable")
    assert truth.crystal_map.size == 0


def test_deposits_below_the_trigger_are_not_counted_as_unread():
    tables = ideal(BENCH, **SHARP).response
    tables.crystals[:, EFFICIENCY] = 0.0
    hits, deposit = np.zeros(1, HIT), np.zeros(DEPOSIT_SIZE)
    for energy_keV, fate in ((20.0, BELOW_TRIGGER), (99.0, BELOW_TRIGGER), (101.0, UNREAD)):
        deposit[DEPOSIT_KEV] = energy_keV
        assert respond(random_state(), deposit, 0, 0.0, tables, hits, 0) == fate


def test_paralysable_module_records_less_of_a_hot_source(tmp_path):
    recorded = []
    for model in ("non-paralysable", "paralysable"):
        config = changed(BENCH, scanner=preset(tmp_path, dead_time_model=model, dead_time_ns=2e3))
        instrument = prepare(config)
        emulation = Emulation(instrument, activity_Bq=2e7, seed=5)
        for k in range(3):
            emulation.digitize(emulation.emulate_slice(k), last=k == 2)
        recorded.append(emulation.totals.truth()["emitted"])
    assert recorded[1] < 0.92 * recorded[0]
