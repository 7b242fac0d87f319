"""The page of alarms and warnings, made from the catalogue of messages."""

from __future__ import annotations

from hw.notices.catalogue import PRIORITIES, Notice, catalogue

HEAD = """\
<!-- Made from hw/notices/en.toml by `python -m hw.generate`; do not edit. -->
# Alarms and warnings

An **alarm** is what somebody must answer. It stays, on every console and in `tomoshibi alarms`,
until its cause is gone **and** somebody has acknowledged it (F10, or `tomoshibi alarms --ack`); who
did is in the journal. An alarm whose cause *lasts* stands until a message says that it is over, or
the run ends; any other happened once and goes when it is acknowledged. One that comes again is the
same alarm with a count. The one that came while no other waited is marked *came first*: the others
may follow from it. *Aside* (up to an hour) puts one behind the others; it comes back by itself.
Acknowledging and putting aside need no control of the run. A daq that was restarted begins with
none; the run's journal keeps all.

A **warning** is worth a look and needs no answer. Everything else in the journal is an event.

Each message travels and is kept with its id and its values, beside its English words. At most 32
alarms are sent to displays and 256 kept; how many more there were is shown.
"""


def alarm_doc() -> str:
    """Return the page as Markdown."""
    of_rank = sorted(catalogue().items(), key=lambda item: PRIORITIES.index(item[1].priority))
    alarms = [item for item in of_rank if item[1].severity == "alarm"]
    warnings = [item for item in catalogue().items() if item[1].severity == "warning"]
    return "\n".join([
        HEAD, "## Alarms", "",
        "| id | priority | says | lasts | cause | do |", "|---|---|---|---|---|---|",
        *(_row(name, n.priority, _says(n), _lasts(n), n.means, n.do) for name, n in alarms),
        "", "## Warnings", "",
        "| id | says | cause | do |", "|---|---|---|---|",
        *(_row(name, _says(n), n.means, n.do) for name, n in warnings),
        "",
    ])  # fmt: skip


def _says(notice: Notice) -> str:
    """Return the words with an ellipsis for each value."""
    return f"`{notice.says.format(**dict.fromkeys(notice.values, '…'))}`"


def _lasts(notice: Notice) -> str:
    return "yes" if notice.lasts else ""


def _row(name: str, *cells: str) -> str:
    texts = (cell.replace("|", "\\|") or "–" for cell in cells)
    return f"| `{name}` | {' | '.join(texts)} |"
