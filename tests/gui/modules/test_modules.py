"""The page of firmware modules: what it shows, whom orders go to, and what it refuses to send."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gui.app.window import ConsoleWindow
from gui.kit import theme
from gui.modules.condition_words import COLUMNS, CONDITION, condition, facts, row
from gui.modules.page import NONE_WORDS, ModulePage
from hw.messages.commands import Command
from hw.messages.endpoints import Endpoints
from hw.messages.modules import ModuleState
from rigs.gui.feeder import Feeder, Script
from rigs.gui.module_feeder import ModuleFeeder, a_ring, faulty, i_v_curve, staircase, well

pytestmark = pytest.mark.gui

Pump = Callable[..., None]
Show = Callable[..., ModulePage]


@pytest.fixture
def show(endpoints: Endpoints, console: ConsoleWindow, pump: Pump) -> Show:
    """A function that publishes modules until the opened page shows them."""

    def show_them(feeder: ModuleFeeder, modules: list[ModuleState], *scans: object) -> ModulePage:
        page = console.module_page
        if not page.isVisible():
            console.pages.show_page("Modules")
        expected = [row(state)[:2] for state in modules]

        def there() -> bool:
            feeder.tell(modules, *scans)
            table = page.table
            found = [
                tuple(table.item(place, column).text() for column in (0, CONDITION))
                for place in range(table.rowCount())
            ]
            return found == expected

        pump(there)
        return page

    return show_them


def orders(feeder: Feeder) -> list[Command]:
    """Return the module commands that the daq got."""
    return [command for command in feeder.commands if command.name == "module"]


@pytest.mark.parametrize(
    ("change", "word", "colour"),
    [
        ({}, "▶ running", theme.GOOD),
        ({"state": "idle"}, "○ idle", theme.DIM),
        ({"bias_state": "ramping"}, "↗ running, bias ramping", theme.NOTICE),
        (
            {"bias_mV": 0, "target_mV": 0, "asked_mV": 29_000, "bias_state": "off"},
            "✗ bias 0.0 V of 29.0 V asked",
            theme.ALARM,
        ),
        ({"asked_mV": 56_900}, "▶ running", theme.GOOD),
        ({"locked": False}, "⚠ running, no SYNC", theme.WARNING),
        ({"confirmed": False}, "⚠ running, image not confirmed", theme.WARNING),
        ({"state": "fault", "fault": "over_temperature"}, "✗ FAULT: over temperature", theme.ALARM),
        ({"state": "dreaming"}, "? unknown", theme.FAINT),
    ],
)
def test_a_module_is_told_by_the_worst_that_is_true(
    change: dict[str, object], word: str, colour: str
) -> None:
    state = well(3)
    for name, value in change.items():
        setattr(state, name, value)
    look = condition(state)
    assert (look.text, look.colour) == (word, colour)


def test_a_module_that_does_not_answer_shows_no_stale_numbers() -> None:
    state = well(3)
    state.link.connected = False
    assert row(state) == ("3", "× NO ANSWER", *("–",) * (len(COLUMNS) - 2))


def test_unknown_drift_is_not_told_as_zero() -> None:
    state = well(0)
    assert dict(facts(state))["Clock"] == "drift -1.25 ± 0.04 ppm against this machine"
    state.link.drift_ppm = None
    assert dict(facts(state))["Clock"] == "not known yet"


def test_the_page_names_what_needs_a_look(
    endpoints: Endpoints, console: ConsoleWindow, show: Show
) -> None:
    with Feeder(endpoints, Script(no_images=True)), ModuleFeeder(endpoints) as modules:
        page = show(modules, a_ring())
        assert page.headline.text() == "⚠ 3 of 48 modules need a look"
        page.table.choose([5])
        assert page.facts["Fault"].toolTip() == "bias current above current_trip_nA"
        page = show(modules, [well(m) for m in range(48)])
        assert page.headline.text() == "✓ all 48 modules are well"


def test_a_run_without_bias_is_never_told_as_well(
    endpoints: Endpoints, console: ConsoleWindow, show: Show
) -> None:
    states = [well(module) for module in range(3)]
    for state in states:
        state.asked_mV = 56_500
    with Feeder(endpoints, Script(no_images=True)), ModuleFeeder(endpoints) as modules:
        assert show(modules, states).headline.text() == "✓ all 3 modules are well"
        states[0].bias_mV = states[0].target_mV = states[2].bias_mV = 0
        page = show(modules, states)
        words = "✗ module 0: bias 0.0 V of 56.5 V asked, and 1 more"
        assert page.headline.text() == words
        assert (
            page.facts["Bias"]
            .toolTip()
            .startswith("0.000 V of 0.000 V asked for (56.500 V as the run began)")
        )


def test_without_modules_it_says_how_to_get_some(console: ConsoleWindow, pump: Pump) -> None:
    console.pages.toggle("Modules")
    pump(console.module_page.isVisible)
    assert console.module_page.headline.text() == NONE_WORDS
    assert console.module_page.table.rowCount() == 0
    assert not console.module_page.orders.buttons["bias_on"].isEnabled()


def test_a_silent_link_process_is_an_alarm_and_not_a_still_picture(
    endpoints: Endpoints, console: ConsoleWindow, show: Show, pump: Pump
) -> None:
    with Feeder(endpoints, Script(no_images=True)), ModuleFeeder(endpoints) as modules:
        page = show(modules, [well(0)])
        pump(lambda: "old: the link process is silent" in page._age.text())
        assert page._age.text().startswith("⚠ ")
        assert theme.ALARM in page._age.styleSheet()


def test_orders_go_to_the_chosen_modules_with_their_values(
    endpoints: Endpoints, console: ConsoleWindow, show: Show, pump: Pump
) -> None:
    with Feeder(endpoints, Script(no_images=True)) as daq, ModuleFeeder(endpoints) as modules:
        page = show(modules, [well(m) for m in range(4)])
        asked: list[str] = []
        page.orders._ask = lambda question: bool(asked.append(question)) or True  # type: ignore[method-assign]
        page.table.choose([1, 3])
        page.orders.bias_V.setText("56.5")
        page.orders.buttons["bias_on"].click()
        pump(lambda: len(orders(daq)) == 1)
        assert orders(daq)[0].args == {
            "action": "bias", "modules": [1, 3], "values": {"target_mV": 56_500},
        }  # fmt: skip
        assert asked == ["Ramp the bias of module 1, 3 to 56.5 V?"]
        page.table.clearSelection()
        page.orders.buttons["bias_off"].click()  # at once, and of all
        pump(lambda: len(orders(daq)) == 2)
        assert orders(daq)[1].args == {"action": "bias", "modules": [], "values": {"target_mV": 0}}
        assert len(asked) == 1
        pump(lambda: page.notice.text().endswith("modules, bias: done"))


@pytest.mark.parametrize(
    ("text", "words"),
    [("warm", "such as 56.5"), ("-3", "0 to 80 V"), ("81", "0 to 80 V"), ("nan", "such as 56.5"),
     ("inf", "such as 56.5")],
)  # fmt: skip
def test_nonsense_bias_is_not_sent(
    endpoints: Endpoints, console: ConsoleWindow, show: Show, text: str, words: str
) -> None:
    with Feeder(endpoints, Script(no_images=True)) as daq, ModuleFeeder(endpoints) as modules:
        page = show(modules, [well(0)])
        page.orders.bias_V.setText(text)
        page.orders.buttons["bias_on"].click()
        assert words in page.orders.complaint.toolTip()
        assert orders(daq) == []


def test_a_register_is_checked_against_its_range_and_sent_by_name(
    endpoints: Endpoints, console: ConsoleWindow, show: Show, pump: Pump
) -> None:
    with Feeder(endpoints, Script(no_images=True)) as daq, ModuleFeeder(endpoints) as modules:
        form = show(modules, [well(0)]).orders
        form.register.setCurrentIndex(form.register.findData("comparator_mV"))
        for wrong in ("1001", "soon", ""):
            form.value.setText(wrong)
            form.buttons["write"].click()
            assert form.complaint.toolTip().startswith("✗ comparator_mV")
        assert orders(daq) == []
        form.value.setText("35")
        form.buttons["write"].click()
        pump(lambda: bool(orders(daq)))
        assert orders(daq)[0].args["values"] == {"comparator_mV": 35}


def test_a_reset_is_asked_for_and_a_no_sends_nothing(
    endpoints: Endpoints, console: ConsoleWindow, show: Show, pump: Pump
) -> None:
    with Feeder(endpoints, Script(no_images=True)) as daq, ModuleFeeder(endpoints) as modules:
        page = show(modules, [well(0), well(1)])
        page.orders._ask = lambda question: False  # type: ignore[method-assign]
        page.orders.buttons["reset"].click()
        page.orders.buttons["clear_fault"].click()
        pump(lambda: bool(orders(daq)))
        assert [command.args["action"] for command in orders(daq)] == ["clear_fault"]


def test_a_refusal_is_shown_at_the_foot(
    endpoints: Endpoints, console: ConsoleWindow, show: Show, pump: Pump
) -> None:
    refuse = "module 5: overcurrent is still there"
    script = Script(no_images=True, refuse=refuse)
    with Feeder(endpoints, script) as daq, ModuleFeeder(endpoints) as modules:
        page = show(modules, [faulty(5, 1, "overcurrent")])
        page.orders.buttons["clear_fault"].click()
        pump(lambda: page.notice.toolTip() == f"✗ modules, clear fault refused: {refuse}")
        assert theme.ALARM in page.notice.styleSheet()
        assert [command.args["action"] for command in orders(daq)] == ["clear_fault"]


def test_a_scan_is_ordered_of_the_module_looked_at_and_drawn_as_it_comes(
    endpoints: Endpoints, console: ConsoleWindow, show: Show, pump: Pump
) -> None:
    with Feeder(endpoints, Script(no_images=True)) as daq, ModuleFeeder(endpoints) as modules:
        ring = [well(0), well(1)]
        page = show(modules, ring)
        page.table.choose([1])
        page.scan_form.kind.setCurrentIndex(page.scan_form.kind.findData("bias"))
        page.scan_form.start.click()
        pump(lambda: bool(orders(daq)))
        assert orders(daq)[0].args == {
            "action": "scan_bias", "modules": [1],
            "values": {"from_mV": 50_000, "to_mV": 57_000, "step_mV": 100},
        }  # fmt: skip

        def drawn(*scans: object, points: int, words: str) -> Callable[[], bool]:
            def look() -> bool:
                modules.tell(ring, *scans)  # type: ignore[arg-type]
                x, _ = page.scan_plot.curve.getData()
                shown = 0 if x is None else len(x)
                return shown == points and words in page.scan_plot.words.toolTip()

            return look

        pump(drawn(i_v_curve(1, points=9, done=False), points=9, words="point 9 of 71"))
        assert page.scan_form.halt.isEnabled() and not page.scan_form.start.isEnabled()
        pump(drawn(i_v_curve(1), points=71, words="breakdown at 53.02 V"))
        assert page.scan_plot.marker.isVisible() and page.scan_plot.marker.value() == 53.02
        page.scan_form.kind.setCurrentIndex(page.scan_form.kind.findData("threshold"))
        pump(drawn(staircase(1), points=29, words="✓ Threshold scan of module 1"))


def test_a_scan_without_sense_is_not_sent(
    endpoints: Endpoints, console: ConsoleWindow, show: Show
) -> None:
    with Feeder(endpoints, Script(no_images=True)) as daq, ModuleFeeder(endpoints) as modules:
        page = show(modules, [well(0)])
        for step in ("0", "-5", "x", ""):
            page.scan_form.fields["step_mV"].setText(step)
            page.scan_form.start.click()
            assert page.scan_plot.words.toolTip().startswith("✗")
        assert orders(daq) == []
