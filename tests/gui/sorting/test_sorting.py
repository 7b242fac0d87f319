"""What the console says of the sorting: settings, windows, both randoms estimates, live time."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from pyqtgraph.Qt import QtGui

from gui.app.window import ConsoleWindow
from gui.kit import theme
from gui.modules.map_modes import ModuleScale
from gui.rates.loss_counters import losses
from gui.rates.spectra import LEAST_PX
from gui.sorting.settings_words import POLICY_WORDS, delayed_text, window_sentence
from hw.messages.codec import encode
from hw.messages.endpoints import Endpoints
from hw.messages.sort_settings import POLICIES
from rigs.gui.drawn import drawn
from rigs.gui.feeder import SETTINGS, SPECT, Feeder, Script, trouble

pytestmark = pytest.mark.gui

Pump = Callable[..., None]


def places(console: ConsoleWindow) -> list[tuple[int, int, int, int]]:
    """Return where every panel and value is."""
    widgets = [
        console.rates, console.spectrum, console.timing, console.image, console.counters,
        console.modules, console.sorting, console.journal,
        *console.rates.check.values.values(), *console.sorting.values.values(),
    ]  # fmt: skip
    return [widget.geometry().getRect() for widget in widgets]


def test_the_settings_in_force_are_told_in_words(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(settings=SPECT, no_images=True)):
        values = console.sorting.values
        pump(lambda: values["Policy"].text() == "GATE TakeWinnerOfGoods")
        said = {name: value.text() for name, value in values.items()}
        assert said == {
            "Policy": "GATE TakeWinnerOfGoods",
            "Window": "±4.5 ns  (|Δt| ≤ τ)",
            "Energy": "425–650 keV + 7 windows",
            "Delayeds": "4 × D 100 ns, two-sided, factor 8",
            "Field of view": "sectors at least 4 apart · triples",
            "Calibration": "brain-2026-11@5f1c09ab",
        }
        assert "each opener's window" in values["Policy"].toolTip()
        assert "D = 100, 200, 300, 400 ns" in values["Delayeds"].toolTip()
        assert "2τ = 9 ns" in values["Window"].toolTip()


def test_without_a_run_there_are_no_settings(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(no_images=True)) as feeder:
        values = console.sorting.values
        pump(lambda: values["Policy"].text() == "all good pairs")
        feeder.script.settings, feeder.script.state, feeder.script.run = None, "idle", ""
        pump(lambda: {value.text() for value in values.values()} == {"–"})
        assert all(value.toolTip().startswith("No run: no ") for value in values.values())


def test_every_policy_has_its_own_words_and_sentence() -> None:
    assert set(POLICY_WORDS) == set(POLICIES)
    for words in (
        {w.short for w in POLICY_WORDS.values()},
        {w.sentence for w in POLICY_WORDS.values()},
    ):
        assert len(words) == len(POLICIES)
    for name, policy in POLICY_WORDS.items():
        assert ("GATE" in policy.short) == (name[0].isupper())
        assert ("opener's window" in policy.sentence) == (name[0].isupper())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (Script(), "✓ AGREE  1.012 ± 0.008"),
        (trouble(), "✗ DISAGREE  1.240 ± 0.011"),
        (Script(randoms={}), "· too few counts"),
        (Script(randoms={}, state="closed"), "–"),
        (Script(randoms={}, settings=None), "–"),
    ],
)
def test_both_estimates_of_the_randoms_and_whether_they_agree(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump, script: Script, words: str
) -> None:
    with Feeder(endpoints, script):
        check = console.rates.check.values
        pump(lambda: check["Ratio"].text() == words)
        if script.randoms:
            assert check["Randoms"].text() == "delayed 0.81 · singles 0.66 k/s"
        elif script.randoms == {}:
            assert check["Randoms"].text() == "–"


def test_delayed_windows_that_are_off_are_told(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    off = msgspec.structs.replace(SETTINGS, delay_ps=0)
    with Feeder(endpoints, Script(settings=off, randoms={}, no_images=True)):
        pump(lambda: console.rates.check.values["Ratio"].text() == "○ no delayed windows")
        pump(lambda: console.sorting.values["Delayeds"].text() == "off: no delayed windows")
    assert delayed_text(SETTINGS) == "D 500 ns, one-sided, factor 1"


def test_the_live_time_of_the_pairs_is_a_number_and_silence_takes_it_away(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(no_images=True)) as feeder:
        live = console.rates.check.values["Live time"]
        pump(lambda: live.text() == "96.4 % of the module pairs")
        feeder.script.silent = True
        pump(lambda: {v.text() for v in console.rates.check.values.values()} == {"–"})
        assert console.link.telemetry.pair_live == 0.9642  # it is still known, but is the past
        assert "96.4" not in live.toolTip()


def test_the_map_of_modules_shows_rate_live_time_or_state(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    script = Script(module_states={5: "stalled"}, module_live={7: 0.941}, no_images=True)
    with Feeder(endpoints, script):
        pump(drawn(console))
        panel = console.modules
        assert panel.legend.text.endswith("k/s")
        assert panel.legend.text.startswith("0 … ")
        panel.buttons["live"].click()
        assert panel.legend.text == "92 … 100  live time, %"  # the lowest, 94.1 %, is inside
        assert "live time 94.1 %" in panel.grid.describe(7)
        panel.next_mode()
        assert panel.buttons["state"].isChecked()
        assert panel.legend.text == "47 live  ! 1 stalled"
        panel.next_mode()
        assert panel.mode == "rate"


def test_each_showing_of_the_modules_looks_different(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(module_live={7: 0.5}, no_images=True)) as feeder:
        pump(drawn(console))
        feeder.script.silent = True
        pictures = []
        for mode in ("rate", "live", "state"):
            console.modules.choose(mode)
            image = console.modules.grid.grab().toImage()
            middle = console.modules.grid.cell(7).center().toPoint()
            pictures.append(QtGui.QColor(image.pixel(middle)).name())
        assert len(set(pictures)) == 3
        assert pictures[2] == theme.LIVE_FILL


def test_the_scale_of_live_time_keeps_still_and_leaves_silent_modules_out(
    endpoints: Endpoints,
) -> None:
    scale = ModuleScale()
    feeder = Feeder(endpoints, Script(no_images=True, module_states={3: "silent"}))
    ends = set()
    for live in (0.985, 0.984, 0.9835, 0.986):
        feeder.script.module_live = {7: live}
        levels, low, high, _unit = scale.of("live", feeder.telemetry())
        ends.add((low, high))
        assert levels[3] != levels[3]  # NaN: never heard, so no live time to colour
        assert 0 <= min(levels[:3]) <= 1
    assert len(ends) == 1
    without = feeder.telemetry()
    without.module_live = []
    assert scale.of("live", without)[3] == "live time not told"


def test_windows_are_listed_with_their_rates_only_where_there_are_any(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(no_images=True)) as feeder:
        pump(drawn(console))
        table = console.sorting.table
        assert table.isHidden()
        feeder.script.settings = SPECT
        pump(lambda: not table.isHidden())
        pump(lambda: table.item(1, 2).text() != "–")
        rows = [[table.item(row, column).text() for column in range(3)] for row in range(7)]
        assert rows[1] == ["▮ Lu-177_113", "101.7–124.2", "5.40"]
        assert rows[2][0] == "▨ Lu-177_113_high"
        assert rows[6] == ["▯ front", "400–600", "–"]  # for coincidences: it has no singles
        assert "modules 0, 1" in table.item(6, 0).toolTip()
        assert table.horizontalHeaderItem(2).text() == "singles, k/s"
        feeder.script.settings = SETTINGS
        pump(table.isHidden)


def test_windows_are_bands_in_the_spectrum_that_differ_in_more_than_colour(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(settings=SPECT, no_images=True)):
        bands = console.spectrum.bands
        pump(lambda: len(bands.windows) == 6)
        scatter, peak = bands.windows[0], bands.windows[1]
        area = bands.boundingRect()
        assert bands.band(peak).center().x() / area.width() == pytest.approx(112.95 / 800, rel=0.01)
        assert bands.band(scatter).width() >= LEAST_PX
        assert "for photopeak Lu-177_113" in window_sentence(scatter)
        flat, hatched = (_shades(console, window) for window in (peak, scatter))
        assert flat == 1
        assert hatched > 1


def _shades(console: ConsoleWindow, window: object) -> int:
    """Return how many colours a window's band has just under its top, its middle row by row."""
    band = console.spectrum.bands.band(window)
    scene = console.spectrum.bands.mapRectToScene(band)
    corner = console.spectrum.plot.mapFromScene(scene.topLeft())
    image = console.spectrum.plot.grab().toImage()
    across = int(corner.x() + 0.5 * scene.width())
    return len({image.pixel(across, corner.y() + down) for down in range(4, 14)})


