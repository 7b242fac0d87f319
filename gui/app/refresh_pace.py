"""The console's own speed: how often it really draws, and what a frame costs.

Memory is bounded whatever the length of the session: frame times go into a histogram.
"""

from __future__ import annotations

import time
from collections import deque

import numpy as np

REFRESH_MS = 50  # 20 Hz
_BIN_MS = 0.25
_BINS = 4000  # up to 1 s; slower frames count in the last bin
_LATENCY_BINS = 20_000  # of 1 ms; later images count in the last bin
IMAGE_MS = 10
"""How often the console looks for a new image between frames."""


class ScreenLatency:
    """Latency from an image's last event to its painting, in milliseconds, for each image.

    ``wait_for`` notes that an image was drawn, ``painted`` that the window has been painted.
    """

    def __init__(self) -> None:
        self.images = 0
        self.newest_ms = 0.0
        self._histogram = np.zeros(_LATENCY_BINS, dtype=np.int64)
        self._waiting_ns: int | None = None

    def wait_for(self, event_wall_ns: int) -> None:
        """Note an image and the time of its last event; the next painting shows it."""
        self._waiting_ns = event_wall_ns

    def painted(self, now_ns: int) -> None:
        """Note that everything drawn is now visible."""
        if self._waiting_ns is None:
            return
        self.newest_ms = max(0.0, (now_ns - self._waiting_ns) * 1e-6)
        self._waiting_ns = None
        self.images += 1
        self._histogram[min(_LATENCY_BINS - 1, int(self.newest_ms))] += 1

    def percentile_ms(self, fraction: float) -> float:
        """Return the latency that ``fraction`` of the images did not exceed; 0 before the first."""
        if not self.images:
            return 0.0
        place = np.searchsorted(np.cumsum(self._histogram), fraction * self.images)
        return float(min(int(place), _LATENCY_BINS - 1) + 1)

    def report(self) -> dict[str, float]:
        """Return the number of images painted, and their latencies."""
        return {
            "images_painted": self.images,
            "p50_screen_latency_ms": self.percentile_ms(0.5),
            "p99_screen_latency_ms": self.percentile_ms(0.99),
        }


class FrameMeter:
    """Counts frames; a frame's cost is its update plus its painting, in milliseconds."""

    def __init__(self) -> None:
        self.frames = 0
        self._histogram = np.zeros(_BINS, dtype=np.int64)
        self._recent: deque[float] = deque(maxlen=41)
        self._first_s = 0.0
        self._last_s = 0.0
        self._cpu_start_s = time.process_time()
        self._paint_ms = 0.0

    def painted(self, cost_ms: float) -> None:
        """Add the cost of the painting after the last update."""
        self._paint_ms += cost_ms

    def frame(self, now_s: float, update_ms: float) -> None:
        """Count a frame that begins now, with the painting since the last one."""
        if self.frames == 0:
            self._first_s = now_s
        self.frames += 1
        self._last_s = now_s
        self._recent.append(now_s)
        cost_ms = update_ms + self._paint_ms
        self._paint_ms = 0.0
        self._histogram[min(_BINS - 1, int(cost_ms / _BIN_MS))] += 1

    @property
    def rate_Hz(self) -> float:
        """Frames per second over the last two seconds."""
        if len(self._recent) < 2:
            return 0.0
        return (len(self._recent) - 1) / max(1e-9, self._recent[-1] - self._recent[0])

    def percentile_ms(self, fraction: float) -> float:
        """Return the cost in ms that ``fraction`` of the frames did not exceed."""
        if self.frames == 0:
            return 0.0
        place = np.searchsorted(np.cumsum(self._histogram), fraction * self.frames)
        return float((min(int(place), _BINS - 1) + 1) * _BIN_MS)

    def report(self) -> dict[str, float]:
        """Return frames, mean rate, frame costs and the share of one core over the session."""
        span_s = self._last_s - self._first_s
        busy_s = time.process_time() - self._cpu_start_s
        return {
            "frames": self.frames,
            "mean_Hz": round((self.frames - 1) / span_s, 3) if span_s > 0 else 0.0,
            "p50_frame_ms": self.percentile_ms(0.5),
            "p95_frame_ms": self.percentile_ms(0.95),
            "cpu_fraction": round(busy_s / span_s, 4) if span_s > 0 else 0.0,
        }
