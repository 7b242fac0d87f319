"""The measurements of ``tomoshibi analyse``, as text, as JSON and as sections of its report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from daq.cli.common import CommandError
from daq.cli.images.measured_phantom import phantom_parts
from hw.messages.corrections import label_of
from hw.regions import Region, RegionError
from recon.analysis.contrast import Sphere, Warm, sphere_contrasts
from recon.analysis.picture import Picture, Triple
from recon.analysis.plots import draw_contrasts, draw_profiles, draw_slices, draw_uniformity
from recon.analysis.point_width import point_widths
from recon.analysis.profile import Profile, axis_profile
from recon.analysis.regions import measure
from recon.analysis.report import Section, Table
from recon.analysis.uniformity import uniformity
from recon.exchange.scan_facts import is_applied

TOLD = (
    "algorithm",
    "scanner",
    "run",
    "duration_s",
    "prompts",
    "prompts_used",
    "post_filter_fwhm_mm",
)
"""The image's metadata that the report repeats; corrections are listed separately."""

WIDEST_MM = 10_000.0

SIGMA = "σ: of the mean, by counting noise, from images of parts of the events. SD: of the voxels."
NO_SIGMA = "No σ of the means: beside this image are no images of parts of its events (.noise.npz)."


class Measures:
    """Collects sections and results, measure by measure."""

    def __init__(self, picture: Picture, path: Path) -> None:
        self.picture = picture
        self.sections: list[Section] = []
        self.result: dict[str, Any] = {"image": str(path), "unit": picture.unit}

    def text(self) -> str:
        """Return everything measured, for a terminal."""
        return "\n\n".join(_as_text(section) for section in self.sections)

    def describe(self, rois: list[Region]) -> None:
        """The image itself: size, extremes, corrections by its metadata, slices."""
        picture = self.picture
        values = picture.values
        size = " × ".join(str(n) for n in values.shape)
        voxel = " × ".join(f"{mm:g}" for mm in picture.voxel_mm)
        at = picture.place_mm(np.unravel_index(int(values.argmax()), values.shape))
        rows = [
            ["voxels", f"{size} of {voxel} mm"],
            ["unit", picture.unit or "not told"],
            ["greatest value", f"{_short(values.max())} at {_place(at)} mm"],
            *([["noise (σ of a voxel / mean)", f"{100 * picture.parts.relative(values):.1f} %"]]
              if picture.parts is not None else []),
            ["sum × volume", _short(values.sum() * picture.voxel_volume_mL)],
            *([key, _short(picture.metadata[key])] for key in TOLD if key in picture.metadata),
            *self._corrections(),
        ]  # fmt: skip
        self.result |= {"maximum": float(values.max()), "maximum_mm": at}
        plot = draw_slices(picture, _shown_place(picture, rois), rois)
        self.sections.append(Section("Image", tables=[Table(["", ""], rows)], plots=[plot]))

    def review(self, words: str) -> None:
        """What became of the run, and who signed it; ``words`` is empty where nobody did."""
        told = words or "not reviewed: nobody has signed this run"
        self.sections.append(Section("Review", [told]))
        self.result["review"] = words

    def _corrections(self) -> list[list[str]]:
        told = self.picture.metadata.get("corrections")
        if not isinstance(told, dict):
            return [["corrected", "not told by this image"]]
        done = [label_of(name) for name, state in told.items() if is_applied(state)]
        left = [label_of(name) for name, state in told.items() if not is_applied(state)]
        return [
            ["corrected", ", ".join(done) or "nothing"],
            ["not corrected", ", ".join(left) or "nothing"],
        ]

    def point(self, place: str) -> None:
        """A point source's widths."""
        near = triple(place, "--point") if place else None
        found = point_widths(self.picture, near_mm=near)
        rows = [
            [axis, f"{where:.2f}", f"{fwhm:.2f}", f"{fwtm:.2f}"]
            for axis, where, fwhm, fwtm in zip(
                "xyz", found.place_mm, found.fwhm_mm, found.fwtm_mm, strict=True
            )
        ]
        table = Table(["axis", "place, mm", "FWHM, mm", "FWTM, mm"], rows)
        through = [axis_profile(self.picture, axis, found.place_mm) for axis in "xyz"]
        plot = draw_profiles(through, self.picture.unit)
        words = ["By NEMA NU 2-2018, section 3.4."]
        self.sections.append(Section("Point source", words, [table], [plot]))
        self.result["point"] = asdict(found)

    def phantom(self, name: str) -> None:
        """The phantom's spheres and its warm cylinder."""
        warm, spheres = phantom_parts(name)
        if spheres:
            self._spheres(spheres, warm)
        else:
            self._uniform(warm)

    def _spheres(self, spheres: list[Sphere], warm: Warm) -> None:
        found = sphere_contrasts(self.picture, spheres, warm)
        rows = [
            [f"{one.diameter_mm:g}", f"{100 * one.recovery:.1f}", f"{100 * one.variability:.1f}",
             _short(one.mean), _short(one.background), str(one.discs)]
            for one in found
        ]  # fmt: skip
        head = ["diameter, mm", "recovery, %", "variability, %", "mean", "background", "discs"]
        words = ["Contrast recovery and background variability, after NEMA NU 2-2018, section 7."]
        section = Section("Spheres", words, [Table(head, rows)], [draw_contrasts(found)])
        self.sections.append(section)
        self.result["spheres"] = [asdict(one) for one in found]

    def uniform(self, text: str) -> None:
        """The warm cylinder of ``--warm``."""
        try:
            place, size = text.split(":")
            diameter, length = (float(word) for word in size.split(","))
        except ValueError as error:
            raise CommandError(
                f"--warm {text}: needs x,y,z:DIAMETER,LENGTH in mm, such as 0,0,0:200,150"
            ) from error
        self._uniform(Warm(triple(place, "--warm"), diameter, length))

    def _uniform(self, warm: Warm) -> None:
        found = uniformity(self.picture, warm)
        rows = [
            ["mean", _short(found.mean)],
            ["noise (SD of voxels / mean)", f"{100 * found.noise:.2f} %"],
            ["worst ring", f"{100 * found.worst_ring:.2f} %"],
            ["worst slice", f"{100 * found.worst_slice:.2f} %"],
        ]
        words = ["Within 80 % of the radius and 10 mm from the ends of the warm cylinder."]
        plot = draw_uniformity(found)
        self.sections.append(Section("Evenness", words, [Table(["", ""], rows)], [plot]))
        self.result["uniformity"] = {
            "mean": found.mean,
            "noise": found.noise,
            "worst_ring": found.worst_ring,
            "worst_slice": found.worst_slice,
        }

    def regions(self, regions: list[Region], *, kept: list[Region] | None = None) -> None:
        """Values in regions, with σ of their means; of those ``kept`` in the run, which may not fit
        this image, it is said why there are none."""
        found, reasons = [measure(region, self.picture) for region in regions], []
        for region in kept or []:
            try:
                found.append(measure(region, self.picture))
            except RegionError as error:
                reasons.append(f"Not measured: {error}.")
        rows = [
            [one.name, f"{one.volume_mL:.2f}", _with_sigma(one.mean, one.sigma), _short(one.sd),
             f"{100 * one.variation:.1f}", _short(one.least), _short(one.most)]
            for one in found
        ]  # fmt: skip
        head = ["region", "mL", "mean ± σ", "SD", "SD/mean, %", "least", "greatest"]
        words = [SIGMA if self.picture.parts is not None else NO_SIGMA]
        tables = [Table(head, rows)] if rows else []
        self.sections.append(Section("Regions", words + reasons, tables=tables))
        self.result["regions"] = [asdict(one) for one in found]

    def profiles(self, texts: list[str]) -> None:
        """Values along lines."""
        found = [self._profile(text) for text in texts]
        words = [
            f"Along {one.axis} through {_place(one.through_mm)} mm, {one.width_mm:g} mm wide."
            for one in found
        ]
        plot = draw_profiles(found, self.picture.unit)
        self.sections.append(Section("Profiles", words, plots=[plot]))
        self.result["profiles"] = [
            {"axis": one.axis, "through_mm": one.through_mm, "place_mm": one.place_mm.tolist(),
             "value": one.value.tolist()} for one in found
        ]  # fmt: skip

    def _profile(self, text: str) -> Profile:
        axis, _, rest = text.partition(":")
        place, _, width = rest.partition(":")
        try:
            across = float(width) if width else 0.0
        except ValueError:
            across = -1.0
        if axis not in ("x", "y", "z") or not 0 <= across <= WIDEST_MM:
            raise CommandError(
                f"--profile {text}: needs AXIS:x,y,z or AXIS:x,y,z:WIDTH in mm, such as x:0,30,0:10"
            )
        return axis_profile(self.picture, axis, triple(place, "--profile"), width_mm=across)


