"""The picture: a bright voxel appears where it is, and the words about the image are true."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from pyqtgraph.Qt import QtCore, QtGui

from gui.app.window import ConsoleWindow
from gui.image.frame_strip import GAP_PX
from gui.image.region_desk import region_words
from gui.image.slices import PLANES, Plane
from gui.kit.wording import ShownUnit, shown_unit
from hw.messages.endpoints import Endpoints
from hw.messages.patient_position import (
    PATIENT_POSITIONS,
    UNKNOWN,
    PatientPosition,
    ends_of_axes,
)
from hw.messages.pictures import ImageMessage, RegionReading
from rigs.gui.feeder import Feeder, Script

pytestmark = pytest.mark.gui

Pump = Callable[..., None]
SHAPE = (30, 24, 18)
FORGET_30 = {"window": "forget:30s"}
BRIGHT = (24, 18, 14)  # +x, +y, +z of the centre


def bright_image() -> np.ndarray:
    image = np.ones(SHAPE, dtype=np.float32)
    x, y, z = BRIGHT
    image[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] = 10
    return image


def darkest_place(console: ConsoleWindow, plane: Plane) -> tuple[float, float]:
    """Return the centroid of the hot (in inverted grey: dark) pixels, as shares right and up."""
    view = console.image.views[plane.name]
    picture = view.grab().toImage().convertToFormat(QtGui.QImage.Format.Format_Grayscale8)
    flat = np.frombuffer(picture.constBits(), dtype=np.uint8)
    grey = flat.reshape(picture.height(), picture.bytesPerLine())[:, : picture.width()]
    frame = view.frame().toRect().adjusted(4, 4, -4, -4)
    inside = grey[frame.top() : frame.bottom(), frame.left() : frame.right()]
    rows, columns = np.nonzero(inside < 40)
    assert rows.size > 20, "no hot spot drawn"
    return columns.mean() / inside.shape[1], 1 - rows.mean() / inside.shape[0]


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_a_bright_voxel_at_plus_x_y_z_appears_right_and_up(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, plane: Plane
) -> None:
    with Feeder(endpoints, Script(image=bright_image())):
        pump(lambda: console.link.images > 0)
        console.image.percentile_box.setCurrentText("maximum")
        console.image.move_cursor(plane.through, BRIGHT[plane.through])
        pump(lambda: console.image.upper == 10)
        right, up = darkest_place(console, plane)
        assert right == pytest.approx((BRIGHT[plane.right] + 0.5) / SHAPE[plane.right], abs=0.03)
        assert up == pytest.approx((BRIGHT[plane.up] + 0.5) / SHAPE[plane.up], abs=0.03)


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_the_ends_are_named_as_the_patient_lies(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, position: PatientPosition
) -> None:
    ends = ends_of_axes(position)
    with Feeder(endpoints, Script(image=bright_image(), position=position)):
        pump(lambda: console.image.views["Coronal"].ends == ends and console.link.image is not None)
        for plane in PLANES:
            view = console.image.views[plane.name]
            shown = ends["xyz"[plane.right]], ends["xyz"[plane.up]]
            assert view._ends_shown() == shown
            assert position in view.toolTip() or position == UNKNOWN


def test_a_click_moves_the_linked_crosshair(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=bright_image())):
        pump(lambda: console.link.images > 0)
        view = console.image.views["Coronal"]
        place = view.place_of(BRIGHT[0], BRIGHT[2])
        kind = QtCore.QEvent.Type.MouseButtonPress
        left, none = QtCore.Qt.MouseButton.LeftButton, QtCore.Qt.KeyboardModifier.NoModifier
        view.mousePressEvent(QtGui.QMouseEvent(kind, place, place, left, left, none))
        assert console.image.cursor == [BRIGHT[0], SHAPE[1] // 2, BRIGHT[2]]
        assert console.image.sliders["Sagittal"].value() == BRIGHT[0]
        assert console.image.views["Transaxial"].place_text() == "z = 11 mm"


def test_regions_are_told_with_their_noise() -> None:
    regions = [
        RegionReading(name="hot", mean=12_345.0, sigma=432.0),
        RegionReading(name="cold", mean=50.0),
        RegionReading(name="far", why_not="region far extends beyond the image"),
    ]
    image = ImageMessage(
        run="one", sequence=1, shape=(1, 1, 1), voxel_mm=(1, 1, 1), image=bytes(4), unit="Bq/mL",
        detector_time_s=1.0, event_wall_ns=0, published_wall_ns=0, prompts_used=1, delayeds_used=0,
        fraction_used=1.0, corrections={}, regions=regions,
    )  # fmt: skip
    assert region_words(image, ShownUnit(2e-4, "SUV")).split("\n")[0] == "hot: 2.47 ± 0.0864 SUV"
    becquerels = shown_unit("Bq/mL")
    assert region_words(image, becquerels).split("\n") == [
        "hot: 12.3 ± 0.432 kBq/mL",
        "cold: 0.0500 kBq/mL",
        "far: region far extends beyond the image",
    ]
    many = msgspec.structs.replace(image, regions=regions * 3)
    assert region_words(many, becquerels).endswith("and 3 more")


def test_the_hottest_voxel_can_be_sought_and_its_value_read(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    image = bright_image()
    image[BRIGHT] = 12.5
    with Feeder(endpoints, Script(image=image)):
        pump(lambda: console.link.images > 0)
        console.image.seek_hottest()
        assert console.image.at_cursor.text() == "✛ (19, 13, 11) mm:  12.5 kBq/mL"


def test_suv_is_offered_where_it_can_be_computed_and_said_why_not_elsewhere(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    image = bright_image()
    image[BRIGHT] = 5000.0
    live, script = console.image, Script(image=image)
    with Feeder(endpoints, script):
        pump(lambda: console.link.images > 0)
        live.seek_hottest()
        assert not live.tools.suv.isEnabled()
        assert "weight, injected activity" in live.tools.suv.toolTip()
        first = live.tools.suv.toolTip().split("\n")[0]
        assert first == "✗ the scanner is not calibrated for activity; decay is not corrected for"
        script.suv_per_unit = 5e-4
        pump(live.tools.suv.isEnabled)
        live.tools.suv.click()
        assert live.at_cursor.text().endswith("2.50 SUV")
        script.suv_per_unit = 0.0
        pump(lambda: not live.tools.suv.isEnabled())
        assert live.at_cursor.text().endswith("kBq/mL"), "no longer in SUV"


def test_becquerels_are_shown_by_the_thousand() -> None:
    assert shown_unit("Bq/mL") == (1e-3, "kBq/mL")
    assert shown_unit("emissions/s/mL, uncalibrated") == (1.0, "emissions/s/mL, uncalibrated")


def test_pixels_are_square_millimetres(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=bright_image())):
        pump(lambda: console.link.images > 0)
        for view in console.image.views.values():
            width_mm, height_mm = view.extent_mm()
            frame = view.frame()
            assert frame.width() / frame.height() == pytest.approx(width_mm / height_mm)
            assert frame.right() <= view.width()
            assert frame.bottom() <= view.height()


def test_corrections_are_told_applied_or_not(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=bright_image())):
        pump(lambda: console.link.images > 0)
        labels = {label.text(): label for label in console.image.facts.corrections}
        assert list(labels)[:2] == ["✓ attenuation", "✓ randoms"], "those applied come first"
        teaches = labels["✗ scatter"].toolTip()
        assert teaches == "scatter: not corrected: the image has no µ map"


def test_the_window_is_the_images_and_a_choice_is_a_command(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=bright_image(), window="slide:60s")) as feeder:
        box = console.image.window_box
        pump(lambda: box.currentText() == "Last 60 s")
        pump(lambda: box.isEnabled())
        assert console.image.facts.values["Of"].text().startswith("60.0 s up to")
        box.setCurrentIndex(box.findData("forget:30s"))
        box.activated.emit(box.currentIndex())
        pump(lambda: [(c.name, c.args) for c in feeder.commands] == [("live", FORGET_30)])
        feeder.script.window = "forget:30s"
        pump(lambda: box.window_shown == "forget:30s")


def test_dynamic_frames_stand_in_a_row_with_their_times(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=bright_image())) as feeder:
        pump(lambda: console.link.images > 0)
        assert console.image.strip.isHidden()
        feeder.script.frames = 3
        pump(lambda: console.image.strip.captions == ["0–10 s", "10–20 s", "20–30 s"])
        assert not console.image.strip.isHidden()


def test_a_frame_is_chosen_by_click_and_keys_and_stays_until_the_live_image_is_asked_for(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=bright_image(), frames=3)) as feeder:
        console.pages.show_page("Live")
        player, strip = console.image.player, console.image.strip
        pump(lambda: len(strip.captions) == 3)
        kind, left = QtCore.QEvent.Type.MouseButtonPress, QtCore.Qt.MouseButton.LeftButton
        place = QtCore.QPointF(1.5 * strip._side + GAP_PX, 5)
        none = QtCore.Qt.KeyboardModifier.NoModifier
        strip.mousePressEvent(QtGui.QMouseEvent(kind, place, place, left, left, none))
        assert player.caption() == "10–20 s" and "not live" in player.words.toolTip()
        assert console.image._page_content().facts["Pictures"] == "frame 10–20 s, not live"
        assert console.image._shown.shape == SHAPE
        assert not np.array_equal(console.image._shown, bright_image())
        player.step(1)
        assert player.caption() == "20–30 s"
        player.step(1)
        assert player.caption() == "0–10 s"
        player.toggle()
        assert player.clock.isActive()
        player.play_next()
        assert player.caption() == "10–20 s"
        feeder.script.frames = 1  # the imager sends other ones by now
        pump(lambda: len(strip.captions) == 1)
        assert player.caption() == "10–20 s"
        player.go_live()
        assert not player.clock.isActive() and not player.caption()
        np.testing.assert_array_equal(console.image._shown, bright_image())


def test_latency_is_taken_when_the_image_is_painted(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=bright_image())):
        pump(lambda: console.latency.images > 2)
        assert 163.0 <= console.latency.newest_ms < 5000.0  # the feeder's events are 163 ms old
        report = console.latency.report()
        assert 163.0 <= report["p50_screen_latency_ms"] <= report["p99_screen_latency_ms"]


@pytest.mark.parametrize(
    ("script", "badge"),
    [
        (Script(), "● LIVE"),
        (Script(final=True, state="closed"), "✓ FINAL IMAGE"),
        (Script(state="closed"), "◼ LAST IMAGE"),
        (Script(image_run="yesterday"), "⚠ OF EARLIER RUN"),
    ],
)
def test_the_image_says_what_it_is(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, script: Script, badge: str
) -> None:
    script.image = bright_image()
    with Feeder(endpoints, script):
        pump(lambda: console.image.facts.badge.text().startswith(badge))
        age = console.image.facts.values["Age"].text()
        assert ("latency" in age) is not script.final  # that one was made late on purpose


def test_an_image_that_no_longer_comes_grows_old_visibly(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=bright_image())) as feeder:
        pump(lambda: console.image.facts.badge.text().startswith("● LIVE"))
        feeder.script.no_images = True
        pump(lambda: console.image.facts.badge.text() == "⚠ OLD IMAGE")
        assert console.image.facts.values["Age"].text().startswith("⚠ ")


def test_an_image_of_zeros_does_no_harm(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=np.zeros(SHAPE, dtype=np.float32))) as feeder:
        pump(lambda: console.image.at_cursor.text().endswith(":  0 kBq/mL"))
        assert console.image.upper == 0
        feeder.script.image = bright_image()
        pump(lambda: console.image.at_cursor.text().endswith(":  1.00 kBq/mL"))
        assert console.image.upper == 1  # 99.5 % of its voxels


def test_the_window_is_held_when_it_does_not_follow(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(image=bright_image())) as feeder:
        pump(lambda: console.image.upper > 0)
        console.image.auto.setChecked(False)
        held, seen = console.image.upper, console.link.images
        feeder.script.image = 50 * bright_image()
        pump(lambda: console.link.images > seen + 2)
        assert console.image.upper == held
        console.image.auto.setChecked(True)
        assert console.image.upper == pytest.approx(50 * held)
        console.image.level.setValue(50)
        assert console.image.upper == pytest.approx(25 * held)
