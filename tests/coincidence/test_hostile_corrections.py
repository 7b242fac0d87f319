"""Settings and corrections that make no sense are refused; those at the bounds do no harm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coincidence.calibration import DOI_BINS, Calibration, CalibrationError
from daq.folder.run_config import checked_settings
from hw.messages.sort_settings import SettingsError
from hw.wire.protocol import FRAME_PERIOD_PS
from rigs.frames_factory import ModuleSender, single_words
from rigs.hostile_bench import (
    BENCH,
    CRYSTALS,
    assert_books_close,
    calibration_with,
    new_pipeline,
    run,
    selected,
    some_singles,
)  # fmt: skip


def test_a_masked_crystal_is_counted_and_pairs_with_nobody() -> None:
    calibration = Calibration(
        np.ones(BENCH.n_crystals, np.float32),
        np.zeros(BENCH.n_crystals, np.int32),
        masked=np.arange(BENCH.n_crystals) == 3,
    )
    a, b = ModuleSender(0), ModuleSender(1)
    frames = [a.frame(single_words([1000, 9000], crystal=[3, 4])), b.frame(single_words([1000]))]
    pipeline = run(frames, calibration=calibration)
    found = assert_books_close(pipeline)
    assert (found["masked"], found["accepted"]) == (1, 2)
    assert pipeline.sorter.counts.prompts == 0


@given(
    energies=st.lists(st.integers(0, 65535), max_size=20),
    gain=st.sampled_from([1e-38, 1.0, 3e38]),
    curvature=st.sampled_from([-3e38, -1.0, 0.0, 1.0, 3e38]),
    doi_gain=st.sampled_from([1e-38, 1.0, 3e38]),
)
def test_no_correction_gives_an_energy_outside_its_field(
    energies, gain, curvature, doi_gain
) -> None:
    calibration = Calibration(
        gain=np.full(4, gain, np.float32),
        skew_ps=np.zeros(4, np.int32),
        curvature=np.full(4, curvature, np.float32),
        doi_gain=np.full(DOI_BINS, doi_gain, np.float32),
    )
    out = selected(some_singles(energies), calibration)
    assert len(out) == len(energies)  # the window holds every energy a record can have
    scaled = np.array(energies) * np.float64(np.float32(gain)) * np.float64(np.float32(doi_gain))
    bent = scaled * (1 + np.float64(np.float32(curvature)) * (scaled / 5110 - 1))
    expected = np.floor(np.clip(bent, 0, 65535 - 0.5) + 0.5)
    np.testing.assert_array_equal(out["energy"], expected)


@pytest.mark.parametrize("window_ps", [-1, FRAME_PERIOD_PS, FRAME_PERIOD_PS + 1, 2**63])
def test_a_coincidence_window_as_long_as_a_frame_or_negative_is_refused(window_ps: int) -> None:
    values = {"lld_keV": 435, "uld_keV": 650, "window_ps": window_ps, "delay_ps": 0}
    with pytest.raises(SettingsError, match="window_ps"):
        checked_settings(values)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["gain", "curvature", "walk_ps", "doi_gain", "doi_ps"])
def test_a_correction_that_is_no_number_is_refused_with_its_place(name: str, value: float) -> None:
    corrections = {"gain": np.ones(4, np.float32), "skew_ps": np.zeros(4, np.int32)}
    corrections[name] = np.ones(DOI_BINS if name.startswith("doi") else 4, np.float32)
    corrections[name][2] = value
    place = "depth bin 2" if name.startswith("doi") else "crystal 2"
    with pytest.raises(CalibrationError, match=f"{name} of {place}"):
        Calibration(**corrections)


@pytest.mark.parametrize("name", ["walk_ps", "doi_ps"])
def test_a_time_correction_beyond_all_detectors_is_refused_with_the_bound(name: str) -> None:
    corrections = {"gain": np.ones(4, np.float32), "skew_ps": np.zeros(4, np.int32)}
    corrections[name] = np.zeros(DOI_BINS if name == "doi_ps" else 4, np.float32)
    corrections[name][1] = -1.1e6
    with pytest.raises(CalibrationError, match=rf"{name} of .* 1 is -1100000.*at most 1e\+06"):
        Calibration(**corrections)


@pytest.mark.parametrize("crystal", [CRYSTALS, 65534])
def test_a_crystal_map_to_crystals_that_are_not_there_is_refused(crystal: int) -> None:
    crystal_map = np.zeros((2, 4096), np.uint16)
    crystal_map[1, 7] = crystal
    with pytest.raises(CalibrationError, match=rf"module 1 has crystal {crystal} at position 7"):
        new_pipeline(calibration=calibration_with(crystal_map))


@pytest.mark.parametrize("shape", [(0, 4096), (2, 4095), (3, 4096)])
def test_a_crystal_map_of_another_shape_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(CalibrationError, match="another scanner"):
        new_pipeline(calibration=calibration_with(np.zeros(shape, np.uint16)))


def test_positions_without_a_crystal_are_invalid() -> None:
    crystal_map = np.full((2, 4096), 65535, np.uint16)
    crystal_map[:, 4095] = 5
    words = single_words([1000, 1001], crystal=[5, 4095])
    frames = [ModuleSender(m).frame(words) for m in range(2)]
    found = assert_books_close(run(frames, calibration=calibration_with(crystal_map)))
    assert (found["invalid"], found["accepted"]) == (2, 2)


@given(
    skew=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=4, max_size=4),
    walk=st.lists(st.floats(-1e5, 1e5, width=32), min_size=4, max_size=4),
    doi=st.lists(st.floats(-1e5, 1e5, width=32), min_size=DOI_BINS, max_size=DOI_BINS),
    energies=st.lists(st.integers(0, 65535), min_size=1, max_size=20),
)
def test_no_time_is_corrected_to_before_the_margin_that_the_watermark_waits(
    skew, walk, doi, energies
) -> None:
    """Else a single could come out of order, and what follows reads memory by differences."""
    calibration = Calibration(
        np.ones(4, np.float32),
        np.array(skew, np.int32),
        walk_ps=np.array(walk, np.float32),
        doi_ps=np.array(doi, np.float32),
    )
    singles = some_singles(energies)
    out = selected(singles, calibration)
    assert calibration.margin_ps >= 0
    assert (out["time_ps"] >= singles["time_ps"] - calibration.margin_ps).all()
