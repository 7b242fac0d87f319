"""Activity that changes in time: decay, curves of regions, built-in models, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace as changed
from scipy import integrate, optimize

from emulator.config import EmulationError, EmulatorConfig
from emulator.engines.emulation import Emulation
from emulator.engines.prepare import prepare
from emulator.object.kinetics import Kinetics, check_peak, load_kinetics
from emulator.object.phantom import Phantom
from emulator.object.tracer_models import GREY, WHITE, plasma_curve, tissue_curve
from emulator.physics.emission import load_source
from emulator.slices import DECAYS
from oracles.emulation import PERIOD_PS

PERIOD_S = PERIOD_PS * 1e-12
POINT = EmulatorConfig(phantom="point")


def halves() -> Phantom:
    """Return two voxels 20 mm apart, *left* with three times the activity of *right*."""
    activity = np.array([3.0, 1.0], np.float32)[:, None, None]
    region = np.array([0, 1], np.uint8)[:, None, None]
    return Phantom(
        "halves", activity, 0 * activity, (20.0, 1.0, 1.0), (-10.0, 0.0, 0.0),
        region=region, region_names=("left", "right"),
    )  # fmt: skip


def curves(tmp_path, text: str) -> str:
    path = tmp_path / "curves.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def at(time_s: float) -> int:
    return round(time_s / PERIOD_S)


def test_half_life_of_fluorine_18_is_found_in_the_counts():
    """Fit of A·2^(−t/T) to decays of slices over four hours. 5 slices of 10 MBq at 5 times: the
    error of T is near 0.3 %."""
    emulation = Emulation(prepare(changed(POINT, nuclide="F-18")), activity_Bq=1e7, seed=8)
    times_s = np.arange(0, 5) * 3600.0
    counts = [
        sum(int(emulation.emulate_slice(at(t) + k).tally[DECAYS]) for k in range(5))
        for t in times_s
    ]
    (_, half_life_s), cov = optimize.curve_fit(
        lambda t, a, half: a * np.exp2(-t / half), times_s, counts, p0=(counts[0], 5000.0),
        sigma=np.sqrt(counts), absolute_sigma=True,
    )  # fmt: skip
    assert math.sqrt(cov[1, 1]) < 0.01 * half_life_s
    assert half_life_s == pytest.approx(109.77 * 60, abs=4 * math.sqrt(cov[1, 1]))


def test_curve_of_each_region_is_found_in_its_decays(tmp_path):
    """Left: 3/4 of the activity, rising from 0 to 2; right: 1/4, falling from 4 to 0."""
    text = curves(tmp_path, "t_s,left,right\n0,0,4\n10,2,0\n")
    instrument = prepare(changed(POINT, nuclide="Na-22", tac=text), phantom=halves())
    emulation = Emulation(instrument, activity_Bq=4e6, seed=2)
    for time_s in (0.0, 2.5, 5.0, 7.5, 20.0):
        tally = sum(emulation.emulate_slice(at(time_s) + k).tally for k in range(3))
        part = min(time_s + 1.5 * PERIOD_S, 10.0) / 10
        expected = 4e6 * 3 * PERIOD_S * np.array([0.75 * 2 * part, 0.25 * 4 * (1 - part)])
        regions = tally[-2:]
        assert regions.sum() == tally[DECAYS]
        assert (np.abs(regions - expected) <= 5 * np.sqrt(expected) + 9).all()


def test_decays_are_where_their_region_is(tmp_path):
    text = curves(tmp_path, "t_s,left,right\n0,0,1\n")
    instrument = prepare(changed(POINT, nuclide="F-18", tac=text), phantom=halves())
    emulation = Emulation(instrument, activity_Bq=4e6, seed=2, origins=True)
    labels = emulation.emulate_slice(0).labels
    assert len(labels) > 1000
    assert (labels["x_mm"] > -4).all()  # right: from 0 to 20 mm, less the range of positrons
    for k in range(2):
        emulation.digitize(emulation.emulate_slice(k), last=k == 1)
    truth = emulation.totals.truth()
    assert (truth["decays in left"], truth["decays in right"]) == (0, truth["decays"])


def test_regions_that_a_file_does_not_name_stay_as_they_are(tmp_path):
    kinetics = load_kinetics(curves(tmp_path, "# measured\nt_s,right\n0,5\n1,7\n"), halves())
    assert kinetics is not None
    assert kinetics.factors_at(0.5) == pytest.approx([1.0, 6.0])
    assert kinetics.factors_at(-1) == pytest.approx([1.0, 5.0])
    assert kinetics.factors_at(9) == pytest.approx([1.0, 7.0])
    assert kinetics.weights == pytest.approx([0.75, 0.25])


def test_two_rows_of_one_time_are_a_jump(tmp_path):
    kinetics = load_kinetics(curves(tmp_path, "t_s,left\n0,1\n5,1\n5,3\n9,3\n"), halves())
    assert kinetics is not None
    assert [float(kinetics.factors_at(t)[0]) for t in (4.999, 5.0, 6.0)] == [1.0, 3.0, 3.0]


def test_washout_is_an_exponential_with_its_rest():
    kinetics = load_kinetics("washout:half_time_s=100,remaining=0.2", halves())
    assert kinetics is not None
    for time_s in (0.0, 33.0, 100.0, 500.0, 1e5):
        expected = 0.2 + 0.8 * 2 ** (-time_s / 100)
        assert kinetics.factors_at(time_s) == pytest.approx([expected] * 2, abs=1e-5)


@pytest.mark.parametrize("rates", [GREY, WHITE])
def test_tissue_curve_solves_the_compartments_equations(rates):
    """dC₁/dt = K₁·Cp − (k₂ + k₃)·C₁ + k₄·C₂, dC₂/dt = k₃·C₁ − k₄·C₂, by Runge and Kutta."""
    k1, k2, k3, k4 = rates

    def change(t: float, c: np.ndarray) -> list[float]:
        inflow = k1 * float(plasma_curve(np.array([t]))[0])
        return [inflow - (k2 + k3) * c[0] + k4 * c[1], k3 * c[0] - k4 * c[1]]

    minutes = np.arange(0.0, 90.0, 1 / 60)
    solved = integrate.solve_ivp(
        change, (0, 90), [0, 0], t_eval=[1, 5, 30, 60, 89], rtol=1e-8, max_step=0.05
    )
    curve = np.interp([1, 5, 30, 60, 89], minutes, tissue_curve(minutes, rates))
    assert curve == pytest.approx(solved.y.sum(axis=0), rel=1e-3)


def test_plasma_peaks_within_a_minute_and_is_gone_after_two_hours():
    minutes = np.arange(0, 120, 0.01)
    plasma = plasma_curve(minutes)
    assert plasma[0] == pytest.approx(0, abs=1e-9)
    assert 0.1 < minutes[plasma.argmax()] < 1.0
    assert plasma[-1] < 0.1 * plasma.max()


def test_bolus_reaches_the_activity_asked_for_when_it_says():
    kinetics = load_kinetics("bolus:full_s=300", halves())
    assert kinetics is not None
    assert kinetics.activity(0.0)[0] == 0.0
    assert kinetics.activity(300.0)[0] == pytest.approx(1.0, rel=1e-6)
    assert kinetics.activity(3600.0)[0] > 1.5


def test_blood_follows_the_plasma_and_white_matter_takes_up_less():
    phantom = halves()
    named = Phantom(
        phantom.name, phantom.activity, phantom.mu_per_mm, phantom.voxel_mm, phantom.origin_mm,
        region=phantom.region, region_names=("blood", "grey"),
    )  # fmt: skip
    kinetics = load_kinetics("bolus", named)
    assert kinetics is not None
    early, late = kinetics.factors_at(60.0), kinetics.factors_at(7000.0)
    assert early[0] > 4 > 1 > early[1]
    assert late[0] < 1 < late[1]


def test_run_under_a_bolus_begins_in_silence_and_its_books_close():
    emulation = Emulation(prepare(changed(POINT, tac="bolus:full_s=60")), activity_Bq=1e6, seed=1)
    for k in range(3):
        emulation.digitize(emulation.emulate_slice(k), last=k == 2)
    assert emulation.totals.truth()["decays"] == emulation.totals.truth()["decays in all"] < 50
    assert emulation.emulate_slice(at(60.0)).tally[DECAYS] == pytest.approx(5200, rel=0.06)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("t_s,middle\n0,1\n", "regions of the phantom halves: left, right"),
        ("t_s,left,left\n0,1,1\n", "each at most once"),
        ("time,left\n0,1\n", "they must be t_s"),
        ("t_s,left\n", "0 rows"),
        ("t_s,left\n0,-1\n", "negative"),
        ("t_s,left\n0,1\n1,x\n", "line 3"),
        ("t_s,left\n0,1\n1,nan\n", "finite"),
        ("t_s,left\n0,1\n1\n", "2 finite numbers"),
        ("t_s,left\n2,1\n\n1,1\n", "line 4: time goes back"),
        ("", "they must be t_s"),
    ],
)
def test_curves_that_cannot_be_are_refused(tmp_path, text, told):
    with pytest.raises(EmulationError, match=told):
        load_kinetics(curves(tmp_path, text), halves())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nowhere.csv", "cannot be read.*give bolus, washout"),
        ("bolus:full_s=1e9", "1 to 7200 seconds"),
        ("bolus:k1=3", "no option 'k1'; there are full_s"),
        ("washout:half_time_s=-3", "above 0"),
        ("washout:half_time_s", "above 0"),
        ("washout:remaining=2", "a part from 0 to 1"),
    ],
)
def test_models_that_do_not_exist_are_refused(text, told):
    with pytest.raises(EmulationError, match=told):
        load_kinetics(text, halves())


def test_peak_that_no_link_carries_is_refused_with_the_activity_that_it_would_carry(tmp_path):
    text = curves(tmp_path, "t_s,left,right\n0,1,1\n60,200,1\n")
    with pytest.raises(
        EmulationError, match=r"peaks at 1.5\d+e\+04 MBq after 60 s.*below 6\.\d+ MBq"
    ):
        prepare(changed(POINT, nuclide="Na-22", tac=text, activity_Bq=1e8), phantom=halves())


def test_activity_that_is_never_there_is_refused():
    nothing = Kinetics(("all",), np.ones(1), np.zeros(1), np.zeros((1, 1)))
    with pytest.raises(EmulationError, match="0 at all times"):
        check_peak(nothing, load_source("F-18"), 1e6)


def test_load_mode_refuses_what_it_cannot_play():
    for setting in ({"tac": "bolus"}, {"motion": "head"}):
        with pytest.raises(EmulationError, match="leave tac and motion empty"):
            prepare(changed(POINT, library="auto", **setting))
