"""A parametric map (Patlak's, wash-out's, …) as DICOM's Parametric Map (PS3.3 A.75): float, with
what a value is and its unit; nothing is rounded to 16 bits."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from recon.core.grid import Image
from recon.exchange.images.dicom_parts import RESEARCH, content_hash
from recon.exchange.images.patient_axes import lps_planes
from recon.hospital.objects.common import SCHEME, About, as_ours, highdicom

UNITS = {"1/s": ("/s", "per second"), "1": ("1", "no units"), "Bq/mL": ("Bq/ml", "Bq/ml"),
         "SUV": ("g/ml{SUVbw}", "SUVbw")}  # fmt: skip


def parametric_map(image: Image, about: About, *, name: str) -> Dataset:
    """Return a map as an object.

    Parameters
    ----------
    image : [x, y, z]
    about : the map as an image: patient, study and geometry are taken from there
    name : of the map, such as patlak-slope
    """
    hd = highdicom()
    content = content_hash(image, name)
    value, meaning = UNITS.get(about.facts.unit, ("1", about.facts.unit[:64] or "no units"))
    low, high = float(image.min()), float(image.max())
    made = hd.pm.ParametricMap(
        source_images=about.planes(),
        pixel_array=np.ascontiguousarray(lps_planes(image), np.float32),
        series_instance_uid=about.uid("parametric series", content),
        series_number=903,
        sop_instance_uid=about.uid("parametric map", content),
        instance_number=1,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[hd.pm.RealWorldValueMapping(
            lut_label="1", lut_explanation=name[:64],
            unit=hd.sr.CodedConcept(value, "UCUM", meaning),
            value_range=(low, high), slope=1.0, intercept=0.0,
            quantity_definition=hd.sr.CodedConcept(name[:16], SCHEME, name[:64]),
        )],
        voi_lut_transformations=[hd.VOILUTTransformation(
            window_center=(low + high) / 2, window_width=max(high - low, 1e-30),
            voi_lut_function="LINEAR_EXACT",
        )],
        content_label="MAP",
        content_description=name[:64],
        series_description=f"{RESEARCH}{name}"[:64],
        **about.equipment(),
        **about.geometry(),
    )  # fmt: skip
    for frame in made.PerFrameFunctionalGroupsSequence:  # the planes are no objects of a peer's
        if "DerivationImageSequence" in frame:
            del frame.DerivationImageSequence
    for keyword in ("ReferencedSeriesSequence", "SourceImageEvidenceSequence"):
        if keyword in made:
            delattr(made, keyword)
    made.Laterality = ""
    return as_ours(made, about)
