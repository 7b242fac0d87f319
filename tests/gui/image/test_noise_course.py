"""When a wanted noise is reached, foretold from a course whose future is known."""

from __future__ import annotations

import numpy as np
import pytest

from gui.image.noise_course import KEPT, NoiseCourse
from hw.messages.pictures import ImageMessage

RATE_CPS = 5000.0


def image(time_s: float, noise: float, **more: object) -> ImageMessage:
    values: dict[str, object] = {
        "run": "a", "sequence": 1, "shape": (1, 1, 1), "voxel_mm": (1.0, 1.0, 1.0), "image": b"",
        "unit": "", "detector_time_s": time_s, "event_wall_ns": 0, "published_wall_ns": 0,
        "prompts_used": int(RATE_CPS * time_s), "delayeds_used": 0, "fraction_used": 1.0,
        "corrections": {}, "noise": noise,
    }  # fmt: skip
    return ImageMessage(**(values | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("power", [-0.5, -0.25])
def test_a_power_law_is_foretold_within_a_tenth(power: float) -> None:
    """Noise of 3 % on the noise told, as of estimates from parts."""
    course, rng = NoiseCourse(), np.random.default_rng(2)
    for time_s in np.arange(1.0, 61.0, 0.25):
        course.follow(image(time_s, 0.6 * time_s**power * rng.normal(1, 0.03)))
    wanted = 0.6 * 120.0**power
    found = course.seconds_to(wanted)
    assert found is not None
    assert found + 59.75 == pytest.approx(120.0, rel=0.12)
    assert course.seconds_to(0.9) == 0


def test_nothing_is_told_of_few_images_far_futures_and_other_windows() -> None:
    course = NoiseCourse()
    for time_s in range(1, 8):
        course.follow(image(time_s, 0.5))
    assert course.seconds_to(0.2) is None
    for time_s in range(8, 60):
        course.follow(image(time_s, 0.5 * time_s**-0.2))
    assert course.seconds_to(0.02) is None
    course.follow(image(60.0, 0.01, run="b"))
    for time_s in range(1, 40):
        course.follow(image(time_s, 0.4, run="b", window="slide:10s"))
    assert course.seconds_to(0.2) is None


def test_an_hour_of_images_is_kept_thinly() -> None:
    course = NoiseCourse()
    for k in range(1, 36_000):
        course.follow(image(0.1 * k, (0.1 * k) ** -0.3))
    assert len(course._points) <= KEPT + 1
    found = course.seconds_to(4000.0**-0.3)
    assert found == pytest.approx(400.0, rel=0.1)
