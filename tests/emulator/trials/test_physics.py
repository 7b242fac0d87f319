"""The fast figures of `tomoshibi validate emulator`, each with the tolerance of the table.

Statistics: --quick's counts, so that each figure has its tolerance and three standard errors.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest

from daq.cli.validate.checks import CHECKS, run_check
from daq.cli.validate.count_rates import expected_randoms
from daq.cli.validate.emulator_runs import ideal_instrument, labels_of_pairs, run_trial
from daq.cli.validate.matter import NIST_WATER_CM2_PER_G, klein_nishina_shares, nist_water_per_cm
from daq.cli.validate.result_line import FAIL, NOT_RUN, PASS, CheckFigure, Scope
from daq.cli.validate.spectra import BINS, spectrum_chi2
from hw.scanner.preset_file import load_scanner

QUICK = Scope(quick=True, seed=2)
BY_NAME = {check.name: check for check in CHECKS}


@pytest.mark.parametrize(
    "name",
    [
        "attenuation",
        "narrow-beam",
        "compton",
        "half-life",
        "point",
        "tof",
        pytest.param("dead-time", marks=pytest.mark.evidence),
    ],
)
def test_figures_agree_with_what_we_did_not_write(name):
    for line in run_check(BY_NAME[name], QUICK):
        assert line.verdict(quick=True) == PASS, line


def test_nists_table_is_met_at_its_own_energies_and_known_between():
    """0.0960 cm²/g at 511 keV and 0.1537 at 140.5 keV are what XCOM prints, to its last digit."""
    for energy_keV, value in NIST_WATER_CM2_PER_G.items():
        assert nist_water_per_cm(energy_keV) == pytest.approx(value, rel=1e-12)
    assert nist_water_per_cm(511.0) == pytest.approx(0.0960, abs=0.00005)
    assert nist_water_per_cm(140.5) == pytest.approx(0.1537, abs=0.0001)


def test_integrated_klein_nishina_is_thomsons_at_no_energy_and_forward_at_511_keV():
    """Without energy it is Thomson's, 3/8·(1 + cos²θ), whose integral is known."""
    edges = np.array([-1.0, -0.5, 0.5, 1.0])
    thomson = klein_nishina_shares(edges, 1e-6)
    whole = [3 / 8 * (x + x**3 / 3) for x in edges]
    np.testing.assert_allclose(thomson, np.diff(whole), rtol=1e-5)
    at_511 = klein_nishina_shares(edges, 511.0)
    assert at_511[2] > 2 * at_511[0]


def test_labels_belong_to_the_singles_of_each_prompt():
    """By truth, both photons of a true pair are annihilation photons 0 and 1 of one decay."""
    trial = run_trial(ideal_instrument(phantom="point"), QUICK, activity_Bq=1e6, decays=2e4)
    a, b = labels_of_pairs(trial.prompts, trial)
    true = a["decay"] == b["decay"]
    assert true.mean() > 0.98
    assert (a["photon"][true] + b["photon"][true] == 1).mean() > 0.99
    np.testing.assert_allclose(a["x_mm"], 0, atol=0.26)
    deposit = a["deposit_keV"]
    np.testing.assert_allclose(deposit[deposit > 500], 511, rtol=1e-3)


def test_singles_of_one_decay_in_one_block_are_added_up():
    """Some pairs' photons end in the same block of the water cylinder: up to 1022 keV there."""
    trial = run_trial(
        ideal_instrument(phantom="cylinder"), QUICK, activity_Bq=2e6, decays=1e5, uld_keV=1000.0
    )
    above = trial.singles["energy"] > 6600  # 4.5 σ above the photopeak
    assert 0 < above.mean() < 0.01
    assert (trial.labels["deposit_keV"][above] < 512).all()  # of the first of both


def test_efficiency_of_singles_counts_twice_in_pairs():
    trials = [
        run_trial(ideal_instrument(efficiency=e), QUICK, activity_Bq=1e6, decays=1e5)
        for e in (1.0, 0.8)
    ]
    singles = len(trials[1].singles) / len(trials[0].singles)
    pairs = len(trials[1].prompts) / len(trials[0].prompts)
    assert singles == pytest.approx(0.8, abs=4 * 0.8 * np.sqrt(2 / len(trials[0].singles)))
    assert pairs == pytest.approx(0.64, abs=4 * 0.64 * np.sqrt(2.5 / len(trials[0].prompts)))


def test_expected_randoms_are_summed_over_the_pairs_in_view():
    """Against a loop over all pairs of modules."""
    instrument = ideal_instrument(phantom="point")
    trial = run_trial(instrument, QUICK, activity_Bq=1e6, decays=2e4)
    scanner = load_scanner("caremibrain")
    counts = np.bincount(trial.singles["crystal"] // 1024, minlength=48)
    total = 0.0
    for m in range(48):
        for n in range(m + 1, 48):
            apart = abs(m % 16 - n % 16)
            if min(apart, 16 - apart) >= scanner.acquisition.min_sector_difference:
                total += 2 * 5e-9 * counts[m] * counts[n] / trial.seconds
    assert expected_randoms(trial, instrument) == pytest.approx(total)


def test_chi2_of_two_samples_of_one_spectrum_is_about_one():
    rng = np.random.default_rng(5)
    height = np.linspace(1e-3, 2e-2, BINS)
    ours, theirs = rng.poisson(height * 1e6), rng.poisson(height * 2e5)
    assert spectrum_chi2(ours, 1e6, theirs, 2e5) == pytest.approx(1, abs=4 * np.sqrt(2 / BINS))
    assert spectrum_chi2(ours, 1e6, theirs * 1.1, 2e5) > 2.5


def test_without_reference_data_spectra_are_not_run_and_never_pass():
    lines = run_check(BY_NAME["spectra"], QUICK)
    assert {line.verdict(quick=True) for line in lines} == {NOT_RUN}
    assert all("TOMOSHIBI_REFERENCE_DATA" in line.reason for line in lines)


def test_interrupt_ends_a_trial_and_its_threads():
    def press_ctrl_c(done: float, total: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_check(BY_NAME["point"], Scope(quick=True, threads=2, progress=press_ctrl_c))
    assert not [t.name for t in threading.enumerate() if t.name.startswith("monte-carlo")]


def figure(measured: float, *, sigma: float = 0.1, tolerance: float | None = 0.2) -> CheckFigure:
    return CheckFigure("f", measured, sigma, 1.0, tolerance, "by hand")


def test_verdict_allows_for_statistics_only_with_few_counts():
    assert figure(1.19).verdict() == PASS
    assert figure(1.21).verdict() == FAIL
    assert figure(1.45).verdict(quick=True) == PASS
    assert figure(1.51).verdict(quick=True) == FAIL
    assert figure(9.0, tolerance=None).verdict() == "information"
