"""Faults of modules, crystals and clocks: what headers and words show, and the truth of it."""

from __future__ import annotations

from itertools import count

import msgspec
import numpy as np
import pytest

from emulator.config import EmulationError, EmulatorConfig, check_config
from emulator.detector.raw_position import raw_address
from emulator.detector.response import BELOW_TRIGGER, HIT, MISSED, UNREAD
from emulator.engines.emulation import Emulation
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from emulator.fault_kinds import KINDS, FaultError, FaultPlan, parse_fault
from emulator.faults.clocks import Clocks
from emulator.faults.crystals import CrystalFaults
from emulator.faults.schedule import FaultSchedule
from emulator.process.run_faults import FaultDesk, RunFaults, check_faults
from emulator.slices import NOISE, TALLY_SIZE, SliceHits
from hw.messages.source import FaultOrder
from hw.scanner.preset_file import load_scanner
from hw.wire.truth_layout import LABEL, NOISE_TRIGGER
from oracles.emulation import PERIOD_PS, decode_frame

BENCH = load_scanner("bench2")
PERIOD_S = PERIOD_PS * 1e-12


def schedule_of(*texts: str, modules: int = 2) -> FaultSchedule:
    return FaultSchedule([parse_fault(t, modules=modules) for t in texts], modules=modules)


def slice_of(index: int, *hits: tuple[int, int, int, int], labelled: bool = False) -> SliceHits:
    """Make a slice of (time, module, crystal, energy)."""
    array = np.array([(t, m, c, e, 0) for t, m, c, e in hits], HIT)
    labels = np.zeros(len(array) if labelled else 0, LABEL)
    labels["decay"] = np.arange(len(labels))
    missed, tally = np.zeros((2, MISSED), np.int64), np.zeros(TALLY_SIZE + 1, np.int64)
    return SliceHits(index, array, missed, tally, labels)


# --- how faults are written -----------------------------------------------------------------------


def test_a_fault_is_written_and_read_back():
    fault = parse_fault("clock_drift@10s:module=3+1,ppm=-2.5,for=500ms")
    assert (fault.kind, fault.at_s, fault.for_s, fault.modules) == ("clock_drift", 10, 0.5, (1, 3))
    assert fault.amounts == {"ppm": -2.5}
    assert parse_fault(fault.describe()) == fault
    assert parse_fault("drop=0.01") == parse_fault("drop:p=0.01")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_written_with_its_defaults(kind):
    needed = "crystal=1," if "crystal" in KINDS[kind].amounts else ""
    lasting = "" if kind == "module_reset" else "for=1s"
    fault = parse_fault(f"{kind}:{needed}{lasting}")
    assert parse_fault(fault.describe()) == fault


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("explode", "no kind 'explode'; there are corrupt"),
        ("drop=2", "p is 2, the bounds are 0 and 1"),
        ("drop:speed=3", "no 'speed'; it takes module, for, p"),
        ("drop:p=nan", "not a number"),
        ("drop@-1s", "give 0 or more"),
        ("drop:module=x", "module is 'x'"),
        ("drop:module=2", "no module 2, the scanner has 0 to 1"),
        ("dead_crystal:module=0", "say which crystal"),
        ("dead_crystal:crystal=64", "no crystal 64, a module has 0 to 63"),
        ("stalled_link", "say for how long"),
        ("stalled_link:for=100s", "the bound is 30 s"),
        ("clock_drift:ppm=1000,for=60s", "give less ppm or a shorter time"),
        ("counter_wrap@3s", "only begin with the run"),
        ("drop:p=0.1,p=0.2", "p is given twice"),
        ("drop=0.1:p=0.2", "p is given twice"),
        ("drop:for=0s", "leave it out to last until cleared"),
        ("dead_crystal:crystal=1.5", "give a whole number"),
        ("module_reset:off=50ms,for=2s", "leave for out"),
        ("a b c", "write KIND@TIME"),
    ],
)
def test_what_cannot_be_done_is_refused_with_bound_and_remedy(text, complaint):
    with pytest.raises(FaultError, match=complaint):
        parse_fault(text, modules=2, crystals=64)


def test_a_configuration_with_such_a_fault_is_refused():
    with pytest.raises(EmulationError, match="no kind"):
        check_config(EmulatorConfig(faults=FaultPlan(schedule=("explode",))))
    with pytest.raises(EmulationError, match="no module 7"):
        check_faults(FaultPlan(schedule=("drop:module=7",)), BENCH)


