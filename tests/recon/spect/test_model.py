"""The camera's model: µ, collimators, crystals, peaks, tables; against published figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hw.messages.sort_settings import EnergyWindow
from hw.physics.energy_windows import spect_windows
from hw.scanner.preset_file import load_scanner
from recon.spect.collimator import collimator_response
from recon.spect.crystal import counted_share
from recon.spect.matter import mu_per_mm, scale_mu
from recon.spect.peaks import SpectError, peaks_of
from recon.spect.response import shares
from rigs.spect_camera import peak_of, small_head


def test_water_and_bone_scale_from_511_keV_as_nist_has_them() -> None:
    """NIST XCOM without coherent scatter: water 0.01508/mm at 140.5 keV, 0.0134 at 208 keV."""
    mu = np.array([0.0, 0.00958, 0.0171], np.float32)
    at_140, at_208 = scale_mu(mu, 140.5), scale_mu(mu, 208.4)
    assert at_140[0] == 0.0
    assert at_140[1] == pytest.approx(0.01508, rel=0.01)
    assert at_208[1] == pytest.approx(0.01335, rel=0.01)
    assert at_140[2] == pytest.approx(0.0282, rel=0.02)  # cortical bone, 1.92 g/cm³


def test_the_k_edge_of_lead_is_an_edge() -> None:
    assert mu_per_mm("Pb", 88.1).photo > 4 * mu_per_mm("Pb", 87.9).photo


@pytest.mark.parametrize(
    ("preset", "energy_keV", "per_photon"),
    [("gamma_head_lehr", 140.511, 1.054e-4), ("gamma_head_melp", 112.95, 1.797e-4)],
)
def test_sensitivity_is_that_of_gate(preset: str, energy_keV: float, per_photon: float) -> None:
    """GATE 10 of the same head, counts per photon (docs/validation.md); cross-sections 1 to 2 %."""
    scanner = load_scanner(preset)
    share = counted_share(scanner, energy_keV, 0.9 * energy_keV, 1.1 * energy_keV)
    passed = collimator_response(scanner, energy_keV).efficiency
    assert share * passed == pytest.approx(per_photon, rel=0.03)


def test_blur_grows_with_distance_and_is_near_angers() -> None:
    """Anger's FWHM is of holes' diameters; a hexagon's Gaussian is up to 12 % narrower."""
    response = collimator_response(load_scanner("gamma_head_lehr"), 140.511)
    for b in (50.0, 100.0, 200.0):
        anger = math.hypot(1.11 * (response.length_mm + b + 4.0) / response.length_mm, 3.6)
        assert 0.86 < float(response.fwhm_mm(b)) / anger < 1.02
    assert np.all(np.diff(response.sigma_mm(np.arange(0.0, 300.0, 20.0))) > 0)


def test_registered_square_holes_see_a_trapezium() -> None:
    """Its variance is that of its two boxes, from places hit through one hole by Monte Carlo."""
    response = collimator_response(load_scanner("czt_cardiac"), 140.511)
    rng, b = np.random.default_rng(1), 100.0
    a, length = response.hole_mm, response.length_mm
    back, front = rng.uniform(-a / 2, a / 2, (2, 200_000))
    source = front + (front - back) * b / length
    assert float(response.sigma_mm(b)) == pytest.approx(float(np.std(source)), rel=0.01)


def test_shares_of_all_pixels_sum_to_one_and_have_the_blurs_variance() -> None:
    scanner = small_head()
    response = peak_of(scanner).response
    places = np.arange(-200.0, 200.0, 4.0)
    for camera in (response, None, collimator_response(load_scanner("czt_cardiac"), 140.511)):
        got = shares(places - 1.3, 120.0, camera, 4.0, 4.0)
        sigma = 0.0 if camera is None else float(camera.sigma_mm(120.0))
        pixel = 0.0 if camera is not None and camera.hole_mm else 4.0**2 / 12
        mean = float((got * places).sum())
        variance = float((got * (places - mean) ** 2).sum())
        assert float(got.sum()) == pytest.approx(1.0, abs=2e-3)  # tables end at 3.5 σ
        assert mean == pytest.approx(1.3, abs=0.02)
        assert variance == pytest.approx(sigma**2 + pixel + 4.0**2 / 12, rel=0.02, abs=1.5)


def test_peaks_know_their_windows_yields_and_spill() -> None:
    scanner = small_head(preset="gamma_head_melp")
    low, high = peaks_of(scanner, spect_windows("Lu-177"))
    assert (low.per_decay, high.per_decay) == pytest.approx((0.0623, 0.110), rel=0.1)
    assert [w.below for w in low.scatter] == [True, False]
    assert all(0.0 < w.spill < 0.05 for w in high.scatter)
    assert low.response.intrinsic_sigma_mm == high.response.intrinsic_sigma_mm


def test_what_cannot_be_a_peak_is_refused_in_words() -> None:
    scanner = small_head()
    with pytest.raises(SpectError, match="no photopeak 'X'"):
        peaks_of(scanner, spect_windows("Tc-99m"), names=["X"])
    with pytest.raises(SpectError, match="no photopeak window"):
        peaks_of(scanner, [EnergyWindow(name="s", lld_keV=100, uld_keV=110, kind="scatter")])
    with pytest.raises(SpectError, match="two images"):
        peaks_of(scanner, [*spect_windows("Tc-99m"), *spect_windows("Lu-177")])
    with pytest.raises(SpectError, match="PET"):
        peaks_of(load_scanner("bench2"), spect_windows("Tc-99m"))
