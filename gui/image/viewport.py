"""Which part of an image its linked views show: one magnification and one middle for all; no Qt."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_ZOOM = 16.0
STEP = 1.25
"""Of one step of the wheel, or of a key."""


@dataclass
class Viewport:
    """One for all views of an image, so that they stay linked.

    zoom : 1 shows the whole cut
    middle_mm : place along x, y and z that is in the middle of each view; 0 is the image's own
    """

    zoom: float = 1.0
    middle_mm: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    _extent_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def enter(self, extent_mm: tuple[float, float, float]) -> None:
        """Take the sizes of a new image along x, y and z; if they differ, show the whole image."""
        if extent_mm != self._extent_mm:
            self._extent_mm = extent_mm
            self.show_all()

    def show_all(self) -> None:
        """Show the whole image."""
        self.zoom = 1.0
        self.middle_mm = [0.0, 0.0, 0.0]

    def magnify(self, factor: float, place_mm: dict[int, float]) -> None:
        """Magnify so that these places, by axis, stay where they are on the screen."""
        zoom = min(MOST_ZOOM, max(1.0, self.zoom * factor))
        kept = self.zoom / zoom
        for axis, place in place_mm.items():
            self.middle_mm[axis] = place + kept * (self.middle_mm[axis] - place)
        self.zoom = zoom
        self._stay_inside()

    def shift(self, axis: int, by_mm: float) -> None:
        """Move what is shown along an axis."""
        self.middle_mm[axis] += by_mm
        self._stay_inside()

    def _stay_inside(self) -> None:
        """No edge of the image comes farther in than where it is when the whole is shown."""
        for axis, extent in enumerate(self._extent_mm):
            most = extent / 2 * (1 - 1 / self.zoom)
            self.middle_mm[axis] = min(most, max(-most, self.middle_mm[axis]))
