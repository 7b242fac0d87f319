"""Every page at every size of screen: nothing cut, nothing upon another, nothing outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from pyqtgraph.Qt import QtWidgets

from gui.app.window import ConsoleWindow
from gui.image.frame_strip import FrameStrip, frame_words
from gui.kit.colour_maps import colour_tables
from gui.kit.panels import FOREIGN_PX, CalmLabel
from hw.messages.endpoints import Endpoints
from hw.messages.telemetry import Interruption
from rigs.gui.drawn import drawn
from rigs.gui.feeder import ALL_THAT_CAN_BE_LOST, SCENARIOS, Feeder, Script, dynamic_frame, trouble
from rigs.gui.layout_faults import layout_faults
from rigs.gui.module_feeder import ModuleFeeder, a_ring

pytestmark = pytest.mark.gui
Pump = Callable[..., None]
SIZES = ((1008, 728), (1280, 760), (1280, 800), (1920, 1040), (3840, 2100))
"""What a window manager leaves of usual screens; the smallest is 1024 × 768."""

SCRIPTS: dict[str, Callable[[], Script]] = {
    "PET": lambda: Script(
        interruptions=[Interruption(at_s=12.3, away_s=3.2, why="the daq was restarted")]
    ),
    "trouble": lambda: replace(trouble(), frames=6),
    "all that can be lost": lambda: replace(trouble(), frames=12, losses=ALL_THAT_CAN_BE_LOST),
    "SPECT": lambda: replace(SCENARIOS["head"](), no_images=False),
}

SWEEPS = [
    pytest.param("trouble", SIZES, id="trouble"),
    *(pytest.param(kind, SIZES[:1], id=f"{kind}, least room")
      for kind in ("PET", "SPECT", "all that can be lost")),
    *(pytest.param(kind, SIZES[1:], id=f"{kind}, more room", marks=pytest.mark.evidence)
      for kind in ("PET", "SPECT")),
]  # fmt: skip


def reached(console: ConsoleWindow) -> dict[str, QtWidgets.QWidget]:
    """Return what a hand reaches for beside the pictures of the page that is shown."""
    image, projections, found = console.image, console.projections, {}
    if console.pages.current == "Live" and image.isVisible():
        found = {
            "level": image.level, "window": image.percentile_box, "colours": image.map_box,
            "add a region": image.regions.add, "size": image.regions.size, "MIP": image.tools.mip,
            "play frames": image.player.play if image.player.isVisible() else image.level,
        }  # fmt: skip
    if projections.isVisible():
        found |= {
            "energy window": projections.window_box, "its colours": projections.map_box,
            "its upper end": projections.percentile_box, "its level": projections.level,
        }  # fmt: skip
    return found


def scrolled_away(console: ConsoleWindow) -> list[str]:
    """Return what a hand reaches for, and is not whole in sight."""
    return [
        f"scrolled away: {name}"
        for name, control in reached(console).items()
        if control.visibleRegion().boundingRect().height() < control.height()
    ]


@pytest.mark.parametrize(("kind", "sizes"), SWEEPS)
def test_nothing_is_cut_or_lies_upon_another_on_any_page(
    endpoints: Endpoints,
    console: ConsoleWindow,
    pump: Pump,
    kind: str,
    sizes: tuple[tuple[int, int], ...],
) -> None:
    found = {}
    with Feeder(endpoints, SCRIPTS[kind]()), ModuleFeeder(endpoints) as modules:
        pump(lambda: console.link.image is not None and console.link.image_is_of_run)
        for size in sizes:
            console.resize(*size)
            for page in console.pages.names:
                console.pages.show_page(page)
                modules.tell(a_ring())
                pump(drawn(console))
                faults = [*layout_faults(console), *scrolled_away(console)]
                if (console.width(), console.height()) != size:
                    faults.append(f"the window is {console.width()}×{console.height()} px")
                if faults:
                    found[f"{page} at {size[0]}×{size[1]}"] = faults
    assert found == {}


@pytest.mark.parametrize("words", ["損失", "✓ 校正済み g"])
def test_a_line_is_as_high_in_any_letters(console: ConsoleWindow, words: str) -> None:
    english, other = CalmLabel("lost"), CalmLabel(words)
    assert other.sizeHint().height() - english.sizeHint().height() <= FOREIGN_PX
    other.setWordWrap(True)
    assert other.sizeHint().height() >= english.sizeHint().height()


def test_a_frame_strip_shows_as_many_frames_as_have_room_for_their_times(
    console: ConsoleWindow,
) -> None:
    strip, table = FrameStrip(), next(iter(colour_tables().values()))
    frames = [dynamic_frame(number) for number in range(12)]
    for width, shown in ((300, 4), (462, 7), (2000, 7), (30, 1)):
        strip.resize(width, strip.height())
        strip.show_frames(frames, 0.5, table)
        assert strip.captions == [frame_words(frame) for frame in frames[-shown:]]


def test_the_search_finds_what_is_wrong(console: ConsoleWindow) -> None:
    box = QtWidgets.QWidget(console)
    box.setGeometry(0, 0, 60, 60)
    for place, words in enumerate(("a text that is far too long", "upon it")):
        label = CalmLabel(words)
        label.setParent(box)
        label.setGeometry(0, 4 * place, 50 if place == 0 else 90, 20)
    box.show()
    for child in box.children():
        child.show()
    found = " ".join(layout_faults(console))
    assert "cut: 'a text that is far too long'" in found
    assert "overlap: 'a text that is far too long' and 'upon it'" in found
    assert "outside: 'upon it' ends at 90 of 60 px" in found
