"""CTR from drawn time differences: the width that was planted, its error, and randoms below."""

from __future__ import annotations

import numpy as np
import pytest

from daq.quality.pair_timing import TimeSpectrum, pair_timing
from daq.quality.peak_quality import QcError

MIDDLE_PS = np.arange(-3995.0, 4000.0, 10.0)


def drawn(rng: np.random.Generator, *, fwhm_ps: float, trues: int, randoms: int) -> TimeSpectrum:
    edges = np.append(MIDDLE_PS - 5, MIDDLE_PS[-1] + 5)
    errors = np.concatenate(
        [rng.normal(30.0, fwhm_ps / 2.3548, trues), rng.uniform(-4000, 4000, randoms)]
    )
    flat = np.full(len(MIDDLE_PS), randoms / len(MIDDLE_PS))
    return TimeSpectrum(MIDDLE_PS, np.histogram(errors, edges)[0].astype(float), flat)


@pytest.mark.parametrize(("fwhm_ps", "randoms"), [(250.0, 0), (400.0, 20_000), (1200.0, 10_000)])
def test_the_planted_width_is_found_and_its_error_is_the_scatter(
    fwhm_ps: float, randoms: int
) -> None:
    rng = np.random.default_rng(5)
    found = [
        pair_timing(drawn(rng, fwhm_ps=fwhm_ps, trues=20_000, randoms=randoms)) for _ in range(120)
    ]
    widths, errors = np.array([[one.ctr_ps, one.error_ps] for one in found]).T
    assert widths.mean() == pytest.approx(fwhm_ps, rel=0.005)
    assert 0.7 < widths.std() / errors.mean() < 1.3
    assert np.mean([one.middle_ps for one in found]) == pytest.approx(30.0, abs=2.0)


def test_too_few_pairs_are_told() -> None:
    rng = np.random.default_rng(6)
    with pytest.raises(QcError, match="at least 1000 are needed: measure longer"):
        pair_timing(drawn(rng, fwhm_ps=400.0, trues=500, randoms=0))
