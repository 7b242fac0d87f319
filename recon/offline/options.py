"""What a reconstruction is asked for, in one value that is written into the image's metadata."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from hw.messages.corrections import PET_NAMES
from recon.core.frames import check_frames
from recon.core.grid import ReconError
from recon.em.stopping import Stopping

Algorithm = Literal["osem", "mlem", "bsrem"]
SubsetsBy = Literal["time", "angle"]
Prior = Literal["none", "rdp"]
Attenuation = Literal["map", "contour", "mlaa", "none"]
Scatter = Literal["sss", "energy", "none"]


class OptionsError(ReconError):
    """An option out of bounds; says which, its value and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class ReconOptions:
    """Algorithm, corrections, frames and what the image is to be quantified with.

    algorithm : osem; mlem is one subset; bsrem converges to the penalised maximum
    subsets_by : what is split into subsets: time, or the directions of the lines
    beta : strength of the prior
    psf_fwhm_mm : width of a Gaussian resolution model, 0 for none
    psf_detector : resolution model from the crystals' geometry instead, which varies in the image
    stop : rule to stop early, "noise=0.1" or "change=0.01"; "" for none
    tof : use the measured time differences, where the scanner has time of flight
    decay, dead_time, randoms, normalisation, calibration : corrections, on where they are possible
    block_efficiency : of the photons stopped, count the share that is read in the energy window
    attenuation : by the run's µ map; by a head contour found in the image; by MLAA (TOF); or not
    contour_beyond_mm : how far the head reaches beyond what the tracer shows
    scatter : single-scatter simulation; by the two energies; or not
    frames : (start, end) in s since the run's start; () for the whole run
    decay_reference_s : the time to which activity is corrected, s since the run's start
    require : names of corrections without which there is to be no image
    memory_MB : events beyond it are kept in a file
    """

    algorithm: Algorithm = "osem"
    iterations: int = 4
    subsets: int = 8
    subsets_by: SubsetsBy = "time"
    prior: Prior = "none"
    beta: float = 0.01
    psf_fwhm_mm: float = 0.0
    psf_detector: bool = False
    stop: str = ""
    tof: bool = True
    post_filter_fwhm_mm: float = 0.0
    decay: bool = True
    dead_time: bool = True
    randoms: bool = True
    normalisation: bool = True
    calibration: bool = True
    block_efficiency: bool = True
    attenuation: Attenuation = "map"
    contour_beyond_mm: float = 0.0
    scatter: Scatter = "sss"
    frames: tuple[tuple[float, float], ...] = ()
    decay_reference_s: float = 0.0
    require: tuple[str, ...] = ()
    threads: int = 2
    memory_MB: float = 2000.0
    scratch: Path | None = None

    def __post_init__(self) -> None:
        bounds: dict[str, tuple[float, float]] = {
            "iterations": (1, 1000),
            "subsets": (1, 1000),
            "beta": (0, 1e6),
            "psf_fwhm_mm": (0, 100),
            "post_filter_fwhm_mm": (0, 100),
            "contour_beyond_mm": (0, 50),
            "threads": (1, 1024),
            "memory_MB": (1, 1e9),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise OptionsError(f"{name} = {value:g}: must lie in {least:g}..{most:g}")
        self._check_words()
        if (self.algorithm == "bsrem") != (self.prior != "none"):
            raise OptionsError(
                f"algorithm = {self.algorithm} with prior = {self.prior}: bsrem, and it alone, "
                "needs a prior: say algorithm bsrem with prior rdp and beta, or neither"
            )
        if self.attenuation == "mlaa" and not self.tof:
            raise OptionsError("attenuation = mlaa without tof: MLAA needs the times of flight")
        if not math.isfinite(self.decay_reference_s):
            raise OptionsError(f"decay_reference_s = {self.decay_reference_s}: must be finite")
        for name in self.require:
            if name not in PET_NAMES:
                raise OptionsError(
                    f"require: no correction {name}; there are {', '.join(PET_NAMES)}"
                )
        if self.stop:
            Stopping.parse(self.stop)
        if self.frames:
            check_frames(self.frames)

    def _check_words(self) -> None:
        words = {
            "algorithm": Algorithm,
            "subsets_by": SubsetsBy,
            "prior": Prior,
            "attenuation": Attenuation,
            "scatter": Scatter,
        }
        for name, known in words.items():
            if getattr(self, name) not in get_args(known):
                raise OptionsError(
                    f"{name} = {getattr(self, name)!r}: there are {', '.join(get_args(known))}"
                )

    def as_metadata(self) -> dict[str, Any]:
        """Return plain values: all that the image depends on."""
        left_out = {"threads", "memory_MB", "scratch", "frames"}
        values = asdict(self)
        return {one.name: values[one.name] for one in fields(self) if one.name not in left_out}

    @property
    def algorithm_words(self) -> str:
        """The algorithm in words."""
        name = {"osem": "OSEM", "mlem": "MLEM", "bsrem": "BSREM"}[self.algorithm]
        subsets = 1 if self.algorithm == "mlem" else self.subsets
        words = f"list-mode {name}, {self.iterations} iterations x {subsets} subsets"
        if self.prior != "none":
            words += f", {self.prior} prior, beta {self.beta:g}"
        if self.psf_detector:
            words += ", resolution of the detectors"
        elif self.psf_fwhm_mm:
            words += f", resolution {self.psf_fwhm_mm:g} mm"
        return words
