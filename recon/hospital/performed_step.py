"""Modality performed procedure step (PS3.4 F.7): a run is begun, and completed or discontinued.

Both reports wait in the outbox as files of their own, so that a power loss loses neither: the
step's UID and ``.1`` for its beginning, ``.2`` for its end. The UID follows from the run and its
study, so that telling twice is telling once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from recon.exchange.images.dicom_parts import set_identity
from recon.exchange.scan_facts import ScanFacts

SOP_CLASS = "1.2.840.10008.3.1.2.3.3"

Stored = tuple[str, str, str]
"""SOP class, SOP instance and series of an object that the run gave out."""


def begun(facts: ScanFacts, *, station: str, modality: str) -> Dataset:
    """Return the report that a run began (N-CREATE), with all that F.7.2.1 asks for."""
    made = _report(facts, ".1")
    made.PerformedProcedureStepStatus = "IN PROGRESS"
    set_identity(made, facts)
    for name in ("PatientIdentityRemoved", "DeidentificationMethod"):
        if name in made:
            delattr(made, name)
    made.ReferencedPatientSequence = []
    made.ScheduledStepAttributesSequence = [_scheduled(facts)]
    made.PerformedProcedureStepID = facts.uid("step", facts.run, facts.created)[-16:]
    made.PerformedStationAETitle, made.PerformedStationName = station, facts.scanner[:16]
    made.PerformedLocation = ""
    made.PerformedProcedureStepStartDate = f"{facts.created:%Y%m%d}"
    made.PerformedProcedureStepStartTime = f"{facts.created:%H%M%S}"
    made.PerformedProcedureStepDescription = made.PerformedProcedureTypeDescription = ""
    made.PerformedProcedureStepEndDate = made.PerformedProcedureStepEndTime = ""
    made.ProcedureCodeSequence, made.PerformedProtocolCodeSequence = [], []
    made.Modality, made.StudyID, made.PerformedSeriesSequence = modality, "", []
    return made


def ended(
    facts: ScanFacts,
    *,
    duration_s: float,
    completed: bool,
    objects: Sequence[Stored],
    protocol: str,
) -> Dataset:
    """Return the report that a run ended (N-SET).

    Parameters
    ----------
    facts : of the run, as far as the peer may know them
    duration_s : from the run's start to its end
    completed : or else it was broken off
    objects : what the run gave out
    protocol : the run's, by name
    """
    made, end = _report(facts, ".2"), facts.created + dt.timedelta(seconds=duration_s)
    made.PerformedProcedureStepStatus = "COMPLETED" if completed else "DISCONTINUED"
    made.PerformedProcedureStepEndDate = f"{end:%Y%m%d}"
    made.PerformedProcedureStepEndTime = f"{end:%H%M%S}"
    by_series: dict[str, list[Stored]] = {}
    for one in objects:
        by_series.setdefault(one[2], []).append(one)
    if not by_series:  # the standard asks for one at least: the series that nothing came of
        by_series[facts.uid("series", "none")] = []
    made.PerformedSeriesSequence = [
        _series(uid, found, protocol) for uid, found in by_series.items()
    ]
    return made


def _report(facts: ScanFacts, suffix: str) -> Dataset:
    """Return a report's file; UIDs of ours have 44 digits at most, which leaves room."""
    made, uid = Dataset(), facts.uid("performed step", facts.run, facts.created)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = UID(SOP_CLASS)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = UID(uid + suffix)
    made.SpecificCharacterSet = "ISO_IR 192"
    return made


def step_uid(report: Dataset) -> str:
    """Return the UID of the step that a report is about."""
    return str(report.SOPInstanceUID)[:-2]


def _scheduled(facts: ScanFacts) -> Dataset:
    """Return what the worklist said, as far as the peer may know it."""
    known, made = facts.more.get("identity") or {}, Dataset()
    made.StudyInstanceUID, made.ReferencedStudySequence = facts.study_uid, []
    made.AccessionNumber = str(known.get("accession_number") or "")
    made.RequestedProcedureID = str(known.get("procedure_id") or "")
    made.ScheduledProcedureStepID = str(known.get("step_id") or "")
    made.RequestedProcedureDescription = made.ScheduledProcedureStepDescription = ""
    made.ScheduledProtocolCodeSequence = []
    return made


def _series(uid: str, objects: Sequence[Stored], protocol: str) -> Dataset:
    made = Dataset()
    made.SeriesInstanceUID, made.ProtocolName = uid, protocol or "none"
    made.PerformingPhysicianName = made.OperatorsName = ""
    made.SeriesDescription = made.RetrieveAETitle = ""
    made.ReferencedImageSequence = [_reference(*one[:2]) for one in objects]
    made.ReferencedNonImageCompositeSOPInstanceSequence = []
    return made


def _reference(sop_class: str, sop_instance: str) -> Dataset:
    made = Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = sop_class, sop_instance
    return made
