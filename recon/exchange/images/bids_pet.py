"""The keys that BIDS requires in a PET image's JSON (BIDS 1.10, rules.sidecars.pet), where known.

Time zero is the run's start. What is not known and may be "n/a" is; what must be a number or a word
(injected activity and its time, how it was given) is left out, and a validator says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from recon.exchange.images.dicom_parts import MANUFACTURER
from recon.exchange.scan_facts import NO_DATE, ScanFacts, nameable

NOT_KNOWN = "n/a"


def bids_keys(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a PET image; those of frames are :func:`write_nifti`'s."""
    facts = ScanFacts.of(nameable(metadata))
    filter_mm = facts.number("post_filter_fwhm_mm") or 0.0
    return {
        "Modality": "PT",
        "Manufacturer": MANUFACTURER,
        "ManufacturersModelName": facts.scanner,
        "Units": facts.unit,
        **_tracer(facts),
        **_times(facts),
        "AcquisitionMode": "list mode",
        "ImageDecayCorrected": "decay" in facts.applied,
        "ImageDecayCorrectionTime": facts.number("decay_reference_s") or 0.0,
        **_method(facts),
        "ReconFilterType": "Gaussian" if filter_mm > 0 else "none",
        **({"ReconFilterSize": filter_mm} if filter_mm > 0 else {}),
        "AttenuationCorrection": (facts.how.get("attenuation") or "applied")
        if "attenuation" in facts.applied
        else "none",
    }


def _tracer(facts: ScanFacts) -> dict[str, Any]:
    """Return what was given; mass and specific activity are recorded nowhere."""
    keys: dict[str, Any] = dict.fromkeys(
        ("InjectedMass", "InjectedMassUnits", "SpecificRadioactivity",
         "SpecificRadioactivityUnits"), NOT_KNOWN,
    )  # fmt: skip
    if facts.nuclide is not None:
        keys["TracerName"] = str(facts.more.get("tracer") or facts.nuclide.name)
        keys["TracerRadionuclide"] = facts.nuclide.name.replace("-", "")
    if (activity_Bq := facts.number("administered_activity_Bq")) is not None:
        keys["InjectedRadioactivity"] = activity_Bq * 1e-6
        keys["InjectedRadioactivityUnits"] = "MBq"
        keys["ModeOfAdministration"] = "bolus"  # one activity at one time is all that a study has
    return keys


def _times(facts: ScanFacts) -> dict[str, Any]:
    keys: dict[str, Any] = {"ScanStart": 0.0}
    if facts.created != NO_DATE:
        keys["TimeZero"] = f"{facts.created:%H:%M:%S}"
    if (injected_s := facts.number("injected_s")) is not None:
        keys["InjectionStart"] = injected_s
    return keys


def _method(facts: ScanFacts) -> dict[str, Any]:
    """Return the algorithm, and its numbers where there are some."""
    known = {}
    for name in ("iterations", "subsets"):
        value = facts.more.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            known[name] = value
    keys: dict[str, Any] = {
        "ReconMethodName": facts.algorithm,
        "ReconMethodParameterLabels": list(known) or ["none"],
    }
    if known:
        keys["ReconMethodParameterUnits"] = ["none"] * len(known)
        keys["ReconMethodParameterValues"] = list(known.values())
    return keys
