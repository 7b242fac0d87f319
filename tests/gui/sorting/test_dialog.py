"""Set-up of the next run: offered only between runs, refuses nonsense, sends what was set."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from gui.app.window import ConsoleWindow
from gui.link.command_desk import CommandDesk
from gui.sorting.dialog import AS_THE_DAQ_HAS_IT, NOT_NOW, SortingDialog
from hw.messages.endpoints import Endpoints
from rigs.gui.drawn import drawn
from rigs.gui.feeder import SETTINGS, SPECT, Feeder, Script

pytestmark = pytest.mark.gui

Pump = Callable[..., None]


@pytest.fixture
def opened(console: ConsoleWindow, pump: Pump) -> Callable[[], SortingDialog]:
    """A function that clicks the button once it can be clicked, and returns the dialog."""

    def open_it() -> SortingDialog:
        pump(console.sorting.button.isEnabled)
        console.sorting.button.click()
        assert console.sorting.dialog is not None
        return console.sorting.dialog

    return open_it


def put(dialog: SortingDialog, **texts: str) -> None:
    """Write into the form, as a person would."""
    for name, text in texts.items():
        editor = dialog.editors[name]
        if hasattr(editor, "findData"):
            editor.setCurrentIndex(editor.findData(text))
        else:
            editor.setText(text)


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("idle", True),
        ("armed", False),
        ("running", False),
        ("stopping", False),
        ("closed", True),
        ("error", False),
    ],
)
def test_it_is_offered_only_where_a_run_can_be_armed(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, state: str, offered: bool
) -> None:
    with Feeder(endpoints, Script(state=state, no_images=True)):
        pump(drawn(console))
        assert console.sorting.button.isEnabled() == offered


def test_what_was_set_goes_with_the_next_arm(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump,
    opened: Callable[[], SortingDialog],
) -> None:  # fmt: skip
    with Feeder(endpoints, Script(state="idle", settings=None, run="", no_images=True)) as feeder:
        dialog = opened()
        put(dialog, policy="RemoveMultiples", window_ps="3.2", windows="Lu-177")
        assert dialog.use.isEnabled()
        dialog.use.click()
        pump(lambda: console.sorting.note.text() == "next run set here")
        console.run_bar.buttons["arm"].click()
        pump(lambda: bool(feeder.commands))
        settings = feeder.commands[0].args["settings"]
        assert set(settings) == {"policy", "window_ps", "windows"}
        assert (settings["policy"], settings["window_ps"]) == ("RemoveMultiples", 3200)
        assert "Lu-177_208" in {window["name"] for window in settings["windows"]}
        pump(lambda: console.sorting.note.text() == "")  # the daq has it now


def test_the_form_begins_with_the_settings_of_the_run_that_is_there(
    endpoints: Endpoints, console: ConsoleWindow, opened: Callable[[], SortingDialog], pump: Pump
) -> None:
    with Feeder(endpoints, Script(state="closed", settings=SPECT, no_images=True)):
        pump(lambda: console.sorting.values["Policy"].text() == "GATE TakeWinnerOfGoods")
        dialog = opened()
        reading = dialog.check()
        sent = msgspec.convert(reading.changes, type(SPECT))
        assert sent == SPECT
        assert "good pair with the largest E₁ + E₂" in dialog.preview.text()


def test_nonsense_cannot_be_sent_and_is_told_at_the_field(
    endpoints: Endpoints, console: ConsoleWindow, opened: Callable[[], SortingDialog], pump: Pump
) -> None:
    with Feeder(endpoints, Script(state="closed", no_images=True)):
        pump(lambda: console.sorting.values["Policy"].text() == "all good pairs")
        dialog = opened()
        size = dialog.size()
        put(dialog, window_ps="soon", delay_windows="17", min_sector_difference="9")
        assert not dialog.use.isEnabled()
        assert dialog.status.text() == "✗ 3 values cannot be used"
        assert dialog.faults["window_ps"].toolTip().startswith("✗ “soon” is not a number")
        assert dialog.faults["delay_windows"].text() == "✗ must be at most 16"
        assert "no pair would be left" in dialog.faults["min_sector_difference"].toolTip()
        put(dialog, window_ps="300", delay_windows="2", min_sector_difference="1")
        assert "must be above 2τ = 600 ns" in dialog.faults["delay_ps"].toolTip()
        dialog._accept()  # the Return key
        assert console.desk.sorting == {}
        pump(lambda: True)
        assert dialog.size() == size
        put(dialog, window_ps="3")
        assert {label.text() for label in dialog.faults.values()} == {""}
        assert dialog.use.isEnabled()


def test_a_run_that_begins_meanwhile_closes_the_way(
    endpoints: Endpoints, console: ConsoleWindow, opened: Callable[[], SortingDialog], pump: Pump
) -> None:
    with Feeder(endpoints, Script(state="closed", no_images=True)) as feeder:
        dialog = opened()
        feeder.script.state = "running"
        pump(lambda: dialog.status.text() == NOT_NOW)
        assert not dialog.use.isEnabled()
        feeder.script.state = "closed"
        pump(dialog.use.isEnabled)
        feeder.script.silent = True
        pump(lambda: not dialog.use.isEnabled())


def test_a_refusal_by_the_daq_is_shown(
    endpoints: Endpoints, console: ConsoleWindow, opened: Callable[[], SortingDialog], pump: Pump
) -> None:
    with Feeder(endpoints, Script(state="closed", refuse="τ exceeds the period", no_images=True)):
        put(dialog := opened(), window_ps="3")
        dialog.use.click()
        console.run_bar.buttons["arm"].click()
        pump(lambda: console.run_bar.notice.toolTip() == "✗ arm refused: τ exceeds the period")
        assert console.desk.sorting["window_ps"] == 3000  # kept, to be mended


def test_leaving_it_as_it_is_sends_nothing(
    endpoints: Endpoints, console: ConsoleWindow, opened: Callable[[], SortingDialog], pump: Pump
) -> None:
    with Feeder(endpoints, Script(state="closed", no_images=True)) as feeder:
        put(dialog := opened(), window_ps="3")
        dialog.use.click()
        pump(lambda: console.sorting.dialog is None)
        opened().reset.click()
        assert console.desk.sorting == {}
        console.run_bar.buttons["arm"].click()
        pump(lambda: bool(feeder.commands))
        assert feeder.commands[0].args == {}


def test_an_open_form_shows_what_was_set_before(endpoints: Endpoints, console: object) -> None:
    desk = CommandDesk(endpoints)
    first = SortingDialog(desk, base=None)
    assert first.editors["policy"].currentText() == AS_THE_DAQ_HAS_IT
    put(first, policy="highest", window_ps="2.125", windows="Lu-177@208.4")
    first.use.click()
    again = SortingDialog(desk, base=None)
    assert again.texts()["window_ps"] == "2.125"
    assert again.check().changes == desk.sorting
    known = SortingDialog(desk, base=SETTINGS, sectors=16)
    assert known.texts()["policy"] == "highest"
    assert known.check().changes["windows"] == desk.sorting["windows"]
    assert known.check().changes["lld_keV"] == SETTINGS.lld_keV
    desk.close()
