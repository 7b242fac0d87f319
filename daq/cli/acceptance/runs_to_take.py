"""Which runs an acceptance test needs of a scanner: phantom, activity, duration, and the command.

Positions and activities are the standards' as far as the scanner holds them. ``share`` shortens all
runs alike, for the emulator.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from daq.cli.common import CommandError
from hw.scanner.description import Scanner

PARTS = {
    "nu2": ("sensitivity", "count-rates", "accuracy", "tof", "resolution", "image-quality"),
    "nu4": ("sensitivity", "count-rates", "resolution", "image-quality"),
}
"""Parts of each standard, in the order of the report."""

OFF_AXIS_MM = 100.0
"""NU 2, 5: the second place of the line."""

CLEARANCE_MM = 12.0
"""Free radius that a line in five sleeves needs beside its place."""

SENSITIVITY_MBQ, SENSITIVITY_S = 2.0, 60.0
RATES_MBQ = (0.5, 2.0, 6.0, 20.0, 60.0, 120.0, 200.0, 290.0, 420.0)
MOUSE_MBQ = (0.5, 2.0, 10.0, 40.0, 100.0, 200.0, 400.0)
LEAST_S = 0.05
"""Shortest run: ten frames of every module."""

DECAYS_A_RATE = 1e8
"""At each activity: of the order of the 500,000 prompts that the standards ask for."""

POINT_MBQ, POINT_S = 1.0, 60.0
POINTS_MM = {"nu2": (10.0, 100.0, 200.0), "nu4": (0.0, 5.0, 10.0, 15.0, 25.0)}
QUALITY_MBQ, QUALITY_S = 5.0, 120.0
MOUSE_QUALITY_MBQ, MOUSE_QUALITY_S = 3.7, 1200.0
STEPPED_MBQ, STEPPED_S, STEPS = 0.3, 60.0, 9
CUBE_MM = 10.0


@dataclass(frozen=True)
class PlannedRun:
    """A run to take, for one part or several.

    phantom : name with its numbers, as the emulator takes it
    activity_MBq : at the start
    """

    parts: tuple[str, ...]
    name: str
    phantom: str
    nuclide: str
    activity_MBq: float
    duration_s: float

    def arguments(self, preset: str, runs: str) -> list[str]:
        """Return the arguments of ``tomoshibi`` that make it with the emulator."""
        return [
            "demo", "--headless", "--fast", "--live-frames", "0", "--preset", preset,
            "--phantom", self.phantom, "--nuclide", self.nuclide,
            "--activity-MBq", f"{self.activity_MBq:g}", "--duration", f"{self.duration_s:g}",
            "--runs", runs, "--name", self.name,
        ]  # fmt: skip

    def as_result(self) -> dict[str, Any]:
        """Return as plain values, for JSON."""
        return {
            "parts": list(self.parts), "run": self.name, "phantom": self.phantom,
            "nuclide": self.nuclide, "activity_MBq": self.activity_MBq,
            "duration_s": self.duration_s,
        }  # fmt: skip


def runs_to_take(standard: str, scanner: Scanner, *, share: float = 1.0) -> list[PlannedRun]:
    """Return the runs that a standard needs of a scanner.

    Raises
    ------
    CommandError
        for a SPECT scanner: both standards are for PET.
    """
    if scanner.modality != "PET":
        raise CommandError(
            f"{scanner.name} is a SPECT scanner; NEMA NU 2 and NU 4 are for PET: name a PET preset"
        )
    planned = _nu2(scanner) if standard == "nu2" else _nu4(scanner)
    return [
        PlannedRun(one.parts, one.name, one.phantom, one.nuclide, one.activity_MBq,
                   max(LEAST_S, round(one.duration_s * share, 3)))
        for one in planned
    ]  # fmt: skip


def _nu2(scanner: Scanner) -> list[PlannedRun]:
    places = [y for y in (0.0, OFF_AXIS_MM) if y + CLEARANCE_MM < scanner.bore_mm]
    found = [
        PlannedRun(("sensitivity",), f"nu2-line-{y:g}mm-{sleeves}",
                   f"nema-line:sleeves={sleeves},y_mm={y:g}", "F-18", SENSITIVITY_MBQ,
                   SENSITIVITY_S)
        for y in places
        for sleeves in range(1, 6)
    ]  # fmt: skip
    found += _rates("nu2", "nema-scatter", RATES_MBQ, ("count-rates", "accuracy", "tof"))
    found += _points("nu2", scanner, scanner.axial_mm * 3 / 8)
    found.append(
        PlannedRun(("image-quality",), "nu2-quality", "nema-quality", "F-18", QUALITY_MBQ,
                   QUALITY_S)
    )  # fmt: skip
    return found


def _nu4(scanner: Scanner) -> list[PlannedRun]:
    half = scanner.axial_mm / 2 * (1 - 1 / STEPS)
    steps = [half * (2 * k / (STEPS - 1) - 1) for k in range(STEPS)]
    found = [
        PlannedRun(("sensitivity",), f"nu4-point-{number}",
                   f"nema-point:z_mm={z:.4g},cube_mm={CUBE_MM:g}", "Na-22", STEPPED_MBQ, STEPPED_S)
        for number, z in enumerate(steps, 1)
    ]  # fmt: skip
    found += _rates("nu4", "nema-mouse-scatter", MOUSE_MBQ, ("count-rates",))
    found += _points("nu4", scanner, scanner.axial_mm / 4)
    found.append(
        PlannedRun(("image-quality",), "nu4-quality", "nema-mouse-quality", "F-18",
                   MOUSE_QUALITY_MBQ, MOUSE_QUALITY_S)
    )  # fmt: skip
    return found


def _rates(
    standard: str, phantom: str, activities: tuple[float, ...], parts: tuple[str, ...]
) -> list[PlannedRun]:
    return [
        PlannedRun(parts, f"{standard}-rates-{mbq:g}MBq", phantom, "F-18", mbq, DECAYS_A_RATE
                   / mbq / 1e6)
        for mbq in activities
    ]  # fmt: skip


def _points(standard: str, scanner: Scanner, off_centre_mm: float) -> list[PlannedRun]:
    more, nuclide = (f",cube_mm={CUBE_MM:g}", "Na-22") if standard == "nu4" else ("", "F-18")
    image = scanner.image
    field = min(image.shape[k] * image.voxel_mm[k] / 2 for k in (0, 1))
    return [
        PlannedRun(("resolution",), f"{standard}-point-{y:g}mm-{z:.0f}mm",
                   f"nema-point:y_mm={y:g},z_mm={z:.4g}{more}", nuclide, POINT_MBQ, POINT_S)
        for z in (0.0, off_centre_mm)
        for y in POINTS_MM[standard]
        if y < min(scanner.bore_mm, field) - 5.0
    ]  # fmt: skip


def plan_text(standard: str, planned: list[PlannedRun], *, preset: str, runs: str) -> str:
    """Return the plan for a terminal: a table, the emulator's commands, and the judgement's."""
    rows = [("run", "parts", "phantom", "nuclide", "MBq", "s")]
    rows += [
        (one.name, ", ".join(one.parts), one.phantom, one.nuclide, f"{one.activity_MBq:g}",
         f"{one.duration_s:g}")
        for one in planned
    ]  # fmt: skip
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
             for row in rows]  # fmt: skip
    lines += ["", "with the emulator:"]
    lines += ["  tomoshibi " + shlex.join(one.arguments(preset, runs)) for one in planned]
    lines += ["", "then:", "  " + judging_command(standard, planned, runs=runs)]
    return "\n".join(lines)


def judging_command(standard: str, planned: list[PlannedRun], *, runs: str) -> str:
    """Return the command that judges these runs."""
    words = ["tomoshibi", "acceptance", standard, "--runs", shlex.quote(runs)]
    for part in PARTS[standard]:
        names = [one.name for one in planned if part in one.parts]
        words += [f"--{part}", *map(shlex.quote, names)] if names else []
    return " ".join([*words, "--report", f"{standard}.pdf"])
