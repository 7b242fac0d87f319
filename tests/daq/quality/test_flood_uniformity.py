"""Uniformity of a flood by NEMA NU 1, against patterns known exactly and a slow, plain reading."""

from __future__ import annotations

import numpy as np
import pytest

from daq.quality.flood_uniformity import flood_uniformity, joined_crystals

PITCH_MM = (8.0, 8.0)
N = 32


def central(n: int, share: float) -> list[int]:
    """Pixels of which half or more lies within the central share of a row, one after another."""
    found = []
    for k in range(n):
        low, high = max(k, n / 2 * (1 - share)), min(k + 1, n / 2 * (1 + share))
        if high - low >= 0.5 - 1e-9:
            found.append(k)
    return found


def plain_reading(counts: np.ndarray) -> tuple[float, float, float, float]:
    """Return integral and differential uniformity of UFOV and CFOV, pixel by pixel, in loops."""
    n = len(counts)
    ufov, cfov = central(n, 0.95), central(n, 0.95 * 0.75)
    mean = np.mean([counts[i, j] for i in cfov for j in cfov])
    cold = {(i, j) for i in ufov for j in ufov if counts[i, j] < 0.75 * mean}
    used = set()
    for i in ufov:
        for j in ufov:
            near = [(i, j), (i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
            if not any(place in cold for place in near):
                used.add((i, j))
    smooth = {}
    for i, j in used:
        total = weights = 0.0
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                if (i + di, j + dj) in used:
                    weight = (2 - abs(di)) * (2 - abs(dj))
                    total += weight * counts[i + di, j + dj]
                    weights += weight
        smooth[i, j] = total / weights
    figures = []
    for field in (ufov, cfov):
        values = [smooth[i, j] for i in field for j in field if (i, j) in smooth]
        figures.append(100 * (max(values) - min(values)) / (max(values) + min(values)))
    for field in (ufov, cfov):
        worst = 0.0
        inside = {p for p in smooth if p[0] in field and p[1] in field}
        for i, j in inside:
            for step in ((1, 0), (0, 1)):
                five = [(i + k * step[0], j + k * step[1]) for k in range(5)]
                if all(place in inside for place in five):
                    high, low = max(smooth[p] for p in five), min(smooth[p] for p in five)
                    worst = max(worst, 100 * (high - low) / (high + low))
        figures.append(worst)
    return figures[0], figures[1], figures[2], figures[3]


@pytest.mark.parametrize("seed", range(4))
def test_floods_of_chance_are_judged_as_by_a_plain_reading(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(1000.0, (N, N)).astype(float)
    counts[tuple(rng.integers(0, N, (2, 3)))] = 0.0  # cold pixels, also in the middle
    found = flood_uniformity(counts, PITCH_MM)
    assert found is not None
    reading = plain_reading(counts)
    assert (found.integral_ufov, found.integral_cfov) == pytest.approx(reading[:2])
    assert (found.differential_ufov, found.differential_cfov) == pytest.approx(reading[2:])


def test_a_flat_flood_is_uniform() -> None:
    found = flood_uniformity(np.full((N, N), 700.0), PITCH_MM)
    assert found is not None
    assert found.integral_ufov == pytest.approx(0.0, abs=1e-9)
    assert found.differential_ufov == pytest.approx(0.0, abs=1e-9)
    assert found.centre_counts == 700.0
    assert found.standard_pixels


@pytest.mark.parametrize("axis", [0, 1])
def test_a_tilt_of_ten_percent_is_ten_percent_less_what_the_edges_lose(axis: int) -> None:
    """From 0.9 to 1.1 across the detector. Smoothing leaves a straight line as it is, but at the
    field's edge, where a third of a pixel's step is lost inwards."""
    tilt = 0.10
    place = (np.arange(N) + 0.5 - N / 2) / (N / 2)
    row = 1000 * (1 + tilt * place)
    counts = np.tile(row, (N, 1)) if axis else np.tile(row[:, None], (1, N))
    found = flood_uniformity(counts, PITCH_MM)
    assert found is not None
    step = 2 / N
    ufov, cfov = central(N, 0.95), central(N, 0.95 * 0.75)
    of_ufov = tilt * (place[ufov[-1]] - step / 3)
    assert found.integral_ufov == pytest.approx(100 * of_ufov, rel=1e-9)
    assert found.integral_cfov == pytest.approx(100 * tilt * place[cfov[-1]], rel=1e-9)
    # five pixels where there is least: four steps, over twice the value in their middle
    second = ufov[1]
    low, high = 1 + tilt * place[second], 1 + tilt * place[second + 4]
    assert found.differential_ufov == pytest.approx(100 * (high - low) / (high + low), rel=1e-9)
    assert (
        8.5 < found.integral_ufov < 10.0
    )  # its outermost pixels, smoothed, lie at 0.89 of the half width


def test_what_is_cold_at_the_edge_does_not_count() -> None:
    counts = np.full((N, N), 500.0)
    counts[:, 1] = 100.0
    found = flood_uniformity(counts, PITCH_MM)
    assert found is not None
    assert found.integral_ufov == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(found.smoothed[N // 2, 2])  # beside a cold one


def test_a_flood_without_counts_has_no_uniformity() -> None:
    counts = np.zeros((N, N))
    counts[0, 0] = 5.0
    assert flood_uniformity(counts, PITCH_MM) is None


@pytest.mark.parametrize(
    ("crystals", "pitch_mm", "joined"), [(64, 4.0, 2), (16, 2.46, 2), (64, 2.46, 2), (32, 8.0, 1)]
)
def test_crystals_are_joined_to_pixels_near_those_of_the_standard(
    crystals: int, pitch_mm: float, joined: int
) -> None:
    assert joined_crystals(crystals, pitch_mm) == joined
