"""Speak with a hospital's worklist and archive: ask, take over, send, with nothing typed twice.

hospital.toml says who we are and which peers there are (docs/hospital.md); nothing is sent to
anybody else. What is to be sent waits in RUNS/hospital, survives a power loss, and is tried until
the peer has it and, where it commits to storage, until it has said so. `deliver --forever` is a
process of its own for that. `begin` and `complete` tell a peer that a run began and ended (MPPS).
Needs pynetdicom: ./tomoshibi setup hospital.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import (
    CommandError,
    add_json_option,
    add_runs_option,
    find_run,
    finish,
    tell,
    whole,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from recon.exchange.scan_facts import ScanFacts
    from recon.hospital.outbox import Outbox
    from recon.hospital.peers import Hospital
    from recon.hospital.worklist_item import Item

EXAMPLES = """\
examples:
  tomoshibi hospital echo                          do the peers answer?
  tomoshibi hospital worklist ris --date today
  tomoshibi hospital worklist ris --accession A42 --take 1 --into last
  tomoshibi hospital begin last --to ris           MPPS: in progress
  tomoshibi hospital send last --image bsrem --to pacs
  tomoshibi hospital send last --image bsrem --regions --to pacs     with segments and a report
  tomoshibi hospital send last --projections --to pacs
  tomoshibi hospital complete last --to ris --sent-to pacs
  tomoshibi hospital deliver --forever             a process that sends what waits
  tomoshibi hospital queue
"""

LOOK_S = 2.0
ANSWER_S = 3.0
VIEW_DEG = 3.0
"""So long `send` and `deliver` wait at our port for what a peer commits to."""

_MODALITIES = {"PET": "PT", "SPECT": "NM"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("what", choices=("echo", "worklist", "begin", "send", "complete",
                                         "deliver", "queue"))  # fmt: skip
    parser.add_argument("which", nargs="?", default="", metavar="PEER|RUN",
                        help="echo, worklist: a peer; begin, send, complete: a run")  # fmt: skip
    parser.add_argument("--to", default="", metavar="PEER", help="begin, send, complete: to whom")
    parser.add_argument("--projections", action="store_true",
                        help="send: a SPECT run's projections (NM TOMO)")  # fmt: skip
    parser.add_argument("--discontinued", action="store_true",
                        help="complete: the run was broken off")  # fmt: skip
    parser.add_argument("--sent-to", default="", metavar="PEER",
                        help="complete: name what this peer was sent of the run")  # fmt: skip
    parser.add_argument("--regions", action="store_true", help="send: with the run's regions (SEG) "
                        "and a report of what is in them (SR)")  # fmt: skip
    parser.add_argument("--image", default="", metavar="NAME",
                        help="send: one of RUN/images, as export --image takes it")  # fmt: skip
    parser.add_argument("--date", default="", metavar="YYYYMMDD", help="worklist: or today")
    parser.add_argument("--modality", default="", help="worklist: PT, NM")
    parser.add_argument("--accession", default="", help="worklist: an accession number")
    parser.add_argument("--take", type=whole, default=0, metavar="N",
                        help="worklist: take item N of the list over into --into")  # fmt: skip
    parser.add_argument("--into", default="", metavar="RUN", help="worklist: identity.json and "
                        "study.json of this run")  # fmt: skip
    parser.add_argument("--forever", action="store_true", help="deliver: until told to leave")
    parser.add_argument("--forget-done", action="store_true",
                        help="queue: remove what is there for good")  # fmt: skip
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Do what is asked."""
    from recon.hospital.peers import hospital_file, read_hospital

    hospital = read_hospital()
    if hospital is None:
        raise CommandError(f"there is no {hospital_file()}: docs/hospital.md says what is in it")
    asked = {"echo": _echo, "worklist": _worklist, "begin": _begin, "send": _send,
             "complete": _complete, "deliver": _deliver, "queue": _queue}  # fmt: skip
    return asked[options.what](options, hospital)


