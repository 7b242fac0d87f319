"""What was measured in regions as a structured report: TID 1500, a group a region, each with its
segment; and in words what the image was corrected for, what not, and how good the run was.

Activity concentration has no code of its own in DICOM: it has one of ours, SUV has DICOM's. The
noise of a mean by counting is its standard error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from recon.analysis.regions import RegionValues
from recon.exchange.images.dicom_parts import MANUFACTURER, RESEARCH
from recon.exchange.images.patient_axes import NOT_FOR_DIAGNOSIS
from recon.hospital.objects.common import SCHEME, About, as_ours, highdicom

LONGEST = 1000
_STATED = (("mean", "373098007", "Mean"), ("sd", "386136009", "Standard Deviation"),
           ("least", "255605001", "Minimum"), ("most", "56851009", "Maximum"))  # fmt: skip


def remarks(facts: Mapping[str, Any], summary: Mapping[str, Any], qc: str) -> list[str]:
    """Return what must be known with the figures, in words.

    Parameters
    ----------
    facts : of the image
    summary : of the run, {} without one
    qc : the scanner's last quality control, "" where there is none
    """
    corrections = facts.get("corrections") or {}
    done = [name for name, said in corrections.items() if _applied(said)]
    not_done = [name for name, said in corrections.items() if not _applied(said)]
    condition = str(summary.get("condition") or "not known")
    why = "; ".join(map(str, summary.get("conditions") or ()))
    return [
        f"corrected for: {', '.join(done) or 'nothing'}",
        f"NOT corrected for: {', '.join(not_done) or 'nothing known'}",
        f"run: {condition}{f' ({why})' if why else ''}",
        f"quality control: {qc or 'none on record'}",
        NOT_FOR_DIAGNOSIS,
    ]


def _applied(said: Any) -> bool:
    return bool(said.get("applied")) if isinstance(said, Mapping) else bool(said)


def measurement_report(
    about: About,
    segments: Dataset,
    values: Sequence[RegionValues],
    said: Sequence[str],
) -> Dataset:
    """Return the report.

    Parameters
    ----------
    about : the image
    segments : its regions (:func:`recon.hospital.objects.segmentation.segmentation`)
    values : of each segment, in their order
    said : remarks, a text each
    """
    hd = highdicom()
    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=about.uid("program"), name=MANUFACTURER, manufacturer_name=MANUFACTURER
        ),
    )
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=_procedure(hd, about),
        imaging_measurements=[
            _group(hd, about, segments, number, one) for number, one in enumerate(values, 1)
        ],
        title=codes.DCM.ImagingMeasurementReport,
    )
    for words in said:
        report[0].ContentSequence.append(hd.sr.TextContentItem(
            name=codes.DCM.Comment, value=words[:LONGEST],
            relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
        ))  # fmt: skip
    words = repr((values, list(said), str(segments.SOPInstanceUID)))
    made = hd.sr.Comprehensive3DSR(
        evidence=[*about.objects, segments],
        content=report[0],
        series_instance_uid=about.uid("report series", words),
        series_number=902,
        sop_instance_uid=about.uid("report", words),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        series_description=f"{RESEARCH}measurements",
    )
    return as_ours(made, about)


def _procedure(hd: Any, about: About) -> Any:
    if about.objects[0].Modality == "PT":
        return hd.sr.CodedConcept("44139-4", "LN", "PET Unspecified body region Views")
    return hd.sr.CodedConcept("25061-3", "LN", "SPECT Unspecified body region")


def _group(hd: Any, about: About, segments: Dataset, number: int, one: RegionValues) -> Any:
    segment = segments.SegmentSequence[number - 1]
    first = about.objects[0]
    source = hd.sr.SourceImageForSegmentation(first.SOPClassUID, first.SOPInstanceUID)
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=segment.TrackingUID, identifier=segment.TrackingID
        ),
        referenced_segment=hd.sr.ReferencedSegment(
            segments.SOPClassUID, segments.SOPInstanceUID, number, source_images=[source]
        ),
        finding_type=hd.sr.CodedConcept("111099", "DCM", "Selected region"),
        measurements=_measurements(hd, about, one),
    )


def _measurements(hd: Any, about: About, one: RegionValues) -> list[Any]:
    name, unit = _quantity(hd, about.facts.unit)
    found = [hd.sr.Measurement(
        name=codes.SCT.Volume, value=one.volume_mL,
        unit=hd.sr.CodedConcept("mL", "UCUM", "milliliter"),
    )]  # fmt: skip
    for field, code, meaning in _STATED:
        derivation = hd.sr.CodedConcept(code, "SCT", meaning)
        found.append(hd.sr.Measurement(name=name, value=float(getattr(one, field)), unit=unit,
                                       derivation=derivation))  # fmt: skip
    if one.sigma is not None:
        error = hd.sr.CodedConcept("standard-error", SCHEME, "Standard error of the mean")
        found.append(hd.sr.Measurement(name=name, value=one.sigma, unit=unit, derivation=error))
    return found


def _quantity(hd: Any, unit: str) -> tuple[Any, Any]:
    """Return codes of what an image shows, and of its unit."""
    if unit == "SUV":
        return (
            hd.sr.CodedConcept("126401", "DCM", "SUVbw"),
            hd.sr.CodedConcept("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight"),
        )
    if unit == "Bq/mL":
        return (
            hd.sr.CodedConcept("activity-conc", SCHEME, "Activity concentration"),
            hd.sr.CodedConcept("Bq/ml", "UCUM", "Becquerels per milliliter"),
        )
    return (hd.sr.CodedConcept("voxel-value", SCHEME, "Value of a voxel"),
            hd.sr.CodedConcept("1", "UCUM", "no units"))  # fmt: skip