# --- when -----------------------------------------------------------------------------------------


def test_faults_begin_and_end_with_whole_periods_and_stay_in_the_log():
    schedule = schedule_of("drop@1s:for=500ms")
    (entry,) = schedule.entries
    assert (entry.begin, entry.end) == (191, 191 + 95)
    assert [entry.is_on(k) for k in (190, 191, 285, 286)] == [False, True, True, False]
    schedule.period = 200
    assert schedule.log()[0].end_period == 200
    schedule.clear(1)
    schedule.period = 300
    assert (schedule.log()[0].begin_period, schedule.log()[0].end_period) == (191, 200)
    assert schedule.pending() == []


def test_orders_take_effect_with_the_next_period_and_never_in_the_past():
    schedule = schedule_of()
    schedule.period = 50
    assert schedule.set(parse_fault("drop")).begin == 50
    with pytest.raises(FaultError, match=r"the run is at 0\.26 s already"):
        schedule.set(parse_fault("drop@0.1s"))
    with pytest.raises(FaultError, match="before the run, or with --fault"):
        schedule.set(parse_fault("counter_wrap"))
    with pytest.raises(FaultError, match="no fault 9"):
        schedule.clear(9)


def test_a_fault_cleared_before_it_began_was_never_done():
    schedule = schedule_of("drop@1s")
    schedule.clear(None)
    schedule.period = 500
    assert schedule.log() == []


def test_orders_between_runs_are_for_the_next_one_only():
    desk = FaultDesk(BENCH)
    assert desk.obey(FaultOrder(id=1, action="set", text="drop=0.1")).accepted
    answer = desk.obey(FaultOrder(id=2, action="set", text="drop:module=5"))
    assert not answer.accepted
    assert answer.faults == ["1 drop:p=0.1 (next run)"]
    assert desk.obey(FaultOrder(id=3, action="clear", text="no")).reason.startswith("clear 'no'")
    assert [fault.kind for fault in desk.standing()] == ["drop"]
    assert desk.standing() == []
    for number, text in enumerate(("drop", "corrupt", "reorder"), 1):
        desk.obey(FaultOrder(id=number, action="set", text=text))
    desk.obey(FaultOrder(id=4, action="clear", text="1"))
    desk.obey(FaultOrder(id=5, action="clear", text="2"))  # numbers stay what they were
    assert [fault.kind for fault in desk.standing()] == ["reorder"]
    assert "burst" in desk.obey(FaultOrder(id=4, action="list")).kinds


