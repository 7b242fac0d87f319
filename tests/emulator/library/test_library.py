"""Load mode against the full Monte Carlo: the same rates, spectra, coincidences and randoms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace as changed

from emulator.config import EmulationError, EmulatorConfig
from emulator.engines.decay_engine import DecayEngine
from emulator.engines.emulation import Emulation, frames_of_run
from emulator.engines.instrument import Instrument
from emulator.engines.library_build import build_library, library_key, obtain_library, with_library
from emulator.engines.library_engine import LibraryEngine
from emulator.engines.prepare import prepare
from emulator.library.event_library import Library, library_folder
from emulator.library.kernel_tables import NORMALS, library_tables, normal_table
from emulator.slices import DECAYS, DEPOSITS, TALLY_SIZE
from oracles.emulation import PERIOD_PS

CONFIG = EmulatorConfig(scanner="caremibrain", phantom="point", activity_Bq=5e6, seed=2)
LIBRARY_DECAYS = 300_000
WINDOW_PS = 5_000


@pytest.fixture(scope="module")
def instrument() -> Instrument:
    return loaded(prepare(CONFIG), LIBRARY_DECAYS)


def loaded(instrument: Instrument, decays: int) -> Instrument:
    library = build_library(instrument, decays=decays)
    tables = library_tables(library, instrument.response, instrument.scanner)
    return replace(instrument, library=tables)


def hits_of(engine: DecayEngine, slices: range) -> tuple[np.ndarray, int]:
    """Return the hits of some slices in order of time, and how many decays there were."""
    made = [engine.make_slice(k) for k in slices]
    parts = []
    for part in made:
        hits = part.hits.copy()
        hits["time_ps"] += part.index * PERIOD_PS
        parts.append(hits)
    hits = np.concatenate(parts)
    decays = sum(int(part.tally[DECAYS]) for part in made)
    return hits[np.argsort(hits["time_ps"], kind="stable")], decays


def pairs(times_ps: np.ndarray, low_ps: int, high_ps: int) -> int:
    """Count pairs with low ≤ Δt ≤ high of ordered times."""
    after = np.searchsorted(times_ps, times_ps + high_ps, side="right")
    before = np.searchsorted(times_ps, times_ps + low_ps, side="left")
    return int((after - before).sum())


@pytest.fixture(scope="module")
def both(instrument: Instrument) -> tuple[tuple[np.ndarray, int], tuple[np.ndarray, int]]:
    """Hits and decays of the full Monte Carlo and of load mode, 60 slices each."""
    full = DecayEngine(instrument, activity_Bq=5e6, seed=7)
    load = LibraryEngine(instrument, activity_Bq=5e6, seed=8)
    return hits_of(full, range(60)), hits_of(load, range(60))


def test_singles_per_decay_are_those_of_the_monte_carlo(both):
    (full, full_decays), (load, load_decays) = both
    rates = len(full) / full_decays, len(load) / load_decays
    sigma = rates[0] * np.sqrt(1.3 * (1 / len(full) + 1 / len(load) + 1 / LIBRARY_DECAYS))
    assert abs(rates[0] - rates[1]) < 4 * sigma


def test_spectrum_is_that_of_the_monte_carlo(both):
    (full, full_decays), (load, load_decays) = both
    edges = np.arange(1000, 8001, 250)
    a = np.histogram(full["energy"], edges)[0]
    b = np.histogram(load["energy"], edges)[0] * full_decays / load_decays
    of_library = b**2 / (b * LIBRARY_DECAYS / full_decays + 1)  # a bin's share of the library
    chi2 = ((a - b) ** 2 / (a + b + of_library + 1)).sum()
    assert chi2 < len(a) + 4 * np.sqrt(2 * len(a))


def test_time_stamps_after_each_other_are_those_of_the_monte_carlo(both):
    (full, full_decays), (load, load_decays) = both
    found = []
    for hits, decays in ((full, full_decays), (load, load_decays)):
        good = hits["time_ps"][(hits["energy"] > 3500) & (hits["energy"] < 6500)]
        n = pairs(good, 1, WINDOW_PS)
        found.append((n / decays, n))
        delta = np.diff(good)
        assert np.median(delta[delta < WINDOW_PS]) == pytest.approx(560, abs=120)
    (a, n_a), (b, n_b) = found
    assert abs(a - b) < 4 * a * np.sqrt(1 / n_a + 1 / n_b + 1 / (a * LIBRARY_DECAYS))


def test_randoms_are_2_tau_s_s(both):
    _, (load, _) = both
    delay_ps, duration_ps = 500_000, 60 * PERIOD_PS
    found = pairs(load["time_ps"], delay_ps - WINDOW_PS, delay_ps + WINDOW_PS)
    expected = len(load) ** 2 / duration_ps * 2 * WINDOW_PS
    assert found == pytest.approx(expected, abs=4 * np.sqrt(2 * expected))


def test_decays_per_slice_are_poisson(instrument: Instrument):
    engine = LibraryEngine(instrument, activity_Bq=2e5, seed=3)
    counts = np.array([engine.make_slice(k).tally[DECAYS] for k in range(600)])
    mean = 2e5 * PERIOD_PS * 1e-12
    assert counts.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / 600))
    assert counts.var(ddof=1) / counts.mean() == pytest.approx(1, abs=3 * np.sqrt(2 / 599))


def test_no_coincidence_repeats_within_ten_seconds(instrument: Instrument):
    """Repeats expected: pairs of prompts from one library decay, M²/2L, times the probability that
    both energies (0.1 keV) and Δt (ticks of 19.53 ps) agree: for normals of σ steps, 1/(2σ√π).
    """
    engine = LibraryEngine(instrument, activity_Bq=1e6, seed=4)
    hits, _ = hits_of(engine, range(1908))
    first = np.flatnonzero(np.diff(hits["time_ps"]) <= WINDOW_PS)
    a, b = hits[first], hits[first + 1]
    delta = (b["time_ps"] - a["time_ps"]) * 32 // 625
    crystals = [hit["module"].astype(np.int64) * 4096 + hit["crystal"] for hit in (a, b)]
    energies = [hit["energy"].astype(np.int64) for hit in (a, b)]
    place = crystals[0] << 32 | crystals[1]
    value = energies[0] << 32 | energies[1] << 16 | delta
    order = np.lexsort((value, place))
    repeats = int(((np.diff(place[order]) == 0) & (np.diff(value[order]) == 0)).sum())
    sigma_dkeV, sigma_ticks = 0.15 / 2.355 * 5110, 1200 / 2.355 / 19.53
    same = 1 / (2 * np.sqrt(np.pi)) ** 3 / sigma_dkeV**2 / sigma_ticks
    expected = len(first) ** 2 / 2 / (0.15 * LIBRARY_DECAYS) * same
    assert len(first) > 1_000_000 and expected < 2
    assert repeats <= expected + 4 * np.sqrt(expected + 1)


def test_bytes_depend_on_seed_and_settings_only(instrument: Instrument):
    def run(**fields: object) -> list[list[bytes]]:
        return list(frames_of_run(instrument, changed(CONFIG, **fields), periods=4))

    assert run() == run(threads=2, look_ahead_s=0.02)
    assert run() != run(seed=3)


def test_books_close(instrument: Instrument):
    emulation = Emulation(instrument, activity_Bq=2e7, seed=5)
    for index in range(5):
        emulation.digitize(emulation.emulate_slice(index), last=index == 4)
    truth = emulation.totals.truth()
    ends = ("below_trigger", "unread", "emitted", "dead", "piled_up", "lost", "off", "after_end")
    assert truth["deposits"] == sum(truth[name] for name in ends)
    assert truth["below_trigger"] > 0 and truth["emitted"] > 0


def test_nuclides_of_a_mixture_decay_each_with_its_half_life():
    config = changed(CONFIG, scanner="bench2", nuclide="O-15:0.5+F-18:0.5")
    engine = LibraryEngine(loaded(prepare(config), 40_000), activity_Bq=4e6, seed=3)
    early = sum(engine.make_slice(k).tally[TALLY_SIZE:] for k in range(10))
    half_life = round(122.24 / (PERIOD_PS * 1e-12))
    later = sum(engine.make_slice(half_life + k).tally[TALLY_SIZE:] for k in range(10))
    assert later / early == pytest.approx([0.5, 0.987], abs=0.02)


def test_lutetium_and_noise_go_on(instrument: Instrument):
    config = changed(CONFIG, scanner="bench2", lutetium=True, noisy_crystals=2)
    engine = LibraryEngine(loaded(prepare(config), 20_000), activity_Bq=1e5, seed=3)
    truth = [engine.make_slice(k) for k in range(4)]
    names = np.array([part.tally[5:7] for part in truth])
    assert (names.sum(axis=0) > 0).all()
    assert all(part.tally[DEPOSITS] + part.tally[6] >= len(part.hits) for part in truth)


def test_normals_have_mean_0_and_variance_1():
    table = normal_table().astype(np.float64)
    assert len(table) == NORMALS
    assert table.mean() == pytest.approx(0, abs=1e-6)
    assert table.var() == pytest.approx(1, abs=1e-5)
    assert (table**4).mean() == pytest.approx(3, abs=0.02)


# --- the file -------------------------------------------------------------------------------------

SMALL = EmulatorConfig(scanner="bench2", phantom="point", seed=2)


def same(a: Library, b: Library) -> bool:
    names = ("deposits", "start", "first", "emulated")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def test_library_is_made_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOMOSHIBI_CACHE", str(tmp_path))
    instrument = prepare(SMALL)
    made = obtain_library(instrument, decays=20_000, threads=2)
    assert [file.stem for file in library_folder().iterdir()] == [library_key(instrument, 20_000)]

    def refuse(share: float) -> None:
        raise AssertionError("made again")

    assert same(made, obtain_library(instrument, decays=20_000, progress=refuse))


def test_damaged_library_in_the_cache_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TOMOSHIBI_CACHE", str(tmp_path))
    instrument = prepare(SMALL)
    made = obtain_library(instrument, decays=20_000)
    (file,) = library_folder().iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    assert same(made, obtain_library(instrument, decays=20_000))


def test_named_library_of_other_settings_is_refused(tmp_path: Path):
    path = str(tmp_path / "library.npz")
    obtain_library(prepare(SMALL), path, decays=20_000)
    with pytest.raises(EmulationError, match="was made for other settings"):
        obtain_library(prepare(changed(SMALL, trigger_keV=150.0)), path, decays=20_000)
    Path(path).write_bytes(b"PK\3\4 no zip")
    with pytest.raises(EmulationError, match="cannot be read"):
        obtain_library(prepare(SMALL), path, decays=20_000)
    with pytest.raises(EmulationError, match="cannot write event library"):
        obtain_library(prepare(SMALL), f"{path}/x/y.npz", decays=20_000)


def test_another_seed_of_the_run_needs_no_other_library():
    keys = {library_key(prepare(changed(SMALL, seed=seed)), 1000) for seed in (1, 2)}
    assert len(keys) == 1


def test_truth_of_events_is_refused_in_load_mode(instrument: Instrument):
    with pytest.raises(EmulationError, match="load mode keeps no truth"):
        LibraryEngine(instrument, activity_Bq=1e5, seed=1, labelled=True)
    with pytest.raises(EmulationError, match="no event library"):
        LibraryEngine(replace(instrument, library=None), activity_Bq=1e5, seed=1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scanner": "gamma_head_lehr", "nuclide": "Tc-99m"}, "is a SPECT scanner"),
        ({"motion": "breathing"}, "one object at rest"),
    ],
)
def test_what_a_library_cannot_hold_is_refused(fields: dict[str, str], words: str):
    with pytest.raises(EmulationError, match=words):
        prepare(changed(SMALL, library="auto", **fields))


def test_configuration_names_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("emulator.engines.library_build.DECAYS_IN_LIBRARY", 20_000)
    config = changed(SMALL, library=str(tmp_path / "mine.npz"))
    made = with_library(prepare(SMALL), config)
    assert made.library is not None and (tmp_path / "mine.npz").is_file()
