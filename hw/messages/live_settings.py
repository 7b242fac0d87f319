"""How a run is imaged while it lasts: the time window, dynamic frames, and what is corrected.

These settings may change during the run, so they are not part of what was measured; they travel
with the announcement of the run, which is repeated, so that a restarted imager receives them.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from hw.messages.corrections import SWITCHES
from hw.messages.sort_settings import SettingsError

WindowKind = Literal["grow", "slide", "forget"]
AttenuationFrom = Literal["auto", "map", "contour", "none"]
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 1.0, 86_400.0
WINDOW_HINT = "write grow, slide:60s (the last 60 s) or forget:30s (half-life 30 s)"

_WINDOW = re.compile(r"^(slide|forget):(\d+(?:\.\d+)?)s?$")


class TimeWindow(msgspec.Struct, frozen=True):
    """The events that an image is made of.

    kind : "grow" all since the start; "slide" the last ``seconds``; "forget" all, with weights that
        halve every ``seconds``
    """

    kind: WindowKind = "grow"
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> TimeWindow:
        """Return the window that ``text`` describes; raises SettingsError with the valid forms."""
        if text == "grow":
            return cls()
        found = _WINDOW.match(text)
        if not found:
            raise SettingsError(f"live window {text!r}: {WINDOW_HINT}")
        seconds = float(found[2])
        if not SHORTEST_WINDOW_S <= seconds <= LONGEST_WINDOW_S:
            raise SettingsError(
                f"live window {text!r}: must last {SHORTEST_WINDOW_S:g} s to "
                f"{LONGEST_WINDOW_S:g} s; {WINDOW_HINT}"
            )
        kind: WindowKind = "slide" if found[1] == "slide" else "forget"
        return cls(kind, seconds)

    def __str__(self) -> str:
        return self.kind if self.kind == "grow" else f"{self.kind}:{self.seconds:g}s"


class LiveSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the imager is asked for.

    window : as :meth:`TimeWindow.parse` reads it
    frame_s : length of the short dynamic frames beside the image; 0 for none
    attenuation : "map" the run's µ map, "contour" a head found in the early image, "auto" the map
        if the run has one, "none" no correction
    off : corrections to leave out
    activity : path of an activity calibration, "" for none: the image then stays in emissions/s/mL
    """

    window: str = "grow"
    frame_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 10.0
    attenuation: AttenuationFrom = "auto"
    off: tuple[str, ...] = ()
    activity: str = ""

    def __post_init__(self) -> None:
        TimeWindow.parse(self.window)
        for name in self.off:
            if name not in SWITCHES:
                raise SettingsError(f"off: no correction {name!r}; there are {', '.join(SWITCHES)}")
        if 0 < self.frame_s < 1:
            raise SettingsError(f"frame_s = {self.frame_s:g}: a frame lasts 1 s or more; 0: none")

    @property
    def time_window(self) -> TimeWindow:
        """The window, parsed."""
        return TimeWindow.parse(self.window)

    def wants(self, correction: str) -> bool:
        """Whether a correction is wanted if it is possible."""
        return correction not in self.off
