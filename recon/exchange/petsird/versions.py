"""PETSIRD's versions: each reader takes files of its own schema only, and says so of all others.

A header is made as 0.12 has it (:mod:`recon.exchange.petsird.header`) and said in the words of an
older version here. Blocks of coincidences have the same bytes in all of them. Schemas are those of
the PyPI packages 0.9.1, 0.10.0, 0.11.1 and 0.12.0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recon.exchange.petsird.yardl import Schema

NEWEST = "0.12"
VERSIONS = (NEWEST, "0.11", "0.10", "0.9")
SCHEMA_PATH = Path(__file__).with_name("petsird_schema.json")

_EQUIPMENT = "patientEquipmentRelationshipCodeSequence"
_GANTRY = "patientGantryRelationshipCodeSequence"
_EXAM_0_9 = ("subject", "institution", "protocol", "startOfAcquisition", "externalSignals")
_KINDS = ("single", "prompt", "delayed", "triple", "quadruple")


def schema_of(version: str) -> Schema:
    """Return a version's schema."""
    older = SCHEMA_PATH.with_name(f"petsird_schema_{version}.json")
    return Schema((SCHEMA_PATH if version == NEWEST else older).read_text(encoding="utf-8"))


def header_as(header: dict[str, Any], version: str) -> dict[str, Any]:
    """Return a header of 0.12 as an older version has it; what that has no place for is left."""
    place = VERSIONS.index(version)
    for step in (_as_0_11, _as_0_10, _as_0_9)[:place]:
        header = step(header)
    return header


def _without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}


def _as_0_11(header: dict[str, Any]) -> dict[str, Any]:
    return {**header, "scanner": _without(header["scanner"], "moduleSinglesUnitIdxLUTs")}


def _as_0_10(header: dict[str, Any]) -> dict[str, Any]:
    exam = header["exam"]
    lay = exam["patientOrientation"]
    lies = {
        "anatomicalOrientationType": "BIPED",
        **_without(lay, _GANTRY),
        _EQUIPMENT: lay[_GANTRY],
    }
    subject = {"name": None, "id": exam["patient"]["patientID"]}
    institution = {"name": "", "address": ""}
    return {
        "scanner": _without(header["scanner"], "collimatorType"),
        "exam": {
            **exam, "patientOrientation": lies, "subject": subject, "institution": institution,
        },
    }  # fmt: skip


def _as_0_9(header: dict[str, Any]) -> dict[str, Any]:
    """Return 0.9's: flags for what is stored beside policies without a "none", a table of module
    pairs that is square, and no pair efficiencies where they are not written out."""
    scanner, exam = dict(header["scanner"]), {**header["exam"], "protocol": None}
    for kind in _KINDS:
        policy = scanner[f"{kind}EventPolicy"]
        scanner[f"{kind}EventsAreStored"] = policy > 0
        scanner[f"{kind}EventPolicy"] = max(0, policy - 1)
    found = dict(scanner["detectionEfficiencies"])
    found["modulePairSGIDLUT"] = [[_square(found["modulePairSGIDLUT"][0][0])]]
    (pairs,) = found["modulePairEfficienciesVectors"][0][0]
    found["modulePairEfficienciesVectors"] = (
        [[[{**pairs, "values": np.asarray(pairs["values"])}]]] if len(pairs["values"]) else None
    )
    scanner["detectionEfficiencies"] = found
    return {"scanner": scanner, "exam": {name: exam[name] for name in _EXAM_0_9}}


def _square(lower: list[list[int]]) -> np.ndarray:
    """Return the whole symmetric table of a lower triangle."""
    n = len(lower)
    table = np.array([[*row, *[0] * (n - len(row))] for row in lower], np.int32)
    return np.tril(table) + np.tril(table, -1).T
