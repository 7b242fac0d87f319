"""What the firmware must make of hits and marks, slow and obvious: word by word.

Written from hw/wire/control.toml and docs/protocol.md, not from the C code: times are integers that
never wrap, dead times are kept in a dictionary by channel, frames are sealed by ``hw.wire.frames``.
The report's fields are those of the struct ``report``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hw.wire.control import MARK_LAST, MARK_SYNCED
from hw.wire.frames import new_header, seal_frame
from hw.wire.protocol import (
    ENERGY_SATURATED,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_OVERFLOW,
    FLAG_SYNC_LOST,
    TIME_MASK,
    WORD_FIELDS,
    WORD_KINDS,
)

PERIOD_TICKS = 1 << 28
UNIT_TICKS = 256
NUMBERS = TIME_MASK + 1
BELIEVED_LEAP = 64
CONFIRMED_LEAP = 1 << 24
CHANNEL_OFF = 0x8000
SATURATED = 2
SINGLE, SYNC, GATE, ANGLE = (WORD_KINDS[kind] for kind in ("single", "sync", "gate", "angle"))
HOST, PERIODS, DETECTOR = 1, 2, 3


@dataclass
class Settings:
    """The registers that affect events, by name, and the channels' gains as written."""

    module: int = 0
    energy_threshold: int = 500
    dead_time_ticks: int = 8960
    dead_time_scope: int = 0
    paralysable: int = 0
    queue_words: int = 65536
    channels: int = 4096
    sync_lock_count: int = 8
    sync_loss_count: int = 2
    gains: Mapping[int, int] = field(default_factory=dict)

    def registers(self) -> dict[str, int]:
        """Return the registers by name."""
        return {name: value for name, value in vars(self).items() if name != "gains"}


