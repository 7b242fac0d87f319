"""Dead time and its model are found from a decaying source, to 2 %, with honest errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad

from daq.calibration.deadtime_fit import DeadTimeModel, calibrate_deadtime, fit_model, measured_rate
from daq.calibration.trigger_rates import (
    PERIOD_S,
    RateSlices,
    TriggerRates,
    joined,
    mean_activity,
    rates_of_run,
)
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import Status
from daq.folder.run_config import RunConfig
from daq.path.frame_check import FrameChecker
from daq.service.run import Run
from hw.wire.protocol import FLAG_FIRST, FRAME_PERIOD_TICKS, KIND_SHIFT
from rigs.frames_factory import RUN_TAG, ModuleSender, single_words

NP, P = DeadTimeModel.NON_PARALYSABLE, DeadTimeModel.PARALYSABLE


def recorded(
    rng: np.random.Generator, *, rate: float, tau_s: float, seconds: float, model: DeadTimeModel
) -> int:
    """Count what a detector records of a Poisson stream, event by event.

    Non-paralysable: the next event is recorded after τ and an exponential wait. Paralysable: those
    whose predecessor, recorded or not, lies more than τ before.
    """
    if model == NP:
        waits = rng.exponential(1 / rate, int(rate * seconds * 1.2) + 100) + tau_s
        waits[0] -= tau_s
        return int(np.searchsorted(np.cumsum(waits), seconds))
    times = np.sort(rng.random(rng.poisson(rate * seconds))) * seconds
    return int((np.diff(times, prepend=-1.0) > tau_s).sum())


def decay(
    model: DeadTimeModel,
    tau_s: np.ndarray,
    *,
    load: float,
    seed: int,
    slices: int = 120,
    slice_s: float = 0.02,
    background: float = 0.0,
) -> TriggerRates:
    """Simulate six half-lives in ``slices``, from n₀τ = ``load``, background as a share of n₀."""
    rng = np.random.default_rng(seed)
    activity = 2.0 ** (-6 * np.arange(slices) / slices)
    counts = [
        [
            recorded(rng, rate=load / tau * (a + background), tau_s=tau, seconds=slice_s,
                     model=model)
            for a in activity
        ]
        for tau in tau_s
    ]  # fmt: skip
    shape = (len(tau_s), 1)
    return TriggerRates(
        np.array(counts), np.full((len(tau_s), slices), slice_s), np.tile(activity, shape)
    )


@pytest.mark.parametrize("model", [NP, P])
@pytest.mark.parametrize("load", [0.5, 1.5])
def test_dead_time_and_model_are_found_to_two_percent(model: DeadTimeModel, load: float) -> None:
    tau = np.array([180e-9, 200e-9, 220e-9, 400e-9])
    rates = decay(model, tau, load=load, seed=int(10 * load), slice_s=0.03)
    found = calibrate_deadtime(rates)
    assert (found.model == model).all()
    assert (found.status == Status.FITTED).all()
    assert np.abs(found.tau_s / tau - 1).max() < 0.02
    assert np.abs((found.tau_s - tau) / found.tau_error_s).max() < 3.5
    assert (found.tau_error_s < 0.01 * tau).all()
    np.testing.assert_allclose(found.load, load, rtol=0.03)


@pytest.mark.parametrize("model", [NP, P])
def test_the_errors_told_are_the_scatter_and_chi2_is_its_degrees_of_freedom(
    model: DeadTimeModel,
) -> None:
    tau = np.full(40, 1e-6)
    fit = fit_model(decay(model, tau, load=0.6, seed=5, slices=40), model)
    pull = (fit.tau_s - tau) / fit.tau_error_s
    # 40 modules: the mean has σ 0.16, the spread 0.11; χ² of 40 × 38 has a relative σ of 3.6 %
    assert abs(pull.mean()) < 0.5
    assert 0.7 < pull.std() < 1.35
    assert fit.chi2.sum() / fit.dof.sum() == pytest.approx(1.0, abs=0.11)


@pytest.mark.parametrize("model", [NP, P])
def test_a_constant_background_is_told_apart_where_asked(model: DeadTimeModel) -> None:
    rates = decay(model, np.full(3, 300e-9), load=0.8, seed=7, background=0.05, slice_s=0.04)
    found = calibrate_deadtime(rates, fit_background=True)
    np.testing.assert_allclose(found.tau_s, 300e-9, rtol=0.02)
    assert (found.model == model).all()
    share = found.chosen("background_cps") / found.chosen("n0_cps")
    np.testing.assert_allclose(share, 0.05, rtol=0.1)
    ignored = fit_model(rates, model)
    assert (ignored.chi2 > 2 * found.chosen("chi2")).all(), "χ² tells of a background left out"


def test_runs_of_known_relative_activity_do_as_well_as_a_decay() -> None:
    rng, tau = np.random.default_rng(3), 250e-9
    runs = []
    for activity in (1.0, 0.6, 0.3, 0.15, 0.05):
        n = 4e6 * activity
        counts = recorded(rng, rate=n, tau_s=tau, seconds=0.5, model=NP)
        live_s = np.full((1, 1), 0.5)
        runs.append(TriggerRates(np.array([[counts]]), live_s, np.array([[activity]])))
    found = calibrate_deadtime(joined(runs))
    assert found.tau_s[0] == pytest.approx(tau, rel=0.02)
    assert found.model[0] == NP


def test_a_module_that_saw_little_takes_the_others_dead_time_and_is_marked() -> None:
    strong = decay(NP, np.array([200e-9]), load=0.5, seed=1)
    weak = decay(NP, np.array([200e-9]), load=0.01, seed=1)
    silent = TriggerRates(0 * weak.counts, weak.live_s, weak.activity)
    names = ("counts", "live_s", "activity")
    rates = TriggerRates(
        *(np.concatenate([getattr(m, name) for m in (strong, weak, silent)]) for name in names)
    )
    found = calibrate_deadtime(rates)
    assert found.status.tolist() == [Status.FITTED, Status.SCANNER, Status.SCANNER]
    np.testing.assert_allclose(found.tau_s[1:], found.tau_s[0])
    assert (found.model == NP).all()


def test_a_model_that_the_counts_cannot_tell_is_said_to_be_unclear() -> None:
    slow = decay(NP, np.full(2, 200e-9), load=0.15, seed=4, slice_s=0.3)
    found = calibrate_deadtime(slow)
    assert not found.decided.any()
    # the models differ by n·τ/2 here, so the wrong one may be off by that, and not by more
    assert np.abs(found.tau_s / 200e-9 - 1).max() < 0.075 + 3.5 * (found.tau_error_s / 200e-9).max()
    assert calibrate_deadtime(slow, model=NP).decided.all()
    assert calibrate_deadtime(decay(NP, np.full(2, 200e-9), load=0.8, seed=4)).decided.all()


def test_a_model_given_is_kept_whatever_the_likelihood() -> None:
    rates = decay(NP, np.full(2, 200e-9), load=1.0, seed=2)
    assert (calibrate_deadtime(rates, model=P).model == P).all()


def test_too_little_dead_time_is_refused_with_the_regime_needed() -> None:
    rates = decay(NP, np.full(2, 200e-9), load=0.002, seed=3, slice_s=0.05)
    with pytest.raises(CalibrationSetError, match=r"n·τ up to .*at least 0\.2"):
        calibrate_deadtime(rates)


def test_too_few_activities_are_refused() -> None:
    rates = decay(NP, np.full(2, 200e-9), load=0.5, seed=3, slices=3)
    with pytest.raises(CalibrationSetError, match="at least four activities"):
        calibrate_deadtime(rates)
    empty = TriggerRates(np.zeros((2, 9), int), np.ones((2, 9)), np.ones((2, 9)))
    with pytest.raises(CalibrationSetError, match="9 slices were counted"):
        calibrate_deadtime(empty)


def test_the_paralysable_curve_turns_over_at_one_over_tau() -> None:
    n = np.linspace(1e5, 1e7, 2001)
    assert n[measured_rate(n, 5e-7, P).argmax()] == pytest.approx(2e6, rel=0.005)
    assert measured_rate(np.array([1e12]), 5e-7, NP)[0] == pytest.approx(2e6, rel=1e-5)


def test_mean_activity_of_a_period_is_the_integral() -> None:
    decay_per_period = 0.4
    expected = [quad(lambda t: np.exp(-decay_per_period * t), k, k + 1)[0] for k in (0, 3)]
    np.testing.assert_allclose(mean_activity(np.array([0, 3]), decay_per_period), expected)


@pytest.fixture(scope="module")
def decaying_run(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Callable[..., RunConfig]], Path]:
    """Make a run of both bench modules over six half-lives of 0.4 s, frames from exact streams."""

    def make(make_config: Callable[..., RunConfig]) -> Path:
        run = Run(make_config(name="decay"), tmp_path_factory.mktemp("deadtime"))
        run.start()
        rng, senders = np.random.default_rng(11), [ModuleSender(0), ModuleSender(1)]
        periods = round(6 * HALF_LIFE_S / PERIOD_S)
        for period in range(periods):
            rate = N0 * 2.0 ** (-(period + 0.5) * PERIOD_S / HALF_LIFE_S)
            frames = []
            for sender, tau, model in zip(senders, TAU_S, (NP, P), strict=True):
                n = recorded(rng, rate=rate, tau_s=tau, seconds=PERIOD_S, model=model)
                lost = min(n, 50) if period % 7 == 0 else 0  # recorded, but not sent
                words = single_words(np.sort(rng.integers(0, FRAME_PERIOD_TICKS, n - lost)))
                words = np.append(words, np.uint64(7) << np.uint64(KIND_SHIFT))  # a mark
                last = period == periods - 1
                frames.append(sender.frame(words, lost_events=lost, last=last))
            if period in (30, 31, 200):
                frames.pop()  # module 1's frame is lost on the way
            run.process(frames)
        run.finish()
        run.write_summary()
        return run.folder

    return make


HALF_LIFE_S, N0, TAU_S = 0.4, 3e6, (250e-9, 200e-9)


def test_from_raw_frames_to_dead_time(
    decaying_run: Callable[..., Path], make_config: Callable[..., RunConfig]
) -> None:
    folder = decaying_run(make_config)
    rates = rates_of_run(folder, half_life_s=HALF_LIFE_S)
    periods = round(6 * HALF_LIFE_S / PERIOD_S)
    # the last frame is left out, and what was lost on the way does not count as time
    np.testing.assert_allclose(rates.live_s.sum(axis=1) / PERIOD_S, [periods - 1, periods - 4])
    assert rates.beyond == 0
    found = calibrate_deadtime(rates)
    assert found.model.tolist() == [NP, P]
    np.testing.assert_allclose(found.tau_s, TAU_S, rtol=0.02)
    assert (found.chosen("chi2") < 1.6 * found.chosen("dof")).all()
    with pytest.raises(CalibrationSetError, match=r"slices of 0\.1 s"):
        rates_of_run(folder, half_life_s=HALF_LIFE_S, slice_s=0.1)


def test_frames_of_absurdly_late_periods_take_no_memory_and_are_counted() -> None:
    slices = RateSlices(1, periods=10, decay_per_s=1.0)
    sender = ModuleSender(0)
    frames = [sender.frame(single_words([1, 2, 3]))]
    frames += [sender.frame(frame_id=2**31, flags=FLAG_FIRST)]
    slices.add(FrameChecker(n_modules=1, run_tag=RUN_TAG).check(frames, recorded=True))
    rates = slices.rates(activity=5.0)
    assert rates.counts.tolist() == [[3]]
    assert rates.beyond == 1
    assert rates.activity[0, 0] == pytest.approx(5.0, rel=0.01)


def test_the_counts_needed_are_those_of_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [
        [float(cell) for cell in line.strip("| ").split("|")]
        for line in text.splitlines()
        if line.startswith(("| 0.", "| 1."))
    ]
    assert len(rows) == 4
    for load, *promised in rows:
        needed = [
            millions_needed(model, load, background) for model in (NP, P) for background in (0, 1)
        ]
        np.testing.assert_allclose(needed, promised, rtol=0.15)


PAGE = Path(__file__).parents[3] / "docs" / "calibration" / "deadtime.md"


def millions_needed(model: DeadTimeModel, load: float, background: int) -> float:
    """Return the triggers, in millions, that bring σ(τ) to a third of 2 %: six half-lives in
    slices of a twentieth, counts as expected."""
    tau_s, activity = 2e-7, 2.0 ** (-np.arange(120) / 20)[None]
    counts = np.rint(measured_rate(load / tau_s * activity, tau_s, model)).astype(int)
    rates = TriggerRates(counts, np.ones_like(activity), activity)
    fit = fit_model(rates, model, fit_background=bool(background))
    return float(counts.sum() * (fit.tau_error_s[0] / tau_s / (0.02 / 3)) ** 2 / 1e6)
