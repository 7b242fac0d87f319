"""Energy windows on the command line: written shortly, told back in words, refused in words."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from daq.cli.options.sorting import add_window_options, describe, window_changes
from daq.cli.sorting_outcome import describe_outcome
from daq.folder.run_config import checked_settings
from hw.messages.sort_settings import SettingsError, SortSettings

PLAIN = {"lld_keV": 350.0, "uld_keV": 650.0, "window_ps": 5000, "delay_ps": 500_000}


def settings(line: str) -> SortSettings:
    """The settings that options make of plain ones."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_window_options(parser)
    changes = window_changes(parser.parse_args(line.split()))
    given = {key: value for key, value in changes.items() if value is not None}
    return checked_settings({**PLAIN, **given})


def test_what_is_not_given_stays() -> None:
    parser = argparse.ArgumentParser()
    add_window_options(parser)
    assert set(window_changes(parser.parse_args([])).values()) == {None}


def test_windows_of_every_kind() -> None:
    found = settings(
        "--window Tc=126.5:154.6 --scatter-window below=123.5:126.5:Tc@0-2,5 "
        "--module-window 0-1,4=400:600"
    ).windows
    assert [(w.name, w.kind, w.lld_keV, w.uld_keV, w.photopeak, w.modules) for w in found] == [
        ("modules_0-1+4", "coincidence", 400, 600, "", (0, 1, 4)),
        ("Tc", "photopeak", 126.5, 154.6, "", ()),
        ("below", "scatter", 123.5, 126.5, "Tc", (0, 1, 2, 5)),
    ]


def test_a_nuclides_windows_in_one_word() -> None:
    names = [w.name for w in settings("--spect Lu-177 --window other=300:330").windows]
    assert names == [
        "other", "Lu-177_113_low", "Lu-177_113", "Lu-177_113_high",
        "Lu-177_208_low", "Lu-177_208", "Lu-177_208_high",
    ]  # fmt: skip
    (low, peak, _) = settings("--spect Lu-177@208.4 --spect-width 15 --scatter-width 6%").windows
    assert (peak.lld_keV, peak.uld_keV) == (192.8, 224.0)
    assert low.lld_keV == 180.3


def test_settings_are_told_back_in_words() -> None:
    line = "--delay-windows 3 --delay-sides two --triples --policy TakeWinnerOfGoods "
    text = describe(settings(line + "--module-window 0-3,7=400:600 --spect Tc-99m"))
    assert text.splitlines() == [
        (
            "350–650 keV, |Δt| ≤ 5 ns, 3 delayed windows every 500 ns, two-sided (delayeds = 6 × "
            "randoms), multiples: TakeWinnerOfGoods, triples stored"
        ),
        "  modules_0-3+7: 400–600 keV, coincidences, modules 0-3, 7",
        "  Tc-99m_141_low: 123.5–126.5 keV, scatter of Tc-99m_141",
        "  Tc-99m_141: 126.5–154.6 keV, photopeak",
        "  Tc-99m_141_high: 154.6–157.6 keV, scatter of Tc-99m_141",
    ]
    assert describe(settings("")).endswith("delay 500 ns, multiples: all")
    assert "no delayeds" in describe(settings("--delay-ns 0"))


def test_the_outcome_says_randoms_and_scatter() -> None:
    result = {
        "prompts": 900, "delayeds": 120, "multiples": 5, "triples": 4, "crowded": 7,
        "crowded_windows": 0, "windows": {
            "Tc-99m_141_low": 30, "Tc-99m_141": 1000, "Tc-99m_141_high": 3},
        "tew": {"Tc-99m_141": {"scatter": 154.1, "primary": 845.9, "primary_sigma": 41.3}},
        "randoms": {"ratio": 1.25, "ratio_sigma": 0.5, "estimate_delayed": 30.0,
                    "estimate_singles": 24.0},
    }  # fmt: skip
    text = describe_outcome(result, settings("--spect Tc-99m --delay-windows 4"))
    assert "120 delayeds / 4 = 30.0 randoms" in text
    assert "left out as crowded: 7 singles, 0 delayed windows" in text
    assert "24.0 by the singles' rates (2τ·S·S), ratio 1.250 ± 0.500" in text
    assert "Tc-99m_141: 1000 singles, scatter 154.1 (TEW), primary 845.9 ± 41.3" in text


@pytest.mark.parametrize(
    "line",
    [
        "--window a", "--window a=1", "--window a=nan:3", "--window a=-1:3", "--window a=1:inf",
        "--window a=1:2@x", "--window a=1:2@5-3", "--window a=1:2@0-70000", "--window a=1:2@",
        "--module-window 400:600", "--module-window x=400:600", "--spect Lu-177@x",
        "--scatter-width wide", "--spect-width -5", "--window-ns nan", "--delay-ns inf",
        "--energy-keV 350:nan", "--delay-windows 1.5", "--policy best", "--delay-sides three",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_an_error_of_the_option(line: str) -> None:
    with pytest.raises(argparse.ArgumentError):
        settings(line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--window a=1:2 --window a=3:4", "given twice"),
        ("--window a=1:3 --window b=2:4", "overlap"),
        ("--window a=3:1", "empty"),
        ("--window =1:2", "name"),
        ("--window a=1:9999", "6553.5"),
        ("--scatter-window s=1:2:nope", "'nope', which is not among"),
        ("--module-window 3=1:2 --module-window 0-4=5:6", "overlap on the same modules"),
        ("--spect F-18", "no photon line"),
        ("--spect Lu-177 --spect-width 70", "make them narrower"),
        ("--spect Lu-177 --scatter-width 0%", "scatter_keV|scatter_fraction"),
        ("--spect Tc-99m --spect Lu-177", "overlap"),
        ("--window-ns 6e6", "window_ps"),
        ("--delay-windows 0", "delay_windows"),
        ("--no-windows --window a=1:2", "--no-windows"),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_reason(line: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        settings(line)


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "daq.cli", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_acquire_refuses_modules_that_the_scanner_lacks(tmp_path: Path) -> None:
    done = cli("acquire", "--preset", "bench2", "--window", "a=1:2@2", "--runs", str(tmp_path))
    assert done.returncode == 1
    assert "bench2 has no module 2" in done.stderr


def test_a_run_is_sorted_again_with_spect_windows(tmp_path: Path) -> None:
    from daq.folder.run_config import RunConfig, default_settings
    from daq.service.run import Run
    from hw.scanner.preset_file import load_scanner, scanner_to_toml_text

    scanner = load_scanner("bench2")
    run = Run(
        RunConfig(scanner_toml=scanner_to_toml_text("bench2"),
                  settings=default_settings(scanner), name="x"),
        tmp_path,
    )  # fmt: skip
    run.finish()
    run.write_summary()
    output = tmp_path / "again.tmlm"
    done = cli(
        "sort", str(run.folder), "--spect", "Lu-177", "--triples", "--output", str(output),
        "--json",
    )  # fmt: skip
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["windows"]["Lu-177_208"] == result["triples"] == 0
    assert result["tew"]["Lu-177_208"]["primary_sigma"] == 0
    assert result["delayed_factor"] == 1
    assert output.exists()
    assert output.with_suffix(".tmws").exists()
    said = cli("sort", str(run.folder), "--spect", "Lu-177").stdout
    assert "Lu-177_208: 0 singles, scatter 0.0 (TEW), primary 0.0 ± 0.0" in said
