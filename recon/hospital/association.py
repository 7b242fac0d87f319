"""The DICOM services that we use, each one association and bounded in time: C-ECHO, C-STORE,
C-FIND of the modality worklist, storage commitment (N-ACTION; its answer by N-EVENT-REPORT)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset

from recon.hospital.dicom_web import reach, stow
from recon.hospital.peers import EXTRA, Hospital, HospitalError, Peer
from recon.hospital.performed_step import SOP_CLASS as PERFORMED_STEP
from recon.hospital.performed_step import step_uid
from recon.hospital.tls import at_our_port, to_peers

TIMEOUT_S = 10.0
"""Of connecting, of an answer, and of silence on the network."""

MOST_ITEMS = 500
"""Of a worklist."""

SUCCESS, PENDING = 0x0000, (0xFF00, 0xFF01)
WARNINGS = range(0xB000, 0xC000)


def _pynetdicom() -> Any:
    try:
        import pynetdicom
    except ImportError as error:
        raise HospitalError(f"pynetdicom is missing: {EXTRA}") from error
    return pynetdicom


def _entity(hospital: Hospital) -> Any:
    entity = _pynetdicom().AE(ae_title=hospital.ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT_S
    entity.connection_timeout = TIMEOUT_S
    return entity


@contextlib.contextmanager
def _associated(
    hospital: Hospital, entity: Any, peer: Peer, handlers: Sequence[Any] = ()
) -> Iterator[Any]:
    who = peer.words
    if peer.url:
        raise HospitalError(f"{who} speaks DICOMweb alone: name another peer for this")
    tls = {"tls_args": (to_peers(hospital), peer.host)} if peer.tls else {}
    made = entity.associate(
        peer.host, peer.port, ae_title=peer.ae_title, evt_handlers=list(handlers), **tls
    )
    if made.is_rejected:
        raise HospitalError(f"{who} rejects {entity.ae_title}: does it know our title and address?")
    if not made.is_established:
        certified = ", or its certificate is not trusted" if peer.tls else ""
        raise HospitalError(f"{who} cannot be reached, or takes nothing that we offer{certified}")
    try:
        yield made
    finally:
        made.release()


def _status(answer: Dataset, who: str, what: str) -> int:
    if "Status" not in answer:
        raise HospitalError(f"{who} did not answer {what} within {TIMEOUT_S:g} s")
    return int(answer.Status)


def echo(hospital: Hospital, peer: Peer) -> None:
    """Ask whether a peer answers; raises HospitalError if not."""
    if peer.url:
        reach(hospital, peer)
        return
    entity = _entity(hospital)
    entity.add_requested_context("1.2.840.10008.1.1")
    with _associated(hospital, entity, peer) as made:
        status = _status(made.send_c_echo(), peer.words, "C-ECHO")
    if status != SUCCESS:
        raise HospitalError(f"{peer.words} answers C-ECHO with {status:#06x}")


def store(hospital: Hospital, peer: Peer, dataset: Dataset) -> None:
    """Store an object; returns once the peer has said that it has it."""
    if peer.url:
        stow(hospital, peer, dataset)
        return
    entity = _entity(hospital)
    entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    with _associated(hospital, entity, peer) as made:
        if not made.accepted_contexts:
            raise HospitalError(f"{peer.words} takes no {dataset.SOPClassUID.name}")
        status = _status(made.send_c_store(dataset), peer.words, "C-STORE")
    if status != SUCCESS and status not in WARNINGS:
        raise HospitalError(f"{peer.words} refuses the object with {status:#06x}")


def worklist(hospital: Hospital, peer: Peer, wanted: Dataset) -> list[Dataset]:
    """Return the items of a modality worklist that match, at most 500."""
    find = "1.2.840.10008.5.1.4.31"
    entity = _entity(hospital)
    entity.add_requested_context(find)
    found: list[Dataset] = []
    with _associated(hospital, entity, peer) as made:
        for answer, item in made.send_c_find(wanted, find):
            status = _status(answer, peer.words, "C-FIND")
            if status in PENDING and item is not None:
                found.append(item)
            elif status != SUCCESS:
                raise HospitalError(f"{peer.words} answers C-FIND with {status:#06x}")
            if len(found) >= MOST_ITEMS:
                break
    return found


DUPLICATE, PROCESSING_FAILURE, NO_LONGER = 0x0111, 0x0110, 0xA710
"""The instance is there already; a failure, and its error that the step is over."""

NOT_SENT = ("SOPClassUID", "SOPInstanceUID")
"""Of a report, what is the message's and not its content's."""


def report_step(hospital: Hospital, peer: Peer, step: Dataset) -> None:
    """Tell a peer of a performed procedure step: N-CREATE where it begins, N-SET where it ends.

    What was told before, and whose answer was lost, is told: a step that is there already, or over
    already when it is ended again, is no error.
    """
    content = Dataset()
    content.update({one.tag: one for one in step if one.keyword not in NOT_SENT})
    begins = step.PerformedProcedureStepStatus == "IN PROGRESS"
    entity = _entity(hospital)
    entity.add_requested_context(PERFORMED_STEP)
    with _associated(hospital, entity, peer) as made:
        tell = made.send_n_create if begins else made.send_n_set
        answer, _ = tell(content, PERFORMED_STEP, step_uid(step))
        status = _status(answer, peer.words, "MPPS")
    known = begins and status == DUPLICATE
    over = status == PROCESSING_FAILURE and answer.get("ErrorID") == NO_LONGER
    if status != SUCCESS and not known and not (over and not begins):
        raise HospitalError(f"{peer.words} refuses the performed step with {status:#06x}")


@dataclass
class Committed:
    """What peers have said of objects that they were asked to commit to: UIDs, by outcome."""

    kept: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)
    news: threading.Event = field(default_factory=threading.Event)

    def hear(self, event: Any) -> tuple[int, None]:
        """Take an N-EVENT-REPORT."""
        report = event.event_information
        for item in report.get("ReferencedSOPSequence", []):
            self.kept.add(str(item.ReferencedSOPInstanceUID))
        for item in report.get("FailedSOPSequence", []):
            self.refused[str(item.ReferencedSOPInstanceUID)] = int(item.get("FailureReason", 0))
        self.news.set()
        return SUCCESS, None


PUSH_MODEL, PUSH_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"


@contextlib.contextmanager
def listening(hospital: Hospital, heard: Committed) -> Iterator[None]:
    """Listen for answers on storage commitment at our port, if we have one."""
    if not hospital.port:
        yield
        return
    network = _pynetdicom()
    entity = _entity(hospital)
    entity.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
    entity.add_supported_context("1.2.840.10008.1.1")
    handlers = [(network.evt.EVT_N_EVENT_REPORT, heard.hear)]
    try:
        server = entity.start_server(
            ("", hospital.port), block=False, evt_handlers=handlers,
            ssl_context=at_our_port(hospital) if hospital.port_tls else None,
        )  # fmt: skip
    except OSError as error:
        raise HospitalError(f"port {hospital.port} of hospital.toml: {error.strerror}") from error
    try:
        yield
    finally:
        server.shutdown()


def ask_commitment(
    hospital: Hospital, peer: Peer, objects: Sequence[tuple[str, str]], heard: Committed
) -> None:
    """Ask a peer to commit to objects (SOP class, SOP instance); what it says comes to ``heard``,
    on this association within 2 s or later at our port."""
    network, entity = _pynetdicom(), _entity(hospital)
    entity.add_requested_context(PUSH_MODEL)
    asked = Dataset()
    asked.TransactionUID = _new_uid()
    asked.ReferencedSOPSequence = [_reference(*one) for one in objects]
    handlers = [(network.evt.EVT_N_EVENT_REPORT, heard.hear)]
    heard.news.clear()
    with _associated(hospital, entity, peer, handlers) as made:
        answer, _ = made.send_n_action(asked, 1, PUSH_MODEL, PUSH_INSTANCE)
        status = _status(answer, peer.words, "the request of storage commitment")
        if status != SUCCESS:
            raise HospitalError(f"{peer.words} answers storage commitment with {status:#06x}")
        heard.news.wait(2.0)


def _new_uid() -> str:
    from pydicom.uid import generate_uid

    return str(generate_uid(prefix=None))


def _reference(sop_class: str, sop_instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
    return item
