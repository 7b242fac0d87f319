"""Arming with changes: laid over the last configuration, checked like a whole one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daq.errors import RunError
from daq.folder.run_config import RunConfig, check_fits, checked_settings, config_from_args
from daq.folder.run_folder import run_config
from hw.messages.sort_settings import SettingsError
from hw.scanner.description import Scanner
from hw.wire.protocol import FRAME_PERIOD_PS
from rigs.daq_in_thread import DaqInThread

MakeConfig = Callable[..., RunConfig]
PLAIN: dict[str, Any] = {"lld_keV": 350, "uld_keV": 650, "window_ps": 5000, "delay_ps": 500_000}


def test_only_what_is_given_changes(make_config: MakeConfig) -> None:
    template = make_config(duration_s=7.0)
    changed = config_from_args({"settings": {"policy": "discard"}, "name": "mine"}, template)
    assert (changed.duration_s, changed.name) == (7.0, "mine")
    expected = msgspec.structs.replace(template.settings, policy="discard")
    assert changed.settings == expected
    assert template.settings.policy == "all"


def test_windows_are_replaced_as_a_whole(make_config: MakeConfig) -> None:
    first = {"settings": {"windows": [{"name": "a", "lld_keV": 100, "uld_keV": 120}]}}
    with_a = config_from_args(first, make_config())
    second = {"settings": {"windows": [{"name": "b", "lld_keV": 110, "uld_keV": 130}]}}
    with_b = config_from_args(second, with_a)
    assert [window.name for window in with_b.settings.windows] == ["b"]
    assert config_from_args({"settings": {"windows": []}}, with_b).settings.windows == ()
    assert config_from_args({"duration_s": 3}, with_b).settings == with_b.settings


def test_a_whole_configuration_takes_nothing_from_the_last_one(make_config: MakeConfig) -> None:
    whole = msgspec.to_builtins(make_config(name="whole", labels={}))
    assert config_from_args(whole, make_config(duration_s=9.0)).duration_s == 0.0


def test_changes_of_nothing_are_refused_with_the_remedy() -> None:
    with pytest.raises(RunError, match="arm with a whole one first"):
        config_from_args({"settings": {"policy": "all"}}, None)


@pytest.mark.parametrize("settings", [None, "all", ["policy"], 5])
def test_settings_that_are_no_object_are_refused(settings: object, make_config: MakeConfig) -> None:
    with pytest.raises(RunError, match="an object of the settings to change"):
        config_from_args({"settings": settings}, make_config())


WINDOW = {"name": "a", "lld_keV": 100.0, "uld_keV": 120.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"windows": [WINDOW, WINDOW]}, "energy window a is given twice"),
        ({"windows": [WINDOW, {**WINDOW, "name": "b"}]}, "a .*and b .*overlap"),
        ({"windows": [{**WINDOW, "uld_keV": 100.0}]}, r"a = 100:100 keV is empty.*windows\[0\]"),
        ({"windows": [{**WINDOW, "lld_keV": 130.0}]}, "a = 130:120 keV is empty"),
        ({"windows": [{**WINDOW, "lld_keV": float("nan")}]}, r"windows\[0\]\.lld_keV.*found nan"),
        ({"windows": [{**WINDOW, "lld_keV": -1.0}]}, r"windows\[0\]\.lld_keV.*found -1\.0"),
        ({"windows": [{**WINDOW, "uld_keV": 7000.0}]}, r"<= 6553\.5 .*found 7000"),
        ({"windows": [{**WINDOW, "name": ""}]}, r"windows\[0\]\.name.*found ''"),
        ({"windows": [{**WINDOW, "modules": [-1]}]}, r"modules\[0\].*found -1"),
        ({"windows": [{**WINDOW, "kind": "peak"}]}, r"kind.*found 'peak'"),
        ({"windows": [{**WINDOW, "photopeak": "b"}]}, "photopeak 'b', which is not among"),
        ({"windows": [{**WINDOW, "kind": "coincidence"}]}, "names no modules"),
        ({"windows": [{**WINDOW, "gain": 2}]}, "gain"),
        ({"windows": "all"}, r"Expected `array`, got `str` - at `\$\.windows` .*found 'all'"),
        ({"window_ps": FRAME_PERIOD_PS}, r"window_ps` .*found 5242880000"),
        ({"window_ps": -1}, r"window_ps` .*found -1"),
        ({"delay_ps": 9000}, "must be above 2 × window_ps"),
        ({"delay_windows": 17}, r"<= 16 .*found 17"),
        ({"delay_sides": "both"}, "found 'both'"),
        ({"triples": 1}, r"triples` .*found 1"),
        ({"policy": "takewinner"}, "found 'takewinner'"),
    ],
)
def test_hostile_settings_are_refused_in_words(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        checked_settings({**PLAIN, **change})


def test_the_64th_window_of_singles_is_refused() -> None:
    windows = [{"name": f"w{k}", "lld_keV": 10 * k, "uld_keV": 10 * k + 5} for k in range(1, 65)]
    with pytest.raises(SettingsError, match="64 windows for singles: at most 63"):
        checked_settings({**PLAIN, "windows": windows})
    assert len(checked_settings({**PLAIN, "windows": windows[:63]}).singles_windows) == 63


def test_modules_must_be_the_scanners(bench: Scanner) -> None:
    fits = {**WINDOW, "modules": [0, 1]}
    check_fits(checked_settings({**PLAIN, "windows": [fits]}), bench)
    beyond = checked_settings({**PLAIN, "windows": [{**WINDOW, "modules": [1, 2, 3]}]})
    with pytest.raises(SettingsError, match="a: bench2 has no module 2, its 2 modules are 0 to 1"):
        check_fits(beyond, bench)


@pytest.mark.processes
def test_a_run_aside_is_its_own_and_the_next_arm_repeats_the_one_before(tmp_path: Path) -> None:
    def armed(**args: Any) -> RunConfig:
        found = run_config(Path(daq.control.call("arm", **args)["run"]))
        daq.control.call("reset")
        return found

    with DaqInThread(tmp_path) as daq:
        patient = armed(duration_s=60.0, labels={"tracer": "FDG"})
        qc = armed(name="qc-1", duration_s=5.0, labels={"phantom": "point"}, aside=True)
        assert (qc.name, qc.duration_s, qc.labels) == ("qc-1", 5.0, {"phantom": "point"})
        again = armed()
        assert (again.duration_s, again.labels) == (patient.duration_s, patient.labels)
