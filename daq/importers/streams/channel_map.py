"""Channels of other people's electronics → modules, crystals, keV and common time.

A CSV with a head of column names: ``channel``, ``module``, ``crystal`` and, where wanted, ``gain``
(keV per unit of the file's energy, 1) and ``offset_ps`` (added to its times, 0).
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daq.errors import ImportDataError
from daq.importers.streams.foreign_list import Events
from hw.arrays import F8, I8
from hw.bounded_files import FileRefused, read_bytes
from hw.scanner.description import Scanner

NEEDED = ("channel", "module", "crystal")
MOST_CHANNEL = 1 << 24
MOST_BYTES = 64 << 20
TOP_DKEV = 16383


@dataclass(frozen=True)
class Mapped:
    """Events of known channels. ticks, module, crystal i8, energy_dkeV i8; unknown: the others."""

    ticks: I8
    module: I8
    crystal: I8
    energy_dkeV: I8
    unknown: int


@dataclass(frozen=True)
class ChannelMap:
    """By channel: module (−1 for none), crystal, keV per unit, ps to add."""

    module: I8
    crystal: I8
    gain: F8
    offset_ps: I8

    @classmethod
    def read(cls, path: Path, scanner: Scanner) -> ChannelMap:
        """Return the map in a file; raises ImportDataError naming line, value and bound."""
        try:
            text = read_bytes(path, most_bytes=MOST_BYTES).decode("utf-8")
        except (FileRefused, UnicodeDecodeError) as error:
            raise ImportDataError(f"--map {path} cannot be read: {error}") from error
        rows = csv.DictReader(text.splitlines())
        lacks = [name for name in NEEDED if name not in (rows.fieldnames or ())]
        if lacks:
            raise ImportDataError(f"--map {path}: its head has no column {', '.join(lacks)}")
        parsed = [_row(path, number, row, scanner) for number, row in enumerate(rows, 2)]
        channels = [row[0] for row in parsed]
        if len(set(channels)) < len(channels) or not channels:
            raise ImportDataError(f"--map {path}: {len(channels)} rows of {len(set(channels))} "
                                  "channels; each channel has one row")  # fmt: skip
        made = cls.none(max(channels) + 1)
        for channel, module, crystal, gain, offset in parsed:
            made.module[channel], made.crystal[channel] = module, crystal
            made.gain[channel], made.offset_ps[channel] = gain, offset
        return made

    @classmethod
    def none(cls, channels: int) -> ChannelMap:
        """Return a map of no channel."""
        return cls(np.full(channels, -1), np.zeros(channels, np.int64), np.ones(channels),
                   np.zeros(channels, np.int64))  # fmt: skip

    @classmethod
    def plain(cls, scanner: Scanner) -> ChannelMap:
        """Return the map where a channel is module · crystals per module + crystal, in keV."""
        made = cls.none(scanner.n_crystals)
        module, crystal = np.divmod(np.arange(scanner.n_crystals), scanner.crystals_per_module)
        return cls(module, crystal, made.gain, made.offset_ps)

    def of(self, events: Events) -> Mapped:
        """Return where events were, in ticks and 0.1 keV."""
        channel = events["channel"]
        known = (channel >= 0) & (channel < len(self.module))
        known[known] = self.module[channel[known]] >= 0
        mine, channel = events[known], channel[known]
        time_ps = mine["time_ps"] + self.offset_ps[channel]
        energy = np.rint(10.0 * np.clip(mine["energy"], 0, 1e9) * self.gain[channel])
        return Mapped(
            (time_ps // 625) * 32 + (time_ps % 625) * 32 // 625,
            self.module[channel],
            self.crystal[channel],
            np.minimum(energy, TOP_DKEV).astype(np.int64),
            int((~known).sum()),
        )


def _row(
    path: Path, number: int, row: dict[str, str], scanner: Scanner
) -> tuple[int, int, int, float, int]:
    bounds = {
        "channel": MOST_CHANNEL,
        "module": scanner.n_modules,
        "crystal": scanner.crystals_per_module,
    }
    try:
        values = {name: int(row[name]) for name in NEEDED}
        gain, offset = float(row.get("gain") or 1.0), int(row.get("offset_ps") or 0)
    except (ValueError, TypeError) as error:
        raise ImportDataError(f"--map {path}, line {number}: {error}") from error
    for name, most in bounds.items():
        if not 0 <= values[name] < most:
            raise ImportDataError(
                f"--map {path}, line {number}: {name} {values[name]} is not within 0 to {most - 1}"
            )
    if not (0 < gain < 1e6 and math.isfinite(gain)) or abs(offset) > 10**12:
        raise ImportDataError(f"--map {path}, line {number}: gain {gain:g} or offset_ps {offset} "
                              "is out of bounds (above 0; within a second)")  # fmt: skip
    return values["channel"], values["module"], values["crystal"], gain, offset
