"""An event path whose prompts and delayeds are hashed, counted and logged as they arrive."""

from __future__ import annotations

from typing import Any

from daq.folder.listmode_log import ListmodeWriter
from daq.path.pipeline import Arranged, Output, Pipeline
from daq.path.takers.streams import PairStream


class HashedPipeline(Pipeline):
    """``pairs`` has received every output."""

    def __init__(self, *args: Any, listmode: ListmodeWriter | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pairs = PairStream(self.settings, listmode)

    def pair(self, arranged: Arranged) -> Output:
        output = super().pair(arranged)
        self.pairs.take(output)
        return output
