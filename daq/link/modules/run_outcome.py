"""One module's part in one run: whether it is in it, how it ended, what it sent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GIVEN_UP = 4
"""``ended`` of a report: the run was aborted (a fault, or ABORT)."""


@dataclass
class ModuleRun:
    """One module's part in a run.

    joined : whether the module takes hits of the run, as far as known
    joins : how often it joined; more than once if it restarted
    ended : ``ended`` of its report, 0 while it goes on
    report : its last report of this run
    closing : no module joins any more
    bias_mV : what was asked for as the run began
    """

    run_tag: int
    periods: int = 0
    joined: bool = False
    joins: int = 0
    ended: int = 0
    report: np.void | None = None
    closing: bool = False
    bias_mV: int = 0

    def take_report(self, report: np.void) -> None:
        """Keep the module's books from the end of the run; ignore those of another run, or of one
        still going on.
        """
        if int(report["run_tag"]) != self.run_tag or not self.joins or not report["ended"]:
            return
        self.report = report
        self.ended = int(report["ended"])
        if self.ended == GIVEN_UP:
            self.joined = False

    def began_anew(self) -> None:
        """Note that the module was reset: its counts are gone."""
        if self.joined and self.ended in (0, GIVEN_UP):
            self.joined, self.report = False, None

    @property
    def is_over(self) -> bool:
        """Whether the module's part has ended as ordered."""
        return self.joined and self.ended not in (0, GIVEN_UP)

    @property
    def hits_seen(self) -> int:
        """Hits that the module counted; -1 if a reset lost some of the count."""
        if self.report is None or self.joins != 1:
            return -1
        return int(self.report["hits"]) + int(self.report["discarded"])
