"""Every correction of an image, once: metadata, messages, options, console and DICOM name it so.

A new one is a record here and its doers. The records lie here because every room names corrections;
doers are told by where they are defined (a test looks whether they are there).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CorrectionKind:
    """A correction that an image may have.

    name : in metadata, messages and options
    offline, live : what does it in a PET reconstruction, and in the live image; "" for nothing
    spect : what does it for single photons; "" for nothing
    without : what is done where ``reconstruct --no-NAME`` leaves it out; "": no such option
    switch : whether ``--live-off`` leaves it out of a live image
    dicom_pet, dicom_nm : defined term of corrected image (0028,0051); "" for none
    """

    name: str
    offline: str = ""
    live: str = ""
    spect: str = ""
    without: str = ""
    switch: bool = False
    dicom_pet: str = ""
    dicom_nm: str = ""


CORRECTIONS = (
    CorrectionKind(
        "sensitivity",
        offline="recon.em.sensitivity_cache.sensitivity",
        live="recon.em.sensitivity_cache.sensitivity",
        spect="recon.spect.osem.SpectOsem",
    ),
    CorrectionKind(
        "block_efficiency",
        offline="recon.core.event_location.Detection",
        live="recon.core.event_location.Detection",
        without="count every photon that a block stops",
    ),
    CorrectionKind(
        "attenuation",
        offline="recon.offline.line_corrections.mu_map",
        live="recon.live.corrections.LiveCorrections",
        spect="recon.spect.projector.SpectProjector",
        dicom_pet="ATTN",
        dicom_nm="ATTN",
    ),
    CorrectionKind(
        "randoms",
        offline="recon.offline.line_corrections.randoms_rate",
        live="recon.live.lines.CrystalLines",
        without="leave randoms in",
        switch=True,
        dicom_pet="RAN",
    ),
    CorrectionKind(
        "scatter",
        offline="recon.offline.scatter_step.scatter_rate",
        live="recon.live.corrections.LiveCorrections",
        spect="recon.spect.scatter",
        switch=True,
        dicom_pet="SCAT",
        dicom_nm="SCAT",
    ),
    CorrectionKind(
        "normalisation",
        offline="recon.offline.line_corrections.line_factors",
        live="recon.live.corrections.LiveCorrections",
        without="take all crystals as equal",
        switch=True,
        dicom_pet="NORM",
        dicom_nm="UNIF",
    ),
    CorrectionKind(
        "dead_time",
        offline="recon.offline.line_corrections.line_factors",
        live="recon.live.time_window.WindowBooks",
        spect="recon.spect.views.ViewSet",
        without="take detector time as live time",
        switch=True,
        dicom_pet="DTIM",
        dicom_nm="DTIM",
    ),
    CorrectionKind(
        "decay",
        offline="recon.offline.image_series.Quantifier",
        live="recon.live.time_window.WindowBooks",
        spect="recon.spect.views.ViewCounter",
        without="leave the mean activity of each frame as it is",
        switch=True,
        dicom_pet="DECY",
        dicom_nm="DECY",
    ),
    CorrectionKind("motion", offline="recon.offline.motion.MovingLineModel", dicom_pet="MOTN"),
    CorrectionKind(
        "calibration",
        offline="recon.offline.image_series.Quantifier",
        live="recon.live.corrections.LiveCorrections",
        spect="recon.spect.offline.in_Bq_per_mL",
        without="leave the image in emissions/s/mL",
        switch=True,
        dicom_pet="DCAL",
    ),
    CorrectionKind("collimator_response", spect="recon.spect.response", dicom_nm="COLL"),
)

PET_NAMES = tuple(kind.name for kind in CORRECTIONS if kind.offline)
"""Corrections of a PET image, in the order in which they are told."""

SWITCHES = tuple(kind.name for kind in CORRECTIONS if kind.switch)
"""Corrections of a live image that are made where the run has what they need, unless switched
off."""


def label_of(name: str) -> str:
    """Return a correction's name in words."""
    return name.replace("_", " ")
