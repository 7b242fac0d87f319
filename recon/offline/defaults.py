"""What a reconstruction does where the user does not say: chosen by counts and scanner.

The choice, and why:

- *Algorithm*: penalised likelihood, BSREM with the relative-difference prior. It ends at an image
  that its prior's strength decides, not at the iteration at which somebody stopped; so a cold
  region can be iterated to its level without the noise of so many iterations. A user who names
  iterations, subsets or a stopping rule, but no algorithm, means the one that they shape: OSEM,
  plain, as it is in the textbook. A user who names osem or mlem alone has the rest chosen.
- *Density*: counts per voxel of the preset's cylindrical field decide, so that one table serves
  scanners of all sizes. Counts are prompts less randoms; time of flight counts as many more as it
  lowers the variance, D / (1.6 Δx) for a field of width D (T. F. Budinger, J. Nucl. Med. 24 (1983)
  73). A series of frames or gates has one choice, by the median of those that hold events: curves
  must not jump where a frame's length does.
- *Voxels*: half of what can be resolved. With many counts that is the detectors' width, for which
  the preset's voxels are made; with few counts noise decides, and voxels twice as wide lose
  nothing, are a quarter as noisy before any prior, and take less time.
- *Resolution model*: the detectors' width halfway to the field's edge and the voxel's own, added in
  quadrature. A wider one would make edges overshoot.
- *Prior*: β falls with the root of the density, and with the square of the voxels' size, over which
  a prior of neighbours smooths in mm. The penalty is relative to the counts
  (:mod:`recon.em.penalised`), so a fixed β resolves the same at any counts and leaves the noise of
  few; one that falls as 1/N would be Bayes' rule for one object, and rough at few counts. The root
  lets noise and resolution both gain from counts; with many, noise is low enough for resolution to
  gain alone, as 1/N.
- *Subsets and iterations*: subsets of some ten thousand events at least, else each one's noise
  shows; iterations until cold regions change no more, which takes more of them where the prior is
  weak. 8 subsets need fewer than one.
- *Post-filter*: only where no prior smooths: as wide as brings the noise near to what the prior
  leaves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from hw.physics.constants import LIGHT_MM_PER_PS
from hw.scanner.description import Scanner
from recon.core.detector_response import usual_fwhm_mm
from recon.offline.frame_counts import Counts
from recon.offline.options import Algorithm, ReconOptions

CHOSEN = (
    "algorithm", "iterations", "subsets", "prior", "beta", "psf_fwhm_mm", "voxel_mm",
    "post_filter_fwhm_mm",
)  # fmt: skip
"""Fields of :class:`ReconOptions` that are chosen where the user does not name them."""

SHAPED = ("iterations", "subsets", "stop")
"""Naming one of these without an algorithm means OSEM. Whoever sets how far OSEM or MLEM is
iterated gets it plain: the preset's voxels, no resolution model, no filter; nothing is chosen."""

PLAIN = ("osem", "mlem")

FEW_PER_VOXEL = 1.5
"""Counts per voxel of the preset below which voxels are twice as wide."""

BETA_AT_ONE, LEAST_BETA, MOST_BETA = 0.008, 0.0003, 0.05
"""β at one count per voxel of the preset, in voxels twice as wide, and its bounds."""

MANY_PER_VOXEL = 4.0
"""Counts per voxel of the preset from which β falls as one over the counts."""

PASSES, MORE_PASSES = 12, 24
"""Of BSREM: as many as bring a cold sphere of 28 mm to its level; the latter where counts are twice
``MANY_PER_VOXEL``."""

OSEM_PASSES, NEGML_PASSES = 4, 10
LEAST_PER_SUBSET, MOST_SUBSETS = 20_000, 16
FILTER_AT_ONE_MM, MOST_FILTER_MM = 6.0, 12.0
"""Post-filter at one count per voxel, and its bound; it falls with the sixth root of the counts."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, and for how many counts.

    counts : prompts less randoms of the run, or of the median of ``frames`` frames
    options : complete
    names : the fields that were chosen here
    """

    counts: float
    frames: int
    options: ReconOptions
    names: tuple[str, ...]

    @property
    def words(self) -> str:
        """What was chosen, in one line; "" if the user named everything."""
        of = f"{self.counts / 1e6:.2g} M counts"
        if self.frames > 1:
            of = f"{of} in the median of {self.frames} frames, one choice for all"
        parts = [_said(name, self.options) for name in self.names]
        said = ", ".join(part for part in parts if part)
        return f"{of}: {said}; name an option to choose otherwise" if said else ""

    def as_metadata(self) -> dict[str, Any]:
        """Return what was chosen, as plain values."""
        values = {name: getattr(self.options, name) for name in self.names}
        return {"counts": round(self.counts), "frames": self.frames, **values}


