"""Normalisation and live share as factors of lines: values, masks, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from hw.scanner.preset_file import load_scanner
from oracles.normalisation_factors import pair_factor
from recon.core.scanner_tables import ReconSystem
from recon.lines.crystal_products import LineArrayError
from recon.lines.model import LineModel
from recon.lines.normalisation import LiveShare, Normalisation

SYSTEM = ReconSystem.of(load_scanner("bench2"))
SCANNER = SYSTEM.scanner
N = SCANNER.n_crystals


def components(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    geometric = rng.uniform(0.8, 1.2, (2, 2))
    return {
        "efficiency": rng.uniform(0.5, 1.5, N),
        "block_profile": rng.uniform(0.8, 1.2, SCANNER.crystals_per_module),
        "geometric": (geometric + geometric.T) / 2,
    }


def lines(count: int = 500) -> np.ndarray:
    rng = np.random.default_rng(1)
    records = np.zeros(count, COINCIDENCE)
    records["crystal_a"] = rng.integers(0, N // 2, count)
    records["crystal_b"] = rng.integers(N // 2, N, count)
    return records


def test_is_the_product_that_calibration_means() -> None:
    parts, records = components(), lines()
    expected = pair_factor(
        records["crystal_a"].astype(int), records["crystal_b"].astype(int), **parts
    )
    made = Normalisation.of_set(**parts, scanner=SCANNER)
    assert np.allclose(made.of_records(records), expected, rtol=1e-6)
    both = made.of_lines(records["crystal_b"], records["crystal_a"])
    assert np.allclose(both, expected, rtol=1e-6)


def test_empty_components_are_one() -> None:
    made = Normalisation.of_set(np.ones(N), [], [], SCANNER)
    assert np.array_equal(made.of_records(lines()), np.ones(500, np.float32))
    assert made.dead_crystals == 0


def test_events_of_masked_crystals_weigh_nothing() -> None:
    records = lines()
    masked = np.zeros(N)
    masked[records["crystal_a"][0]] = 2
    made = Normalisation.of_set(np.ones(N), [], [], SCANNER, masked=masked)
    events = LineModel(SYSTEM, [made]).events(records)
    of_masked = records["crystal_a"] == records["crystal_a"][0]
    assert np.array_equal(events.weight == 0, of_masked) and np.isfinite(events.addend).all()


def test_a_crystal_that_does_not_exist_changes_nothing() -> None:
    records = lines(1)
    records["crystal_b"] = 10_000
    assert Normalisation.of_set(**components(), scanner=SCANNER).of_records(records) == 1.0


def test_live_share_is_of_the_pair_and_at_most_one() -> None:
    live = np.array([[0.0, 7.5], [7.5, 0.0]])
    assert np.allclose(LiveShare.of_pairs(live, 10.0, SCANNER).of_records(lines()), 0.75)
    whole = LiveShare.of_pairs(live, 7.4999, SCANNER)  # a period more than the run: see MARGIN
    assert np.array_equal(whole.of_records(lines()), np.ones(500, np.float32))


def test_hash_tells_contents_apart() -> None:
    one, other = components(0), components(0)
    other["efficiency"][3] *= 1.001
    hashes = {Normalisation.of_set(**c, scanner=SCANNER).content_hash for c in (one, one, other)}
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"efficiency": np.ones(N + 1)}, "another scanner"),
        ({"efficiency": np.full(N, np.nan)}, "finite"),
        ({"efficiency": np.zeros(N)}, "blank the scanner"),
        ({"block_profile": -np.ones(SCANNER.crystals_per_module)}, "at least 0"),
        ({"geometric": np.ones((3, 3))}, "shape"),
    ],
)
def test_arrays_that_cannot_be_are_refused(change: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(LineArrayError, match=words):
        Normalisation.of_set(**(components() | change), scanner=SCANNER)


@pytest.mark.parametrize(("seconds", "words"), [(0.0, "above 0"), (5.0, "same run or frame")])
def test_live_times_that_cannot_be_are_refused(seconds: float, words: str) -> None:
    with pytest.raises(LineArrayError, match=words):
        LiveShare.of_pairs(np.full((2, 2), 7.5), seconds, SCANNER)
