"""Nuclides, mixtures and photon lines: yields, half-lives, peaks, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace as changed
from scipy import integrate

from emulator.config import EmulationError, EmulatorConfig
from emulator.detector.miscalibration import EFFICIENCY, GAIN
from emulator.engines.emulation import Emulation, frames_of_run
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from emulator.physics.emission import LEAST_LINE_KEV, emission_tables, emitted_lines, load_source
from emulator.physics.materials import MAX_ENERGY_KEV, cross_sections, klein_nishina
from emulator.slices import DECAYS, PAIRS, PHOTONS, TALLY_SIZE
from hw.physics.nuclides import NuclideError, load_nuclide, nuclide_names
from oracles.emulation import PERIOD_PS

POINT = EmulatorConfig(scanner="caremibrain", phantom="point", trigger_keV=60.0)
SHARP = {"time_sigma_ps": 0.0, "energy_sigma": 0.0, "position_sigma_mm": 0.0, "doi_sigma_mm": 0.0}


def without_errors(nuclide: str, **response: float) -> Instrument:
    """Return a point source in caremibrain whose crystals have no errors."""
    from dataclasses import replace

    instrument = prepare(changed(POINT, nuclide=nuclide))
    crystals = np.zeros_like(instrument.response.crystals)
    crystals[:, [GAIN, EFFICIENCY]] = 1.0
    perfect = instrument.response._replace(crystals=crystals, **response)
    return replace(instrument, tables=instrument.tables._replace(response=perfect))


def run_of(instrument: Instrument, slices: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all hits of some slices at 4 MBq, and the sum of their tallies."""
    emulation = Emulation(instrument, activity_Bq=4e6, seed=5)
    parts = [emulation.emulate_slice(k) for k in range(slices)]
    return np.concatenate([p.hits for p in parts]), np.sum([p.tally for p in parts], axis=0)


@pytest.mark.parametrize("nuclide", ["Tc-99m", "Lu-177", "Ga-68", "Na-22", "I-124", "F-18"])
def test_decays_emit_their_pairs_and_photons(nuclide):
    _, tally = run_of(prepare(changed(POINT, nuclide=nuclide)), 3)
    table = load_nuclide(nuclide)
    lines = [x.intensity for x in table.lines if 40 <= x.energy_keV <= 2000]
    decays = tally[DECAYS]
    assert tally[PAIRS] / decays == pytest.approx(
        table.beta_plus_fraction, abs=2.0 / math.sqrt(decays)
    )
    variance = sum(i * max(0.0, 1 - i) for i in lines)
    error = 4 * math.sqrt(variance / decays) + 1e-9
    assert tally[PHOTONS] / decays == pytest.approx(sum(lines), abs=error)


@pytest.mark.parametrize(
    ("nuclide", "lines_keV"),
    [
        ("Tc-99m", [140.5]),
        ("Lu-177", [112.9, 208.4]),
        ("I-131", [284.3, 364.5, 637.0]),
        ("Ga-68", [511.0, 1077.3]),
        ("Na-22", [511.0, 1274.5]),
    ],
)
def test_sharp_spectrum_has_its_peaks_at_the_lines(nuclide, lines_keV):
    hits, _ = run_of(without_errors(nuclide, **SHARP), 5)
    counts = np.bincount(hits["energy"], minlength=16384)
    for line_keV in lines_keV:
        at = round(line_keV * 10)
        beside = counts[at + 20 : at + 60].mean()
        assert counts[at - 3 : at + 4].sum() > 10 * max(beside, 1)


def covered_share() -> float:
    """Return the share of directions from the centre that meet a module's front face."""
    random = np.random.default_rng(1)
    cosine = random.uniform(-1, 1, 400_000)
    step = 2 * np.pi / 16
    off = (random.uniform(0, 2 * np.pi, len(cosine)) + step / 2) % step - step / 2
    u = 128 * np.tan(off)
    z = 128 / np.cos(off) * cosine / np.sqrt(1 - cosine**2)
    in_ring = np.min(np.abs(z[:, None] - np.array([-52.0, 0.0, 52.0])), axis=1) <= 25
    return float(((np.abs(u) <= 25) & in_ring).mean())


def test_140_keV_photons_are_detected_by_the_solid_angle():
    """15 mm of LYSO stop all of them; some few leave with less, or come in between modules."""
    hits, tally = run_of(without_errors("Tc-99m"), 10)
    assert len(hits) / tally[PHOTONS] == pytest.approx(covered_share(), rel=0.03)


def test_line_photons_are_singles_without_partner():
    hits, _ = run_of(without_errors("Tc-99m"), 1)
    emulation = Emulation(without_errors("Tc-99m"), activity_Bq=1e4, seed=5)
    hits = np.concatenate([emulation.emulate_slice(k).hits for k in range(40)])
    assert len(hits) > 500
    assert (np.diff(np.sort(hits["time_ps"])) < 1000).mean() < 0.01


def test_mixture_shares_its_decays_and_names_them():
    config = changed(POINT, nuclide="Ga-68:0.3+Lu-177:0.7")
    emulation = Emulation(prepare(config), activity_Bq=4e6, seed=5)
    for k in range(4):
        emulation.digitize(emulation.emulate_slice(k), last=k == 3)
    truth = emulation.totals.truth()
    assert truth["decays of Ga-68"] + truth["decays of Lu-177"] == truth["decays"]
    share = truth["decays of Ga-68"] / truth["decays"]
    assert share == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / truth["decays"]))
    assert truth["pairs"] == pytest.approx(0.889 * truth["decays of Ga-68"], rel=0.02)


