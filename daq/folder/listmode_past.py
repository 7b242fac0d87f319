"""The first events of a list-mode log that is still being written, the newest of them first.

For an imager that joined a run late. Only headers are read to find the parts, then one part at a
time: memory is bounded by the size of a part, and by an entry for each of them. What the log held
before its writer told of it is complete, so that the growing end is never looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from daq.errors import LogError
from daq.folder.blocks import BlockPlace, BlockReader
from daq.folder.listmode_log import FORMAT, RECORDS, records_of
from hw.arrays import Records
from hw.wire.block_layout import BlockKind


class PastPart(NamedTuple):
    """Some prompts in the order of the log, and the delayeds between them."""

    prompts: Records
    delayeds: Records


class _Span(NamedTuple):
    """Neighbouring blocks, and how many records of each kind lie before them."""

    first: BlockPlace
    blocks: int
    prompts_before: int
    delayeds_before: int


class ListmodePast:
    """The first ``prompts`` and ``delayeds`` of a run's list-mode log.

    Raises
    ------
    LogError
        if it cannot be read, or is another run's.
    """

    def __init__(self, path: Path, *, run: str, prompts: int, delayeds: int) -> None:
        self._blocks = BlockReader(path)
        self._limits = {BlockKind.PROMPTS: prompts, BlockKind.DELAYEDS: delayeds}
        head = self._blocks.head
        if head.get("format") != FORMAT or head.get("run") != run:
            raise LogError(f"{path} is not the list-mode log of the run {run}")

    def parts(self, at_least: int) -> Iterator[PastPart]:
        """Yield parts of at least so many prompts but for the oldest, the newest part first.

        Raises
        ------
        LogError
            if the log holds fewer events, or is damaged.
        """
        for span in reversed(self._spans(at_least)):
            yield self._part(span)

    def _spans(self, at_least: int) -> list[_Span]:
        """Return all blocks up to the limits; the first spans are filled first."""
        spans: list[_Span] = []
        seen = dict.fromkeys(self._limits, 0)
        for place in self._blocks.places():
            if all(seen[kind] >= limit for kind, limit in self._limits.items()):
                return spans
            prompts, delayeds = seen[BlockKind.PROMPTS], seen[BlockKind.DELAYEDS]
            if not spans or prompts - spans[-1].prompts_before >= at_least:
                spans.append(_Span(place, 0, prompts, delayeds))
            spans[-1] = spans[-1]._replace(blocks=spans[-1].blocks + 1)
            if place.kind in seen:
                seen[place.kind] += place.items
        for kind, limit in self._limits.items():
            if seen[kind] < limit:
                raise LogError(
                    f"{self._blocks.path} holds {seen[kind]} of the {limit} {kind.name.lower()}"
                )
        return spans

    def _part(self, span: _Span) -> PastPart:
        found: dict[BlockKind, list[Records]] = {kind: [] for kind in self._limits}
        before = {
            BlockKind.PROMPTS: span.prompts_before,
            BlockKind.DELAYEDS: span.delayeds_before,
        }
        left = {kind: max(0, limit - before[kind]) for kind, limit in self._limits.items()}
        for block in self._blocks.at(span.first, span.blocks):
            if block.kind in found:
                records = records_of(block, self._blocks.path)[: left[block.kind]]
                found[block.kind].append(records)
                left[block.kind] -= len(records)
        prompts, delayeds = (
            np.concatenate(records) if records else np.empty(0, RECORDS[kind])
            for kind, records in found.items()
        )
        return PastPart(prompts, delayeds)
