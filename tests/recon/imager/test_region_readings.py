"""The run's regions are read in every live image, with the noise that `analyse` tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from daq.folder.region_file import NAME, write_regions
from hw.messages.imager import CoincidenceBatch, RunBegin, RunEnd
from hw.messages.pictures import ImageMessage
from hw.messages.sort_settings import SortSettings
from hw.regions import Region, Sphere, Threshold
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from oracles.reconstruction import simulated_records
from recon.analysis.picture import read_picture
from recon.analysis.regions import measure
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity import geometric_sensitivity
from recon.imager.pet_run import PetLiveRun
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines

BENCH = ReconSystem.of(load_scanner("bench2"))
HALF = 1000
MIDDLE = Sphere("middle", (0.0, 0.0, 0.0), 8.0)
BRIGHT = Threshold("bright", (0.0, 0.0, 0.0), (12.0, 12.0, 12.0), 0.5)
FAR = Sphere("far", (500.0, 0.0, 0.0), 8.0)


@pytest.fixture(scope="module")
def records() -> np.ndarray:
    spread = np.random.default_rng(0).normal(0, 3, (200_000, 3))
    return simulated_records(BENCH.scanner, BENCH.geometry, spread, rate_Hz=1e4)[: 2 * HALF]


class Run:
    """A run with regions in its folder, and a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 0.0
        begin = RunBegin(
            run="one",
            folder=str(folder),
            scanner_toml=scanner_to_toml_text("bench2"),
            settings=SortSettings(lld_keV=350, uld_keV=650, window_ps=5000, delay_ps=500_000),
        )
        sensitivity = geometric_sensitivity(BENCH)
        imager = LiveImager(
            CrystalLines(BENCH), sensitivity, clock=lambda: self.now_s, capacity=10_000
        )
        self.run = PetLiveRun(begin, imager, clock=lambda: self.now_s)

    def image(self, records: np.ndarray, number: int) -> ImageMessage:
        self.now_s += 2.0
        header = CoincidenceBatch(
            run="one", sequence=number, prompts=HALF, delayeds=0, prompts_before=number * HALF,
            delayeds_before=0, watermark_ps=(number + 1) * 10**11, event_wall_ns=1,
        )  # fmt: skip
        mine = records[number * HALF : (number + 1) * HALF]
        self.run.take(header, [mine.tobytes(), b""])
        image = self.run.image(budget_s=0.01)
        assert image is not None
        return image

    def end(self) -> ImageMessage:
        end = RunEnd(run="one", prompts=2 * HALF, delayeds=0)
        final = self.run.end(end, stopped=lambda: False)
        assert final is not None
        return final


def test_a_region_drawn_during_the_run_is_read_from_then_on(
    tmp_path: Path, records: np.ndarray
) -> None:
    run = Run(tmp_path)
    assert run.image(records, 0).regions == []
    regions: list[Region] = [MIDDLE, BRIGHT, FAR]
    write_regions(tmp_path, regions)
    middle, bright, far = run.image(records, 1).regions
    assert (middle.name, bright.name, far.name) == ("middle", "bright", "far")
    assert bright.mean > 0 and middle.mean > 0
    assert all(0 < one.sigma < 0.1 * one.mean for one in (middle, bright))
    assert "extends beyond the image" in far.why_not and far.mean == far.sigma == 0


def test_the_final_readings_are_those_of_analyse(tmp_path: Path, records: np.ndarray) -> None:
    write_regions(tmp_path, [MIDDLE, BRIGHT])
    run = Run(tmp_path)
    for number in range(2):
        run.image(records, number)
    readings = run.end().regions
    picture = read_picture(tmp_path / "images" / "live.nii.gz")
    for reading, region in zip(readings, (MIDDLE, BRIGHT), strict=True):
        values = measure(region, picture)
        assert reading.mean == pytest.approx(values.mean, rel=1e-4)
        assert values.sigma is not None and reading.sigma == pytest.approx(values.sigma, rel=0.02)


def test_a_damaged_file_is_told_once_and_the_image_goes_on(
    tmp_path: Path, records: np.ndarray
) -> None:
    (tmp_path / NAME).write_text("{")
    run = Run(tmp_path)
    assert run.image(records, 0).regions == []
    assert "correct it, or remove it" in run.run.report().message
    run.image(records, 1)
    assert run.run.report().message == ""
