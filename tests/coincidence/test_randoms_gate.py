"""Randoms of GATE's water cylinder: by truth, by delayeds and by 2τ·S·S they agree within 3σ.

Truth is a pair whose photons come from different decays. The singles are correlated (a quarter of
them are in true pairs), which neither estimate may mind. The kernels know no unit of time: they
are given femtoseconds, so that nothing is rounded away.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from coincidence.events import END_OF_TIME_PS, SINGLE
from coincidence.randoms import (
    close_slice,
    compare_estimates,
    count_delayeds,
    count_singles,
    fan_sum_rates,
    singles_rate_randoms,
)
from coincidence.sorter import CoincidenceSorter
from daq.path.pipeline import pairs_in_view
from hw.messages.sort_settings import SortSettings
from hw.scanner.preset_file import load_scanner

SAMPLE = Path(__file__).parent.parent / "data" / "gate_sample.npz"
WHOLE = (
    Path(os.environ.get("TOMOSHIBI_REFERENCE_DATA", ""))
    / "gate"
    / "watercyl20cm_2MBq_200ms_singles.npz"
)
SLICE_FS = 5 * 10**12
TAU_FS = 5_000_000
needs_whole = pytest.mark.skipif(
    not WHOLE.is_file(),
    reason="TOMOSHIBI_REFERENCE_DATA does not name a folder with the GATE singles",
)


def gate_singles(path: Path) -> tuple[np.ndarray, ...]:
    """Return (time in fs, block, decay) of the singles, in order of time."""
    with np.load(path) as file:
        t_fs = file["t_fs"] if "t_fs" in file else np.round(file["t_ns"] * 1e6).astype(np.int64)
        order = np.argsort(t_fs, kind="stable")
        return t_fs[order], file["block"][order], file["event"][order]


@pytest.mark.parametrize(
    ("path", "truth"),
    [
        (SAMPLE, None),
        pytest.param(WHOLE, 2677, marks=[pytest.mark.reference_data, needs_whole]),
    ],
    ids=["sample", "whole"],
)
@pytest.mark.parametrize(("windows", "sides"), [(1, "one"), (2, "two")])
def test_three_ways_to_count_randoms_agree(
    path: Path, truth: int | None, windows: int, sides: str
) -> None:
    times, block, event = gate_singles(path)
    settings = SortSettings(
        lld_keV=0, uld_keV=1, window_ps=TAU_FS, delay_ps=100 * TAU_FS,
        delay_windows=windows, delay_sides=sides,  # type: ignore[arg-type]
    )  # fmt: skip
    allowed = pairs_in_view(load_scanner("caremibrain"), 0)
    # Each single is a crystal of its own: a record then tells which two singles it joins.
    singles, module_of = np.zeros(len(times), SINGLE), block.astype(np.uint16)
    singles["time_ps"], singles["crystal"] = times, np.arange(len(times))
    found = CoincidenceSorter(settings, module_of=module_of, allowed_pairs=allowed).push(
        singles, int(END_OF_TIME_PS)
    )
    prompts, delayeds = found.prompts, found.delayeds
    randoms = int((event[prompts["crystal_a"]] != event[prompts["crystal_b"]]).sum())
    place, products = np.array([0, SLICE_FS]), np.zeros((48, 48), np.int64)
    crystals, modules = np.zeros(len(times), np.int64), np.zeros(48, np.int64)
    count_singles(singles, module_of, SLICE_FS, place, crystals, modules, products)
    close_slice(modules, products)
    by_singles = singles_rate_randoms(products, allowed, window_ps=TAU_FS, slice_ps=SLICE_FS).sum()
    estimates = compare_estimates(
        len(delayeds), settings.delayed_factor, float(by_singles), singles=len(times)
    )
    assert truth is None or randoms == truth
    assert randoms > 200
    assert abs(estimates.ratio - 1) < 3 * estimates.sigma
    sigma = math.sqrt(randoms)
    assert abs(by_singles - randoms) < 3 * sigma
    spread = math.hypot(sigma, math.sqrt(len(delayeds)) / settings.delayed_factor)
    assert abs(estimates.from_delayeds - randoms) < 3 * spread

    fans, pairs = np.zeros(48, np.int64), np.zeros((48, 48), np.int64)
    of_blocks = delayeds.copy()
    for end in ("crystal_a", "crystal_b"):
        of_blocks[end] = block[delayeds[end]]
    count_delayeds(of_blocks, np.arange(48, dtype=np.uint16), fans, pairs)
    smooth = fan_sum_rates(fans, np.arange(48, dtype=np.uint16), allowed)
    m, n = np.nonzero(np.triu(allowed, 1))
    lines = smooth.lines(m, n)
    assert lines.sum() == pytest.approx(len(delayeds))
    # Per pair of blocks the fan sums follow 2τ·S·S far closer than the delayeds themselves.
    expected = products[m, n] * (2 * TAU_FS / SLICE_FS) * settings.delayed_factor
    raw_error = np.square(pairs[m, n] - expected).sum()
    assert np.square(lines - expected).sum() < raw_error / 5