def by_counts(named: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields to choose by counts if a user names these: none where they shape OSEM."""
    if algorithm_meant(named) in PLAIN and any(named.get(name) for name in SHAPED):
        return ()
    by_detector = {"psf_fwhm_mm"} if named.get("psf_detector") else set()
    return tuple(name for name in CHOSEN if name not in {*named, *by_detector})


def algorithm_meant(named: Mapping[str, Any]) -> Algorithm:
    """Return the algorithm that these options mean: the one named, or the one that they shape."""
    if "algorithm" in named:
        return cast(Algorithm, named["algorithm"])
    if "prior" in named:
        return "osem" if named["prior"] == "none" else "bsrem"
    if "beta" in named:
        return "bsrem"
    return "osem" if any(named.get(name) for name in SHAPED) else "bsrem"


def choose(
    options: ReconOptions, parts: Sequence[Counts], delayed_factor: int, scanner: Scanner
) -> Choice:
    """Return the options with those of ``options.by_counts`` chosen.

    Parameters
    ----------
    parts : counts of each frame or gate
    delayed_factor : how often the delayed windows count the randoms
    """
    wanted = options.by_counts
    each = sorted(one.trues_per_s(delayed_factor) * one.seconds for one in parts if one.prompts)
    counts = each[len(each) // 2] if each else 0.0
    named = {name: getattr(options, name) for name in (*CHOSEN, "stop") if name not in wanted}
    algorithm = algorithm_meant(named)
    size = None
    if "voxel_mm" not in wanted:
        size = options.voxel_mm or tuple(scanner.image.voxel_mm)
    found = defaults(counts, scanner, algorithm=algorithm, voxel_mm=size, tof=options.tof)
    values = {name: found[name] for name in wanted} | {"algorithm": algorithm}
    made = replace(options, **values, by_counts=())
    silent = {"beta"} if algorithm != "bsrem" else set()
    return Choice(counts, len(each), made, tuple(one for one in wanted if one not in silent))


def density(counts: float, scanner: Scanner, *, tof: bool = True) -> float:
    """Return the effective counts per voxel of the cylinder in the preset's field."""
    across, along = scanner.image.shape[0], scanner.image.shape[2]
    gain = 1.0
    if tof and scanner.acquisition.tof:
        width_mm = across * scanner.image.voxel_mm[0]
        blur_mm = scanner.response.ctr_fwhm_ps * LIGHT_MM_PER_PS / 2
        gain = max(1.0, width_mm / (1.6 * blur_mm))
    return gain * max(counts, 1.0) / (math.pi / 4 * across**2 * along)


def voxels_mm(counts_per_voxel: float, scanner: Scanner) -> tuple[float, ...]:
    """Return the preset's voxel size, or twice it where counts are few."""
    factor = 2.0 if counts_per_voxel < FEW_PER_VOXEL else 1.0
    x, y, z = scanner.image.voxel_mm
    return (factor * x, factor * y, factor * z)


def defaults(
    counts: float,
    scanner: Scanner,
    *,
    algorithm: Algorithm = "bsrem",
    voxel_mm: tuple[float, ...] | None = None,
    tof: bool = True,
) -> dict[str, Any]:
    """Return all of :data:`CHOSEN` for a number of counts; see the module's docstring.

    Parameters
    ----------
    counts : prompts less randoms
    scanner : the preset: its field, voxels and time of flight
    algorithm : the one in use; iterations and subsets follow from it
    voxel_mm : edges of a voxel in mm where the user named them, else None
    tof : whether time of flight is used
    """
    dense = density(counts, scanner, tof=tof)
    size = voxel_mm or voxels_mm(dense, scanner)
    smooths = algorithm == "bsrem"
    penalised = MORE_PASSES if dense >= 2 * MANY_PER_VOXEL else PASSES
    passes = {"bsrem": penalised, "negml": NEGML_PASSES}.get(algorithm, OSEM_PASSES)
    subsets = max(1, min(MOST_SUBSETS, int(counts // LEAST_PER_SUBSET)))
    filter_mm = 0.0 if smooths else min(FILTER_AT_ONE_MM * dense ** (-1 / 6), MOST_FILTER_MM)
    return {
        "algorithm": algorithm,
        "iterations": passes,
        "subsets": subsets,
        "prior": "rdp" if smooths else "none",
        "beta": _beta(dense, max(size) / max(scanner.image.voxel_mm)),
        "psf_fwhm_mm": usual_fwhm_mm(scanner, size),
        "voxel_mm": size,
        "post_filter_fwhm_mm": round(filter_mm, 1),
    }


def _beta(dense: float, voxels: float) -> float:
    """Return the prior's strength, in voxels of so many of the preset's."""
    by_root = BETA_AT_ONE / math.sqrt(dense) * min(1.0, math.sqrt(MANY_PER_VOXEL / dense))
    in_wide = min(max(by_root, LEAST_BETA), MOST_BETA)
    return float(f"{in_wide * (2.0 / voxels) ** 2:.2g}")


def _said(name: str, options: ReconOptions) -> str:
    """Return one choice in words; "" where nothing is to be said."""
    value = getattr(options, name)
    if name == "voxel_mm":
        return f"voxels of {' x '.join(f'{one:g}' for one in sorted(set(value)))} mm"
    if name == "psf_fwhm_mm":
        return f"resolution model {value:g} mm"
    if name == "post_filter_fwhm_mm":
        return f"filter {value:g} mm" if value else ""
    plain = {
        "algorithm": value.upper() if isinstance(value, str) else "",
        "iterations": f"{value} iterations",
        "subsets": f"{value} subsets",
        "beta": f"prior of strength {value:.2g}" if isinstance(value, float) else "",
    }
    return plain.get(name, "")
