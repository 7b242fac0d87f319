"""An imager that joins late catches up from the run's own list, and is then as if always there."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from daq.folder.listmode_log import FILE_NAME, ListmodeWriter
from hw.arrays import Records
from hw.messages.imager import CoincidenceBatch, RunBegin, RunEnd
from hw.messages.live_settings import LiveSettings
from hw.messages.pictures import ImageMessage
from hw.messages.sort_settings import SortSettings
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from hw.wire.block_layout import BlockKind
from oracles.reconstruction import simulated_records
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity import geometric_sensitivity
from recon.imager import pet_run
from recon.imager.final_choice import final_choice
from recon.imager.pet_run import PetLiveRun
from recon.live.final_image import THREADS_GAIN, threads_here
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines

BENCH = ReconSystem.of(load_scanner("bench2"))
BATCH, DELAYEDS = 500, 100
BATCHES, JOINED = 40, 23
BATCH_PS = 50_000_000_000


@pytest.fixture(scope="module")
def sensitivity() -> np.ndarray:
    return geometric_sensitivity(BENCH)


@pytest.fixture(scope="module")
def prompts() -> Records:
    spread = np.random.default_rng(0).normal(0, 5, (2_500_000, 3))
    return simulated_records(BENCH.scanner, BENCH.geometry, spread, rate_Hz=1e4)[: BATCHES * BATCH]


@pytest.fixture(scope="module")
def delayeds(prompts: Records) -> Records:
    rng = np.random.default_rng(1)
    found = prompts[:: BATCH // DELAYEDS].copy()
    rng.shuffle(found["crystal_b"])
    return found


def batch(number: int) -> CoincidenceBatch:
    return CoincidenceBatch(
        run="one",
        sequence=number,
        prompts=BATCH,
        delayeds=DELAYEDS,
        prompts_before=number * BATCH,
        delayeds_before=number * DELAYEDS,
        watermark_ps=(number + 1) * BATCH_PS,
        event_wall_ns=number,
        live_share=0.9,
        mean_live_share=0.9,
    )


class Play:
    """A run's batches, written to its list and then sent, to an imager that may join late."""

    def __init__(
        self,
        folder: Path,
        streams: tuple[Records, Records],
        sensitivity: np.ndarray,
        *,
        window: str = "grow",
        capacity: int = 50_000,
        frame_s: float = 0.0,
    ) -> None:
        self.now_s = 0.0
        self.prompts, self.delayeds = streams
        folder.mkdir()
        self.log = ListmodeWriter(folder / FILE_NAME, {"run": "one"})
        begin = RunBegin(
            run="one",
            folder=str(folder),
            scanner_toml=scanner_to_toml_text("bench2"),
            settings=SortSettings(lld_keV=350, uld_keV=650, window_ps=5000, delay_ps=500_000),
            live=LiveSettings(window=window, frame_s=frame_s),
        )
        self.imager = LiveImager(
            CrystalLines(BENCH), sensitivity, clock=lambda: self.now_s, capacity=capacity
        )
        self.run = PetLiveRun(begin, self.imager, clock=lambda: self.now_s)

    def play(self, first: int, last: int, *, sent: bool) -> ImageMessage | None:
        """Write batches to the list, and send them; return the last image."""
        image = None
        for number in range(first, last):
            mine = self.prompts[number * BATCH : (number + 1) * BATCH]
            others = self.delayeds[number * DELAYEDS : (number + 1) * DELAYEDS]
            self.log.append(BlockKind.PROMPTS, mine)
            self.log.append(BlockKind.DELAYEDS, others)
            if sent:
                self.run.take(batch(number), [mine.tobytes(), others.tobytes()])
                image = self.run.image(budget_s=0.01)
        return image

    def caught_up(self) -> None:
        """Let it catch up while no event comes."""
        deadline = time.monotonic() + 60.0
        late = self.run._late
        assert late is not None
        while late.under_way and time.monotonic() < deadline:
            self.now_s += 1.0
            self.run.catch_up()

    def end(self) -> ImageMessage:
        end = RunEnd(run="one", prompts=BATCHES * BATCH, delayeds=BATCHES * DELAYEDS)
        final = self.run.end(end, stopped=lambda: False)
        assert final is not None
        self.run.close()
        self.imager.close()
        return final


@pytest.fixture
def streams(prompts: Records, delayeds: Records) -> tuple[Records, Records]:
    return prompts, delayeds


