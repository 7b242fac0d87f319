"""A bad line between a module and its host: nothing undetected, each fault one frame at most.

The line hurts bytes at random places (from a seed) while the module runs and the host commands it.
Every frame that is believed is compared word by word with the hits that went in. What is missing at
the end is what the numbers say is missing, and no more than the line's faults explain.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest

from daq.link.serial.line_errors import LinkLost, NoAnswer, SerialLinkError
from daq.link.serial.session import ModuleSession
from hw.machines.native import Native
from hw.machines.toolchain import missing
from oracles.frame_reader import open_frame
from rigs.firmware.native_modules import begin_run, bring_up, feed, mark, period_words, wait_until
from rigs.line_journal import LineJournal
from rigs.wire_proxy import BURST, DROP, DUPLICATE, FLIP, STALL, UNPLUG, WireProxy

pytestmark = pytest.mark.firmware
PERIODS = 400
HITS = 40


@pytest.fixture(scope="module")
def image():
    if missing("native"):
        pytest.skip(missing("native"))
    from hw.machines.build import build

    return build("native")


class Experiment:
    """A module behind a bad line, a session with it, and all that the session believed."""

    def __init__(self, image, folder, seed: int) -> None:
        self.frames: list[bytes] = []
        self.journal = LineJournal()
        self.machine = Native(folder=folder, image=image)
        self.machine.start()
        self.proxy = WireProxy(self.machine.serial_url, folder, seed=seed)
        self.session = ModuleSession.open(
            self.proxy.url,
            module=0,
            on_frame=self.frames.append,
            journal=self.journal.tell,
            timeout_s=0.15,
            tries=8,
        )
        self.rng = np.random.default_rng(seed)
        self.sent: list = []
        bring_up(self.session)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.session.close()
        self.proxy.close()
        self.machine.close()

    def feed(self, periods: int = PERIODS, hits: int = HITS, *, last: bool = True) -> None:
        """Put periods of hits in, paced by what the host has seen, so that none waits too long."""
        begin = len(self.sent)
        for period in range(begin, begin + periods):
            words = period_words(self.rng, hits)
            self.sent.append(words)
            feed(self.machine, np.concatenate([words, mark(period)]))
            if period % 20 == 19:
                self._let_drain()
        if last:
            self.sent.append(period_words(self.rng, hits))
            final = mark(begin + periods, last=True)
            feed(self.machine, np.concatenate([self.sent[-1], final]))

    def _let_drain(self) -> None:
        window = self.machine.window
        wait_until(lambda: window.hits_waiting == 0 and not window.frame_bytes_waiting, within_s=20)

    def calm(self) -> None:
        """Let the line be good again, and wait until the session is."""
        for way in (self.proxy.up, self.proxy.down):
            way.begin((), 0)
            way.baud = 0
        wait_until(lambda: self.session.connected and self._answers(), within_s=20)

    def _answers(self) -> bool:
        try:
            self.session.command("telemetry")
        except SerialLinkError:
            return False
        return True

    def check(self) -> np.void:
        """Compare all with the truth; return the module's report."""
        wait_until(lambda: self.session.command("report")["ended"] != 0, within_s=20)
        self.session.close_books()
        report, books = self.session.command("report").fields, self.session.books
        for frame in self.frames:
            header, words = open_frame(frame)
            assert words.tolist() == self.sent[int(header["frame_id"])].tolist()
        numbers = [int(open_frame(frame)[0]["sequence"]) for frame in self.frames]
        assert numbers == sorted(set(numbers))
        assert int(report["frames"]) + int(report["frames_dropped"]) == len(self.sent)
        assert books.frames == len(self.frames)
        assert books.frames + books.lost_frames == len(self.sent)
        assert books.words + books.lost_words == sum(map(len, self.sent)) == report["words"]
        assert self.session.connection.poller.failures == 0
        return report


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", [FLIP, DROP, DUPLICATE, BURST, STALL])
def test_each_kind_of_fault_costs_one_frame_at_most(image, tmp_path, kind, seed):
    with Experiment(image, tmp_path, seed) as e:
        begin_run(e.session)
        e.proxy.up.begin((kind,), 5000)
        e.feed()
        e.calm()
        report = e.check()
        happened = e.proxy.up.happened.get(kind, 0)
        assert happened > 4
        lost = e.session.books.lost_frames - int(report["frames_dropped"])
        assert lost <= e.proxy.up.touched
        assert lost <= happened or kind == BURST
        if kind in (FLIP, DROP, BURST):
            assert lost > 0
            assert e.session.statistics.invalid_packets + e.session.books.invalid > 0
        if kind == STALL:
            assert lost == 0