def _outbox(options: argparse.Namespace) -> Outbox:
    from recon.hospital.outbox import Outbox

    return Outbox(options.runs / "hospital")


def _echo(options: argparse.Namespace, hospital: Hospital) -> int:
    from recon.hospital.association import echo
    from recon.hospital.peers import HospitalError

    names = [options.which] if options.which else list(hospital.peers)
    answers: dict[str, str] = {}
    for name in names:
        try:
            echo(hospital, hospital.peer(name))
            answers[name] = ""
        except HospitalError as error:
            answers[name] = str(error)
    lines = [f"{name}: {words or 'answers'}" for name, words in answers.items()]
    finish(options, {"peers": answers}, "\n".join(lines) or "no peers")
    return 1 if any(answers.values()) or not answers else 0


def _worklist(options: argparse.Namespace, hospital: Hospital) -> int:
    import datetime as dt

    from recon.hospital.association import worklist
    from recon.hospital.worklist_item import item_of, question

    date = f"{dt.date.today():%Y%m%d}" if options.date == "today" else options.date
    asked = question(date=date, modality=options.modality, accession=options.accession)
    items = [item_of(one) for one in worklist(hospital, hospital.peer(options.which), asked)]
    if options.take:
        if not options.into or not 1 <= options.take <= len(items):
            raise CommandError(f"--take {options.take}: of {len(items)} items, and --into RUN")
        _take_over(find_run(options.into, options.runs), items[options.take - 1])
    lines = [
        f"{number}  {one.scheduled}  {one.procedure}  {one.identity.get('accession_number', '')}  "
        f"{one.identity.get('name', '')}"
        for number, one in enumerate(items, 1)
    ]
    told = [{"identity": one.identity, "study": one.study, **one.ids,
             "scheduled": one.scheduled, "procedure": one.procedure} for one in items]  # fmt: skip
    finish(options, {"items": told}, "\n".join(lines) or "no items")
    return 0


def _take_over(folder: Path, item: Item) -> None:
    """Write an item into a run's identity and study; what a person wrote elsewhere stays."""
    from daq.folder.identity.identity_file import identity_of, read_identity, write_identity
    from daq.folder.identity.study_file import change_study

    known = read_identity(folder)
    for name, value in item.identity.items():
        if known is not None and getattr(known, name) not in ("", value):
            raise CommandError(
                f"{folder.name}: identity.json has another {name}; `tomoshibi pseudonymise` takes "
                "it out if it is wrong"
            )
    comment = {} if known is None else {"comment": known.comment}
    write_identity(folder, identity_of({**item.identity, **comment, **item.ids}))
    if item.study:
        change_study(folder, item.study)


def _send(options: argparse.Namespace, hospital: Hospital) -> int:
    """Put an image into the outbox and try to deliver it at once."""
    from daq.cli.images.export_projections import projection_object
    from daq.cli.images.objects_of_image import objects_of_image

    peer, folder = hospital.peer(options.to), find_run(options.which, options.runs)
    outbox, added = _outbox(options), 0
    with tempfile.TemporaryDirectory(dir=outbox.folder, prefix=".made-") as place:
        if options.projections:
            paths = [projection_object(folder, Path(place), identified=peer.identified,
                                       view_deg=VIEW_DEG)]  # fmt: skip
        else:
            paths = objects_of_image(
                folder, options.image, Path(place), identified=peer.identified,
                regions=options.regions,
            )  # fmt: skip
        for path in paths:
            added += outbox.add(path, options.to, folder.name)
    tell(f"{added} objects for {options.to}, the others were there already")
    return _delivered(options, hospital, outbox, once=True)


def _begin(options: argparse.Namespace, hospital: Hospital) -> int:
    """Report that a run is in progress."""
    from recon.hospital.performed_step import begun

    folder, facts, modality = _about(options, hospital)
    report = begun(facts, station=hospital.ae_title, modality=modality)
    return _reported(options, hospital, folder, report)


