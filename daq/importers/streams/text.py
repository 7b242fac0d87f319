"""Rows of time_ps,channel,energy as any electronics can be made to write them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from daq.importers.streams.foreign_list import Events, ForeignList, made

LONGEST_LINE = 4096


class Rows(ForeignList):
    """CSV of integers, integers, numbers; lines that are none are counted, but for a first one."""

    def pieces(self) -> Iterator[Events]:
        """Yield the rows."""
        rest, self._is_first = b"", True
        for data in self._bytes():
            lines = (rest + data).split(b"\n")
            rest = lines.pop()[:LONGEST_LINE]
            yield self._events(lines)
        yield self._events([rest])

    def _events(self, lines: list[bytes]) -> Events:
        time_ps, channel, energy = [], [], []
        for line in lines:
            is_head, self._is_first = self._is_first, False
            fields = line.split(b",")
            try:
                one = int(fields[0]), int(fields[1]), float(fields[2])
                if not (abs(one[0]) < 1 << 62 and abs(one[1]) < 1 << 31):
                    raise ValueError
            except (ValueError, IndexError):
                self.count("lines that are no rows", int(bool(line.strip()) and not is_head))
                continue
            time_ps.append(one[0])
            channel.append(one[1])
            energy.append(one[2])
        return made(np.array(time_ps, np.int64), np.array(channel, np.int64), energy)