def triple(text: str, option: str) -> Triple:
    """Return the three numbers of ``x,y,z``; CommandError names the option otherwise."""
    try:
        x, y, z = (float(word) for word in text.split(","))
        if not np.isfinite((x, y, z)).all():
            raise ValueError(text)
    except ValueError as error:
        raise CommandError(f"{option} {text}: needs a place x,y,z in mm, such as 0,30,0") from error
    return x, y, z


def _shown_place(picture: Picture, regions: list[Region]) -> Triple:
    """The first region, or the centre of gravity of the bright voxels."""
    if regions:
        return regions[0].centre_mm
    bright = np.where(picture.values > 0.2 * picture.values.max(), picture.values, 0)
    total = float(bright.sum())
    if total <= 0:
        return picture.place_mm((np.array(picture.values.shape) - 1) / 2)
    at = [
        float((bright.sum(axis=tuple(k for k in range(3) if k != axis)) @ np.arange(n)) / total)
        for axis, n in enumerate(bright.shape)
    ]
    return picture.place_mm(at)


def _with_sigma(mean: float, sigma: float | None) -> str:
    return _short(mean) if sigma is None else f"{_short(mean)} ± {sigma:.2g}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _place(place: Triple) -> str:
    return ", ".join(f"{mm:.1f}" for mm in place)


def _as_text(section: Section) -> str:
    lines = [section.title, *section.words]
    for table in section.tables:
        rows = [table.head, *table.rows] if any(table.head) else table.rows
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines += [
            "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
    return "\n".join(lines)
