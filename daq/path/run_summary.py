"""A run's summary: what is known of it at its end, live or when it is sorted again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from daq.folder.markers import Marker
from daq.folder.run_config import RunConfig, versions
from daq.path.books import Books, HitBooks
from daq.path.pipeline import Pipeline
from daq.path.takers import RunTakers
from hw.messages.imager import ImagerReport
from hw.messages.source import SourceReport
from hw.messages.telemetry import Interruption, RunCondition

UNSORTED = "incomplete: not all is sorted"
"""How the condition of a run begins whose raw log holds more than its list-mode log."""


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run beyond its data.

    created : when it was armed, ISO 8601
    conditions : why it is not simply good
    elapsed_s : wall time from start to end
    reports : of the sources; undelivered : prompts that the live imager missed
    load : what gave way when sorting could not keep up
    refused_kept, refused_not_kept : frames in the log of refused frames, and others by verdict
    markers : what people set in it; signals : from outside, that it keeps
    interruptions : times without data because daq or source were away
    ended_by : what ended it, in words; "" where that is not known
    """

    folder: Path
    created: str
    conditions: tuple[str, ...]
    elapsed_s: float
    detector_time_s: float
    reports: tuple[SourceReport, ...] = ()
    imager: ImagerReport | None = None
    undelivered: int = 0
    load: dict[str, Any] = field(default_factory=dict)
    refused_kept: int = 0
    refused_not_kept: dict[str, int] = field(default_factory=dict)
    interruptions: tuple[Interruption, ...] = ()
    ended_by: str = ""
    markers: tuple[Marker, ...] = ()
    signals: tuple[dict[str, Any], ...] = ()


def condition_of(conditions: Sequence[str]) -> RunCondition:
    """ "good", "tainted" (something was lost or odd) or "incomplete" (cut off)."""
    if any(reason.startswith("incomplete") for reason in conditions):
        return "incomplete"
    return "tainted" if conditions else "good"


def summarise(
    facts: RunFacts, config: RunConfig, pipeline: Pipeline, takers: RunTakers, books: Books
) -> dict[str, Any]:
    """Return the summary; docs/file-format.md explains the keys.

    Parameters
    ----------
    facts : what is known of the run beside its data
    config : of the run
    pipeline : that sorted it
    takers : that took its output
    books : of frames and singles
    """
    hits = HitBooks(list(facts.reports), len(pipeline.links))
    imager = facts.imager or ImagerReport(run=facts.folder.name)
    return {
        "run": str(facts.folder),
        "name": facts.folder.name,
        "created": facts.created,
        "condition": condition_of(facts.conditions),
        "conditions": list(facts.conditions),
        "interruptions": msgspec.to_builtins(facts.interruptions),
        **({"markers": msgspec.to_builtins(facts.markers)} if facts.markers else {}),
        **({"signals": list(facts.signals)} if facts.signals else {}),
        **({"ended_by": facts.ended_by} if facts.ended_by else {}),
        "elapsed_s": round(facts.elapsed_s, 3),
        "detector_time_s": facts.detector_time_s,
        "frames": books.frames(),
        "singles": books.singles(),
        **({"hits": hits.summary()} if hits.known else {}),
        **asdict(pipeline.counts),
        **({"angles": books.angles()} if pipeline.angles else {}),
        **takers.summary(),
        "images": {
            "count": imager.images,
            "rate_Hz": imager.rate_Hz,
            "latency_ms": {"p50": imager.latency_p50_ms, "p99": imager.latency_p99_ms},
            "fraction_used": imager.fraction_used,
            "prompts_used": imager.prompts_used,
            "final": imager.image_path,
        },
        "undelivered_to_imager": facts.undelivered,
        **({"load": facts.load} if facts.load else {}),
        "refused_kept": facts.refused_kept,
        "refused_not_kept": facts.refused_not_kept,
        "conserved": books.conserved() and hits.conserved(),
        **({"open_sums": books.open_sums()} if facts.reports and books.open_sums() else {}),
        "hash": takers.pairs.hash(),
        "modules": books.per_module(),
        "source": [msgspec.to_builtins(report) for report in facts.reports],
        "config": msgspec.to_builtins(config),
        "versions": versions(),
    }
