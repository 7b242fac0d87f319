"""How well the line works: round trips, repeats, damage, reconnects, clock.

Counters count since the session began and never decrease; round trips are those of the last 512
commands, beats included. The poller's and the callers' threads write them under the session's lock;
``link_state`` is a copy for messages.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from daq.link.serial.clock_fit import ClockFit
from hw.messages.modules import LinkState

WINDOW = 512


@dataclass
class LinkStatistics:
    """Counters of one line.

    retransmits : commands sent again; timeouts : commands given up; late_replies : answers that
        came after the wait for them ended; silent_beats : beats without an answer
    """

    url: str = ""
    connected: bool = False
    baud: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    commands: int = 0
    retransmits: int = 0
    timeouts: int = 0
    late_replies: int = 0
    silent_beats: int = 0
    refusals: int = 0
    invalid_packets: int = 0
    invalid_bytes: int = 0
    reconnects: int = 0
    resets: int = 0
    foreign_messages: int = 0
    notices_missed: int = 0
    frames: int = 0
    lost_frames: int = 0
    invalid_frames: int = 0
    round_trips_s: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    clock: ClockFit = field(default_factory=ClockFit)

    def round_trip_ms(self) -> tuple[float, float]:
        """Return p50 and p99 of the last commands; (0, 0) before the first."""
        times = np.array(self.round_trips_s.copy())
        if not len(times):
            return 0.0, 0.0
        p50, p99 = np.quantile(times, (0.5, 0.99))
        return float(p50) * 1e3, float(p99) * 1e3

    def link_state(self) -> LinkState:
        """Return the state for the daq and the console."""
        clock = self.clock.state()
        return LinkState(
            url=self.url,
            connected=self.connected,
            baud=self.baud,
            round_trip_ms=self.round_trip_ms(),
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            retransmits=self.retransmits,
            timeouts=self.timeouts,
            invalid_packets=self.invalid_packets,
            reconnects=self.reconnects,
            frames=self.frames,
            lost_frames=self.lost_frames,
            offset_ms=None if clock is None else clock.offset_s * 1e3,
            drift_ppm=None if clock is None else clock.drift * 1e6,
            drift_sigma_ppm=None if clock is None else clock.drift_sigma * 1e6,
        )
