"""Verdicts: pass and fail by a limit, and never a pass without one."""

from __future__ import annotations

import math

import pytest

from hw.scanner.judged_figure import Figure, Limits
from hw.scanner.limits import Nu2Limits
from recon.acceptance.judged import Part

LIMITS = Limits(Nu2Limits(most_scatter_fraction=0.5, least_peak_necr_kcps=40.0))


@pytest.mark.parametrize(
    ("key", "value", "verdict"),
    [
        ("most_scatter_fraction", 0.5, "pass"),
        ("most_scatter_fraction", 0.501, "FAIL"),
        ("least_peak_necr_kcps", 40.0, "pass"),
        ("least_peak_necr_kcps", 39.9, "FAIL"),
        ("least_peak_necr_kcps", math.nan, "FAIL"),
        ("most_fwhm_mm", 1.0, "no limit given"),
    ],
)
def test_figure_is_judged_by_its_limit(key, value, verdict):
    assert LIMITS.judged("figure", value, key).verdict == verdict


def test_without_a_table_nothing_passes():
    assert Limits(None).judged("figure", 1.0, "most_fwhm_mm").verdict == "no limit given"


def test_a_limit_that_no_preset_can_have_is_a_defect():
    with pytest.raises(AttributeError):
        LIMITS.judged("figure", 1.0, "most_colour")


def test_verdict_of_a_part_is_the_gravest_of_its_figures():
    judged = [LIMITS.judged("a", 0.4, "most_scatter_fraction"), Figure("b", 3.0)]
    assert Part("p", "P", judged).verdict == "pass"
    open_one = LIMITS.judged("c", 1.0, "most_fwhm_mm")
    assert Part("p", "P", [*judged, open_one]).verdict == "no limit given"
    bad = LIMITS.judged("d", 0.9, "most_scatter_fraction")
    assert Part("p", "P", [*judged, open_one, bad]).verdict == "FAIL"
    assert Part("p", "P", reason="no run").verdict == "not measured"
