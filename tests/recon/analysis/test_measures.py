"""Quality measures against images whose answer is known by formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from hw.regions import RegionError
from recon.analysis.contrast import Sphere, Warm, background_places, sphere_contrasts
from recon.analysis.picture import AnalysisError, Picture
from recon.analysis.point_width import point_widths
from recon.analysis.profile import axis_profile
from recon.analysis.regions import measure, parse_region
from recon.analysis.uniformity import uniformity

FWHM_PER_SIGMA = 2.354820045


def picture_of(values: np.ndarray, voxel_mm: float = 2.0) -> Picture:
    origin = tuple(-(n - 1) / 2 * voxel_mm for n in values.shape)
    return Picture(values.astype(float), (voxel_mm,) * 3, origin, name="test")


def blob(centre_mm, sigma_mm, *, shape=(41, 45, 39), voxel_mm=2.0) -> Picture:
    """A Gaussian, each voxel its exact integral: a product of differences of error functions."""
    sides = []
    for n, c, s in zip(shape, centre_mm, sigma_mm, strict=True):
        edges = (np.arange(n + 1) - n / 2) * voxel_mm - c
        sides.append(np.diff(erf(edges / s / np.sqrt(2))) / 2)
    return picture_of(np.einsum("i,j,k->ijk", *sides), voxel_mm)


@settings(max_examples=25)
@given(
    x=st.floats(-3, 3), y=st.floats(-3, 3), z=st.floats(-3, 3),
    fwhm=st.tuples(*[st.floats(5.0, 9.0)] * 3),
)  # fmt: skip
def test_a_gaussian_has_the_width_it_was_made_with(x, y, z, fwhm):
    sigma = [width / FWHM_PER_SIGMA for width in fwhm]
    found = point_widths(blob((x, y, z), sigma, shape=(55, 57, 53), voxel_mm=1.5))
    # Voxels of width v add v²/12 to the variance. Straight lines between samples of a curve add up
    # to v²/(8 FWHM) times its bend: 2.5 % of the FWHM, and 5 % of the tail's width.
    expected = np.sqrt(np.square(fwhm) + FWHM_PER_SIGMA**2 * 1.5**2 / 12)
    assert np.asarray(found.fwhm_mm) == pytest.approx(expected, rel=0.025)
    # FWTM of a Gaussian is √(ln 10 / ln 2) FWHM
    assert np.asarray(found.fwtm_mm) == pytest.approx(1.8226 * expected, rel=0.05)
    assert np.asarray(found.place_mm) == pytest.approx((x, y, z), abs=0.15)


def test_of_two_points_the_one_asked_for_is_measured():
    both = blob((-20, 0, 0), (3, 3, 3)).values + 9 * blob((20, 0, 0), (4, 4, 4)).values
    assert point_widths(picture_of(both)).place_mm[0] == pytest.approx(20, abs=0.2)
    near = point_widths(picture_of(both), near_mm=(-18, 0, 0))
    assert near.place_mm[0] == pytest.approx(-20, abs=0.2)
    assert near.fwhm_mm[0] == pytest.approx(FWHM_PER_SIGMA * np.hypot(3, 2 / 12**0.5), rel=0.03)


@pytest.mark.parametrize("values", [np.zeros((9, 9, 9)), np.ones((9, 9, 9))])
def test_without_a_point_source_there_is_no_width(values):
    with pytest.raises(AnalysisError):
        point_widths(picture_of(values))


@settings(max_examples=25)
@given(
    centre=st.tuples(*[st.floats(-6, 6)] * 3),
    kind=st.sampled_from(["sphere", "ellipsoid", "cylinder", "box"]),
    size=st.floats(8, 24),
)
def test_a_region_has_its_volume_wherever_it_lies(centre, kind, size):
    numbers = {"sphere": 1, "ellipsoid": 3, "cylinder": 2, "box": 3}[kind]
    share = {"sphere": np.pi / 6, "ellipsoid": np.pi / 6, "cylinder": np.pi / 4, "box": 1.0}[kind]
    volume = share * size**3 / 1000
    where = ",".join(map(str, centre))
    region = parse_region(f"r:{kind}:{where}:{','.join([str(size)] * numbers)}")
    found = measure(region, picture_of(np.full((25, 25, 25), 7.0)))
    # 4³ points a voxel of 2 mm: each side may be 0.5 mm too long or too short
    assert found.volume_mL == pytest.approx(volume, rel=3 * 0.5 / size)
    assert found.mean == pytest.approx(7.0)
    assert found.sd == pytest.approx(0.0, abs=1e-9)


def test_the_mean_of_a_ramp_is_its_value_at_the_centre():
    x = np.arange(31)[:, None, None] * np.ones((31, 31, 31))
    found = measure(parse_region("r:sphere:5,0.3,-1.2:14"), picture_of(x))
    assert found.mean == pytest.approx(15 + 5.0 / 2, abs=0.02)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hot:sphere:1,2,3", "NAME:KIND"),
        ("hot:ball:1,2,3:4", "not one of sphere"),
        ("hot:sphere:1,2,3:-4", "above 0"),
        ("hot:box:1,2,3:4", "3 numbers"),
        ("hot:sphere:1,2:4", "NAME:KIND"),
        ("hot:sphere:nan,2,3:4", "centre"),
    ],
)
def test_a_region_that_is_none_is_refused_with_the_reason(text, words):
    with pytest.raises((AnalysisError, RegionError), match=words):
        parse_region(text)


def test_a_region_that_reaches_out_of_the_image_is_refused():
    with pytest.raises(RegionError, match="extends beyond the image along z"):
        measure(parse_region("r:sphere:0,0,20:14"), picture_of(np.ones((25, 25, 25))))


def phantom_picture(hot: float, *, noise: float = 0.0) -> Picture:
    values = np.ones((101, 101, 61))
    x, y, z = np.ix_(*((np.arange(n) - (n - 1) / 2) * 2.0 for n in values.shape))
    for sphere in SPHERES:
        a, b, c = sphere.centre_mm
        inside = (x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 <= (sphere.diameter_mm / 2 + 1.5) ** 2
        values[inside] = 1 + hot * (sphere.ratio - 1)
    values += noise * np.random.default_rng(3).normal(size=values.shape)
    return picture_of(values)


WARM = Warm((0.0, 0.0, 0.0), 200.0, 120.0)
SPHERES = [Sphere((50.0, 0.0, 0.0), 20.0, 8.0), Sphere((-50.0, 0.0, 0.0), 30.0, 0.0)]


@pytest.mark.parametrize("recovered", [1.0, 0.6])
def test_contrast_is_recovered_as_far_as_it_is_there(recovered):
    found = sphere_contrasts(phantom_picture(recovered), SPHERES, WARM)
    assert [one.recovery for one in found] == pytest.approx([recovered] * 2, rel=0.01)
    assert [one.variability for one in found] == pytest.approx([0, 0], abs=1e-12)


def test_variability_is_that_of_the_mean_over_a_disc():
    noise = 0.5
    found = sphere_contrasts(phantom_picture(1.0, noise=noise), SPHERES, WARM)
    for one, sphere in zip(found, SPHERES, strict=True):
        voxels = np.pi / 4 * sphere.diameter_mm**2 / 4.0
        expected = noise / np.sqrt(voxels)
        # the standard deviation of n samples is known to 1/√(2n)
        assert one.variability == pytest.approx(expected, rel=4 / np.sqrt(2 * one.discs) + 0.05)


def test_background_places_keep_clear_of_spheres_and_wall():
    for x, y, z in background_places(SPHERES, WARM, disc_mm=20.0, z_mm=0.0):
        assert np.hypot(x, y) + 10 <= 100 - 15 + 1e-9
        for sphere in SPHERES:
            apart = np.hypot(x - sphere.centre_mm[0], y - sphere.centre_mm[1])
            assert apart > sphere.diameter_mm / 2 + 10 or abs(z) > sphere.diameter_mm / 2


def test_an_uneven_cylinder_is_measured():
    x, y, z = np.ix_(*((np.arange(n) - (n - 1) / 2) * 2.0 for n in (101, 101, 61)))
    cupped = 1.0 + 0.1 * (x**2 + y**2) / 80.0**2 + 0.001 * z
    found = uniformity(picture_of(cupped), WARM)
    assert found.mean == pytest.approx(1.05, rel=0.005)
    assert found.rings[-1] - found.rings[0] == pytest.approx(0.1 * (75**2 - 5**2) / 80**2 / 1.05,
                                                             rel=0.03)  # fmt: skip
    assert found.worst_slice == pytest.approx(0.05 / 1.05, rel=0.03)


def test_an_empty_cylinder_has_no_evenness():
    with pytest.raises(AnalysisError, match="empty"):
        uniformity(picture_of(np.zeros((101, 101, 61))), WARM)


def test_a_profile_runs_through_its_place():
    x, y, z = np.ix_(*(np.arange(n, dtype=float) for n in (11, 12, 13)))
    image = picture_of(x + 100 * y + 10_000 * z)
    place = image.place_mm((4.0, 5.5, 6.25))
    found = axis_profile(image, "x", place)
    assert found.value == pytest.approx(np.arange(11) + 550 + 62_500)
    wide = axis_profile(image, "x", place, width_mm=6.0)
    assert wide.value == pytest.approx(found.value)


def test_a_profile_beside_the_image_is_refused():
    with pytest.raises(AnalysisError, match="passes beside"):
        axis_profile(picture_of(np.ones((5, 5, 5))), "z", (50.0, 0.0, 0.0))


def test_an_image_with_values_that_are_none_is_refused():
    values = np.ones((4, 4, 4))
    values[1, 2, 3] = np.nan
    with pytest.raises(AnalysisError, match="1 voxels are not finite"):
        picture_of(values)
