"""The options of a reconstruction, as one value that is written into the image's metadata."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from hw.messages.corrections import CORRECTIONS, PET_NAMES
from recon.core.asked import OptionsError, asked, check_options
from recon.core.field_of_view import place_mm, sizes_mm
from recon.core.frames import check_frames
from recon.core.noise_parts import PARTS
from recon.em.stopping import Stopping

WITHOUT = {kind.name: kind.without for kind in CORRECTIONS}

Algorithm = Literal["osem", "mlem", "bsrem", "negml"]
SubsetsBy = Literal["time", "angle"]
Prior = Literal["none", "rdp"]
Attenuation = Literal["map", "contour", "mlaa", "none"]
MuPose = Literal["zero", "reference"]
Scatter = Literal["sss", "energy", "none"]


def _psf(text: str) -> float | str:
    """Return a width in mm, or the keyword."""
    try:
        return text if text == "detector" else float(text)
    except ValueError:
        raise ArgumentTypeError(f'{text!r} is neither a width in mm nor "detector"') from None


def _correction(name: str, **facts: Any) -> Any:
    """Return the field of a correction, by default applied if possible."""
    return asked(True, WITHOUT[name], group="corrections", **facts)


@dataclass(frozen=True, kw_only=True)
class ReconOptions:
    """Algorithm, corrections, frames, and what is needed for quantification.

    Most fields are explained beside them; the others are:

    tof : use the measured time differences, if the scanner has time of flight
    psf_detector : resolution model from the crystals' geometry instead of ``psf_fwhm_mm``
    frames : (start, end) in s since the run's start; () for the whole run
    decay_reference_s : the time to which activity is corrected, s since the run's start
    scratch : folder for the temporary file
    by_counts : names of fields to be chosen by the counts (:mod:`recon.offline.defaults`), whatever
        value they have here
    """

    # fmt: off
    algorithm: Algorithm = asked(
        "osem", "bsrem maximises a penalised likelihood, negml allows negative values, so that "
        "cold regions are not biased (default: bsrem; with --iterations, --subsets or --stop "
        "alone osem, and nothing is chosen by counts)",
        by_counts=True)
    iterations: int = asked(
        4, "default: by algorithm; SPECT 4", modality="both", bounds=(1, 1000), by_counts=True)
    subsets: int = asked(
        8, "default: by counts; SPECT 8", modality="both", bounds=(1, 1000), by_counts=True)
    subsets_by: SubsetsBy = asked("time", "what the subsets divide (default: %(default)s)")
    prior: Prior = asked(
        "none", "rdp: relative differences of neighbours (default: with bsrem)", by_counts=True)
    beta: float = asked(
        0.01, "strength of the prior: 0.003 light, 0.02 strong (default: by counts)",
        bounds=(0, 1e6), by_counts=True)
    psf_fwhm_mm: float = asked(
        0.0, "resolution model: a Gaussian of this FWHM, or what follows from the crystals "
        "(default: by detectors and voxels; 0 for none)", option="psf", metavar="MM|detector",
        bounds=(0, 100), parse=_psf, by_counts=True)
    psf_detector: bool = False
    positron_range: bool = _correction("positron_range")
    stop: str = asked(
        "", "stop early: noise=0.1, change=0.01, both with a comma, or counts (where the two "
        "halves of the counts agree best; three times the time)", metavar="RULE")
    tof: bool = asked(
        True, "leave time of flight out (it misleads on a scanner whose times are not calibrated)")
    voxel_mm: tuple[float, ...] = asked(
        (), "voxel size, one number or three (default: by counts, the preset's or twice it)",
        group="field", metavar="MM", parse=sizes_mm, by_counts=True)
    fov_mm: tuple[float, ...] = asked(
        (), "field of view, one number or x,y,z; a smaller one is cut out of the whole (default: "
        "the preset's)", group="field", metavar="MM", parse=sizes_mm)
    centre_mm: tuple[float, ...] = asked(
        (), "its centre in the scanner's frame, to half a voxel (default: 0,0,0)", group="field",
        metavar="X,Y,Z", parse=place_mm)
    over_mm: float = asked(
        0.0, "iterate on a grid that reaches so far beyond the preset's field, at most to the "
        "crystals: for activity beside the field (default: %(default)g)", group="field",
        metavar="MM", bounds=(0, 500))
    post_filter_fwhm_mm: float = asked(
        0.0, "Gaussian post-filter (default: none with a prior and for SPECT, else by counts)",
        modality="both", option="fwhm_mm", metavar="MM", bounds=(0, 100), by_counts=True)
    decay: bool = _correction("decay", modality="both")
    dead_time: bool = _correction("dead_time", modality="both")
    randoms: bool = _correction("randoms")
    prompt_gamma: bool = _correction("prompt_gamma")
    normalisation: bool = _correction("normalisation")
    calibration: bool = _correction("calibration")
    block_efficiency: bool = _correction("block_efficiency")
    attenuation: Attenuation = asked(
        "map", "by the run's µ map, a head contour found in the image, or MLAA (needs time of "
        "flight) (default: %(default)s)", group="corrections", modality="both")
    contour_beyond_mm: float = asked(
        0.0, "how far the head reaches beyond the visible uptake: about 13 for a tracer seen only "
        "in the brain (default: %(default)g)", group="corrections", metavar="MM", bounds=(0, 50))
    scatter: Scatter = asked(
        "sss", "single-scatter simulation, or by the two energies (default: %(default)s)",
        group="corrections", modality="both")
    mu_pose: MuPose = asked(
        "zero", "with --poses, the pose in which the µ map shows the object: all zeros, and then "
        "it is moved to that of --pose-reference, or that one already (default: %(default)s)",
        group="corrections")
    scatter_per_frame: bool = asked(
        False, "find the scatter of each frame from its own image, for a tracer that moves: takes "
        "scatter's time for each (default: the run's, scaled)", group="corrections")
    frames: tuple[tuple[float, float], ...] = ()
    decay_reference_s: float = 0.0
    require: tuple[str, ...] = asked(
        (), "make no image without this correction; repeatable: " + ", ".join(PET_NAMES),
        group="corrections", modality="both", metavar="NAME", choices=PET_NAMES)
    noise_parts: int = asked(
        PARTS, "images of so many parts of the events, to tell the noise of each region; 0 for "
        "none, which takes half the time (default: %(default)s)", metavar="N", bounds=(0, 64))
    threads: int = asked(2, "default: %(default)s", modality="both", bounds=(1, 1024))
    memory_MB: float = asked(
        2000.0, "events beyond this go to a temporary file (default: %(default)g)", metavar="MB",
        bounds=(1, 1e9))
    scratch: Path | None = None
    by_counts: tuple[str, ...] = ()
    # fmt: on

    def __post_init__(self) -> None:
        check_options(self)
        if self.settled("algorithm", "prior") and (self.algorithm == "bsrem") != (
            self.prior != "none"
        ):
            raise OptionsError(
                f"algorithm = {self.algorithm} with prior = {self.prior}: bsrem, and it alone, "
                "needs a prior: say algorithm bsrem with prior rdp and beta, or neither"
            )
        if self.attenuation == "mlaa" and not self.tof:
            raise OptionsError("attenuation = mlaa without tof: MLAA needs time of flight")
        if self.scatter_per_frame and self.scatter != "sss":
            raise OptionsError(
                f"scatter_per_frame with scatter = {self.scatter}: it needs scatter = sss"
            )
        if not math.isfinite(self.decay_reference_s):
            raise OptionsError(f"decay_reference_s = {self.decay_reference_s}: must be finite")
        if self.stop:
            Stopping.parse(self.stop)
            if self.algorithm == "negml" and Stopping.parse(self.stop).counts:
                raise OptionsError(
                    "stop = counts with algorithm = negml: negative values have no likelihood; "
                    "use noise=0.1 or change=0.01"
                )
        if self.frames:
            check_frames(self.frames)

    def settled(self, *names: str) -> bool:
        """Whether none of these fields is still to be chosen by counts."""
        return not any(name in self.by_counts for name in names)

    def as_metadata(self) -> dict[str, Any]:
        """Return as plain values all that the image depends on."""
        left_out = {"noise_parts", "threads", "memory_MB", "scratch", "frames", "by_counts"}
        values = asdict(self)
        return {one.name: values[one.name] for one in fields(self) if one.name not in left_out}

    @property
    def has_resolution(self) -> bool:
        """Whether a resolution model is asked for."""
        return self.psf_detector or self.psf_fwhm_mm > 0

    @property
    def algorithm_words(self) -> str:
        """The algorithm in words."""
        name = {"osem": "OSEM", "mlem": "MLEM", "bsrem": "BSREM", "negml": "NEGML"}[self.algorithm]
        subsets = 1 if self.algorithm == "mlem" else self.subsets
        words = f"list-mode {name}, {self.iterations} iterations x {subsets} subsets"
        if self.prior != "none":
            words += f", {self.prior} prior, beta {self.beta:g}"
        if self.psf_detector:
            words += ", resolution of the detectors"
        elif self.psf_fwhm_mm:
            words += f", resolution {self.psf_fwhm_mm:g} mm"
        return words
