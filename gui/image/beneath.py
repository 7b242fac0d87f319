"""A second image beneath the live one: the run's µ map, or an image of a file."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pyqtgraph.Qt import QtCore, QtWidgets

from daq.folder.run_folder import MU_MAP_NAME
from gui.image.image_file import (
    ENDING,
    StoredImage,
    Triple,
    on_grid,
    read_image,
    read_mu_map,
    turned,
)
from gui.kit.colour_maps import Image
from gui.kit.pictures import fill
from gui.kit.words import mark, tr
from hw.messages.patient_position import PatientPosition

NOTHING, MU_MAP, OF_FILE = mark("nothing"), mark("µ map of the run"), mark("an image…")
TOP_PER_CM = 0.17
"""The top of a µ map's grey scale: of bone; water has 0.096 at 511 keV (NIST XCOM)."""

PERCENTILE = 99.5
Space = tuple[tuple[int, int, int], Triple, PatientPosition]
"""Shape, voxels in mm, and how the patient lies."""


class BeneathChooser(QtWidgets.QWidget):
    """What lies beneath, and the share of the image itself in the mixture.

    changed : another image beneath, or another share; ``image`` is scaled 0..1, None for none said
    : what became of a choice, in words
    """

    changed = QtCore.Signal()
    said = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.image: Image | None = None
        self._reader = ThreadPoolExecutor(1, "beneath")
        self._coming: Future[Image] | None = None
        self._space: Space | None = None
        self._folder: Path | None = None
        self._source: Callable[[], StoredImage] | None = None
        self.choice = QtWidgets.QComboBox()
        fill(self.choice, (NOTHING, MU_MAP, OF_FILE))
        self.choice.setFocusPolicy(QtCore.Qt.FocusPolicy.TabFocus)
        self.choice.setToolTip(tr("A second image in grey beneath this one (not in projections)"))
        self.choice.activated.connect(self._choose)
        self.slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setValue(50)
        self.slider.setToolTip(tr("Share of the image itself in the mixture"))
        self.slider.valueChanged.connect(lambda _: self.changed.emit())

    @property
    def share(self) -> float:
        """The share of the image itself, 0..1."""
        return self.slider.value() / 100.0

    def follow(self, space: Space, folder: Path | None) -> None:
        """Follow the voxels and the patient of the image shown, and the folder of its run."""
        if folder != self._folder:
            self._folder = folder
            if self.choice.currentData() == MU_MAP:
                self._space = None
                self._source = self._mu_map
        if space != self._space:
            self._space = space
            self._read()

    def refresh(self) -> None:
        """Show the image that was read, once it has been."""
        if self._coming is None or not self._coming.done():
            return
        coming, self._coming = self._coming, None
        try:
            self.image = coming.result()
            self.said.emit("")
        except ValueError as error:
            self._forget(f"✗ {error}")
        self.changed.emit()

    def use_file(self, path: Path) -> None:
        """Lay the image in a file beneath."""
        self._source = lambda: read_image(path)
        self._read()

    def _choose(self) -> None:
        chosen = self.choice.currentData()
        if chosen == OF_FILE:
            self._ask_for_file()
        elif chosen == MU_MAP:
            self._source = self._mu_map
            self._read()
        else:
            self._forget("")
            self.changed.emit()

    def _mu_map(self) -> StoredImage:
        path = self._folder / MU_MAP_NAME if self._folder is not None else None
        if path is None or not path.is_file():
            raise ValueError(tr("this run has no µ map of its own"))
        return read_mu_map(path)

    def _ask_for_file(self) -> None:
        """Without blocking: the console goes on while the dialog is open."""
        dialog = QtWidgets.QFileDialog(
            self, tr("An image of this scanner"), str(self._folder or "")
        )
        dialog.setNameFilter(tr("NIfTI (*{ending})", ending=ENDING))
        dialog.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda name: self.use_file(Path(name)))
        dialog.rejected.connect(lambda: self._forget(""))
        dialog.open()

    def _read(self) -> None:
        if self._source is not None and self._space is not None:
            self._coming = self._reader.submit(_prepared, self._source, self._space)

    def _forget(self, words: str) -> None:
        self.image, self._source, self._coming = None, None, None
        self.choice.setCurrentIndex(self.choice.findData(NOTHING))
        self.said.emit(words)

    def end(self) -> None:
        """End the thread."""
        self._reader.shutdown(wait=False, cancel_futures=True)


def _prepared(source: Callable[[], StoredImage], space: Space) -> Image:
    """Read an image and lay it on the voxels of another, left on left, scaled to 0..1."""
    read, (shape, voxel_mm, position) = source(), space
    turn = turned(read.position, position)
    made = on_grid(np.asarray(read.volume[..., 0]), read.voxel_mm, shape, voxel_mm, turn)
    seen = made[made > 0]
    if read.unit == "1/cm":
        upper = TOP_PER_CM
    else:
        upper = float(np.percentile(seen, PERCENTILE)) if seen.size else 1.0
    return np.asarray(made / np.float32(upper), dtype=np.float32)