def _complete(options: argparse.Namespace, hospital: Hospital) -> int:
    """Report that a run is over, with what went to a peer of it."""
    from hw.bounded_files import FileRefused, read_object
    from recon.hospital.performed_step import ended

    folder, facts, _ = _about(options, hospital)
    try:
        summary = read_object(folder / "summary.json")
    except FileRefused as error:
        raise CommandError(f"{folder.name} is not over, or was cut off: {error}") from error
    objects = [
        (str(one.SOPClassUID), str(one.SOPInstanceUID), str(one.SeriesInstanceUID))
        for one in _outbox(options).objects_of(folder.name, options.sent_to)
    ]
    report = ended(
        facts, duration_s=float(summary.get("detector_time_s") or 0.0),
        completed=not options.discontinued, objects=objects,
        protocol=str(summary.get("protocol") or ""),
    )  # fmt: skip
    return _reported(options, hospital, folder, report)


def _about(options: argparse.Namespace, hospital: Hospital) -> tuple[Path, ScanFacts, str]:
    """Return a run's folder, what the peer may know of it, and its modality."""
    from daq.cli.images.stored_images import identified_facts
    from daq.folder.run_folder import run_config
    from recon.exchange.scan_facts import ScanFacts, nameable
    from recon.offline.kept_images.run_facts import run_facts

    peer, folder = hospital.peer(options.to), find_run(options.which, options.runs)
    scanner = run_config(folder).scanner()
    known = {**nameable(run_facts(folder)), "scanner": scanner.name}
    if peer.identified:
        known |= identified_facts(folder)
    return folder, ScanFacts.of(known), _MODALITIES[scanner.modality]


def _reported(
    options: argparse.Namespace, hospital: Hospital, folder: Path, report: Dataset
) -> int:
    """Put a report into the outbox, and try to deliver it."""
    outbox = _outbox(options)
    with tempfile.TemporaryDirectory(dir=outbox.folder, prefix=".made-") as place:
        path = Path(place) / "step.dcm"
        report.save_as(path, enforce_file_format=True)
        if not outbox.add(path, options.to, folder.name):
            tell(f"{options.to} was told before, or will be")
    return _delivered(options, hospital, outbox, once=True)


def _deliver(options: argparse.Namespace, hospital: Hospital) -> int:
    return _delivered(options, hospital, _outbox(options), once=not options.forever)


def _delivered(
    options: argparse.Namespace, hospital: Hospital, outbox: Outbox, *, once: bool
) -> int:
    from recon.hospital.association import Committed, listening
    from recon.hospital.delivery import deliver

    heard, leave = Committed(), threading.Event()
    if not once:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: leave.set())
    with listening(hospital, heard):
        left = deliver(outbox, hospital, heard, say=tell)
        if once and left and hospital.port and heard.news.wait(ANSWER_S):
            left = deliver(outbox, hospital, heard, say=tell)
        while not once and not leave.wait(LOOK_S):
            left = deliver(outbox, hospital, heard, say=tell)
    finish(options, {"left": left, **_counts(outbox)}, f"{left} still on their way")
    return 1 if left else 0


def _counts(outbox: Outbox) -> dict[str, Any]:
    return {"states": dict(Counter(one.progress.state for one in outbox.parcels()))}


def _queue(options: argparse.Namespace, hospital: Hospital) -> int:
    outbox = _outbox(options)
    forgotten = outbox.forget_done() if options.forget_done else 0
    lines = [
        f"{one.progress.state:8} {one.peer:12} {one.progress.run}  {one.uid}  {one.progress.why}"
        for one in outbox.parcels()
    ]
    told = {"forgotten": forgotten, **_counts(outbox)}
    finish(options, told, "\n".join(lines) or "nothing waits")
    return 0
