"""The books of a run: every frame and every single is counted under exactly one name, and the sums
close.

Per module, with what the source itself says it sent:

    frames sent     = received + lost
    singles emitted = received + lost
    singles received = accepted + windowed + out of window + masked + late + invalid

Singles emitted and lost are counted as event words: if a source sends words of other kinds as well,
those received are subtracted from what it emitted, and those lost count as singles.

A run is *conserved* only if all of them hold for every module.

The books between a detector and the firmware behind it count every hit under one name.

    hits offered = seen + unaccounted

*Offered* is what the detector had for a module, including what found no room in its queue; *seen*
what the firmware counted: in words, below threshold, dead, lost, masked, invalid, and discarded
while it accepted none. Only modules whose count was lost in a reset have unaccounted hits; for all
others the sums must be equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.path.frame_check import CORRUPT, Verdict
from daq.path.pipeline import Pipeline
from hw.messages.source import SourceReport
from hw.wire.protocol import DEAD_TIME_UNIT_PS

Counts = npt.NDArray[np.int64]
_DEAD_TIME_UNIT_S = DEAD_TIME_UNIT_PS / 1e12


@dataclass(frozen=True)
class Sent:
    """What the sources say they sent, per module."""

    frames: Counts
    singles: Counts
    dead_events: Counts


def sent_by(reports: list[SourceReport], n_modules: int) -> Sent | None:
    """Add up the sources' reports; None if there is none, or one is about other modules."""
    if not reports or any(len(r.frames_sent) != n_modules for r in reports):
        return None
    return Sent(
        frames=np.sum([r.frames_sent for r in reports], axis=0),
        singles=np.sum([r.singles_emitted for r in reports], axis=0),
        dead_events=np.sum([r.dead_events for r in reports], axis=0),
    )


