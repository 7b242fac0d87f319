"""Decay modes: yields stay those of ICRP 107, and photons come with the β⁺ that they follow."""

from __future__ import annotations

import math

import numpy as np
import pytest

from emulator.config import EmulatorConfig
from emulator.engines.decay_engine import DecayEngine
from emulator.engines.prepare import prepare
from emulator.physics.emission import emitted_lines
from hw.physics.cascades import SCHEMES, decay_modes, is_delayed
from hw.physics.nuclides import load_nuclide, nuclide_names
from hw.wire.truth_layout import ANNIHILATION, LINE


@pytest.mark.parametrize("name", nuclide_names())
def test_modes_keep_every_yield(name):
    nuclide = load_nuclide(name)
    lines = emitted_lines(nuclide)
    modes = decay_modes(nuclide, lines)
    assert sum(mode.probability for mode in modes) == pytest.approx(1.0)
    assert all(mode.probability >= -1e-12 for mode in modes)
    pairs = sum(mode.probability for mode in modes if mode.positron >= 0)
    assert pairs == pytest.approx(nuclide.beta_plus_fraction, abs=1e-9)
    for line in lines:
        emitted = sum(m.probability * photons for m in modes for x, photons in m.lines if x == line)
        assert emitted == pytest.approx(line.intensity, rel=1e-6)


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_each_line_of_a_scheme_is_one_of_the_nuclides(name):
    """A line that is told but not found would be lost in silence."""
    lines = emitted_lines(load_nuclide(name))
    scheme = SCHEMES[name]
    told = [f for f in (*scheme.positrons, *(follows for _, follows in scheme.captures)) if f]
    energies = {energy for follows in told for energy in follows} | set(scheme.delayed_keV)
    assert all(
        sum(x.kind == "gamma" and abs(x.energy_keV - energy) < 0.5 for x in lines) == 1
        for energy in energies
    )


def per_pair(name: str, near_keV: float) -> float:
    """Return the photons of a line per β⁺ pair, in the same decay."""
    nuclide = load_nuclide(name)
    modes = [m for m in decay_modes(nuclide, emitted_lines(nuclide)) if m.positron >= 0]
    pairs = sum(mode.probability for mode in modes)
    return (
        sum(
            mode.probability * photons
            for mode in modes
            for line, photons in mode.lines
            if abs(line.energy_keV - near_keV) < 1 and not is_delayed(nuclide, line)
        )
        / pairs
    )


@pytest.mark.parametrize(
    ("name", "near_keV", "expected"),
    [
        ("I-124", 602.7, 0.525),  # 11.7 % of 22.9 % of β⁺ feed the 603 keV level, 0.3 % the 1325
        ("I-124", 1691.0, 0.0),  # its level is fed by capture
        ("Ga-68", 1077.3, 0.0134),  # 1.19 % of 88.9 %
        ("Na-22", 1274.5, 0.999),  # nearly every β⁺
        ("Rb-82", 776.5, 0.143),  # 13.1 + 0.3 + 0.1 % of 95.4 %
        ("Cu-64", 1345.8, 0.0),  # capture
        ("Zr-89", 909.2, 0.0),  # 15.7 s later
    ],
)
def test_photons_per_pair_are_those_of_the_level_scheme(name, near_keV, expected):
    assert per_pair(name, near_keV) == pytest.approx(expected, abs=0.003)


def labelled(name: str, slices: int, activity_Bq: float) -> tuple[np.ndarray, int]:
    """Return the labels of a point source's hits, and the number of decays."""
    config = EmulatorConfig(phantom="point", nuclide=name, positron_range=False)
    engine = DecayEngine(prepare(config), activity_Bq=activity_Bq, seed=4, labelled=True)
    parts = [engine.make_slice(k) for k in range(slices)]
    return np.concatenate([p.labels for p in parts]), sum(int(p.tally[0]) for p in parts)


def test_pairs_of_iodine_124_come_with_603_keV_as_often_as_its_levels_say():
    """P(603 | pair)/P(603) of detected photons: their detection does not depend on each other."""
    labels, decays = labelled("I-124", 8, 4e6)
    of_line = labels[(labels["kind"] == LINE) & (np.abs(labels["emitted_keV"] - 602.7) < 1)]
    with_line = np.unique(of_line["decay"])
    with_pair = np.unique(labels["decay"][labels["kind"] == ANNIHILATION])
    both = len(np.intersect1d(with_line, with_pair))
    ratio = (both / len(with_pair)) / (len(with_line) / decays)
    assert ratio == pytest.approx(0.525 / 0.629, abs=4 * ratio / math.sqrt(both))


def test_909_keV_of_zirconium_89_is_at_another_time_than_its_pair():
    """The isomer lives 15.7 s: within 100 ns of a pair there are only those of other decays."""
    labels, _ = labelled("Zr-89", 8, 1e6)
    line = labels[np.abs(labels["emitted_keV"] - 909.15) < 1]
    assert len(line) > 5000
    pair_times = {d: t for d, t, k in labels[["decay", "time_ps", "kind"]].tolist() if k == 0}
    own = [t - pair_times[d] for d, t in line[["decay", "time_ps"]].tolist() if d in pair_times]
    gaps_ps = np.abs(np.array(own))
    assert len(gaps_ps) > 200
    # two independent times in a slice of T: |Δt| has the mean T/3, and 2·100 ns/T are within 100 ns
    assert gaps_ps.mean() == pytest.approx(5.24288e9 / 3, rel=0.15)
    assert (gaps_ps < 1e5).sum() <= 2


def test_slices_with_delayed_photons_are_in_order_of_time():
    config = EmulatorConfig(phantom="point", nuclide="Zr-89")
    hits = DecayEngine(prepare(config), activity_Bq=2e6, seed=4).make_slice(0).hits
    assert (np.diff(hits["time_ps"]) >= 0).all()
