"""What is chosen by counts: monotone, complete, only what was not named, and told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from oracles.reconstruction import simulated_records
from recon.core.asked import OptionsError
from recon.offline.defaults import CHOSEN, by_counts, choose, defaults, density
from recon.offline.frame_counts import Counts
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import reconstruct
from recon.offline.run_data import RunData

SCANNERS = ("bench2", "caremibrain", "tof_brain")
COUNTS = st.floats(1.0, 1e10)


def chosen(counts: float, **named: Any) -> ReconOptions:
    asked = ReconOptions(**named, by_counts=by_counts(named))
    part = Counts(int(counts), 0, 1.0)
    return choose(asked, [part], 1, load_scanner("caremibrain")).options


@given(few=COUNTS, more=COUNTS, name=st.sampled_from(SCANNERS))
@settings(deadline=None, max_examples=60)
def test_more_counts_never_smooth_more(few: float, more: float, name: str) -> None:
    scanner = load_scanner(name)
    few, more = sorted((few, more))
    for algorithm in ("bsrem", "osem", "negml"):
        one = defaults(few, scanner, algorithm=algorithm)
        two = defaults(more, scanner, algorithm=algorithm)
        for field in ("psf_fwhm_mm", "voxel_mm", "post_filter_fwhm_mm"):
            assert one[field] >= two[field]
        # a prior of neighbours smooths over the voxel's size: in mm² it never grows
        strength = [found["beta"] * found["voxel_mm"][0] ** 2 for found in (one, two)]
        assert strength[0] >= 0.95 * strength[1]  # β is rounded to two digits
        assert one["subsets"] <= two["subsets"]


@given(counts=COUNTS, name=st.sampled_from(SCANNERS))
@settings(deadline=None, max_examples=60)
def test_any_number_of_counts_gives_options_that_are_valid(counts: float, name: str) -> None:
    found = defaults(counts, load_scanner(name))
    assert set(found) == set(CHOSEN)
    assert ReconOptions(**found).algorithm == "bsrem"


def test_a_prior_or_a_filter_never_both() -> None:
    for algorithm in ("bsrem", "osem", "mlem", "negml"):
        made = chosen(1e6, algorithm=algorithm)
        assert (made.prior != "none") == (made.post_filter_fwhm_mm == 0) == (algorithm == "bsrem")


@pytest.mark.parametrize("named, algorithm", [
    ({}, "bsrem"), ({"psf_fwhm_mm": 4.0}, "bsrem"), ({"beta": 0.01}, "bsrem"),
    ({"iterations": 2}, "osem"), ({"subsets": 1}, "osem"), ({"stop": "noise=0.2"}, "osem"),
    ({"prior": "none"}, "osem"), ({"prior": "rdp", "iterations": 9}, "bsrem"),
    ({"algorithm": "mlem"}, "mlem"), ({"algorithm": "bsrem", "iterations": 5}, "bsrem"),
])  # fmt: skip
def test_what_is_named_says_which_algorithm_is_meant(named: dict[str, Any], algorithm: str) -> None:
    made = chosen(1e6, **named)
    assert made.algorithm == algorithm
    assert {name: getattr(made, name) for name in named} == named


def test_who_shapes_osem_gets_it_plain() -> None:
    for named in ({"iterations": 2}, {"algorithm": "mlem", "iterations": 3}, {"stop": "counts"}):
        assert chosen(1e5, **named) == ReconOptions(**named)  # type: ignore[arg-type]
    assert chosen(1e5, algorithm="osem").post_filter_fwhm_mm > 0


def test_without_counts_something_is_chosen_too() -> None:
    assert chosen(0).algorithm == "bsrem"
    nothing = ReconOptions(by_counts=CHOSEN)
    assert choose(nothing, [], 1, load_scanner("bench2")).counts == 0


def test_a_series_has_one_choice_by_its_median_frame() -> None:
    scanner = load_scanner("caremibrain")
    parts = [Counts(n, 0, 1.0) for n in (0, 1000, 300_000, 40_000_000)]
    made = choose(ReconOptions(by_counts=CHOSEN), parts, 1, scanner)
    assert made.counts == 300_000
    assert "median of 3 frames, one choice for all" in made.words
    assert made.options == choose(ReconOptions(by_counts=CHOSEN), parts[2:3], 1, scanner).options


def test_randoms_do_not_count() -> None:
    scanner = load_scanner("caremibrain")
    made = choose(ReconOptions(by_counts=CHOSEN), [Counts(1_000_000, 800_000, 1.0)], 2, scanner)
    assert made.counts == 600_000


def test_time_of_flight_is_worth_counts() -> None:
    scanner = load_scanner("tof_brain")
    assert density(1e6, scanner) > 3 * density(1e6, scanner, tof=False)


def test_the_image_says_what_was_chosen_and_keeps_what_was_named() -> None:
    scanner = load_scanner("bench2")
    spread = np.random.default_rng(0).normal(0, 3, (20_000, 3))
    data = RunData.of_records(
        simulated_records(scanner, build_geometry(scanner), spread), scanner=scanner
    )
    named = {
        "algorithm": "bsrem",
        "iterations": 2,
        "noise_parts": 0,
        "scatter": "none",
        "block_efficiency": False,
    }
    said: list[str] = []
    made = reconstruct(
        data,
        ReconOptions(**named, by_counts=by_counts(named)),  # type: ignore[arg-type]
        progress=lambda what, share: said.append(what),
    )
    (note,) = [words for words in made.metadata["notes"] if "name an option" in words]
    assert note in said
    assert "BSREM" not in note  # it was named
    assert "iterations" not in note
    assert "prior of strength" in note
    assert made.metadata["iterations"] == 2
    assert made.metadata["by_counts"]["counts"] == made.metadata["prompts"]
    assert made.metadata["options"]["voxel_mm"] == made.metadata["by_counts"]["voxel_mm"]


def test_a_run_is_as_it_was_if_nothing_is_to_be_chosen() -> None:
    plain = ReconOptions()
    made = choose(plain, [Counts(10, 0, 1.0)], 1, load_scanner("bench2"))
    assert made.options == plain
    assert made.words == ""


def test_a_stop_by_counts_needs_positive_images() -> None:
    with pytest.raises(OptionsError, match="negml"):
        ReconOptions(algorithm="negml", stop="counts")
    assert replace(ReconOptions(algorithm="negml"), stop="noise=0.2").stop