# --- clocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ppm", [-300.0, 300.0])
def test_a_drifting_clock_shows_every_hit_at_its_own_time(ppm):
    """All hits of a run, moved at once, are what the slices hold one after another."""
    random, periods = np.random.default_rng(2), 8
    times = np.sort(random.integers(0, periods * PERIOD_PS, 400))
    slices = [
        slice_of(k, *((int(t % PERIOD_PS), 0, 0, 1000) for t in times if t // PERIOD_PS == k))
        for k in range(periods + 1)
    ]
    begin, end = 2, 6  # in periods
    schedule = schedule_of(f"clock_drift@{begin * PERIOD_S}s:module=0,ppm={ppm},"
                           f"for={(end - begin) * PERIOD_S}s")  # fmt: skip
    clocks, shown = Clocks(schedule, 2), []
    for hits in clocks.stream(slices):
        if hits.index == periods:
            break
        shown.append(clocks.shift(hits).hits["time_ps"] + hits.index * PERIOD_PS)
        assert (shown[-1] >= hits.index * PERIOD_PS).all()  # never before its frame
    drifting = (times >= begin * PERIOD_PS) & (times < end * PERIOD_PS)
    expected = times + np.where(drifting, ppm * 1e-6 * (times - begin * PERIOD_PS), 0)
    np.testing.assert_allclose(np.sort(np.concatenate(shown)), np.sort(expected), atol=1)


def test_labels_follow_hits_that_a_slow_clock_moves_into_the_frame_before():
    schedule = schedule_of("clock_drift:module=1,ppm=-1000,for=1s")
    clocks = Clocks(schedule, 2)
    slices = [slice_of(k, (1000, 1, k, 500), (9000, 0, k, 500), labelled=True) for k in range(3)]
    stream = clocks.stream(slices)
    first = clocks.shift(next(stream))
    assert first.hits["crystal"].tolist() == [0, 0, 1]
    assert first.hits["time_ps"][2] == PERIOD_PS + 999 - PERIOD_PS // 1000
    assert first.labels["decay"].tolist() == [0, 1, 0]
    assert first.labels["time_ps"][2] == PERIOD_PS
    assert clocks.shift(next(stream)).hits["module"].tolist() == [0, 1]


# --- crystals -------------------------------------------------------------------------------------


def test_a_dead_crystal_is_unread_and_all_else_stays():
    faults = crystal_faults("dead_crystal:module=1,crystal=5")
    out = faults.disturb(slice_of(0, (1, 0, 5, 900), (2, 1, 5, 900), (3, 1, 6, 900)))
    assert out.hits["crystal"].tolist() == [5, 6]
    assert out.missed[:, UNREAD].tolist() == [0, 1]


def test_gain_follows_the_temperature_and_what_falls_below_the_trigger_is_counted():
    faults = crystal_faults()
    faults.gain = np.array([0.5, 1.0])
    out = faults.disturb(slice_of(0, (1, 0, 1, 5000), (2, 0, 1, 1500), (3, 1, 1, 1500)))
    assert out.hits["energy"].tolist() == [2500, 1500]
    assert out.missed[:, BELOW_TRIGGER].tolist() == [1, 0]


@pytest.mark.parametrize("labelled", [False, True])
def test_a_burst_adds_triggers_of_its_module_in_time_order_and_labels_them_as_noise(labelled):
    faults = crystal_faults("burst:module=1,times=11", labelled=labelled)
    some = [(1000 * k, k % 2, 3, 5000) for k in range(200)]
    before = slice_of(4, *some, labelled=labelled)
    out = faults.disturb(before)
    added = len(out.hits) - 200
    assert added == pytest.approx(1000, abs=150)
    assert (np.bincount(out.hits["module"]) == [100, 100 + added]).all()
    assert (np.diff(out.hits["time_ps"]) >= 0).all()
    assert out.hits["energy"].min() >= 1000
    assert (out.tally[NOISE], before.tally[NOISE]) == (added, 0)
    assert faults._schedule.entries[0].done == added
    if labelled:
        assert (out.labels["kind"] == NOISE_TRIGGER).sum() == added
        assert sorted(out.labels["decay"][out.labels["kind"] != NOISE_TRIGGER]) == list(range(200))
    again = crystal_faults("burst:module=1,times=11", labelled=labelled).disturb(before)
    np.testing.assert_array_equal(out.hits, again.hits)


def test_a_noisy_crystal_fires_at_its_rate():
    faults = crystal_faults("noisy_crystal:module=0,crystal=9,Hz=100000")
    n = [len(faults.disturb(slice_of(k)).hits) for k in range(50)]
    assert sum(n) == pytest.approx(50 * 524, rel=0.03)


def test_dead_crystals_are_found_behind_raw_positions():
    response = msgspec.structs.replace(BENCH.response, position_readout="raw")
    raw = msgspec.structs.replace(BENCH, response=response)
    schedule = schedule_of("dead_crystal:crystal=27")
    faults = CrystalFaults(raw, schedule, trigger_keV=100.0, seed=1)
    hits = slice_of(0, (1, 0, raw_address(raw, 27), 900), (2, 0, raw_address(raw, 28), 900))
    assert len(faults.disturb(hits).hits) == 1


def crystal_faults(*texts: str, labelled: bool = False) -> CrystalFaults:
    return CrystalFaults(BENCH, schedule_of(*texts), trigger_keV=100.0, seed=3, labelled=labelled)


# --- modules --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def instrument() -> Instrument:
    return prepare(EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=3e5))


def headers_of(
    instrument: Instrument, *texts: str, periods: int = 30
) -> tuple[list[list[dict]], RunFaults, Emulation]:
    """Run some periods with faults; return each module's decoded frames."""
    config = EmulatorConfig(scanner="bench2", phantom="point", faults=FaultPlan(schedule=texts))
    emulation = Emulation(instrument, activity_Bq=3e5, seed=1)
    faults = RunFaults(emulation, instrument, config, seed=1)
    sent: list[list[dict]] = [[], []]
    for hits in faults.stream(emulation.emulate_slice(k) for k in count()):
        last = hits.index == periods - 1
        frames = emulation.digitize(faults.disturb(hits, last=last), last=last)
        for module, parts in faults.sent(hits.index, frames):
            sent[module] += [decode_frame(bytes(part)) for part in parts]
        if last:
            return sent, faults, emulation
    raise AssertionError


def test_sync_lost_is_flagged_in_the_periods_of_the_drift_only(instrument):
    sent, faults, _ = headers_of(instrument, f"clock_drift@{5 * PERIOD_S}s:module=1,for=50ms")
    flagged = [h["frame_id"] for h in sent[1] if h["flags"] & 4]
    assert flagged == list(range(5, 15))
    assert not any(h["flags"] & 4 for h in sent[0])
    assert faults.done()["clock_drift"] == faults.log()[0].done == 10


def test_a_module_that_resets_is_silent_and_begins_anew_with_first(instrument):
    sent, _, emulation = headers_of(
        instrument, f"module_reset@{10 * PERIOD_S}s:module=0,off={4 * PERIOD_S}s"
    )
    assert [h["frame_id"] for h in sent[0]] == [*range(10), *range(14, 30)]
    assert [h["sequence"] for h in sent[0]] == [*range(10), *range(16)]
    assert [h["frame_id"] for h in sent[0] if h["flags"] & 1] == [0, 14]
    assert sent[0][10]["events_before"] == 0
    truth = emulation.totals.truth()
    assert truth["off"] > 0
    assert emulation.framer.frames_made.tolist() == [26, 30]
    ends = ("below_trigger", "unread", "emitted", "dead", "piled_up", "lost", "off", "after_end")
    assert truth["deposits"] + truth["noise"] == sum(truth[k] for k in ends)


def test_the_last_frame_is_sent_whatever_the_fault(instrument):
    for fault in ("module_reset:off=10s", "vanished_link", "stalled_link:for=10s"):
        sent, _, _ = headers_of(instrument, fault, periods=6)
        assert all(frames[-1]["flags"] & 2 for frames in sent)


def test_temperature_takes_its_course_and_epochs_count_the_bands_it_left(instrument):
    sent, _, _ = headers_of(instrument, "temperature_drift:module=0,K_per_s=50,band=2")
    degrees = np.array([h["temperature"] for h in sent[0]]) / 100
    np.testing.assert_allclose(degrees, 24.5 + 50 * (np.arange(30) + 0.5) * PERIOD_S, atol=0.006)
    assert (sent[0][0]["epoch"], sent[0][-1]["epoch"]) == (0, 3)
    assert {h["temperature"] for h in sent[1]} == {2450}
    sent, _, _ = headers_of(instrument, f"temperature_sine:K=3,period={30 * PERIOD_S}s")
    assert max(h["temperature"] for h in sent[1]) == pytest.approx(2750, abs=3)
    assert min(h["temperature"] for h in sent[1]) == pytest.approx(2150, abs=3)


def test_frame_numbers_wrap_and_period_counters_leap_as_told(instrument):
    sent, _, _ = headers_of(
        instrument,
        "counter_wrap:module=0,before=4",
        f"clock_leap@{3 * PERIOD_S}s:module=1,for=20ms",
    )
    assert [h["sequence"] for h in sent[0]][:6] == [2**32 - 4 + k for k in range(4)] + [0, 1]
    assert [h["frame_id"] for h in sent[0]] == list(range(30))
    assert [h["frame_id"] for h in sent[1]][2:8] == [2, 1003, 1004, 1005, 1006, 7]


def test_a_stalled_link_sends_all_at_once_a_vanished_one_never(instrument):
    sent, faults, _ = headers_of(
        instrument,
        f"stalled_link@{4 * PERIOD_S}s:module=0,for={5 * PERIOD_S}s",
        f"vanished_link@{4 * PERIOD_S}s:module=1,for={5 * PERIOD_S}s",
    )
    assert [h["frame_id"] for h in sent[0]] == list(range(30))
    assert [h["frame_id"] for h in sent[1]] == [*range(4), *range(9, 30)]
    assert faults.done() == {"stalled_link": 5, "vanished_link": 5}


def test_without_faults_the_frames_are_those_of_the_emulation_alone(instrument):
    sent, faults, _ = headers_of(instrument, periods=4)
    emulation = Emulation(instrument, activity_Bq=3e5, seed=1)
    for period in range(4):
        frames = emulation.digitize(emulation.emulate_slice(period), last=period == 3)
        assert [decode_frame(bytes(frame)) for frame in frames] == [s[period] for s in sent]
    assert faults.log() == []
    assert faults.done() == {}
