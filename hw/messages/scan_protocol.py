"""Scan protocols: what is decided once about a kind of scan, and repeated from run to run.

A protocol has a name and a version; what was saved under both never changes. It says which nuclide
and tracer it is for, which windows and sorting settings differ from the scanner's own, how the live
image is made, and what ends the run. It travels whole in the command that arms a run, and stands
whole in the run's configuration.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from hw.messages.live_settings import LiveSettings
from hw.messages.sort_settings import (
    EnergyKeV,
    EnergyWindow,
    Policy,
    SettingsError,
    Sides,
    WindowPs,
)

Words = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
ProtocolName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
ProtocolVersion = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
OrbitText = Annotated[str, msgspec.Meta(max_length=40, pattern=r"^[a-z0-9:./+-]*$")]
"""As ``hw/scanner/orbit.py`` reads it, ``step:32x10s`` for instance; "" leaves it to the source."""

LONGEST_S = 864_000.0

DurationS = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_S)]
EndCounts = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
NoisePercent = Annotated[float, msgspec.Meta(ge=0, le=100)]


class RunUntil(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ends a run: the first of these that is reached. 0: not by it; all 0: until stopped.

    duration_s : detector time
    counts : prompts; of single photons, those in photopeak windows
    noise_percent : the noise of the live image, at or below which it is enough
    """

    duration_s: DurationS = 0.0
    counts: EndCounts = 0
    noise_percent: NoisePercent = 0.0

    def words(self) -> str:
        """Return what ends the run, as a person says it: ``ends after 600 s or 8 % noise``."""
        parts = []
        if self.duration_s:
            parts.append(f"{self.duration_s:g} s")
        if self.counts:
            parts.append(f"{self.counts:,} counts")
        if self.noise_percent:
            parts.append(f"{self.noise_percent:g} % noise")
        return f"ends after {' or '.join(parts)}" if parts else "goes on until stopped"


class SortChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sorting settings that differ from the scanner's own; None leaves a value as it is.

    They mean what they mean in ``SortSettings``. ``windows`` replace those on the nuclide's lines.
    """

    lld_keV: EnergyKeV | None = None
    uld_keV: EnergyKeV | None = None
    window_ps: WindowPs | None = None
    delay_ps: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000_000)] | None = None
    delay_windows: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None
    delay_sides: Sides | None = None
    policy: Policy | None = None
    min_sector_difference: Annotated[int, msgspec.Meta(ge=0)] | None = None
    triples: bool | None = None
    windows: tuple[EnergyWindow, ...] | None = None

    def given(self) -> dict[str, Any]:
        """Return what is not None, as plain values by name."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in plain.items() if value is not None}


class ScanProtocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a protocol.

    version : counted from 1 as it is saved again
    title : what it is, in a line
    modality : of the scanners that it is for
    scanners : names of these; () for all of the modality
    nuclide : such as F-18; "" leaves it to the run
    tracer : such as FDG, for people; never a person's data
    until : what ends the run
    orbit : how the scanner moves, ``fixed:30``, ``step:32x10s`` or ``turn:6deg/s``; "" as it is
        set at the scanner
    sorting : windows and sorting settings
    live : window, frames, attenuation and corrections of the live image. An activity calibration is
        the instrument's, not the protocol's
    """

    name: ProtocolName
    version: ProtocolVersion = 1
    title: Words = ""
    modality: Literal["PET", "SPECT"]
    scanners: Annotated[tuple[Words, ...], msgspec.Meta(max_length=100)] = ()
    nuclide: Words = ""
    tracer: Words = ""
    until: RunUntil = RunUntil()
    orbit: OrbitText = ""
    sorting: SortChanges = SortChanges()
    live: LiveSettings = LiveSettings()

    def __post_init__(self) -> None:
        if self.live.activity:
            raise SettingsError(
                f"protocol {self.name}: live.activity = {self.live.activity!r} belongs to an "
                "instrument: leave it out, and give --live-activity where the run is begun"
            )
        if self.orbit and self.modality == "PET":
            raise SettingsError(
                f"protocol {self.name}: orbit = {self.orbit!r}: a PET scanner stands still: leave "
                "it out"
            )
        if self.until.noise_percent and self.modality == "SPECT":
            raise SettingsError(
                f"protocol {self.name}: until.noise_percent = {self.until.noise_percent:g}: the "
                "live image of single photons tells no noise; end the run by duration or counts"
            )

    @property
    def label(self) -> str:
        """Name and version, as ``fdg-brain v2``."""
        return f"{self.name} v{self.version}"
