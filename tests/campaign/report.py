"""What a campaign found, by kind of fault: as an object for JSON, and as a table for a document."""

from __future__ import annotations

import re
import statistics
from typing import Any

from campaign.checker import LOST
from campaign.runner import Campaign, RunResult

COUNTS = {
    "injected": "injected",
    "survived": "survived",
    "told": "… a loss told",
    "lost": "lost",
    "other": "other findings",
}
TIMES = ("back after its end, p50", "max", "after its beginning, p50", "max")
_PLACE = re.compile(r"/\S+/")


def as_object(campaign: Campaign, minutes: float) -> dict[str, Any]:
    """Return all that is known: kinds, findings with their run, kinds not run with the reason."""
    return {
        "seed": campaign.seed,
        "minutes": round(minutes, 1),
        "runs": len(campaign.results),
        "kinds": by_kind(campaign.results),
        "findings": [
            {"run": r.number, "faults": [f.kind for f in r.faults], "words": r.findings}
            for r in campaign.results
            if r.findings
        ],
        "not_run": campaign.not_run,
    }


def by_kind(results: list[RunResult]) -> dict[str, dict[str, Any]]:
    """Count injections by kind; a run with a finding counts for each of its faults."""
    kinds: dict[str, dict[str, Any]] = {}
    for result in results:
        for fault in result.faults:
            empty: dict[str, Any] = {"undone": [], "since": []}
            row = kinds.setdefault(fault.kind, dict.fromkeys(COUNTS, 0) | empty)
            row["injected"] += 1
            row[_outcome(result.findings)] += 1
            row["told"] += bool(result.told and not result.findings)
            row["undone"] += [] if fault.recovery_s is None else [fault.recovery_s]
            row["since"] += [] if fault.since_s is None else [fault.since_s]
    for row in kinds.values():
        for name, times in (("recovery", row.pop("undone")), ("since", row.pop("since"))):
            row[f"{name}_p50_s"] = round(statistics.median(times), 1) if times else None
            row[f"{name}_max_s"] = round(max(times), 1) if times else None
    return dict(sorted(kinds.items()))


def _short(finding: dict[str, Any]) -> str:
    """Return a finding's words, without the places of this machine."""
    return "; ".join(" ".join(_PLACE.sub("…/", words).split()) for words in finding["words"])


def _outcome(findings: list[str]) -> str:
    if not findings:
        return "survived"
    return "lost" if any(words.startswith(LOST) for words in findings) else "other"


def as_table(found: dict[str, Any]) -> str:
    """Return the table of a document."""
    lines = [
        f"{found['runs']} runs in {found['minutes']:.0f} minutes, seed {found['seed']}:",
        "",
        f"| fault | {' | '.join(COUNTS.values())} | {' | '.join(TIMES)} |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in found["kinds"].items():
        times = [row[f"{name}_{at}_s"] for name in ("recovery", "since") for at in ("p50", "max")]
        words = " | ".join("–" if time is None else f"{time:.1f} s" for time in times)
        counts = " | ".join(str(row[key]) for key in COUNTS)
        lines.append(f"| {name} | {counts} | {words} |")
    lines += [
        "",
        *(f"- run {f['run']} ({', '.join(f['faults'])}): {_short(f)}" for f in found["findings"]),
    ]
    not_run = "; ".join(f"{name} ({reason})" for name, reason in found["not_run"].items())
    return "\n".join([*lines, "", f"Not run: {not_run}."] if not_run else lines)