def same(one: ImageMessage, other: ImageMessage) -> None:
    """Assert that two images are of the same events."""
    for name in ("prompts_used", "delayeds_used", "fraction_used", "prompts_in_window", "note"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.window_s == pytest.approx(other.window_s)
    top = float(other.array().max())
    assert one.array() == pytest.approx(other.array(), rel=0.02, abs=0.002 * top)


def test_the_final_image_is_that_of_an_imager_that_was_always_there(
    tmp_path: Path, streams: tuple[Records, Records], sensitivity: np.ndarray
) -> None:
    always = Play(tmp_path / "always", streams, sensitivity)
    always.play(0, BATCHES, sent=True)
    late = Play(tmp_path / "late", streams, sensitivity)
    late.play(0, JOINED, sent=False)
    image = late.play(JOINED, JOINED + 1, sent=True)
    assert image is not None and image.fraction_used == pytest.approx(1 / (JOINED + 1))
    assert "catching up 0 %" in image.note
    assert "catching up 11500 prompts" in late.run.report().message
    late.caught_up()
    assert "caught up" in late.run.report().message
    image = late.play(JOINED + 1, BATCHES, sent=True)
    assert image is not None and image.fraction_used == 1.0 and "catching" not in image.note
    report = late.run.report()
    assert report.fraction_used == 1.0 and report.prompts_seen == BATCHES * BATCH
    final = late.end()
    assert "BSREM of all events" in final.note
    same(final, always.end())


def test_it_catches_up_at_the_end_if_there_was_no_time_before(
    tmp_path: Path, streams: tuple[Records, Records], sensitivity: np.ndarray
) -> None:
    always = Play(tmp_path / "always", streams, sensitivity)
    always.play(0, BATCHES, sent=True)
    late = Play(tmp_path / "late", streams, sensitivity)
    late.play(0, JOINED, sent=False)
    late.play(JOINED, BATCHES, sent=True)
    same(late.end(), always.end())


def test_one_that_joins_after_the_last_event_images_the_whole_list(
    tmp_path: Path, streams: tuple[Records, Records], sensitivity: np.ndarray
) -> None:
    always = Play(tmp_path / "always", streams, sensitivity)
    always.play(0, BATCHES, sent=True)
    late = Play(tmp_path / "late", streams, sensitivity)
    late.play(0, BATCHES, sent=False)
    final, expected = late.end(), always.end()
    assert final.prompts_used == BATCHES * BATCH and final.fraction_used == 1.0
    level = final.array().sum() / expected.array().sum()
    # live time is told by the batches alone: without one it is not corrected
    assert not final.corrections["dead_time"]
    assert level == pytest.approx(0.9, rel=0.02)


def test_what_memory_has_no_room_for_is_spooled(
    tmp_path: Path, streams: tuple[Records, Records], sensitivity: np.ndarray
) -> None:
    always = Play(tmp_path / "always", streams, sensitivity)
    always.play(0, BATCHES, sent=True)
    late = Play(tmp_path / "late", streams, sensitivity, capacity=12_000)
    late.play(0, JOINED, sent=False)
    late.play(JOINED, JOINED + 8, sent=True)
    late.caught_up()
    image = late.play(JOINED + 8, BATCHES, sent=True)
    assert image is not None and image.fraction_used == 1.0
    assert len(late.imager.memory) <= 12_000
    same(late.end(), always.end())


@pytest.mark.parametrize("at_once", [700, 3000, 10**6])
def test_the_live_image_has_the_right_level_in_parts_of_any_size(
    tmp_path: Path,
    streams: tuple[Records, Records],
    sensitivity: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
) -> None:
    monkeypatch.setattr(pet_run, "CATCH_UP_PROMPTS", at_once)
    always = Play(tmp_path / "always", streams, sensitivity)
    expected = always.play(0, BATCHES, sent=True)
    late = Play(tmp_path / "late", streams, sensitivity)
    late.play(0, JOINED, sent=False)
    late.play(JOINED, BATCHES - 1, sent=True)
    late.caught_up()
    image = late.play(BATCHES - 1, BATCHES, sent=True)
    assert image is not None and expected is not None
    assert image.prompts_in_window == expected.prompts_in_window
    assert image.array().sum() == pytest.approx(expected.array().sum(), rel=0.03)


@pytest.mark.parametrize("window", ["slide:1s", "forget:1s"])
def test_another_window_gets_of_the_list_what_it_reaches(
    tmp_path: Path, streams: tuple[Records, Records], sensitivity: np.ndarray, window: str
) -> None:
    always = Play(tmp_path / "always", streams, sensitivity, window=window)
    expected = always.play(0, JOINED + 8, sent=True)
    late = Play(tmp_path / "late", streams, sensitivity, window=window)
    late.play(0, JOINED, sent=False)
    late.play(JOINED, JOINED + 1, sent=True)
    late.caught_up()
    image = late.play(JOINED + 1, JOINED + 8, sent=True)
    assert image is not None and expected is not None
    assert image.note == expected.note and image.fraction_used == expected.fraction_used
    assert image.prompts_in_window == pytest.approx(expected.prompts_in_window, rel=0.05)
    assert image.window_s == pytest.approx(expected.window_s, rel=0.05)
    assert image.array().sum() == pytest.approx(expected.array().sum(), rel=0.05)


def test_a_forgetting_window_can_be_joined_after_hours(
    tmp_path: Path, streams: tuple[Records, Records], sensitivity: np.ndarray
) -> None:
    """Weights grow as 2^(t / h): counted from the start they would be infinite by then."""
    late = Play(tmp_path / "late", streams, sensitivity, window="forget:1s")
    hours = late.prompts[:BATCH].copy()
    hours["time_ps"] += 2 * 3600 * 10**12
    header = msgspec.structs.replace(batch(1), watermark_ps=int(hours["time_ps"][-1]))
    late.run.take(header, [hours.tobytes(), late.delayeds[:DELAYEDS].tobytes()])
    image = late.run.image(budget_s=0.01)
    assert image is not None and np.isfinite(image.array()).all() and image.array().any()


def test_another_runs_list_is_not_taken(
    tmp_path: Path, streams: tuple[Records, Records], sensitivity: np.ndarray
) -> None:
    late = Play(tmp_path / "late", streams, sensitivity)
    (tmp_path / "late" / FILE_NAME).unlink()
    late.log = ListmodeWriter(tmp_path / "late" / FILE_NAME, {"run": "two"})
    late.play(0, JOINED, sent=False)
    late.play(JOINED, BATCHES, sent=True)
    late.caught_up()
    assert "is not the list-mode log of the run one" in late.run.report().message
    final = late.end()
    assert final.fraction_used == pytest.approx((BATCHES - JOINED) / BATCHES)
    assert "from 1.1 s on: the imager was not there before" in final.note
    assert f"{100 * (BATCHES - JOINED) / BATCHES:.1f} % of the events" in final.note


LOST = slice(JOINED, JOINED + 8)
"""Batches that the daq wrote to its list, and that never came."""


def with_a_gap(play: Play) -> ImageMessage:
    """Return the image before the end of a run some of whose batches were lost."""
    play.play(0, LOST.start, sent=True)
    play.play(LOST.start, LOST.stop, sent=False)
    image = play.play(LOST.stop, BATCHES, sent=True)
    assert image is not None
    return image


def test_the_final_image_has_what_the_stream_lacked(
    tmp_path: Path, streams: tuple[Records, Records], sensitivity: np.ndarray
) -> None:
    always = Play(tmp_path / "always", streams, sensitivity)
    always.play(0, BATCHES, sent=True)
    some = Play(tmp_path / "some", streams, sensitivity)
    image = with_a_gap(some)
    assert image.fraction_used == pytest.approx(0.8)
    assert image.prompts_in_window == BATCHES * BATCH
    final, expected = some.end(), always.end()
    assert "BSREM of all events" in final.note and final.fraction_used == 1.0
    assert final.prompts_used == expected.prompts_used == BATCHES * BATCH
    top = float(expected.array().max())
    # the same events, other subsets; randoms of the delayeds that came, made up for
    assert final.array() == pytest.approx(expected.array(), rel=0.1, abs=0.02 * top)


@pytest.mark.parametrize("harm", ["cut", "gone", "another run's"])
def test_where_the_list_cannot_be_read_it_has_what_came_and_says_so(
    tmp_path: Path, streams: tuple[Records, Records], sensitivity: np.ndarray, harm: str
) -> None:
    some = Play(tmp_path / "some", streams, sensitivity)
    with_a_gap(some)
    path = tmp_path / "some" / FILE_NAME
    if harm == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.unlink()
    if harm == "another run's":
        ListmodeWriter(path, {"run": "two"})
    final = some.end()
    assert "BSREM of 80.0 % of the events" in final.note and "not of the run's list" in final.note
    assert final.fraction_used == pytest.approx(0.8)


def test_where_time_does_not_suffice_for_all_it_has_what_came(
    tmp_path: Path,
    streams: tuple[Records, Records],
    sensitivity: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    some = Play(tmp_path / "some", streams, sensitivity)
    with_a_gap(some)
    speed = some.imager.estimate_of_all.speed
    iterations = final_choice(some.imager, some.run.corrections).iterations
    # just enough for half the iterations over what is held
    needed = (1.0 + (iterations / 2 + 0.1) / (THREADS_GAIN * threads_here())) / speed
    monkeypatch.setattr(pet_run, "FINISH_S", 0.8 * BATCHES * BATCH * needed)
    assert "BSREM of 80.0 % of the events" in some.end().note
