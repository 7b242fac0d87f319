"""Regions of an image as a DICOM segmentation (PS3.3 A.51): a segment a region, of whole voxels.

A voxel belongs to a region if half of it or more lies inside: binary, which viewers take. What is
measured (:mod:`recon.hospital.objects.measurements`) counts by share, so a small region's volume in
a viewer may differ from that of the report, which is right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from hw.regions import Region, regions_to_json, shares
from recon.core.grid import Image
from recon.exchange.images.dicom_parts import RESEARCH, content_hash
from recon.exchange.images.patient_axes import lps_planes
from recon.hospital.objects.common import About, as_ours, highdicom
from recon.hospital.peers import HospitalError

MOST_SEGMENTS = 64


def region_masks(regions: Sequence[Region], image: Image, about: About) -> npt.NDArray[np.uint8]:
    """Return (planes, rows, columns, regions) of 0 and 1; raises HospitalError for an empty one."""
    grid = about.grid
    axes = tuple(np.asarray(axis).reshape(-1) for axis in grid.axes_mm())
    masks = []
    for region in regions:
        block, share = shares(region, (axes[0], axes[1], axes[2]), image)
        mask = np.zeros(grid.shape, np.float32)
        mask[block] = share >= 0.5
        if not mask.any():
            raise HospitalError(f"region {region.name} fills no voxel to a half: too small to send")
        masks.append(lps_planes(mask).astype(np.uint8))
    return np.stack(masks, axis=-1)


def segmentation(regions: Sequence[Region], image: Image, about: About) -> Dataset:
    """Return the regions as an object.

    Parameters
    ----------
    regions : of the run, at least one
    image : [x, y, z], which thresholds look at
    about : the image as it was sent
    """
    if not 0 < len(regions) <= MOST_SEGMENTS:
        raise HospitalError(f"{len(regions)} regions: 1 to {MOST_SEGMENTS} can be sent")
    hd = highdicom()
    content = content_hash(image, regions_to_json(regions).decode())
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=region.name[:64],
            segmented_property_category=codes.SCT.SpatialAndRelationalConcept,
            segmented_property_type=hd.sr.CodedConcept("111099", "DCM", "Selected region"),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
            tracking_uid=about.uid("region", region.name, content),
            tracking_id=region.name[:64],
        )
        for number, region in enumerate(regions, 1)
    ]
    made = hd.seg.Segmentation(
        source_images=about.planes(),
        pixel_array=region_masks(regions, image, about),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        series_instance_uid=about.uid("segmentation series", content),
        series_number=901,
        sop_instance_uid=about.uid("segmentation", content),
        instance_number=1,
        content_label="REGIONS",
        content_description="regions of interest, drawn by a person",
        series_description=f"{RESEARCH}regions",
        omit_empty_frames=True,
        **about.equipment(),
        **about.geometry(),
    )
    return as_ours(made, about)
