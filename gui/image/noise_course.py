"""When the live image will reach a requested noise, from its own course so far; no Qt."""

from __future__ import annotations

import math

import numpy as np

from hw.messages.pictures import ImageMessage

KEPT, LEAST = 400, 12
"""Images remembered; every second one is let go where there are more. Fewer than ``LEAST`` tell
nothing."""

STEEPEST, FLATTEST = -0.5, -0.15
"""The noise falls as counts^-0.5 without a filter, more slowly with one that shrinks."""

LONGEST_S = 7200.0


class NoiseCourse:
    """Noise against prompts of one run's images over all events since the start."""

    def __init__(self) -> None:
        self._begin("")

    def _begin(self, run: str) -> None:
        self._run = run
        self._every = 1
        self._seen = 0
        self._points: list[tuple[float, float]] = []
        self._rate_cps = 0.0

    def follow(self, image: ImageMessage) -> None:
        """Take a new image."""
        if image.run != self._run:
            self._begin(image.run)
        prompts = image.prompts_in_window or image.prompts_used
        if image.window != "grow" or image.final or image.noise <= 0 or prompts <= 0:
            return
        self._rate_cps = prompts / max(image.detector_time_s, 1e-3)
        self._seen += 1
        if self._seen % self._every == 0:
            self._points.append((float(prompts), image.noise))
        if len(self._points) > KEPT:
            self._points, self._every = self._points[::2], 2 * self._every

    def seconds_to(self, wanted: float) -> float | None:
        """Return how long until the noise (a share, 0..1) is that, in s; 0 if it is; None if it
        cannot be told, or is beyond ``LONGEST_S``.

        A straight line through the logarithms of the later half of the points, and the mean rate of
        prompts so far: a tracer that decays or leaves makes it longer.
        """
        if len(self._points) < LEAST or self._rate_cps <= 0:
            return None
        later = np.log(np.array(self._points[len(self._points) // 2 :]))
        slope, _ = np.polyfit(later[:, 0], later[:, 1], 1)
        slope = min(FLATTEST, max(STEEPEST, float(slope)))
        now, means = float(later[-1, 0]), later.mean(axis=0)
        noise = float(means[1] + slope * (now - means[0]))
        if noise <= math.log(wanted):
            return 0.0
        prompts = math.exp(min(50.0, now + (math.log(wanted) - noise) / slope))
        seconds = (prompts - math.exp(now)) / self._rate_cps
        return seconds if seconds <= LONGEST_S else None