def test_each_nuclide_of_a_mixture_decays_with_its_own_half_life():
    emulation = Emulation(prepare(changed(POINT, nuclide="O-15+Lu-177")), activity_Bq=2e6, seed=3)
    later = round(122.24 / (PERIOD_PS * 1e-12))  # one half-life of O-15
    assert emulation.activities_Bq(0) == pytest.approx([1e6, 1e6], rel=1e-4)
    assert emulation.activities_Bq(later) == pytest.approx([5e5, 1e6], rel=1e-3)
    decays = sum(emulation.emulate_slice(later + k).tally[TALLY_SIZE:] for k in range(20))
    assert decays[0] / decays[1] == pytest.approx(0.5, abs=4 * 0.5 * math.sqrt(3 / decays[1]))


def test_source_that_has_died_out_is_silent():
    emulation = Emulation(prepare(changed(POINT, nuclide="O-15")), activity_Bq=1e6, seed=3)
    after_a_week = emulation.emulate_slice(round(7 * 86400 / (PERIOD_PS * 1e-12)))
    assert (len(after_a_week.hits), after_a_week.tally.sum()) == (0, 0)


def test_share_of_one_changes_no_byte_of_a_pure_source():
    config = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=1e6)
    runs = [
        list(frames_of_run(prepare(c), c, periods=2))
        for c in (config, changed(config, nuclide="F-18:1"))
    ]
    assert runs[0] == runs[1]


def test_mixtures_are_read_as_they_are_written():
    source = load_source("Ga-68:0.3+Lu-177:0.7")
    assert [n.name for n in source.nuclides] == ["Ga-68", "Lu-177"]
    assert source.shares == pytest.approx((0.3, 0.7))
    assert source.name == "Ga-68:0.3+Lu-177:0.7"
    assert load_source("Ga-68 + Lu-177").shares == (0.5, 0.5)
    assert load_source("F-18").name == "F-18"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Ga-68:0.3+Lu-177", "every nuclide's share"),
        ("Ga-68:0.3+Lu-177:0.6", "with sum 1"),
        ("Ga-68:-0.3+Lu-177:1.3", "above 0"),
        ("Ga-68:nan+Lu-177:0.7", "above 0"),
        ("Ga-68:a+Lu-177:b", "such as Ga-68:0.3"),
        ("F-18+F-18", "named twice"),
        ("Ge-68", "neither positrons nor photons"),
    ],
)
def test_mixture_that_cannot_be_is_refused(text, told):
    with pytest.raises(EmulationError, match=told):
        load_source(text)


@pytest.mark.parametrize("text", ["", "Ga-68+", "F-18+Xx-1", "+"])
def test_unknown_part_of_a_mixture_is_answered_with_the_table(text):
    with pytest.raises(NuclideError, match="the table has"):
        load_source(text)


@pytest.mark.parametrize("name", nuclide_names())
def test_emitted_and_left_out_lines_are_all_lines_of_at_least_40_keV(name):
    nuclide = load_nuclide(name)
    if not (emitted_lines(nuclide) or nuclide.beta_plus_fraction):
        return  # nothing to emit: refused above
    source = load_source(name)
    strong = [x for x in nuclide.lines if x.energy_keV >= LEAST_LINE_KEV]
    assert len(emitted_lines(nuclide)) + len(source.left_out) == len(strong)
    assert all(x.energy_keV > MAX_ENERGY_KEV for _, x in source.left_out)
    assert sum(x.intensity for _, x in source.left_out) < 0.06  # Y-86 has 5.1 %, I-124 3.3 %
    tables = emission_tables(source)
    assert tables.line_intensity.max(initial=0.0) <= 1.0
    expected = sum(x.intensity for x in emitted_lines(nuclide))
    shares = np.diff(tables.mode_share, prepend=0.0)
    of_mode = np.repeat(shares, np.diff(tables.first_line))
    assert (of_mode * tables.line_intensity).sum() == pytest.approx(expected)
    pairs = shares[tables.positron >= 0].sum()
    assert pairs == pytest.approx(nuclide.beta_plus_fraction)


@pytest.mark.parametrize(
    ("energy_keV", "cm2_per_g"),
    [(800, 0.07865), (1000, 0.07072), (1250, 0.06323), (1500, 0.05754)],  # NIST XCOM, total
)
def test_water_beyond_the_stored_table_is_attenuated_by_the_book(energy_keV, cm2_per_g):
    mu_per_mm = cross_sections("water").mu_per_mm
    assert mu_per_mm[energy_keV] * 10 == pytest.approx(cm2_per_g, rel=0.005)


def test_lyso_goes_on_smoothly_beyond_the_stored_table():
    lyso = cross_sections("LYSO")
    assert len(lyso.mu_per_mm) == MAX_ENERGY_KEV + 2
    for table in (lyso.mu_per_mm, lyso.photo_fraction):
        slope = np.diff(np.log(table[700:]))
        assert (slope < 0).all()
        assert np.abs(np.diff(slope[60:100])).max() < 2e-4


@pytest.mark.parametrize("energy_keV", [100.0, 511.0, 1500.0])
def test_total_compton_cross_section_is_the_integral_over_the_angle(energy_keV):
    def differential(cosine: float) -> float:
        ratio = 1 / (1 + energy_keV / 510.99895 * (1 - cosine))
        return 0.5 * ratio**2 * (ratio + 1 / ratio - (1 - cosine**2))

    whole = integrate.quad(differential, -1, 1)[0]
    assert klein_nishina(np.array([energy_keV]))[0] == pytest.approx(whole)
