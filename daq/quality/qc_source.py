"""The source in a QC's run, as a person names it or as the run's labels do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from daq.calibration.coincidence_pairs import Position, SourceShape
from daq.errors import RunError
from daq.folder.run_config import RunConfig
from hw.messages.phantom_name import split_name

SourceName = Literal["point", "line", "cylinder", "lutetium", "flood"]
OF_MODALITY: dict[str, tuple[SourceName, ...]] = {
    "PET": ("point", "line", "cylinder", "lutetium"),
    "SPECT": ("flood",),
}
NAMED: dict[str, SourceName] = {
    "point": "point", "nema-point": "point", "line": "line", "nema-line": "line",
    "cylinder": "cylinder",
}  # fmt: skip
"""Phantoms of the emulator that are good for a QC; a file whose name begins with ``flood``, too."""


@dataclass(frozen=True)
class QcSource:
    """name : its kind; words : its description; position_mm : of its middle."""

    name: SourceName
    words: str
    position_mm: Position = (0.0, 0.0, 0.0)

    @property
    def shape(self) -> SourceShape:
        """How the flight times of its pairs are computed."""
        return "point" if self.name == "point" else "cylinder"

    @property
    def extended(self) -> bool:
        """Whether its extent widens the pairs' time differences."""
        return self.name == "cylinder"


def source_of(config: RunConfig, asked: str = "", position_mm: Position | None = None) -> QcSource:
    """Return the source of a run.

    Parameters
    ----------
    asked : the source as a person says; "" for what the run's labels say
    position_mm : its middle; None for that of the labels, or the scanner's

    Raises
    ------
    RunError
        if the labels name none that a QC takes, or the scanner is not for the one asked for.
    """
    label = str(config.labels.get("phantom") or "")
    base, numbers = split_name(label)
    name = asked or _named(base)
    takes = OF_MODALITY[config.scanner().modality]
    one_of = " or ".join(takes)
    if not name:
        told = f"its phantom was {label!r}" if label else "it does not say what stood there"
        raise RunError(
            f"a QC takes a run of a {one_of}, and of this one {told}: measure "
            "such a one, or say what it was with --source"
        )
    if name not in takes:
        raise RunError(f"source {name}: a QC of this scanner takes a {one_of}")
    place = position_mm or _place(numbers)
    return QcSource(name, asked or label, place)


def _named(base: str) -> str:
    if Path(base).stem.startswith("flood"):
        return "flood"
    return NAMED.get(base, "")


def _place(numbers: dict[str, Any]) -> Position:
    x, y, z = (float(numbers.get(f"{axis}_mm", 0.0)) for axis in "xyz")
    return x, y, z
