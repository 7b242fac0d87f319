"""The window as a person sees it: states, buttons, alarms, and what is the past."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gui.app.footer import DISCLAIMER
from gui.app.hold_button import HoldButton
from gui.app.window import ConsoleWindow
from gui.rates.loss_counters import losses
from hw.messages.endpoints import Endpoints
from hw.messages.telemetry import Interruption
from rigs.gui.drawn import drawn
from rigs.gui.feeder import SCENARIOS, Feeder, Script, trouble

pytestmark = pytest.mark.gui

Pump = Callable[..., None]


def hold_or_click(console: ConsoleWindow, name: str) -> None:
    button = console.run_bar.buttons[name]
    if isinstance(button, HoldButton):
        button.held.emit()
    else:
        button.click()


def enabled(console: ConsoleWindow) -> set[str]:
    return {name for name, button in console.run_bar.buttons.items() if button.isEnabled()}


@pytest.mark.parametrize(
    ("state", "word", "buttons"),
    [
        ("idle", "○ IDLE", {"arm"}),
        ("armed", "◆ ARMED", {"start", "reset"}),
        ("running", "▶ RUNNING", {"stop"}),
        ("stopping", "◼ STOPPING", set()),
        ("closed", "✓ CLOSED", {"arm", "start", "reset"}),  # start: the same again
        ("error", "✗ ERROR", {"reset"}),
    ],
)
def test_each_state_has_its_word_and_its_buttons(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, state: str, word: str,
    buttons: set[str],
) -> None:  # fmt: skip
    with Feeder(endpoints, Script(state=state, reason="because", no_images=True)):
        pump(lambda: console.run_bar.state.text() == word)
        assert enabled(console) == buttons
        assert console.run_bar.reason.text() == "because"


def test_a_dead_source_is_in_the_headline_and_its_rates_are_grey(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(state="running", no_images=True)) as feeder:
        pump(lambda: console.run_bar.state.text() == "▶ RUNNING")
        assert "silent" not in console.run_bar.reason.text()
        feeder.script.silences = {"source emulator": 13.0, "data": 12.0}
        told = "✗ source emulator silent for 13 s, no data for 12 s"
        pump(lambda: console.run_bar.reason.toolTip() == told)
        pump(lambda: console.rates.note.text() == "no data for 12 s")
        assert not np.isfinite(console.rates.history.of("prompts")[-1])  # a gap, no flat line
        feeder.script.silences = {}
        pump(lambda: np.isfinite(console.rates.history.of("prompts")[-1]))
        pump(lambda: console.rates.note.text() != "no data for 12 s")


def test_an_interrupted_run_says_so_in_the_headline(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    gap = Interruption(at_s=12.3, away_s=3.2, why="the daq was restarted")
    script = Script(state="running", no_images=True, interruptions=[gap])
    with Feeder(endpoints, script):
        told = "⚠ segment 2 since 00:12: no data for 3.2 s, the daq was restarted"
        pump(lambda: console.run_bar.reason.toolTip() == told)


def test_a_click_sends_the_command_and_the_state_follows(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(state="idle", no_images=True)) as feeder:
        for name, state in (("arm", "ARMED"), ("start", "RUNNING"), ("stop", "CLOSED")):
            pump(lambda name=name: name in enabled(console))
            hold_or_click(console, name)
            pump(lambda state=state: state in console.run_bar.state.text())
        assert [command.name for command in feeder.commands] == ["arm", "start", "stop"]


def test_a_pending_command_is_shown_and_cannot_be_sent_twice(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(state="armed", answers=False, no_images=True)):
        pump(lambda: "start" in enabled(console))
        console.run_bar.buttons["start"].click()
        pump(lambda: console.run_bar.buttons["start"].text() == "Start …")
        assert "start" not in enabled(console)
        assert console.run_bar.notice.toolTip().startswith("start: sent, waiting")


def test_a_refused_command_says_why(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    script = Script(state="armed", refuse="no source", no_images=True)
    with Feeder(endpoints, script) as feeder:
        pump(lambda: "start" in enabled(console))
        console.run_bar.buttons["start"].click()
        pump(lambda: console.run_bar.notice.toolTip() == "✗ start refused: no source")
        assert enabled(console) == {"start", "reset"}  # it may be tried again
        assert [command.name for command in feeder.commands] == ["start"]


def test_silence_veils_the_displays_and_takes_the_buttons_away(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints) as feeder:
        pump(lambda: "CONNECTED" in console.run_bar.link.text())
        assert console.veil.isHidden()
        feeder.script.silent = True
        pump(lambda: not console.veil.isHidden())
        assert console.veil.title == "NO DATA FROM DAQ"
        assert console.veil.size() == console.pages.area.size()
        assert all(
            console.veil.geometry().contains(panel.mapTo(console, panel.rect().center()))
            for panel in (console.rates, console.image, console.journal)
        )
        assert "s old" in console.veil.detail
        pump(lambda: "NO DATA" in console.run_bar.link.text())
        assert console.run_bar.state.text() == "RUNNING?"
        assert enabled(console) == set()
        pump(lambda: console.rates.tiles["prompts"].value.text() == "–")
        feeder.script.silent = False
        pump(lambda: console.veil.isHidden())


def test_a_console_without_a_daq_waits_and_says_so(console: ConsoleWindow, pump: Pump) -> None:
    pump(lambda: console.veil.title == "WAITING FOR THE DAQ")
    assert enabled(console) == set()
    assert console.run_bar.state.text() == "? UNKNOWN"


def test_the_console_survives_a_restart_of_the_daq(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(run="first")):
        pump(drawn(console))
    pump(lambda: console.link.state == "silent")
    with Feeder(endpoints, Script(run="second", journal=[("info", "daq ready")])):
        pump(lambda: console.run_bar.facts["Run"].text() == "second")
        pump(lambda: console.journal.table.rowCount() == 1)
        assert console.journal.table.item(0, 2).text() == "daq ready"
        assert console.veil.isHidden()


def test_loss_is_highlighted_and_zero_is_calm(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints) as feeder:
        pump(lambda: console.counters.verdict.text() == "✓ NO LOSS")
        first = console.counters.columns["frames"]
        assert (first.names[0].text(), first.values[0].text()) == ("lost", "0")
        feeder.script.losses = {"frames.corrupt": 12}
        pump(lambda: console.counters.verdict.text() == "⚠ LOSS: 1 counter")
        assert (first.names[0].text(), first.values[0].text()) == ("⚠ corrupt", "12")


def test_a_mended_disturbance_is_marked_but_is_no_loss(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(losses={"frames.duplicate": 2})):
        pump(lambda: console.counters.verdict.text() == "✓ NO LOSS, but see ⚠")
        first = console.counters.columns["frames"]
        assert (first.names[0].text(), first.values[0].text()) == ("⚠ duplicate", "2")


def test_a_counter_unknown_to_this_console_counts_as_loss() -> None:
    found = losses({"frames.received": 5, "singles.devoured_by_grues": 1, "prompts": 3})
    assert found["singles.devoured_by_grues"] == 1
    assert "frames.received" not in found
    assert "prompts" not in found


def test_trouble_is_told_in_words(endpoints: Endpoints, console: ConsoleWindow, pump: Pump) -> None:
    with Feeder(endpoints, trouble()):
        pump(lambda: "TAINTED" in console.run_bar.condition.text())
        pump(drawn(console))
        assert console.modules.summary.text() == "⚠ 1 stalled, 1 silent of 48 modules"
        assert console.counters.facts["Source lag"].text() == "⚠ 1.40 s"
        assert console.counters.facts["Disk free"].text() == "⚠ 6.3 GB"
        pump(lambda: console.image.facts.values["Used"].text() == "⚠ 62 % of events")
        severities = [console.journal.table.item(row, 1).text() for row in range(5)]
        assert severities == ["· info", "· info", "⚠ WARN", "✗ ALARM", "· info"]


def test_a_module_can_be_asked_for(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(module_states={21: "silent"}, no_images=True)):
        pump(drawn(console))
        grid = console.modules.grid
        assert grid.module_at(grid.cell(21).center()) == 21
        assert grid.describe(21).startswith("Module 21: ring 1, sector 5\n")
        assert grid.describe(21).endswith("k/s singles, silent")
        assert grid.cell(0).top() > grid.cell(47).top()


def test_rates_are_shown_in_k_per_s(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(prompts_per_s=6200.0, no_images=True)):
        pump(lambda: console.rates.tiles["prompts"].value.text() != "–")
        assert float(console.rates.tiles["prompts"].value.text()) == pytest.approx(6.2, rel=0.1)
        pump(drawn(console))
        assert console.timing.plot.ceiling > 1


def test_a_reset_clears_the_plots_of_the_run(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(no_images=True)) as feeder:
        pump(drawn(console))
        empty = feeder.telemetry()
        empty.state, empty.run, empty.settings, empty.rates = "idle", "", None, {}
        empty.spectrum = empty.timing = empty.timing_delayed = b""
        empty.module_rates, empty.module_states, empty.rings = [], [], 0
        from hw.messages.codec import encode

        feeder.script.raw_telemetry = encode(empty)
        pump(lambda: console.run_bar.facts["Run"].text() == "none")
        pump(drawn(console))
        assert console.modules.summary.text() == "no run, no modules"
        assert console.counters.verdict.text() == "no run"


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_every_scenario_fits_1280_by_800(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, scenario: str
) -> None:
    with Feeder(endpoints, SCENARIOS[scenario]()):
        pump(drawn(console))
        hint = console.minimumSizeHint()
        assert (console.width(), console.height()) == (1280, 800)
        assert hint.width() <= 1280
        assert hint.height() <= 800


def test_it_says_that_it_is_no_medical_device() -> None:
    assert DISCLAIMER == "Research software — not a medical device"


def test_keys_reach_the_picture_and_the_layout(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints):
        pump(lambda: console.image.cursor == [55, 55, 39])
        console.image.step(2, 1)
        console.image.step(0, -3)
        assert console.image.cursor == [52, 55, 40]
        assert console.image.sliders["Transaxial"].value() == 40
        console.image.centre()
        assert console.image.cursor == [55, 55, 39]
        console.pages.toggle("Live")
        pump(drawn(console))
        assert not console.journal.isVisible()
        console.pages.toggle("Live")
        assert console.journal.isVisible()