class Books:
    """Reads a pipeline's counters and says whether the sums close."""

    def __init__(self, pipeline: Pipeline, sent: Sent | None) -> None:
        self._links = pipeline.checker.links
        self._verdicts = pipeline.checker.verdicts
        self._line = pipeline.decoder.line
        self._accepted = pipeline.selector.accepted
        self._windowed = pipeline.selector.windowed
        self._masked = pipeline.selector.masked
        self._held = pipeline.order.held
        self._angles = pipeline.angles
        self.sent = sent

    @property
    def lost_frames(self) -> Counts:
        """Frames lost per module: gaps in the sequence, and, if known, frames at the end that never
        came.
        """
        return np.asarray(self._links["lost"] + self._tail("frames", "sequence"))

    @property
    def lost_singles(self) -> Counts:
        """Event words lost per module: from the cumulative counters, and, if known, at the end."""
        return np.asarray(self._links["words_lost"] + self._tail("singles", "word"))

    def _tail(self, what: str, number: str) -> Counts:
        """How much the source sent after the last frame received; 0 if it made no report."""
        if self.sent is None:
            return np.zeros(len(self._links), dtype=np.int64)
        base = self._links["frames_base" if what == "frames" else "words_base"]
        return np.maximum(getattr(self.sent, what) - base - self._links[f"next_{number}"], 0)

    @property
    def out_of_window(self) -> Counts:
        """Singles in no energy window, per module."""
        line = self._line
        kept = self._accepted + self._windowed + self._masked
        return np.asarray(line["singles"] - line["late"] - line["invalid"] - kept)

    def conserved(self) -> bool:
        """Whether all sums close for every module, by the source's own account."""
        return self.sent is not None and not self.open_sums()

    def open_sums(self) -> list[str]:
        """Return in words which sums do not close, by how much and for which modules."""
        links, line = self._links, self._line
        off = {
            "event words received and those decoded": links["words_received"]
            - line["singles"]
            - line["other_words"],
            "singles received and their places": np.minimum(self.out_of_window, 0),
        }
        if self.sent is not None:
            frames, words = self._tail("frames", "sequence"), self._tail("singles", "word")
            off |= {
                "frames sent, and received or lost": self.sent.frames
                - links["received"]
                - self.lost_frames,
                "singles emitted, and received or lost": self.sent.singles
                - links["words_received"]
                - self.lost_singles,
                "singles that the source reports and those its frames tell of": np.where(
                    frames == 0, words, 0
                ),
            }
        found = [_off_in_words(what, by) for what, by in off.items() if by.any()]
        return found + ([f"{self._held} singles are held still"] if self._held else [])

    def frames(self) -> dict[str, int]:
        """Return the frame counters of the whole run."""
        verdicts = self._verdicts
        received = int(self._links["received"].sum())
        lost = int(self.lost_frames.sum())
        return {
            "sent": received + lost if self.sent is None else int(self.sent.frames.sum()),
            "received": received,
            "lost": lost,
            "corrupt": int(sum(verdicts[v] for v in CORRUPT)),
            "late": int(self._line["late_frames"].sum()),
            "duplicate": int(verdicts[Verdict.DUPLICATE]),
            "reordered": int(self._links["reordered"].sum()),
            "wrong_version": int(verdicts[Verdict.BAD_VERSION]),
            "other_run": int(verdicts[Verdict.OTHER_RUN]),
            "unknown_module": int(verdicts[Verdict.UNKNOWN_MODULE]),
            "out_of_step": int(verdicts[Verdict.OUT_OF_STEP]),
            "miscounted": int(self._links["miscounts"].sum()),
            "slips": int(self._links["slips"].sum()),
            "sync_lost": int(self._links["sync_lost"].sum()),
            "epochs": int(self._links["epochs"].sum()),
            "low_bias": int(self._links["low_bias"].sum()),
            "module_resets": int(self._links["resets"].sum()),
            "module_stalls": int(self._line["stalls"].sum()),
        }

    def singles(self) -> dict[str, int]:
        """Return the singles counters of the whole run."""
        line = self._line
        received = int(line["singles"].sum())
        lost = int(self.lost_singles.sum())
        return {
            "emitted": received + lost if self.sent is None else self._emitted(),
            "received": received,
            "accepted": int(self._accepted.sum()),
            "windowed": int(self._windowed.sum()),
            "out_of_window": int(self.out_of_window.sum()),
            "masked": int(self._masked.sum()),
            "late": int(line["late"].sum()),
            "invalid": int(line["invalid"].sum()),
            "lost": lost,
            "lost_in_module": int(self._links["lost_in_module"].sum()),
            "dead": int(self._links["dead_events"].sum()),
            "other_words": int(line["other_words"].sum()) - self.angles()["words"],
        }

    def _emitted(self) -> int:
        assert self.sent is not None
        return int(self.sent.singles.sum()) - int(self._line["other_words"].sum())

    def angles(self) -> dict[str, int]:
        """Return the counters of angle words; all 0 where the scanner cannot move."""
        if self._angles is None:
            return dict.fromkeys(("words", "implausible", "late", "unknown_frames"), 0)
        return self._angles.counts()

    def counters(self) -> dict[str, int]:
        """Return all counters by their full names; those of angles only if the scanner can move.

        ``hw.messages.counters`` says how bad each one is.
        """
        groups = {"frames": self.frames(), "singles": self.singles()}
        if self._angles is not None:
            groups["angles"] = self.angles()
        return {f"{kind}.{key}": n for kind, group in groups.items() for key, n in group.items()}

    def per_module(self) -> list[dict[str, Any]]:
        """Return the books of each module."""
        return [
            {
                "module": m,
                "frames_received": int(self._links["received"][m]),
                "frames_lost": int(self.lost_frames[m]),
                "singles_received": int(self._line["singles"][m]),
                "accepted": int(self._accepted[m]),
                "windowed": int(self._windowed[m]),
                "out_of_window": int(self.out_of_window[m]),
                "masked": int(self._masked[m]),
                "late": int(self._line["late"][m]),
                "invalid": int(self._line["invalid"][m]),
                "singles_lost": int(self.lost_singles[m]),
                "dead_events": int(self._links["dead_events"][m]),
                "dead_time_s": float(self._links["dead_time"][m]) * _DEAD_TIME_UNIT_S,
                "stalls": int(self._line["stalls"][m]),
            }
            for m in range(len(self._links))
        ]


def _off_in_words(what: str, by: Counts) -> str:
    modules = np.flatnonzero(by)
    which = ", ".join(map(str, modules[:6].tolist()))
    more = f" and {len(modules) - 6} more" if len(modules) > 6 else ""
    name = "module" if len(modules) == 1 else "modules"
    return f"{what} differ by {int(by.sum())} ({name} {which}{more})"


class HitBooks:
    """Reads the sources' reports. ``known``: whether both sides have reported."""

    def __init__(self, reports: list[SourceReport], n_modules: int) -> None:
        offered = [r.hits_offered for r in reports if len(r.hits_offered) == n_modules]
        seen = [r.hits_seen for r in reports if len(r.hits_seen) == n_modules]
        self.known = bool(offered) and bool(seen)
        self._offered = np.sum(offered or [[0] * n_modules], axis=0)
        told = np.array(seen or [[0] * n_modules])
        self._reset = (told < 0).any(axis=0)
        self._seen = np.where(self._reset, 0, told.sum(axis=0))

    def conserved(self) -> bool:
        """Whether every hit is accounted for; True if there is no detector to compare with."""
        return not self.known or bool((self._reset | (self._offered == self._seen)).all())

    def summary(self) -> dict[str, int]:
        """Return the sums over all modules."""
        offered, seen = int(self._offered.sum()), int(self._seen.sum())
        return {
            "offered": offered,
            "seen": seen,
            "of_reset_modules": int(self._offered[self._reset].sum()),
            "unaccounted": offered - seen - int(self._offered[self._reset].sum()),
        }