def test_disconnects_at_random_places_cost_one_frame_each_at_most(image, tmp_path):
    with Experiment(image, tmp_path, 3) as e:
        begin_run(e.session)
        e.proxy.up.begin((UNPLUG,), 40_000)
        e.feed(300)
        e.calm()
        report = e.check()
        happened = e.proxy.up.happened.get(UNPLUG, 0)
        assert happened >= 2
        assert e.session.statistics.reconnects > 0
        assert e.session.books.lost_frames - int(report["frames_dropped"]) <= happened
        assert e.session.starts == 1


@pytest.mark.parametrize("seed", [4, 5])
def test_everything_at_once_in_both_directions_while_commands_go(image, tmp_path, seed):
    """Commands either are answered or say within their bound that they were not."""
    with Experiment(image, tmp_path, seed) as e:
        begin_run(e.session)
        kinds = (FLIP, DROP, DUPLICATE, BURST, STALL)
        e.proxy.up.begin((*kinds, UNPLUG), 8000)
        e.proxy.down.begin(kinds, 400)
        commands = _Commands(e.session)
        commands.start()
        for _ in range(8):
            e.feed(50, last=False)
            commands.wait_for(4)
        e.calm()
        commands.end()
        e.feed(1)
        report = e.check()
        assert commands.strange == []
        assert commands.answered > 20
        assert e.session.read("energy_threshold") in commands.possible
        assert e.session.statistics.retransmits > 0
        assert e.session.ask_telemetry()["invalid_packets"] > 0
        lost = e.session.books.lost_frames - int(report["frames_dropped"])
        assert lost <= e.proxy.up.touched


class _Commands(threading.Thread):
    """Writes a register again and again and keeps what its value may be."""

    def __init__(self, session: ModuleSession) -> None:
        super().__init__(daemon=True)
        self._session, self._ending = session, threading.Event()
        self.answered = 0
        self.possible: set[int] = {0}
        self.strange: list[Exception | str] = []

    def run(self) -> None:
        value = 0
        while not self._ending.wait(0.005):
            value = value % 100 + 1
            try:
                if self._session.write("energy_threshold", value) != value:
                    self.strange.append(f"{value} was written and is not there")
                self.possible = {value}
                self.answered += 1
            except (NoAnswer, LinkLost):
                self.possible = {*self.possible, value}
            except SerialLinkError as error:
                self.strange.append(error)

    def wait_for(self, more: int) -> None:
        """Wait until so many more were answered."""
        goal = self.answered + more
        wait_until(lambda: self.answered >= goal, within_s=20)

    def end(self) -> None:
        self._ending.set()
        self.join(20)


def test_a_slow_line_loses_nothing_that_it_can_carry(image, tmp_path):
    with Experiment(image, tmp_path, 6) as e:
        begin_run(e.session)
        e.session.write("telemetry_ms", 1000)
        e.proxy.up.baud = e.proxy.down.baud = 115_200
        e.feed(60, 5)
        e.calm()
        report = e.check()
        assert e.session.books.lost_frames == 0
        assert report["frames_dropped"] == 0
        assert e.session.statistics.reconnects == 0


def test_a_line_that_stands_still_loses_whole_frames_and_counts_them(image, tmp_path):
    with Experiment(image, tmp_path, 7) as e:
        begin_run(e.session)
        e.proxy.stall(2.5)
        words = period_words(e.rng, 30_000)
        for period in range(60):  # 14 MB into a memory of 8 MiB
            e.sent.append(words)
            feed(e.machine, np.concatenate([words, mark(period, last=period == 59)]))
        wait_until(lambda: e.machine.window.hits_waiting == 0)
        e.calm()
        report = e.check()
        assert report["frames_dropped"] > 0
        assert e.session.books.lost_frames == report["frames_dropped"]
