"""The live imager's run: gaps, lateness, latency, reports, the final image, the process itself."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import nibabel as nib
import numpy as np
import pytest
import zmq

from coincidence.events import COINCIDENCE
from hw.messages.codec import decode_as, encode
from hw.messages.imager import CoincidenceBatch, RunBegin, RunEnd
from hw.messages.live_settings import LiveSettings
from hw.messages.pictures import ImageMessage
from hw.messages.sort_settings import SortSettings
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from oracles.reconstruction import simulated_records
from recon.core.scanner_tables import ReconSystem
from recon.imager.pet_run import PetLiveRun
from recon.imager.stream_ledger import LatencyHistogram, RateMeter, StreamLedger
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from rigs.daq_side import DaqSide
from rigs.host_pace import in_time

BENCH = ReconSystem.of(load_scanner("bench2"))
SETTINGS = SortSettings(lld_keV=350, uld_keV=650, window_ps=5000, delay_ps=500_000)


def begin_message(run: str = "one", folder: Path | None = None, mu_map: str = "") -> RunBegin:
    return RunBegin(
        run=run,
        folder=str(folder or ""),
        scanner_toml=scanner_to_toml_text("bench2"),
        settings=SETTINGS,
        mu_map=mu_map,
    )


def batch_message(sequence: int, prompts: int, before: int, run: str = "one") -> CoincidenceBatch:
    return CoincidenceBatch(
        run=run,
        sequence=sequence,
        prompts=prompts,
        delayeds=0,
        prompts_before=before,
        delayeds_before=0,
        watermark_ps=(sequence + 1) * 10**11,
        event_wall_ns=(sequence + 1) * 10**8,
    )


@pytest.fixture(scope="module")
def records() -> np.ndarray:
    spread = np.random.default_rng(0).normal(0, 3, (160_000, 3))
    return simulated_records(BENCH.scanner, BENCH.geometry, spread, rate_Hz=1e4)[:2000]


@pytest.fixture
def imager() -> LiveImager:
    sensitivity = np.ones(BENCH.grid.shape, np.float32) * 0.01
    return LiveImager(CrystalLines(BENCH), sensitivity, clock=lambda: 0.0, capacity=10_000)


def run_of(imager: LiveImager, begin: RunBegin, now_s: list[float]) -> PetLiveRun:
    return PetLiveRun(begin, imager, clock=lambda: now_s[0])


def test_image_tells_its_age_counts_and_corrections(
    imager: LiveImager, records: np.ndarray
) -> None:
    now = [0.25]
    run = run_of(imager, begin_message(), now)
    run.take(batch_message(0, 500, 0), [records[:500].tobytes(), b""])
    run.take(batch_message(1, 500, 500), [records[500:1000].tobytes(), b""])
    image = run.image(budget_s=0.01)
    assert image is not None
    assert image.prompts_used == 1000 and image.fraction_used == 1.0
    assert image.published_wall_ns - image.event_wall_ns == 50_000_000
    assert image.detector_time_s == pytest.approx(0.2)
    assert image.corrections["sensitivity"] and not image.corrections["attenuation"]
    assert not image.corrections["randoms"] and not image.corrections["scatter"]
    assert "FWHM" in image.note and image.array().shape == BENCH.grid.shape
    assert run.report().latency_p50_ms == pytest.approx(50, abs=1.0)
    assert run.report().noise == image.noise  # by which the daq may end the run


def test_no_new_image_without_new_events(imager: LiveImager, records: np.ndarray) -> None:
    run = run_of(imager, begin_message(), [0.0])
    assert run.image(budget_s=0.01) is None
    run.take(batch_message(0, 500, 0), [records[:500].tobytes(), b""])
    assert run.image(budget_s=0.01) is not None
    assert run.image(budget_s=0.01) is None


def test_gap_is_counted_and_lowers_the_fraction(imager: LiveImager, records: np.ndarray) -> None:
    run = run_of(imager, begin_message(), [0.0])
    run.take(batch_message(0, 500, 0), [records[:500].tobytes(), b""])
    run.take(batch_message(4, 500, 1500), [records[500:1000].tobytes(), b""])
    run.image(budget_s=0.01)
    report = run.report()
    assert report.batches_lost == 3 and report.prompts_seen == 2000
    assert report.fraction_used == pytest.approx(0.5)


def test_batches_of_another_run_are_not_mixed_in(imager: LiveImager, records: np.ndarray) -> None:
    run = run_of(imager, begin_message(), [0.0])
    run.take(batch_message(0, 500, 0, run="other"), [records[:500].tobytes(), b""])
    assert run.image(budget_s=0.01) is None and run.report().prompts_seen == 0


def test_late_joiner_starts_counting_where_it_joined(
    imager: LiveImager, records: np.ndarray
) -> None:
    late = records.copy()
    late["time_ps"] += 500 * 10**11
    run = run_of(imager, begin_message(), [0.0])
    run.take(batch_message(500, 1000, 7_000_000), [late[:1000].tobytes(), b""])
    image = run.image(budget_s=0.01)
    assert image is not None
    assert image.fraction_used == pytest.approx(1000 / 7_001_000)
    assert run.report().batches_lost == 0 and imager.seconds < 0.2
    final = run.end(RunEnd(run="one", prompts=7_001_000, delayeds=0), stopped=lambda: False)
    assert final is not None and "from 50.0 s on: the imager was not there" in final.note
    assert "cannot read" in run.report().message


def test_end_writes_the_image_and_the_final_report(
    imager: LiveImager, records: np.ndarray, tmp_path: Path
) -> None:
    run = run_of(imager, begin_message(folder=tmp_path), [1.0])
    run.take(batch_message(0, 2000, 0), [records.tobytes(), b""])
    final = run.end(RunEnd(run="one", prompts=2000, delayeds=0), stopped=lambda: False)
    assert final is not None and final.final and final.prompts_used == 2000
    report = run.report()
    assert report.final and Path(report.image_path) == tmp_path / "images" / "live.nii.gz"
    written = np.asarray(nib.load(report.image_path).dataobj)
    assert np.array_equal(written, final.array())
    assert run.end(RunEnd(run="one", prompts=2000, delayeds=0), stopped=lambda: False) is None


def test_progress_with_the_final_image_is_reported(imager: LiveImager, records: np.ndarray) -> None:
    run = run_of(imager, begin_message(), [1.0])
    run.take(batch_message(0, 2000, 0), [records.tobytes(), b""])
    shares: list[float] = []

    def stopped() -> bool:
        shares.append(run.report().finishing)
        return False

    final = run.end(RunEnd(run="one", prompts=2000, delayeds=0), stopped=stopped)
    assert final is not None and "BSREM of all events" in final.note
    assert shares[0] < 0.001 and shares == sorted(shares) and len(set(shares)) > 20
    assert run.report().finishing == 1.0


def test_end_counts_what_never_came(imager: LiveImager, records: np.ndarray) -> None:
    run = run_of(imager, begin_message(), [1.0])
    run.take(batch_message(0, 1000, 0), [records[:1000].tobytes(), b""])
    run.end(RunEnd(run="one", prompts=4000, delayeds=0), stopped=lambda: False)
    assert run.report().fraction_used == pytest.approx(0.25)


@pytest.mark.parametrize("events", [0, 500])
def test_a_run_of_nothing_ends_with_an_image_of_0(
    imager: LiveImager, records: np.ndarray, events: int
) -> None:
    run = run_of(imager, begin_message(), [1.0])
    lost = records[:events].copy()
    lost["tof_ps"] = 2**31 - 1  # from far beyond the scanner
    run.take(batch_message(0, events, 0), [lost.tobytes(), b""])
    final = run.end(RunEnd(run="one", prompts=events, delayeds=0), stopped=lambda: False)
    assert final is not None and not final.array().any()
    assert final.noise == 0.0 and "no event meets a voxel" in final.note


def test_unwritable_folder_is_said_and_kills_nothing(
    imager: LiveImager, records: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    run = run_of(imager, begin_message(folder=tmp_path / "file"), [1.0])
    run.take(batch_message(0, 500, 0), [records[:500].tobytes(), b""])
    assert run.end(RunEnd(run="one", prompts=500, delayeds=0), stopped=lambda: False)
    assert "could not be written" in run.report().message


def test_attenuation_is_taken_in_when_ready(
    imager: LiveImager, records: np.ndarray, tmp_path: Path
) -> None:
    mu = np.full(BENCH.grid.shape, 0.0096, np.float32)
    np.savez(tmp_path / "mu.npz", mu_per_mm=mu, voxel_mm=np.array(BENCH.grid.voxel_mm))
    run = run_of(imager, begin_message(mu_map=str(tmp_path / "mu.npz")), [0.0])
    run.corrections.wait(120.0)
    run.take(batch_message(0, 500, 0), [records[:500].tobytes(), b""])
    image = run.image(budget_s=0.01)
    assert image is not None and image.corrections["attenuation"]


def test_bad_map_is_said_and_the_image_goes_on(
    imager: LiveImager, records: np.ndarray, tmp_path: Path
) -> None:
    run = run_of(imager, begin_message(mu_map=str(tmp_path / "none.npz")), [0.0])
    run.corrections.wait(120.0)
    run.take(batch_message(0, 500, 0), [records[:500].tobytes(), b""])
    image = run.image(budget_s=0.01)
    assert image is not None and not image.corrections["attenuation"]
    assert "attenuation is not corrected" in run.report().message


def test_ledger_ignores_a_repeated_batch() -> None:
    ledger = StreamLedger("one")
    assert ledger.take(batch_message(0, 10, 0)) is not None
    assert ledger.take(batch_message(0, 10, 0)) is None
    assert ledger.end(RunEnd(run="one", prompts=15, delayeds=2)).prompts == 5


def test_latency_percentiles() -> None:
    latency = LatencyHistogram()
    assert latency.percentile(50) == 0.0
    for value in (*[10.5] * 98, 300.2, 1e9):
        latency.add(value)
    assert latency.percentile(50) == 11.0 and latency.percentile(99) == 301.0


def test_rate_is_images_over_time() -> None:
    meter = RateMeter()
    for k in range(11):
        meter.add(5.0 + k / 8)
    assert meter.rate_Hz == pytest.approx(8.0)


@pytest.fixture
def daq(tmp_path: Path):
    side = DaqSide(tmp_path)
    yield side
    side.close()


@pytest.mark.processes
def test_service_images_a_run_from_begin_to_end(
    daq: DaqSide, records: np.ndarray, tmp_path: Path
) -> None:
    assert daq.report(final=False).run == ""  # it says that it is there before any run
    daq.stream.send(b"no message at all")
    daq.stream.send(encode(begin_message(folder=tmp_path / "run")))
    for k, part in enumerate(np.array_split(records, 10)):
        header = batch_message(k, len(part), 200 * k)
        daq.stream.send_multipart([encode(header), part.tobytes(), b""])
    assert daq.image(final=False).run == "one"
    daq.stream.send(encode(RunEnd(run="one", prompts=2000, delayeds=0)))
    report = daq.report(final=True)
    assert report.prompts_used == 2000 and Path(report.image_path).exists()
    assert daq.image(final=True).prompts_used == 2000
    daq.stream.send(encode(begin_message(run="two")))
    header = batch_message(0, 2000, 0, run="two")
    daq.stream.send_multipart([encode(header), records.tobytes(), b""])
    while (image := daq.image(final=False)).run != "two":
        pass
    assert image.prompts_used == 2000


@pytest.mark.processes
def test_who_subscribes_late_gets_the_newest_image_at_once(
    daq: DaqSide, records: np.ndarray
) -> None:
    daq.stream.send(encode(begin_message()))
    daq.stream.send_multipart([encode(batch_message(0, 2000, 0)), records.tobytes(), b""])
    newest = daq.image(final=False)
    late = zmq.Context.instance().socket(zmq.SUB)
    late.setsockopt(zmq.LINGER, 0)
    late.setsockopt(zmq.SUBSCRIBE, b"")
    late.connect(daq.endpoints.of("images"))
    assert late.poll(60_000), "no image, though no event will ever come"
    assert decode_as(ImageMessage, late.recv()).array().tobytes() == newest.array().tobytes()
    late.close()


@pytest.mark.processes
def test_another_window_can_be_asked_for_while_the_run_goes_on(
    daq: DaqSide, records: np.ndarray
) -> None:
    daq.stream.send(encode(begin_message()))
    daq.stream.send_multipart([encode(batch_message(0, 1000, 0)), records[:1000].tobytes(), b""])
    assert daq.image(final=False).window == "grow"
    sliding = msgspec.structs.replace(begin_message(), live=LiveSettings(window="slide:5s"))
    daq.stream.send(encode(sliding))
    header = batch_message(1, 1000, 1000)
    daq.stream.send_multipart([encode(header), records[1000:].tobytes(), b""])
    while (image := daq.image(final=False)).window != "slide:5s":
        pass
    assert image.prompts_in_window == 2000 and image.window_s == pytest.approx(0.2)


@pytest.mark.processes
def test_service_refuses_parts_that_do_not_fit_their_header(daq: DaqSide) -> None:
    daq.stream.send(encode(begin_message()))
    daq.stream.send_multipart([encode(batch_message(0, 3, 0)), b"short", b""])
    while not (message := daq.report(final=False).message):
        pass
    assert "not a message" in message or "expected [96, 0]" in message


@pytest.mark.processes
def test_service_leaves_within_half_a_second(daq: DaqSide) -> None:
    daq.report(final=False)
    began = time.monotonic()
    daq.service.leave()
    daq.thread.join(30.0)
    assert not daq.thread.is_alive() and in_time(time.monotonic() - began, 0.5)
    assert COINCIDENCE.itemsize == 32
