"""Three linked views of one image: cuts or maximum intensity projections, one magnification.

A second image (a µ map, an earlier image) may lie beneath: a cut shows both, mixed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from pyqtgraph.Qt import QtCore

from gui.image.outlines import outline
from gui.image.slice_views import Marks, SliceView
from gui.image.slices import PLANES, Plane, centre_mm, cut, maximum_along
from gui.image.viewport import STEP, Viewport
from gui.kit.colour_maps import Image, mixed, to_levels
from hw.messages.patient_position import PatientPosition
from hw.regions import Region

Table = npt.NDArray[np.uint32]
Triple = tuple[float, float, float]


class LinkedViews(QtCore.QObject):
    """The views by the planes' names; who shows them lays them out, and has them drawn here.

    moved : axis and index that the user chose in one of them
    windowed : factor by which the user changes the upper end of the window
    single : name of the plane that alone is to be shown, "" for all three
    mip : whether projections are shown in place of cuts
    beneath : a second image on the same voxels, scaled 0..1, in ``beneath_table``'s colours
    share : of the image itself in the mixture, 0..1
    """

    moved = QtCore.Signal(int, int)
    windowed = QtCore.Signal(float)
    arranged = QtCore.Signal()

    def __init__(self, viewport: Viewport | None = None) -> None:
        """Make the views; ``viewport``: one that they share with those of another image."""
        super().__init__()
        self.viewport = viewport or Viewport()
        self.by_name = {plane.name: SliceView(plane, self.viewport) for plane in PLANES}
        self.single = ""
        self.mip = False
        self.regions: list[Region] = []
        self.beneath: Image | None = None
        self.beneath_table: Table = np.zeros(256, dtype=np.uint32)
        self.share = 0.5
        self._space: tuple[tuple[int, int, int], Triple] = ((1, 1, 1), (1.0, 1.0, 1.0))
        self._projected: tuple[Image, dict[str, Image]] | None = None
        for name, view in self.by_name.items():
            view.moved.connect(self.moved)
            view.windowed.connect(self.windowed)
            view.looked.connect(self.repaint)
            view.enlarged.connect(lambda name=name: self.show_single(name))

    def set_space(self, shape: tuple[int, int, int], voxel_mm: Triple) -> None:
        """Take the shape and voxel size in mm of the image that will be drawn."""
        self._space = shape, voxel_mm
        x, y, z = (n * size for n, size in zip(shape, voxel_mm, strict=True))
        self.viewport.enter((x, y, z))
        for view in self.by_name.values():
            view.set_space(shape, voxel_mm)

    def draw(self, image: Image, cursor: list[int], upper: float, table: Table) -> None:
        """Draw the image through ``cursor`` in the window 0..``upper``."""
        for view in self.by_name.values():
            view.marks = self._marks(view.plane, cursor)
            pixels = table[to_levels(self._flat(image, view.plane, cursor), upper)]
            if self.beneath is not None and not self.mip:
                below = cut(self.beneath, view.plane, cursor[view.plane.through])
                pixels = mixed(pixels, self.beneath_table[to_levels(below, 1.0)], self.share)
            view.show_pixels(pixels, cursor, through_all=self.mip)

    def _flat(self, image: Image, plane: Plane, cursor: list[int]) -> Image:
        if not self.mip:
            return cut(image, plane, cursor[plane.through])
        if self._projected is None or self._projected[0] is not image:
            made = {plane.name: maximum_along(image, plane) for plane in PLANES}
            self._projected = image, made
        return self._projected[1][plane.name]

    def _marks(self, plane: Plane, cursor: list[int]) -> Marks:
        axis = plane.through
        shape, voxel_mm = self._space
        at_mm = None if self.mip else centre_mm(cursor[axis], shape[axis], voxel_mm[axis])
        lines = ((one.name, outline(one, plane, at_mm)) for one in self.regions)
        return [(name, points) for name, points in lines if points]

    def name_ends(self, position: PatientPosition) -> None:
        """Label the ends of the axes for the patient's position."""
        self._each(lambda view: view.name_ends(position))

    def clear(self) -> None:
        """Show that there is no image."""
        self._each(SliceView.clear)

    def repaint(self) -> None:
        """Paint all views anew, as what they share has changed."""
        self._each(SliceView.update)

    def _each(self, do: Callable[[SliceView], object]) -> None:
        for view in self.by_name.values():
            do(view)

    def zoom(self, steps: int, cursor: list[int]) -> None:
        """Magnify by some steps about the crosshair."""
        shape, voxel_mm = self._space
        places = dict(enumerate(map(centre_mm, cursor, shape, voxel_mm)))
        self.viewport.magnify(STEP**steps, places)
        self.repaint()

    def show_all(self) -> None:
        """Show the whole image in all three views."""
        self.viewport.show_all()
        self.show_single("")

    def show_single(self, name: str) -> None:
        """Show one view alone; if it is alone already, or for "", all three."""
        self.single = "" if name == self.single else name
        self.arranged.emit()
        self.repaint()

    def next_single(self) -> None:
        """Show the next view alone, after the last one all three."""
        order = ["", *self.by_name]
        self.show_single(order[(order.index(self.single) + 1) % len(order)])
