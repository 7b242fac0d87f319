"""Hits mode: what firmware modules get from their detector, by a plain reader of the window."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from emulator.config import (
    EmulationError,
    EmulatorConfig,
    check_hit_fault,
    check_hit_mode,
    make_config,
)
from emulator.detector.digitizer import Digitizer, digitizer_tables
from emulator.detector.framing import ModuleState
from emulator.engines.emulation import Emulation
from emulator.engines.prepare import prepare
from emulator.fault_kinds import FaultPlan
from emulator.process.hit_writer import HitWriter, mark_word, window_path
from emulator.process.run_faults import FaultDesk
from emulator.process.service import EmulatorService
from hw.machines.emulated_bias import BIAS_MV, BREAKDOWN_MV
from hw.machines.memory_window import Window
from hw.messages.source import FaultOrder, SourceReport, Start
from hw.scanner.preset_file import load_scanner
from hw.wire.control import MARK_LAST, MARK_SYNCED, RING, WINDOW
from hw.wire.protocol import KIND_SINGLE, WORD_KINDS, unpack_words

RUN_TAG = 77


class PlainModule:
    """The module's side of one window: opens its gate and takes hits out."""

    def __init__(self, folder: Path, module: int) -> None:
        path = window_path(folder, module)
        self.window = Window.create(path)
        self.window.world["shown_bias_mV"] = BIAS_MV
        self.words: list[np.ndarray] = []

    def _count(self, name: str) -> np.ndarray:
        at = WINDOW["hit_ring"] + RING[name]
        return self.window.bytes[at : at + 4].view(np.uint32)

    def gate(self, run_tag: int) -> None:
        self._count("gate")[0] = run_tag

    def take(self) -> None:
        head, tail = int(self._count("head")[0]), int(self._count("tail")[0])
        size = WINDOW["hit_words"]
        memory = self.window.bytes[WINDOW["hit_data"] :][: 8 * size].view(np.uint64)
        self.words.append(memory[np.arange(tail, head) % size].copy())
        self._count("tail")[0] = head

    @property
    def taken(self) -> dict[str, np.ndarray]:
        return unpack_words(np.concatenate(self.words or [np.zeros(0, np.uint64)]))


@dataclass
class Modules:
    folder: Path
    all: list[PlainModule] = field(default_factory=list)

    def make(self, count: int) -> list[PlainModule]:
        self.all = [PlainModule(self.folder, m) for m in range(count)]
        return self.all


@pytest.fixture
def modules(tmp_path: Path) -> Iterator[Modules]:
    made = Modules(tmp_path)
    yield made
    for module in made.all:
        module.window.close()


def writer_of(folder: Path, *, real_time: bool = False, modules: int = 2) -> HitWriter:
    writer = HitWriter(folder, modules, real_time=real_time)
    assert writer.wait_for_gates(RUN_TAG, lambda: False)
    return writer


def digitized(counts: list[int]) -> Digitizer:
    """Return a digitizer that has just made so many words in each module."""
    scanner = load_scanner("bench2")
    emulation = Emulation(BENCH, activity_Bq=1e4, seed=1, dead_time=False)
    hits = np.zeros(sum(counts), emulation.emulate_slice(0).hits.dtype)
    hits["module"] = np.repeat(np.arange(len(counts)), counts)
    hits["time_ps"] = np.concatenate([1_000_000 * np.arange(n) for n in counts])
    hits["energy"], hits["crystal"] = 5110, 7
    made = Digitizer(len(counts), digitizer_tables(scanner, dead_time=False))
    assert made.take(hits, 0)
    return made


BENCH = prepare(EmulatorConfig(scanner="bench2", phantom="point"))


def test_nothing_is_written_before_all_gates_are_open(modules):
    first, second = modules.make(2)
    first.gate(RUN_TAG)
    writer = HitWriter(modules.folder, 2, real_time=False)
    looks = iter([False, False, True])
    assert not writer.wait_for_gates(RUN_TAG, lambda: next(looks))
    second.gate(RUN_TAG)
    assert writer.wait_for_gates(RUN_TAG, lambda: False)
    writer.close()


@pytest.mark.parametrize(
    ("made", "words"), [(0, "module-000.window: no such"), (2, "modules 0, 1")]
)
def test_gates_that_stay_closed_are_named(modules, monkeypatch, made, words):
    modules.make(made)
    monkeypatch.setattr("emulator.process.hit_writer.GATES_S", 0.05)
    writer = HitWriter(modules.folder, 2, real_time=False)
    with pytest.raises(EmulationError, match=words):
        writer.wait_for_gates(RUN_TAG, lambda: False)


