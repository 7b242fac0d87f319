"""The small bench and its books, for tests with data that no detector should send."""

from __future__ import annotations

import numpy as np

from coincidence.calibration import DOI_BINS, Calibration
from coincidence.events import SINGLE
from coincidence.select import Selector, window_table
from hw.messages.sort_settings import SortSettings
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from rigs.frames_factory import RUN_TAG
from rigs.hashed_pipeline import HashedPipeline

BENCH = load_scanner("bench2")
GEOMETRY = build_geometry(BENCH)
CRYSTALS = BENCH.crystals_per_module
WIDE = SortSettings(lld_keV=0, uld_keV=6553.5, window_ps=5000, delay_ps=200_000)
NARROW = SortSettings(lld_keV=400, uld_keV=650, window_ps=5000, delay_ps=200_000)


def new_pipeline(sort_settings: SortSettings = WIDE, **changes: object) -> HashedPipeline:
    return HashedPipeline(BENCH, GEOMETRY, sort_settings, run_tag=RUN_TAG, **changes)  # type: ignore[arg-type]


def run(frames: list[bytes], *, batch: int = 10**6, **changes: object) -> HashedPipeline:
    """Return the pipeline after a run in which modules may not have ended."""
    pipeline = new_pipeline(**changes)  # type: ignore[arg-type]
    for begin in range(0, len(frames), batch):
        pipeline.process(frames[begin : begin + batch])
    pipeline.finish()
    return pipeline


def places(pipeline: HashedPipeline) -> dict[str, int]:
    """Return how many singles went where; together they must be all that were decoded."""
    line = pipeline.decoder.line
    accepted, masked = int(pipeline.accepted.sum()), int(pipeline.selector.masked.sum())
    return {
        "received": int(line["singles"].sum()),
        "accepted": accepted,
        "masked": masked,
        "outside": int(pipeline.spectrum.sum()) - accepted - masked,
        "late": int(line["late"].sum()),
        "invalid": int(line["invalid"].sum()),
    }


def assert_books_close(pipeline: HashedPipeline) -> dict[str, int]:
    found = places(pipeline)
    assert found["received"] == sum(found.values()) - found["received"]
    assert pipeline.sorter.singles == found["accepted"]
    assert pipeline.order.held == 0
    return found


def selected(singles: np.ndarray, calibration: Calibration, **changes: float) -> np.ndarray:
    """Return the corrected singles of 4 crystals in 2 modules within the window."""
    values = {"lld_keV": 0.0, "uld_keV": 6553.5, **changes}
    sort_settings = SortSettings(window_ps=5000, delay_ps=0, **values)  # type: ignore[arg-type]
    module_of = np.array([0, 0, 1, 1], np.uint16)
    return Selector(calibration, window_table(sort_settings, 2), module_of).select(singles)


def some_singles(energies: list[int]) -> np.ndarray:
    singles = np.zeros(len(energies), dtype=SINGLE)
    singles["time_ps"] = 1_000_000 * np.arange(len(energies))
    singles["crystal"], singles["energy"] = np.arange(len(energies)) % 4, energies
    singles["doi"] = np.arange(len(energies)) % DOI_BINS
    return singles


def calibration_with(crystal_map: np.ndarray) -> Calibration:
    n = BENCH.n_crystals
    return Calibration(np.ones(n, np.float32), np.zeros(n, np.int32), crystal_map=crystal_map)
