"""What sources and modules report of a run, as lines of its journal."""

from __future__ import annotations

from daq.service.watching.watch import named
from hw.messages.source import FaultDone, SourceReport
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice
from hw.wire.protocol import FRAME_PERIOD_PS

MOST_FAULTS_TOLD = 50


def misfit(report: SourceReport, *, scanner: str, modules: int) -> str:
    """Return why a report cannot be of a scanner's run, "" if it can."""
    if len(report.frames_sent) == modules:
        return ""
    return (
        f"a SourceReport of {len(report.frames_sent)} modules, {scanner} has {modules}: "
        "the books cannot close with it"
    )


def report_lines(report: SourceReport) -> list[JournalLine]:
    """Return what a source's report tells: why it gave up, and its deliberate faults."""
    lines = []
    if report.failed:
        lines.append(notice("source.gave_up", why=report.failed))
    told = report.fault_log[:MOST_FAULTS_TOLD]
    texts = [f"was done on purpose: {describe_fault(fault)}" for fault in told]
    if more := len(report.fault_log) - len(told):
        texts.append(f"… and {more} more on purpose: see faults.json")
    return lines + [JournalLine(severity="info", text=text) for text in texts]


def describe_fault(fault: FaultDone) -> str:
    """Return one fault in words."""
    period_s = FRAME_PERIOD_PS * 1e-12
    begin_s, end_s = fault.begin_period * period_s, fault.end_period * period_s
    return (
        f"{fault.text}, {named(fault.modules)}, from {begin_s:.2f} to {end_s:.2f} s, "
        f"{fault.done} times"
    )