def test_hits_come_before_their_mark_which_has_the_periods_number(modules):
    both = modules.make(2)
    for module in both:
        module.gate(RUN_TAG)
    writer, state = writer_of(modules.folder), ModuleState(2)
    made = digitized([3, 5])
    for period in range(2):
        assert writer.write(period, made, state, last=period == 1, give_up=lambda: False)
    for module, hits in zip(both, (3, 5), strict=True):
        module.take()
        kinds = module.taken["kind"].tolist()
        assert kinds == [*[KIND_SINGLE] * hits, WORD_KINDS["sync"]] * 2
        assert module.taken["time"][[hits, -1]].tolist() == [0, 1]
        assert module.taken["flags"][[hits, -1]].tolist() == [MARK_SYNCED, MARK_SYNCED | MARK_LAST]
    assert writer.offered.tolist() == [6, 10]
    writer.close()


def test_sync_loss_leaps_and_temperature_reach_the_module(modules):
    (module,) = modules.make(1)
    module.gate(RUN_TAG)
    writer, state = writer_of(modules.folder, modules=1), ModuleState(1)
    state.sync_lost[0], state.leap[0], state.temperature_C[0] = True, 1000, -3.21
    assert writer.write(4, digitized([1]), state, last=False, give_up=lambda: False)
    module.take()
    assert module.taken["time"][-1] == 1004
    assert module.taken["flags"][-1] == 0
    assert module.window.world["ambient_cC"] == -321
    writer.close()


def test_without_bias_there_are_no_hits_and_with_less_they_are_smaller(modules):
    both = modules.make(2)
    for module in both:
        module.gate(RUN_TAG)
    writer, made, state = writer_of(modules.folder), digitized([4, 4]), ModuleState(2)
    worlds = [module.window.world for module in both]
    courses = ((BIAS_MV, 5110), (0, None), (BREAKDOWN_MV - 11, None), (BIAS_MV - 11 - 1750, 2555))
    for period, (bias_mV, _) in enumerate(courses):
        worlds[0]["shown_bias_mV"] = bias_mV
        assert writer.write(period, made, state, last=False, give_up=lambda: False)
    for module in both:
        module.take()
    taken = both[0].taken
    energies = np.split(taken["energy"], np.flatnonzero(taken["kind"] != KIND_SINGLE) + 1)
    for found, (_, energy) in zip(energies, courses, strict=False):
        assert found[:-1].tolist() == ([] if energy is None else [energy] * 4)
    assert np.count_nonzero(both[1].taken["energy"] == 5110) == 16  # the other has its bias
    assert writer.offered.tolist() == [8, 16]
    writer.close()


def test_a_module_without_power_gets_neither_hits_nor_marks(modules):
    both = modules.make(2)
    for module in both:
        module.gate(RUN_TAG)
    writer, made = writer_of(modules.folder), digitized([4, 4])
    made.off[0] = True
    assert writer.write(0, made, ModuleState(2), last=False, give_up=lambda: False)
    assert [m.window.hits_waiting for m in both] == [0, 5]
    assert both[0].window.world["power"] == 0
    writer.close()
    assert both[0].window.world["power"] == 1


def test_in_real_time_hits_without_room_are_counted_and_the_mark_waits(modules):
    (module,) = modules.make(1)
    module.gate(RUN_TAG)
    window = module.window
    window.put(np.zeros(window.hit_room - 3, np.uint64))
    writer = writer_of(modules.folder, real_time=True, modules=1)
    made = digitized([10])
    assert writer.write(0, made, ModuleState(1), last=False, give_up=lambda: False)
    assert window.hit_room == 0
    assert window.hits_lost == 8
    assert writer.offered.tolist() == [10]
    with reading(module):  # no room for the mark: it waits for the module
        assert writer.write(1, made, ModuleState(1), last=False, give_up=lambda: False)
    module.take()
    assert module.taken["kind"][-1] == WORD_KINDS["sync"]
    assert module.taken["time"][-1] == 1
    writer.close()


def test_a_fast_emulator_waits_for_room_and_loses_nothing(modules):
    (module,) = modules.make(1)
    module.gate(RUN_TAG)
    module.window.put(np.zeros(module.window.hit_room - 3, np.uint64))
    writer, made = writer_of(modules.folder, modules=1), digitized([10])
    with reading(module):
        assert writer.write(0, made, ModuleState(1), last=False, give_up=lambda: False)
    module.take()
    assert module.window.hits_lost == 0
    assert np.count_nonzero(module.taken["kind"] == KIND_SINGLE) == 10
    writer.close()


def test_a_module_that_takes_nothing_holds_the_others_up_once_only(modules, monkeypatch):
    monkeypatch.setattr("emulator.process.hit_writer.FULL_S", 0.2)
    both = modules.make(2)
    for module in both:
        module.gate(RUN_TAG)
    both[0].window.put(np.zeros(both[0].window.hit_room - 3, np.uint64))
    writer, made = writer_of(modules.folder), digitized([10, 10])
    began = time.monotonic()
    for period in range(20):
        assert writer.write(period, made, ModuleState(2), last=False, give_up=lambda: False)
    assert time.monotonic() - began < 2.0
    both[1].take()
    assert np.count_nonzero(both[1].taken["kind"] == WORD_KINDS["sync"]) == 20
    assert both[0].window.hits_lost == 200 - 3
    writer.close()


