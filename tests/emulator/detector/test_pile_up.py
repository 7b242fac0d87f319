"""Pile-up against a slow digitizer that sees the whole run at once, and against theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.config import EmulatorConfig
from emulator.detector.digitizer import (
    DEAD,
    EMITTED,
    OFF,
    PILED_UP,
    Digitizer,
    DigitizerTables,
    digitizer_tables,
)
from emulator.detector.framing import Framer
from emulator.detector.response import HIT
from emulator.engines.prepare import prepare
from hw.physics.scintillator import SCINTILLATION_NS
from hw.scanner.preset_file import load_scanner
from hw.wire.protocol import FRAME_PERIOD_PS
from oracles.emulation import PERIOD_PS, decode_frame

GATE_PS, TAU_PS = 200_000, 40_000.0


def tables(**changes: object) -> DigitizerTables:
    settings = {
        "dead_time_ps": 300_000,
        "paralysable": False,
        "integration_ps": GATE_PS,
        "light_decay_ps": TAU_PS,
        "shared": True,
        "row": 8,
        "queue_words": 65_536,
    }
    return DigitizerTables(**settings | changes)  # type: ignore[arg-type]


def hits_of(*hits: tuple[int, int, int, int, int]) -> np.ndarray:
    return np.array(list(hits), HIT)


def events_of(hits: np.ndarray, settings: DigitizerTables) -> list[dict]:
    digitizer, framer = Digitizer(1, settings), Framer(1, run_tag=0)
    assert digitizer.take(hits, 0)
    return decode_frame(bytes(framer.seal(0, digitizer, last=False)[0]))["events"]


def pile_slowly(hits: list[tuple[int, int, int, int]], settings: DigitizerTables) -> tuple:
    """Follow one module through two periods: (words by period, piled up, dead)."""
    words: list[list[tuple[int, int, int, int]]] = [[], []]
    piled = dead = 0
    free = gate = 0
    group: list[tuple[int, int, int, int]] = []
    busy = max(settings.dead_time_ps, settings.integration_ps)

    def emit() -> None:
        if not group:
            return
        whole = 1 - math.exp(-settings.integration_ps / TAU_PS)
        lights = []
        for time_ps, crystal, energy, doi in group:
            left = settings.integration_ps - (time_ps - group[0][0])
            share = (1 - math.exp(-left / TAU_PS)) / whole
            lights.append((share * energy, crystal % 8, crystal // 8, doi))
        energy = sum(light[0] for light in lights)
        if len(lights) == 1:
            u, v, doi = lights[0][1:]
        elif settings.shared:
            u, v, doi = (
                math.floor(sum(x[0] * x[k] for x in lights) / (energy or 1) + 0.5)
                for k in (1, 2, 3)
            )
        else:
            u, v, doi = max(lights, key=lambda light: light[0])[1:]
        period, rest = divmod(group[0][0], PERIOD_PS)
        words[period].append((rest * 32 // 625, u + 8 * v, min(int(energy + 0.5), 16383), doi))

    for hit in sorted(hits):
        time_ps = hit[0]
        in_gate, in_dead = time_ps < gate, time_ps < free
        if settings.paralysable or not in_dead:
            free = time_ps + busy
        if in_gate:
            piled += 1
            if time_ps // PERIOD_PS == group[0][0] // PERIOD_PS:
                group.append(hit)  # later light comes after the word has left
        elif in_dead:
            dead += 1
        else:
            emit()
            group = [hit]
            gate = time_ps + settings.integration_ps
    emit()
    return words, piled, dead


CLUSTERED = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 1_500_000), st.integers(PERIOD_PS - 700_000, PERIOD_PS + 700_000)),
        st.integers(0, 63),
        st.integers(1, 12_000),
        st.integers(0, 7),
    ),
    max_size=25,
    unique_by=lambda hit: hit[0],
)


@given(
    hits=CLUSTERED,
    dead_time_ps=st.sampled_from([0, 150_000, 200_000, 400_000]),
    paralysable=st.booleans(),
    shared=st.booleans(),
)
def test_words_agree_with_the_slow_digitizer(hits, dead_time_ps, paralysable, shared):
    settings = tables(dead_time_ps=dead_time_ps, paralysable=paralysable, shared=shared)
    digitizer, framer = Digitizer(1, settings), Framer(1, run_tag=0)
    slices = [
        np.array([(t - k * PERIOD_PS, 0, *r) for t, *r in hits if t // PERIOD_PS == k], HIT)
        for k in (0, 1)
    ]
    expected, piled, dead = pile_slowly(hits, settings)
    totals = np.zeros(5, np.int64)
    for period, part in enumerate(slices):
        assert digitizer.take(part, period)
        totals += digitizer.counts[0]
        got = decode_frame(bytes(framer.seal(period, digitizer, last=False)[0]))
        words = [(e["time"], e["crystal"], e["energy"], e["doi"]) for e in got["events"]]
        assert len(words) == len(expected[period])
        for word, wanted in zip(words, expected[period], strict=True):
            assert word[0] == wanted[0]
            assert np.abs(np.subtract(word, wanted)).max() <= 1  # halves, rounded either way
    assert (totals[PILED_UP], totals[DEAD]) == (piled, dead)
    assert totals.sum() == len(hits)


def test_two_photons_at_once_give_the_sum_and_their_centre():
    (event,) = events_of(hits_of((1000, 0, 0, 2000, 0), (1000, 0, 6, 4000, 6)), tables())
    assert (event["energy"], event["crystal"], event["doi"]) == (6000, 4, 4)


def test_light_that_comes_late_in_the_gate_adds_little():
    whole = 1 - math.exp(-5)
    for gap_ps, share in ((40_000, 1 - math.exp(-4)), (160_000, 1 - math.exp(-1))):
        (event,) = events_of(hits_of((0, 0, 0, 5000, 0), (gap_ps, 0, 0, 5000, 0)), tables())
        assert event["energy"] == pytest.approx(5000 * (1 + share / whole), abs=1)


def test_all_of_a_semiconductors_charge_counts():
    settings = tables(light_decay_ps=0.0)
    (event,) = events_of(hits_of((0, 0, 0, 5000, 0), (190_000, 0, 0, 3000, 0)), settings)
    assert event["energy"] == 8000


def test_pixelated_blocks_give_the_place_of_the_larger_light():
    late_but_large = hits_of((0, 0, 3, 2000, 1), (20_000, 0, 9, 5000, 4))
    (event,) = events_of(late_but_large, tables(shared=False))
    assert (event["crystal"], event["doi"]) == (9, 4)


def test_raw_positions_are_weighted_by_axis():
    settings = digitizer_tables(load_scanner("caremibrain"))._replace(row=64, integration_ps=10**6)
    (event,) = events_of(
        hits_of((0, 0, 10 + 64 * 20, 3000, 0), (0, 0, 30 + 64 * 40, 3000, 0)), settings
    )
    assert divmod(event["crystal"], 64) == (30, 20)


def test_a_sum_beyond_the_field_is_flagged_as_saturated():
    (event,) = events_of(hits_of((0, 0, 0, 9000, 0), (0, 0, 0, 9000, 0)), tables())
    assert (event["energy"], event["flags"]) == (16383, 2)


def test_integration_longer_than_the_dead_time_is_the_dead_time():
    hits = hits_of((0, 0, 0, 1000, 0), (150_000, 0, 0, 1000, 0), (210_000, 0, 0, 1000, 0))
    events = events_of(hits, tables(dead_time_ps=50_000))
    assert [event["time"] for event in events] == [0, 210_000 * 32 // 625]


@pytest.mark.parametrize("rate_per_s", [5e5, 3e6])
def test_share_of_piled_up_events_follows_poisson(rate_per_s):
    """Of the accepted triggers 1 − exp(−n·T) have company within T."""
    periods, random = 12, np.random.default_rng(5)
    n = random.poisson(rate_per_s * periods * FRAME_PERIOD_PS * 1e-12)
    times = np.sort(random.integers(0, periods * FRAME_PERIOD_PS, n))
    digitizer, touched, emitted = Digitizer(1, tables(light_decay_ps=0.0)), 0, 0
    for k in range(periods):
        hits = np.zeros(int((times // FRAME_PERIOD_PS == k).sum()), HIT)
        hits["time_ps"] = times[times // FRAME_PERIOD_PS == k] % FRAME_PERIOD_PS
        hits["energy"] = 1000
        assert digitizer.take(hits, k)
        words = digitizer.words[8 : digitizer.first_word[1]]
        touched += int((((words >> np.uint64(30)) & np.uint64(0x3FFF)) > 1000).sum())
        emitted += int(digitizer.counts[0, EMITTED])
    expected = 1 - math.exp(-rate_per_s * GATE_PS * 1e-12)
    sigma = math.sqrt(expected * (1 - expected) / emitted)
    assert touched / emitted == pytest.approx(expected, abs=5 * sigma)


def test_every_preset_integrates_light_of_a_known_decay_time():
    instrument = prepare(EmulatorConfig(scanner="bench2", phantom="point"))
    found = digitizer_tables(instrument.scanner)
    assert found.light_decay_ps == SCINTILLATION_NS["LYSO"] * 1000
    busy_ps = max(found.dead_time_ps, found.integration_ps)
    assert instrument.truth.dead_time_ps == busy_ps


def test_a_module_without_power_counts_its_triggers_and_forgets_its_dead_time():
    digitizer = Digitizer(1, tables())
    digitizer.off[:] = True
    assert digitizer.take(hits_of((0, 0, 0, 1000, 0), (FRAME_PERIOD_PS - 1, 0, 0, 1000, 0)), 0)
    assert digitizer.counts[0, OFF] == 2
    digitizer.off[:] = False
    assert digitizer.take(hits_of((0, 0, 0, 1000, 0)), 1)
    assert digitizer.counts[0, EMITTED] == 1


def test_every_word_names_the_hit_it_came_from_across_the_frames_edge():
    digitizer = Digitizer(2, tables(), origins=True)
    digitizer.room[:] = 2
    first = hits_of((FRAME_PERIOD_PS + 5, 1, 7, 1000, 0), (100, 0, 5, 1000, 0), (150, 0, 6, 900, 0))
    assert digitizer.take(first, 4)
    places = digitizer.first_word[:-1] + 8 + 2
    assert digitizer.origin[places[0]] == 4 << 32 | 1
    assert (digitizer.origin[: places[0]] == -1).all()
    assert digitizer.take(hits_of(), 5)
    assert digitizer.origin[digitizer.first_word[1] + 8 + 2] == 4 << 32 | 0
