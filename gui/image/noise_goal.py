"""A requested noise of the live image, and about when it will be reached."""

from __future__ import annotations

from pyqtgraph.Qt import QtWidgets

from gui.image.noise_course import NoiseCourse
from gui.kit import theme
from gui.kit.panels import CalmLabel, ElidedLabel
from gui.kit.words import tr
from hw.messages.pictures import ImageMessage


class NoiseGoal(QtWidgets.QWidget):
    """The requested noise in per cent, and a line that says when it will be reached."""

    def __init__(self) -> None:
        super().__init__()
        self._course = NoiseCourse()
        self._noise = 0.0
        self.wanted = QtWidgets.QSpinBox()
        self.wanted.setRange(2, 80)
        self.wanted.setValue(20)
        self.wanted.setSuffix(" %")
        self.wanted.setAccessibleName(tr("Noise goal"))
        self.wanted.setMinimumHeight(theme.FIELD_PX)
        self.wanted.setToolTip(
            tr(
                "A noise of the displayed image (standard deviation of a voxel over its "
                "mean).\nWhen it will be reached follows from the course so far, at the "
                "mean rate so far."
            )
        )
        self.wanted.valueChanged.connect(self._say)
        self.words = ElidedLabel()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(4, 0, 0, 0)
        caption = CalmLabel(tr("Noise goal"))
        caption.setObjectName("dim")
        row.addWidget(caption)
        row.addWidget(self.wanted)
        row.addWidget(self.words, 1)

    def go_on_from(self, before: NoiseGoal) -> None:
        """Take over the course and the goal of another one."""
        self._course, self._noise = before._course, before._noise
        self.wanted.setValue(before.wanted.value())

    def follow(self, image: ImageMessage) -> None:
        """Take a new image."""
        self._course.follow(image)
        self._noise = image.noise
        self._say()

    def _say(self) -> None:
        wanted = self.wanted.value() / 100
        if not self._noise:
            self.words.show_text("–")
        elif self._noise <= wanted:
            self.words.show_text(tr("reached: {noise:.0f} % now", noise=100 * self._noise))
        else:
            self.words.show_text(_when(self._course.seconds_to(wanted)))


def _when(seconds: float | None) -> str:
    if seconds is None:
        return tr("cannot be told yet")
    if seconds < 90:
        return tr("in about {max} s", max=max(1, round(seconds)))
    return tr("in about {value:.0f} min", value=seconds / 60)
