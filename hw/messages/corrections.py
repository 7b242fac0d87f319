"""The list of image corrections, for metadata, messages, options, console and DICOM alike.

A new one needs a record here and the code that applies it. The records live here because every room
names corrections; a test checks that the code is where the record says.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CorrectionKind:
    """A correction that an image may have.

    name : its name in metadata, messages and options
    offline, live, spect : what applies it in a PET reconstruction, in the live image, for single
        photons (below ``recon``); "" for nothing
    without : what happens if ``reconstruct --no-NAME`` leaves it out; "": no such option
    switch : whether ``--live-off`` can leave it out of a live image
    dicom_pet, dicom_nm : defined term of corrected image (0028,0051); "" for none. In PET files
        MOTN is the gantry's motion, which nothing here corrects, and PMOT the patient's
    """

    name: str
    offline: str = ""
    live: str = ""
    spect: str = ""
    without: str = ""
    switch: bool = False
    dicom_pet: str = ""
    dicom_nm: str = ""


_LIVE = "live.corrections.LiveCorrections"
_Kind = CorrectionKind
# fmt: off
CORRECTIONS = (
    _Kind("sensitivity", offline="em.sensitivity_cache.sensitivity",
          live="em.sensitivity_cache.sensitivity", spect="spect.osem.SpectOsem"),
    _Kind("block_efficiency", offline="core.event_location.Detection",
          live="core.event_location.Detection", without="count every photon that a block stops"),
    _Kind("attenuation", offline="offline.line_corrections.mu_map", live=_LIVE,
          spect="spect.projector.SpectProjector", dicom_pet="ATTN", dicom_nm="ATTN"),
    _Kind("randoms", offline="offline.line_corrections.randoms_rate",
          live="live.lines.CrystalLines", without="leave randoms in", switch=True,
          dicom_pet="RAN"),
    _Kind("scatter", offline="offline.scatter_step.scatter_rate", live=_LIVE,
          spect="spect.scatter", switch=True, dicom_pet="SCAT", dicom_nm="SCAT"),
    _Kind("prompt_gamma", offline="offline.prompt_gamma_step.prompt_gammas", live=_LIVE,
          switch=True, without="leave in the coincidences with γ of the same decay"),
    _Kind("positron_range", offline="offline.range_step.range_blur",
          without="leave the way of the positrons out of the resolution model"),
    _Kind("normalisation", offline="offline.line_corrections.line_factors", live=_LIVE,
          without="take all crystals as equal", switch=True, dicom_pet="NORM", dicom_nm="UNIF"),
    _Kind("dead_time", offline="offline.line_corrections.line_factors",
          live="live.time_window.WindowBooks", spect="spect.views.ViewSet",
          without="take detector time as live time", switch=True,
          dicom_pet="DTIM", dicom_nm="DTIM"),
    _Kind("decay", offline="offline.image_series.Quantifier", live="live.time_window.WindowBooks",
          spect="spect.views.ViewCounter", switch=True,
          without="leave the mean activity of each frame as it is",
          dicom_pet="DECY", dicom_nm="DECY"),
    _Kind("motion", offline="offline.motion.MovingLineModel", dicom_pet="PMOT"),
    _Kind("calibration", offline="offline.image_series.Quantifier", live=_LIVE,
          spect="spect.offline.in_Bq_per_mL", without="leave the image in emissions/s/mL",
          switch=True, dicom_pet="DCAL"),
    _Kind("collimator_response", spect="spect.response", dicom_nm="COLL"),
)
# fmt: on

PET_NAMES = tuple(kind.name for kind in CORRECTIONS if kind.offline)
"""Corrections of a PET image, in the order in which they are told."""

SWITCHES = tuple(kind.name for kind in CORRECTIONS if kind.switch)
"""Corrections of a live image, made where the run has what they need unless switched off."""


def label_of(name: str) -> str:
    """Return a correction's name as shown to people."""
    return name.replace("_", " ")
