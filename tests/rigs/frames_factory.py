"""Data frames for tests, as a module would send them, made with the protocol's plain functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.messages.source import SourceReport
from hw.wire.frames import new_header, seal_frame
from hw.wire.protocol import FLAG_LAST, FRAME_PERIOD_TICKS, pack_words

RUN_TAG = 0x5EED


def single_words(
    ticks: list[int] | np.ndarray, *, crystal: object = 0, energy_dkeV: object = 5110
) -> np.ndarray:
    """Return single words at ticks from the start of the period."""
    return pack_words(
        time_ticks=np.asarray(ticks, dtype=np.int64), crystal=crystal, energy_dkeV=energy_dkeV
    )  # type: ignore[arg-type]


@dataclass
class ModuleSender:
    """One module: numbers its frames and counts its words; one frame per period."""

    module: int
    run_tag: int = RUN_TAG
    sequence: int = 0
    frame_id: int = 0
    words_sent: int = 0
    frames_sent: int = 0
    events_before: int = 0

    def frame(self, words: np.ndarray | None = None, *, last: bool = False, **header: int) -> bytes:
        """Return the next frame; ``header`` overrides any field."""
        words = np.empty(0, dtype=np.uint64) if words is None else words
        fields = {
            "run_tag": self.run_tag,
            "events_before": self.events_before,
            "flags": FLAG_LAST if last else 0,
            **header,
        }
        sequence = fields.pop("sequence", self.sequence)
        frame_id = fields.pop("frame_id", self.frame_id)
        self.sequence = (sequence + 1) % 2**32
        self.frame_id = frame_id + 1
        self.events_before += len(words)
        self.words_sent += len(words)
        self.frames_sent += 1
        return seal_frame(
            new_header(fields.pop("module", self.module), sequence, frame_id, **fields), words
        )

    def restart(self) -> None:
        """Start again as after a module reset: numbers from 0, the clock continues."""
        self.sequence = self.events_before = 0


@dataclass(frozen=True)
class SentRun:
    """A run as sent: rounds of frames (one per module and period) and the source's report."""

    frames: list[bytes]
    report: SourceReport


def sent_run(
    *,
    n_modules: int,
    crystals_per_module: int,
    periods: int = 6,
    singles_per_frame: int = 200,
    true_fraction: float = 0.5,
    run_tag: int = RUN_TAG,
    seed: int = 1,
) -> SentRun:
    """Make a run with random singles and pairs in coincidence, frames in order of period."""
    rng = np.random.default_rng(seed)
    senders = [ModuleSender(m, run_tag=run_tag) for m in range(n_modules)]
    frames = []
    for period in range(periods):
        shared = rng.integers(0, FRAME_PERIOD_TICKS, int(true_fraction * singles_per_frame))
        for sender in senders:
            own = rng.integers(0, FRAME_PERIOD_TICKS, singles_per_frame - len(shared))
            jitter = np.clip(shared + rng.integers(-20, 21, len(shared)), 0, FRAME_PERIOD_TICKS - 1)
            ticks = np.concatenate((own, jitter))
            words = single_words(
                ticks,
                crystal=rng.integers(0, crystals_per_module, len(ticks)),
                energy_dkeV=rng.integers(3000, 7000, len(ticks)),
            )
            frames.append(sender.frame(words, last=period == periods - 1))
    report = SourceReport(
        run_tag=run_tag,
        singles_emitted=[s.words_sent for s in senders],
        frames_sent=[s.frames_sent for s in senders],
        dead_events=[0] * n_modules,
    )
    return SentRun(frames, report)
