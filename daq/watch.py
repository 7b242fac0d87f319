"""What a running run is watched for: silence, losses, stalls. Each becomes a journal entry.

New losses are told at most once a second, with how many came since: an alarm must be seen, not
fill the journal.
"""

from __future__ import annotations

from daq.run import Run
from hw.messages import Severity

SILENT_S = 2.0
GIVE_UP_S = 10.0
_EVERY_S = 1.0

WATCHED = {
    "lost": "data frames lost",
    "corrupt": "data frames corrupt",
    "late": "data frames late",
    "duplicate": "data frames twice",
    "reordered": "data frames out of order",
    "wrong_version": "data frames of another protocol version",
    "other_run": "data frames of another run",
    "unknown_module": "data frames of an unknown module",
    "module_resets": "module resets",
    "module_stalls": "module stalls",
}


class RunWatch:
    """Watches one run; ``last_data_s`` is when its last data frame came (monotonic)."""

    def __init__(self) -> None:
        self.last_data_s = 0.0
        self._told: dict[str, int] = {}
        self._next_s = 0.0
        self._silent = False

    def data_came(self, now: float) -> None:
        """Note that data frames came."""
        self.last_data_s = now

    def look(self, run: Run, now: float) -> list[tuple[Severity, str]]:
        """Return what should be told now."""
        entries: list[tuple[Severity, str]] = []
        silent = now - self.last_data_s > SILENT_S
        if silent and not self._silent:
            entries.append(("alarm", f"no data for {SILENT_S:g} s: is the source alive?"))
        elif self._silent and not silent:
            entries.append(("info", "data again"))
        self._silent = silent
        if now >= self._next_s:
            self._next_s = now + _EVERY_S
            entries += [("alarm", words) for words in self._losses(run)]
        return entries

    def _losses(self, run: Run) -> list[str]:
        words = []
        frames = run.books().frames()
        for name, what in WATCHED.items():
            more = frames[name] - self._told.get(name, 0)
            if more > 0:
                self._told[name] = frames[name]
                words.append(f"{more} {what} ({frames[name]} in this run)")
                run.taint(what)
        return words

    def last_words(self, run: Run) -> list[str]:
        """Return losses that were not told yet, at the end of a run."""
        return self._losses(run)

    def given_up(self, run: Run, now: float) -> bool:
        """Whether a run of fixed duration has been without data for too long to wait on."""
        return run.config.duration_s > 0 and now - self.last_data_s > GIVE_UP_S
