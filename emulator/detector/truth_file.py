"""The truth file of a run: what each event word sent by the modules really was.

A file of blocks (``hw.wire.truth_layout``), one per period: a FRAME for each data frame as it left
the digitizer, before any fault of the link, then a LABEL for each of their words in order. A word
is found by its frame (module, frame id, events before) and its place in it, so that frames lost,
repeated or damaged on the way shift nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError, EmulatorConfig
from emulator.detector.digitizer import HEADER_WORDS, NO_ORIGIN, TAG_PERIOD_SHIFT, Digitizer
from emulator.slices import SliceHits
from emulator.truth_labels import NOISE_DECAY, no_labels
from hw.messages.source import Start
from hw.wire.block_layout import BlockKind, block_header
from hw.wire.protocol import FRAME_PERIOD_PS, HEADER_BYTES, HEADER_DTYPE
from hw.wire.truth_layout import FILE_NAME, FORMAT, FRAME, LABEL, NO_SINGLE, NOISE_TRIGGER

IN_RUN = "run"
_TAG_MASK = (1 << TAG_PERIOD_SHIFT) - 1


class TruthWriter:
    """Writes one run's truth beside its data."""

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        """Create ``path``, which must not exist; raises EmulationError."""
        self.path = path
        self.words = 0
        self._sequence = 0
        self._before = no_labels()
        try:
            self._file = path.open("xb")
        except OSError as error:
            raise EmulationError(
                f"cannot write the truth of the run to {path}: {error.strerror}; name a folder "
                "that exists with --truth FOLDER"
            ) from error
        names = {"label": LABEL.descr, "frame": FRAME.descr}
        self._append(BlockKind.HEAD, _json({"format": FORMAT, **names, **head}), items=1)

    def append(self, hits: SliceHits, frames: Sequence[memoryview], digitizer: Digitizer) -> None:
        """Write the truth of one period's frames, as ``Emulation.digitize`` returned them."""
        if len(hits.labels) != len(hits.hits):
            found = f"{len(hits.hits)} hits and {len(hits.labels)} labels"
            raise EmulationError(f"slice {hits.index} has {found}: a defect")
        table = _frames(frames)
        labels = self._labels(hits, digitizer, table)
        self._append(BlockKind.TRUTH, table.tobytes() + labels.tobytes(), items=len(table))
        self._before = hits.labels
        self.words += len(labels)

    def close(self, end: dict[str, Any]) -> None:
        """Write the totals and close."""
        self._append(BlockKind.END, _json({"words": self.words, **end}), items=1)
        self._file.close()

    def _labels(
        self, hits: SliceHits, digitizer: Digitizer, table: npt.NDArray[np.void]
    ) -> npt.NDArray[np.void]:
        begins = digitizer.first_word[table["module"]] + HEADER_WORDS
        origins = [
            digitizer.origin[begin : begin + words]
            for begin, words in zip(begins, table["words"], strict=True)
        ]
        origin = np.concatenate([np.empty(0, np.int64), *origins])
        labels = np.zeros(len(origin), LABEL)
        labels["decay"] = NOISE_DECAY
        labels["kind"] = np.where(origin == NO_ORIGIN, NO_SINGLE, NOISE_TRIGGER)
        for period, source in ((hits.index, hits.labels), (hits.index - 1, self._before)):
            of_it = (origin >> TAG_PERIOD_SHIFT == period) & (origin >= 0)
            labels[of_it] = source[origin[of_it] & _TAG_MASK]
            labels["time_ps"][of_it] += period * FRAME_PERIOD_PS
        return labels

    def _append(self, kind: BlockKind, payload: bytes, *, items: int) -> None:
        try:
            self._file.write(block_header(kind, payload, sequence=self._sequence, items=items))
            self._file.write(payload)
        except OSError as error:
            raise EmulationError(
                f"cannot write the truth of the run to {self.path}: {error.strerror}"
            ) from error
        self._sequence += 1


def check_truth(config: EmulatorConfig) -> None:
    """Raise EmulationError, before any run, if the place for truth files is not a folder."""
    if config.truth not in ("", IN_RUN) and not Path(config.truth).is_dir():
        raise EmulationError(
            f"truth: {config.truth} is not a folder; create it, name an existing one, or none for "
            "the run's own"
        )


def open_truth(where: str, order: Start, scanner: str) -> TruthWriter:
    """Return the writer of a run's truth.

    Parameters
    ----------
    where : IN_RUN for the run's own folder, or a folder in which the file is named by the run's tag

    Raises
    ------
    EmulationError
        if the folder cannot be written to, or is unknown because the daq runs on another machine.
    """
    if where == IN_RUN and not Path(order.folder or "?").is_dir():
        raise EmulationError(
            f"the run's folder {order.folder or '(not given)'} is not on this machine: name a "
            "folder on this one with --truth FOLDER"
        )
    path = Path(order.folder) / FILE_NAME
    if where != IN_RUN:
        path = Path(where) / f"{order.run_tag:08x}.tmtruth"
    return TruthWriter(path, {"run_tag": order.run_tag, "scanner": scanner})


def _frames(frames: Sequence[memoryview]) -> npt.NDArray[np.void]:
    """Return the table of the frames; a module that is off has none."""
    heads = b"".join(frame[:HEADER_BYTES] for frame in frames)
    header = np.frombuffer(heads, HEADER_DTYPE)
    table = np.zeros(len(header), FRAME)
    for name in ("module", "frame_id", "events_before", "sequence"):
        table[name] = header[name]
    table["words"] = header["event_count"]
    return table


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