def test_nothing_jumps_when_values_and_verdicts_change(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    with Feeder(endpoints, Script(no_images=True)) as feeder:
        pump(drawn(console))
        before = places(console)
        feeder.script.randoms = trouble().randoms
        feeder.script.randoms_alarm = True
        feeder.script.prompts_per_s = 912_345.0
        feeder.script.pair_live = 0.02
        feeder.script.calibration = "a-set-with-quite-a-long-name-of-the-month@0123456789abcdef"
        feeder.script.module_states = dict.fromkeys(range(9), "stalled")
        feeder.script.condition = "tainted"
        pump(lambda: "DISAGREE" in console.rates.check.values["Ratio"].text())
        pump(drawn(console))
        assert places(console) == before
        feeder.script.randoms = {}
        pump(lambda: "too few counts" in console.rates.check.values["Ratio"].text())
        for mode in ("live", "state"):
            console.modules.choose(mode)
        pump(drawn(console))
        assert places(console) == before


def test_a_daq_that_tells_nothing_new_is_shown_without_it(
    endpoints: Endpoints, console: ConsoleWindow, pump: Pump
) -> None:
    """The new fields of telemetry are optional: a sparse message leaves dashes, no faults."""
    with Feeder(endpoints, Script(no_images=True)) as feeder:
        sparse = feeder.telemetry()
        sparse.randoms, sparse.window_rates, sparse.module_live = {}, {}, []
        sparse.settings = SPECT
        feeder.script.raw_telemetry = encode(sparse)
        console.modules.choose("live")
        pump(drawn(console))
        assert console.rates.check.values["Live time"].text() == "–"
        assert console.modules.legend.text == "live time not told"
        assert console.sorting.table.item(0, 2).text() == "–"


def test_singles_in_spect_windows_or_of_masked_crystals_are_no_loss() -> None:
    assert not any(losses({"singles.windowed": 9, "singles.masked": 4, "triples": 2}).values())