@dataclass
class ReferenceRun:
    """One run of one module. ``frames`` and ``report()`` are the expected output."""

    settings: Settings
    run_tag: int = 7
    periods: int = 0
    first_sequence: int = 0
    weather: Mapping[str, int] = field(default_factory=dict)
    locked: bool = False
    pulses: int = 0

    def __post_init__(self) -> None:
        self.frames: list[bytes] = []
        self.ended = 0
        self.counts = dict.fromkeys(("hits", "below", "dead", "lost", "masked", "invalid"), 0)
        self.sync_lost = self.marks_missed = self.made = self.words_before = 0
        self.first_period = self.last_period = 0
        self.stopping = False
        self.faults = 0
        self._words: list[int] = []
        self._dead = self._lost = 0
        self._ends: dict[int, int] = {}
        self._dead_ticks = 0
        self._origin = 0
        self._marks: list[int] = []
        self._expected = self._shift = 0
        self._without = 0

    def take(self, words: Iterable[int], *, lost: int = 0) -> None:
        """Process words in order; ``lost`` hits were lost before the next mark."""
        self._lost += lost
        self.counts["lost"] += lost
        self.counts["hits"] += lost
        for word in map(int, words):
            if self.ended:
                return
            fields = {f.name: (word >> f.shift) & f.mask for f in WORD_FIELDS.values()}
            if fields["kind"] == SYNC:
                self._mark(fields["time"], fields["flags"])
            elif fields["kind"] in (GATE, ANGLE):
                self._pass(word)
            else:
                self.counts["hits"] += 1
                name = self._hit(word, fields)
                if name:
                    self.counts[name] += 1

    def report(self) -> dict[str, int]:
        """Return the books as the module reports them."""
        return {
            "run_tag": self.run_tag,
            "frames": self.made,
            "words": self.words_before + len(self._words),
            **self.counts,
            "frames_dropped": 0,
            "marks_missed": self.marks_missed,
            "first_period": self.first_period,
            "last_period": self.last_period,
            "sync_lost": self.sync_lost,
            "ended": self.ended,
        }

    # --- words -----------------------------------------------------------------------------

    def _pass(self, word: int) -> None:
        if len(self._words) < self.settings.queue_words:
            self._words.append(word)
            return
        self._lost += 1
        self.counts["hits"] += 1
        self.counts["lost"] += 1

    def _hit(self, word: int, fields: dict[str, int]) -> str:
        """Process a hit; return the counter it ends in, "" if it becomes a word."""
        settings, channel = self.settings, fields["crystal"]
        if fields["kind"] != SINGLE or channel >= settings.channels:
            return "invalid"
        gain = settings.gains.get(channel, 1 << 14)
        if gain & CHANNEL_OFF:
            return "masked"
        energy = min(fields["energy"] * gain >> 14, ENERGY_SATURATED)
        if energy < settings.energy_threshold:
            return "below"
        if self._is_dead(channel, self._origin + fields["time"]):
            self._dead += 1
            return "dead"
        if len(self._words) >= settings.queue_words:
            self._lost += 1
            return "lost"
        if energy == ENERGY_SATURATED:
            fields["flags"] |= SATURATED
        fields["energy"] = energy
        self._words.append(sum(fields[f.name] << f.shift for f in WORD_FIELDS.values()))
        return ""

    def _is_dead(self, channel: int, time: int) -> bool:
        dead = self.settings.dead_time_ticks
        which = channel if self.settings.dead_time_scope else 0
        end = self._ends.get(which, 0)
        if not 0 < end - time <= 2 * dead:
            self._dead_ticks += dead
            self._ends[which] = time + dead
            return False
        if self.settings.paralysable and time + dead > end:
            self._dead_ticks += time + dead - end
            self._ends[which] = time + dead
        return True

    # --- periods ---------------------------------------------------------------------------

    def _mark(self, number: int, flags: int) -> None:
        last = bool(flags & MARK_LAST)
        if self._marks and self._marks[-1] == number:
            self.marks_missed += 1
            if last:
                self._close(self._expected, DETECTOR)
            return
        absent = self._absent(number)
        period = self._expected + absent
        self._expected = period + 1
        self._marks.append(number)
        self._follow_sync(absent, bool(flags & MARK_SYNCED))
        why = DETECTOR if last else HOST if self.stopping else 0
        if not why and self.periods and self.made + 1 == self.periods:
            why = PERIODS
        self._close(period, why)

    def _absent(self, number: int) -> int:
        """Return how many marks are missing before this one, and count them."""
        if not self._marks:
            self._expected = number
            return 0
        ahead = (number - self._expected) % NUMBERS
        confirmed = number == (self._marks[-1] + 1) % NUMBERS and ahead <= CONFIRMED_LEAP
        by_own_count = (number + self._shift - self._expected) % NUMBERS
        if ahead <= BELIEVED_LEAP or confirmed:
            self._shift = 0
        elif self._shift and by_own_count <= BELIEVED_LEAP:
            ahead = by_own_count
        else:
            self._shift = (self._expected - number) % NUMBERS
            self.marks_missed += 1
            return 0
        self.marks_missed += ahead
        return ahead

    def _follow_sync(self, absent: int, synced: bool) -> None:
        for pulse in [False] * absent + [synced]:
            self.pulses = self.pulses + 1 if pulse else 0
            self._without = 0 if pulse else self._without + 1
            if self._without == self.settings.sync_loss_count:
                self.locked = False
                self.faults += 1
            if self.pulses >= self.settings.sync_lock_count:
                self.locked = True

    def _close(self, period: int, why: int) -> None:
        channels = self.settings.channels if self.settings.dead_time_scope else 1
        units = self._dead_ticks // (UNIT_TICKS * channels)
        self._dead_ticks -= units * UNIT_TICKS * channels
        flags = FLAG_FIRST * (self.made == 0) | FLAG_LAST * bool(why)
        flags |= FLAG_SYNC_LOST * (not self.locked) | FLAG_OVERFLOW * bool(self._lost)
        fields: dict[str, Any] = {
            "flags": flags,
            "run_tag": self.run_tag,
            "events_before": self.words_before,
            "lost_events": self._lost,
            "dead_events": self._dead,
            "dead_time": units,
            **self.weather,
        }
        sequence = (self.first_sequence + self.made) & 0xFFFFFFFF
        header = new_header(self.settings.module, sequence, period & 0xFFFFFFFF, **fields)
        self.frames.append(seal_frame(header, np.array(self._words, np.uint64)))
        if self.made == 0:
            self.first_period = period & 0xFFFFFFFF
        self.last_period = period & 0xFFFFFFFF
        self.made += 1
        self.sync_lost += not self.locked
        self.words_before += len(self._words)
        self._words, self._lost, self._dead = [], 0, 0
        self._origin += PERIOD_TICKS
        self.ended = why
