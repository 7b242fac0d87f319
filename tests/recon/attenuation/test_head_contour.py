"""The head's contour against the emulator's head, whose µ is known; and what is refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from scipy import ndimage

from emulator.object.brain import brain
from hw.scanner.preset_file import load_scanner
from recon.attenuation.head_contour import ContourError, head_contour_mu
from recon.core.grid import ImageGrid
from recon.core.mu_map import resample
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity_lines import sampled_lines
from recon.projector.operator import Projector


def coarse() -> ReconSystem:
    """The brain scanner with voxels of 3 mm; the skin's error is some tenths of a voxel."""
    scanner = load_scanner("tof_brain")
    image = msgspec.structs.replace(scanner.image, shape=(74, 74, 50), voxel_mm=(3.0, 3.0, 3.0))
    return ReconSystem.of(msgspec.structs.replace(scanner, image=image))


SYSTEM = coarse()
GRID = SYSTEM.grid


@pytest.fixture(scope="module")
def head() -> tuple[np.ndarray, np.ndarray]:
    """Activity and µ of the emulated head on the scanner's grid."""
    phantom = brain(SYSTEM.scanner)
    images = (phantom.activity, phantom.mu_per_mm)
    return tuple(resample(image, phantom.voxel_mm, GRID) for image in images)  # type: ignore[return-value]


def uncorrected(activity: np.ndarray, mu: np.ndarray, *, haze: float) -> np.ndarray:
    """Like an image without corrections: dim in the depth, a haze of scatter, 5 mm FWHM, noise."""
    depth = ndimage.distance_transform_edt(mu > 0.002, sampling=GRID.voxel_mm)
    seen, voxel_mm = activity * np.exp(-0.035 * depth.clip(max=30.0)), GRID.voxel_mm[0]
    image = ndimage.gaussian_filter(seen, 5 / 2.355 / voxel_mm)
    scatter = ndimage.gaussian_filter(image, 50.0 / voxel_mm)
    scatter *= haze * image.max() / scatter.max()
    noise = np.random.default_rng(0).normal(1.0, 0.2, image.shape)
    return ((image + scatter) * noise).clip(0).astype(np.float32)


@pytest.mark.parametrize("haze", [0.02, 0.12])
def test_attenuation_factors_of_a_head(head: tuple[np.ndarray, np.ndarray], haze: float) -> None:
    """Lines through the brain: ∫µ within 5 % in the mean, which is 1 mm of skin each side."""
    activity, mu = head
    made = head_contour_mu(uncorrected(activity, mu, haze=haze), GRID)
    lors = next(sampled_lines(SYSTEM, samples=20_000)).lors
    projector = Projector(GRID)
    deep = ndimage.distance_transform_edt(mu > 0.002, sampling=GRID.voxel_mm) > 14
    through = projector.forward(deep.astype(np.float32), lors) > 20
    error = (projector.forward(made, lors) - projector.forward(mu, lors))[through]
    assert abs(error.mean()) < 0.05 and error.std() < 0.05


def test_layers_from_the_skin_inwards() -> None:
    grid = ImageGrid((84, 84, 76), (2.0, 2.0, 2.0))
    x, y, z = grid.axes_mm()
    ball = np.where(x**2 + y**2 + z**2 < 70.0**2, np.float32(1), np.float32(0))
    made = head_contour_mu(ball, grid)[42:, 42, 38]
    radius = np.arange(len(made)) * 2.0 + 1.0
    skull = radius[made > 0.012]
    # scalp 5 mm, skull 6.5 mm; voxels of 2 mm
    assert 55 <= skull.min() <= 61 and 62 <= skull.max() <= 67
    assert made[0] == pytest.approx(0.0096) and not made[radius > 74].any()


def test_brain_alone_is_given_its_skull() -> None:
    x, y, z = GRID.axes_mm()
    ball = np.where(x**2 + y**2 + z**2 < 60.0**2, np.float32(1), np.float32(0))
    litres = [
        (head_contour_mu(ball, GRID, beyond_mm=beyond) > 0).sum() * 27e-6 for beyond in (0.0, 10.0)
    ]
    assert litres[0] == pytest.approx(4 / 3 * np.pi * 0.60**3, rel=0.06)
    assert litres[1] == pytest.approx(4 / 3 * np.pi * 0.70**3, rel=0.06)


def test_nan_voxels_are_no_head(head: tuple[np.ndarray, np.ndarray]) -> None:
    image = uncorrected(*head, haze=0.02)
    image[:3] = np.nan
    assert np.isfinite(head_contour_mu(image, GRID)).all()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros(GRID.shape, np.float32), "empty"),
        (np.full(GRID.shape, np.nan, np.float32), "empty"),
    ],
)
def test_an_empty_image_is_refused(image: np.ndarray, words: str) -> None:
    with pytest.raises(ContourError, match=words):
        head_contour_mu(image, GRID)


def test_something_too_small_for_a_head_is_refused() -> None:
    grid = ImageGrid((40, 40, 40), (4.0, 4.0, 4.0))
    image = np.zeros(grid.shape, np.float32)
    image[18:22, 18:22, 18:22] = 1
    with pytest.raises(ContourError, match="litres"):
        head_contour_mu(image, grid)