class reading:
    """A module that takes its hits in a thread of its own, a little late."""

    def __init__(self, module: PlainModule) -> None:
        self._module, self._stop = module, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        time.sleep(0.05)
        while not self._stop.wait(0.002):
            self._module.take()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()


def test_the_dead_time_is_left_to_the_firmware_and_the_pile_up_is_not(modules):
    scanner = load_scanner("caremibrain")
    tables = digitizer_tables(scanner, dead_time=False)
    assert (tables.dead_time_ps, tables.paralysable) == (0, False)
    assert tables.integration_ps == 80_000
    made = Digitizer(1, tables)
    hits = np.zeros(3, Emulation(BENCH, activity_Bq=1e4, seed=1).emulate_slice(0).hits.dtype)
    hits["time_ps"], hits["energy"] = [0, 50_000, 100_000], 1000  # in the gate; in the dead time
    assert made.take(hits, 0)
    times = made.words[8 : made.first_word[1]] & np.uint64(0x3FFFFFFF)
    assert len(times) == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"truth": "run"}, "leave --truth out"),
        ({"faults": FaultPlan(probability={"drop": 0.1})}, "the frames are theirs"),
        ({"faults": FaultPlan(schedule=("stalled_link:for=1s",))}, "the frames are theirs"),
        ({"faults": FaultPlan(schedule=("counter_wrap",))}, "choose a fault of clocks"),
    ],
)
def test_what_hits_mode_cannot_do_is_refused_with_words(settings, words):
    config = EmulatorConfig(scanner="bench2", phantom="point", hits="/somewhere", **settings)
    with pytest.raises(EmulationError, match=words):
        check_hit_mode(config)


def test_an_order_for_a_fault_of_frames_is_refused_and_one_of_clocks_is_not():
    desk = FaultDesk(load_scanner("bench2"), refuse=check_hit_fault)
    assert not desk.obey(FaultOrder(id=1, action="set", text="drop=0.1")).accepted
    assert desk.obey(FaultOrder(id=2, action="set", text="clock_drift:for=1s")).accepted


def test_a_mark_is_a_sync_word():
    word = unpack_words(np.array([mark_word(5, synced=True, last=False)]))
    assert (word["kind"][0], word["time"][0], word["flags"][0]) == (2, 5, MARK_SYNCED)


class Line:
    """Stands in the place of the service's link to the daq: gives orders, keeps reports."""

    def __init__(self, *orders: object) -> None:
        self.orders, self.reports = list(orders), []

    def give(self, *orders: object) -> None:
        self.orders.extend(orders)


def serve(folder: Path, orders: Line, *, while_running: Callable[[], None]) -> SourceReport:
    values = {"scanner": "bench2", "phantom": "point", "activity_Bq": 2e5, "pace": "fast"}
    config = make_config({**values, "hits": str(folder), "endpoint": f"ipc://{folder}/q"})
    service = EmulatorService(config, BENCH)
    service._link.poll = lambda timeout_s=0.0: [orders.orders.pop(0)] if orders.orders else []
    service._link.report = orders.reports.append
    thread = threading.Thread(target=service.serve)
    thread.start()
    try:
        deadline = time.monotonic() + 15
        while not orders.reports and time.monotonic() < deadline:
            while_running()
            time.sleep(0.002)
    finally:
        service.leave()
        thread.join(10)
    report = orders.reports[0]
    assert isinstance(report, SourceReport)
    return report


def test_the_service_reports_the_hits_that_the_modules_were_offered(modules):
    both = modules.make(2)

    def run() -> None:
        for module in both:
            module.gate(RUN_TAG)
            module.take()

    report = serve(modules.folder, Line(Start(run_tag=RUN_TAG, duration_s=0.1)), while_running=run)
    assert report.frames_sent == report.singles_emitted == report.dead_events == [0, 0]
    for module, offered in zip(both, report.hits_offered, strict=True):
        module.take()
        kinds = module.taken["kind"]
        assert offered == np.count_nonzero(kinds == KIND_SINGLE) > 100
        assert np.count_nonzero(kinds == WORD_KINDS["sync"]) == 20
        assert module.taken["flags"][-1] & MARK_LAST
    assert not report.failed


def test_modules_that_never_take_hits_end_the_run_with_words(modules, monkeypatch):
    monkeypatch.setattr("emulator.process.hit_writer.GATES_S", 0.1)
    modules.make(2)
    report = serve(
        modules.folder, Line(Start(run_tag=RUN_TAG, duration_s=0.1)), while_running=lambda: None
    )
    assert "modules 0, 1 take no hits" in report.failed
