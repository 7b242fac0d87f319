"""The choice of a protocol: what fits the scanner, for the next Arm; and the same run again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from daq.folder.protocols.shelf import Shelf
from gui.app.window import ConsoleWindow
from gui.kit.wording import THIN
from hw.messages.endpoints import Endpoints
from hw.messages.scan_protocol import RunUntil, ScanProtocol
from rigs.gui.feeder import SCENARIOS, Feeder, Script

pytestmark = pytest.mark.gui
Pump = Callable[..., None]


def offered(console: ConsoleWindow) -> list[str]:
    box = console.study.protocol.box
    return [box.itemText(place).partition(":")[0] for place in range(box.count())]


def test_those_that_fit_the_scanner_are_offered(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(state="closed", no_images=True)) as feeder:
        pump(
            lambda: "fdg-brain v1" in offered(console) and "tc99m-planar v1" not in offered(console)
        )
        feeder.script.settings = SCENARIOS["head"]().settings
        pump(lambda: "fdg-brain v1" not in offered(console))


def test_a_choice_goes_with_the_next_arm_and_is_the_daqs_from_then_on(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    choice = console.study.protocol
    with Feeder(endpoints, Script(state="idle", no_images=True)) as feeder:
        pump(lambda: "pet-counts v1" in offered(console))
        choice.box.setCurrentIndex(offered(console).index("pet-counts v1"))
        choice.box.activated.emit(choice.box.currentIndex())
        pump(
            lambda: choice.words.text().startswith(
                f"✓ next run ends after 3600 s or 5{THIN}000{THIN}000"
            )
        )
        pump(lambda: console.run_bar.buttons["arm"].isEnabled())
        console.run_bar.buttons["arm"].click()
        pump(lambda: feeder.script.state == "armed")
        feeder.script.protocol = "pet-counts v1"
        pump(lambda: choice.box.currentText() == "as it was: pet-counts v1")
        feeder.script.state = "idle"
        pump(lambda: console.run_bar.buttons["arm"].isEnabled())
        choice.box.setCurrentIndex(1)
        choice.box.activated.emit(1)
        console.run_bar.buttons["arm"].click()
        pump(lambda: feeder.script.state == "armed")
    first, second = (c.args for c in feeder.commands if c.name == "arm")
    assert first["protocol"]["name"] == "pet-counts"
    assert first["protocol"]["until"] == {
        "duration_s": 3600.0, "counts": 5_000_000, "noise_percent": 0.0,
    }  # fmt: skip
    assert second == {"protocol": None}


def test_a_spect_scanners_orbit_goes_with_the_next_arm_and_no_other(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    orbit = console.study.orbit
    console.pages.show_page("Study")
    script = Script(state="idle", no_images=True, settings=SCENARIOS["head"]().settings)
    with Feeder(endpoints, script) as feeder:
        pump(orbit.kind.isVisible)
        assert orbit.kind.currentText() == "as it was: as it is set at the scanner"
        place = orbit.kind.findData("step")
        orbit.kind.setCurrentIndex(place)
        orbit.kind.activated.emit(place)
        orbit.steps.setValue(60)
        assert orbit.dwell.isVisible() and not orbit.angle.isVisible()
        console.run_bar.buttons["arm"].click()
        pump(lambda: feeder.script.state == "armed" and not console.desk.orbit)
        feeder.script.orbit = "step:60x10s"
        pump(lambda: orbit.kind.currentText() == "as it was: step:60x10s")
        feeder.script.state = "idle"
        pump(console.run_bar.buttons["arm"].isEnabled)
        console.run_bar.buttons["arm"].click()
        pump(lambda: len(feeder.commands) == 2)
        feeder.script.settings = Script().settings
        pump(lambda: not orbit.isVisible())
    assert [c.args for c in feeder.commands] == [{"orbit": "step:60x10s"}, {}]


@pytest.fixture
def own_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protocols of one test alone; asked for before the console, which keeps its shelf."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def test_one_saved_meanwhile_is_there_when_the_page_is_shown(
    own_shelf: None, endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(state="idle", no_images=True)):
        console.pages.show_page("Acquire")
        pump(lambda: "pet-counts v1" in offered(console))
        Shelf().save(ScanProtocol(name="saved-now", modality="PET"))
        console.pages.show_page("Study")
        pump(lambda: "saved-now v1" in offered(console))


def test_the_headline_tells_how_far_a_run_is_from_its_end(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    until = RunUntil(counts=5_000_000, noise_percent=8.0)
    script = Script(
        state="running", no_images=True, until=until, counted=1_234_567, noise_percent=9.13,
        protocol="ours v2",
    )  # fmt: skip
    with Feeder(endpoints, script):
        told = "until 5 000 000 counts (1 234 567 now) or 8 % noise (9.13 % now)"
        told = told.replace("5 000 000", f"5{THIN}000{THIN}000")
        told = told.replace("1 234 567", f"1{THIN}234{THIN}567")
        pump(lambda: console.run_bar.reason.toolTip() == told)
        assert console.run_bar.facts["Run"].toolTip().endswith(" · ours v2")


def test_after_a_closed_run_two_clicks_take_the_same_again(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    button = console.run_bar.buttons["start"]
    with Feeder(endpoints, Script(state="closed", no_images=True)) as feeder:
        pump(lambda: button.text() == "Again" and button.isEnabled())
        button.click()
        pump(lambda: button.text() == "Start" and button.isEnabled())
        clicked_s = console.run_bar._again_s
        monkeypatch.setattr(console.run_bar, "_clock", lambda: clicked_s + 0.3)
        button.click()  # the second half of a double click
        assert [c.name for c in feeder.commands] == ["arm"]
        monkeypatch.setattr(console.run_bar, "_clock", lambda: clicked_s + 1.0)
        button.click()
        pump(lambda: console.run_bar.state.text() == "▶ RUNNING")
        assert [(c.name, c.args) for c in feeder.commands] == [
            ("arm", {"again": True}), ("start", {}),
        ]  # fmt: skip
