"""The files of a service, judged by those who will read them: systemd, the shell, the desktop."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.cli import main
from daq.cli.appliance.installation import MARK, put_in_place, take_away, write_units
from daq.cli.appliance.places import Places
from daq.cli.appliance.settings import ServiceSettings, check, keep, kept
from daq.cli.appliance.unit_files import TARGET, quoted, unit_files
from daq.cli.appliance.unit_state import duration, last_end
from daq.cli.common import CommandError
from rigs.appliance.small_systemctl import parsed, words
from rigs.appliance.trial_service import ROOT
from rigs.other_user import as_nobody, needs_another_user

LINK = ["link", "--preset", "bench2", "--port", "0=/dev/tomoshibi/A 10", "--port", "1=hwgrep://%$"]
SETTINGS = ServiceSettings(user="root", acquire=["--preset", "bench2"], source=LINK,
                           usb=["0403:6001", "16c0:0483"])  # fmt: skip
VARIANTS = {
    "with a link": SETTINGS,
    "emulated": ServiceSettings(user="root", source=["emulate"], endpoint="tcp://127.0.0.1:7100"),
    "daq alone": ServiceSettings(user="root", with_imager=False, runs="/home/disk/runs"),
}


def needs(program: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is missing (Debian: {package})"
    )


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Where a version is in force whose command does nothing."""
    found = Places(tmp_path / "root")
    version = found.versions / "1.0"
    version.mkdir(parents=True)
    (version / "tomoshibi").write_text("#!/bin/sh\nenv | sort\n")
    (version / "tomoshibi").chmod(0o755)
    for link in ("current", "previous"):
        (found.versions / link).symlink_to("1.0")
    return found


def install(settings: ServiceSettings, places: Places) -> None:
    write_units(places.versions / "1.0" / "units", settings, places)
    put_in_place(settings, places)
    keep(settings, places)


def run(*argv: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **environ})  # fmt: skip


# --- units ----------------------------------------------------------------------------------------


@needs("systemd-analyze", "systemd")
@pytest.mark.parametrize("variant", VARIANTS)
def test_systemd_accepts_every_unit_without_a_remark(variant, places):
    settings = VARIANTS[variant]
    if settings.runs:
        settings = ServiceSettings(user="root", with_imager=False, runs=str(places.root / "runs"))
    install(settings, places)
    units = sorted(places.units.glob("tomoshibi*"))
    assert len(units) >= 3
    done = run("systemd-analyze", "verify", "--man=no", *units,
               SYSTEMD_UNIT_PATH=f"{places.units}:")  # fmt: skip
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


@needs("systemd-analyze", "systemd")
def test_systemd_would_refuse_a_unit_with_a_wrong_word(places):
    """The proof that the test above can fail."""
    install(SETTINGS, places)
    unit = places.units / "tomoshibi-daq.service"
    unit.write_text(unit.read_text().replace("Restart=always", "Restart=sometimes"))
    done = run("systemd-analyze", "verify", "--man=no", unit, SYSTEMD_UNIT_PATH=f"{places.units}:")
    assert "Failed to parse service restart specifier" in done.stderr


@needs("systemd-analyze", "systemd")
@pytest.mark.parametrize("name", ["daq", "imager", "source"])
def test_systemd_judges_little_of_the_machine_to_be_exposed(name, places):
    install(SETTINGS, places)
    unit = places.units / f"tomoshibi-{name}.service"
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=35", unit)
    assert done.returncode == 0, done.stdout[-200:]


@needs("systemctl", "systemd")
def test_the_units_are_found_and_start_with_the_machine(places):
    install(SETTINGS, places)
    for unit, state in ((TARGET, "enabled"), ("tomoshibi-daq.service", "linked")):
        done = run("systemctl", f"--root={places.root}", "is-enabled", unit)
        assert done.stdout.strip() == state, done.stderr


@given(st.lists(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")))))
def test_odd_words_reach_the_process_as_they_were_given(given_words):
    """Read back by the stand-in, which knows systemd's rules from its manual."""
    line = " ".join(["/bin/x", *map(quoted, given_words)])
    assert words(line) == ["/bin/x", *given_words]


def test_the_daq_is_watched_limited_and_started_again():
    unit = parsed_text(unit_files(SETTINGS, Places())["tomoshibi-daq.service"])
    assert unit["Type"] == "notify"
    assert 0 < int(unit["WatchdogSec"]) <= 60
    assert unit["Restart"] == "always"
    again_s = int(unit["StartLimitBurst"]) * int(unit["RestartSec"])
    assert again_s < int(unit["StartLimitIntervalSec"])  # else the limit is never reached
    assert unit["UMask"] == "0077"
    assert unit["ProtectSystem"] == "strict"
    assert unit["OnFailure"] == "tomoshibi-settle.service"


def parsed_text(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_only_the_link_may_open_serial_ports():
    texts = unit_files(SETTINGS, Places())
    assert "char-ttyUSB" in texts["tomoshibi-source.service"]
    for name in ("daq", "imager"):
        assert "PrivateDevices=yes" in texts[f"tomoshibi-{name}.service"]


def test_runs_at_home_are_not_hidden_from_the_service():
    texts = unit_files(VARIANTS["daq alone"], Places())
    assert "ProtectHome" not in texts["tomoshibi-daq.service"]
    assert (
        "ReadWritePaths=/var/lib/tomoshibi /var/cache/tomoshibi /home/disk/runs"
        in (texts["tomoshibi-daq.service"])
    )


@pytest.mark.parametrize(
    ("result", "status", "told"),
    [
        ("watchdog", "ABRT", "it hung: no sign of life"),
        ("exit-code", "1", "it ended with status 1"),
        ("signal", "KILL", "it was ended by signal KILL"),
        ("oom-kill", "KILL", "memory ran out"),
        ("success", "0", ""),
    ],
)
def test_the_unit_notes_an_end_that_nobody_ordered(result, status, told, places):
    install(SETTINGS, places)
    line = words(parsed(places.units / "tomoshibi-daq.service")["ExecStopPost"])
    run(*line, SERVICE_RESULT=result, EXIT_CODE="exited", EXIT_STATUS=status)
    ended_s, cause = last_end(places.ends / "daq")
    assert cause == told
    assert (ended_s > 1.7e9) == bool(told)


@pytest.mark.parametrize("text", ["", "soon watchdog x y", "1 2", "\0", "1 a b c d " * 500])
def test_a_damaged_note_of_an_end_is_none(text, tmp_path):
    (tmp_path / "daq").write_text(text)
    assert last_end(tmp_path / "daq") == (0.0, "")


def test_durations_are_told_in_two_units():
    told = {-5: "0 min", 59: "0 min", 3600: "1 h 0 min", 90061: "1 d 1 h"}
    assert {seconds: duration(seconds) for seconds in told} == told


# --- the other files ------------------------------------------------------------------------------


@needs("desktop-file-validate", "desktop-file-utils")
def test_the_desktop_accepts_the_menus_entry(places):
    install(SETTINGS, places)
    done = run("desktop-file-validate", places.desktop_entry)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_entry_opens_the_console_and_shows_the_products_mark(places):
    install(SETTINGS, places)
    entry = configparser.ConfigParser(interpolation=None)
    entry.read(places.desktop_entry, encoding="utf-8")
    assert entry["Desktop Entry"]["exec"] == f"{places.wrapper} console"
    assert places.icon.stem == entry["Desktop Entry"]["icon"]
    assert places.icon.read_bytes() == MARK.read_bytes()
    assert MARK.read_text() == (ROOT / "docs" / "site" / "favicon.svg").read_text()


RULE = re.compile(
    r'(?:(SUBSYSTEM|ENV\{\w+\}|ATTRS?\{\w+\})(==)"[^"]+"'
    r'|(SYMLINK|GROUP|MODE|ENV\{\w+\})(\+?=)"[^"]+")'
)


def test_udev_rules_match_first_and_assign_then(places):
    """udev(7): each line is a list of matches and assignments; a typing error disables the line."""
    install(SETTINGS, places)
    lines = [line for line in places.udev_rules.read_text().splitlines() if line]
    rules = [line for line in lines if not line.startswith("#")]
    assert len(rules) == 4 * len(SETTINGS.usb)
    for rule in rules:
        parts = [RULE.fullmatch(part) for part in rule.split(", ")]
        assert all(parts), rule
        operators = [found[2] or found[4] for found in parts if found]
        assert operators == sorted(operators, key=lambda one: one != "==")


@needs("udevadm", "udev")
def test_udev_accepts_the_rules(places):
    install(SETTINGS, places)
    if "verify" not in run("udevadm", "--help").stdout:
        pytest.skip("this udevadm cannot verify rules (systemd 254 or newer can)")
    done = run("udevadm", "verify", places.udev_rules)
    assert done.returncode == 0, done.stderr


def test_without_ids_there_are_no_rules(places):
    install(SETTINGS, places)
    install(VARIANTS["emulated"], places)
    assert not places.udev_rules.exists()


def test_the_command_has_the_services_environment_for_its_user(places):
    install(SETTINGS, places)
    told = parsed_text(run(places.wrapper).stdout)
    assert told["TOMOSHIBI_RUNS"] == str(places.state / "runs")
    assert told["TOMOSHIBI_ENDPOINT"] == f"ipc://{places.runtime}/planes"


@needs_another_user
def test_other_users_get_no_environment_and_nowhere(places):
    for folder in (places.root, *places.root.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o011)
    install(SETTINGS, places)
    done = as_nobody('"$1" && ls "$2" "$3" "$4"', str(places.wrapper), str(places.state / "runs"),
                     str(places.cache), str(places.runtime))  # fmt: skip
    assert b"TOMOSHIBI_RUNS" not in done.stdout
    assert done.stderr.count(b"Permission denied") == 3


# --- installing, changing, removing ---------------------------------------------------------------


def test_what_the_user_keeps_is_the_users_alone(places):
    install(SETTINGS, places)
    for folder in (places.state, places.state / "runs", places.state / "config", places.cache):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_the_settings_are_read_back_as_they_were(places):
    install(SETTINGS, places)
    assert kept(places) == SETTINGS


def test_settings_of_a_newer_version_are_read_as_far_as_they_are_known(places):
    install(SETTINGS, places)
    text = places.settings.read_text()
    places.settings.write_text(text.replace("{", '{"shines": true, ', 1))
    assert kept(places) == SETTINGS


@pytest.mark.parametrize("text", ["", "{", "[]", '{"user": 1}', '{"user": "a b"}', "{}"])
def test_damaged_settings_are_refused_with_what_writes_them(text, places):
    places.settings.parent.mkdir(parents=True)
    places.settings.write_text(text)
    with pytest.raises(CommandError):
        kept(places)


def test_a_process_that_is_no_longer_wanted_loses_its_unit(places):
    install(SETTINGS, places)
    install(ServiceSettings(user="root", with_imager=False), places)
    names = {path.name for path in places.units.glob("tomoshibi*")}
    assert names == {"tomoshibi-daq.service", "tomoshibi-settle.service", TARGET}


def test_removing_leaves_the_runs_and_nothing_else_of_ours(places):
    install(SETTINGS, places)
    run_folder = places.state / "runs" / "r1"
    run_folder.mkdir()
    (run_folder / "raw.tmraw").write_text("recorded")
    (places.units / "other.service").write_text("[Unit]\n")
    left = take_away(SETTINGS, places)
    assert (run_folder / "raw.tmraw").read_text() == "recorded"
    assert places.state / "runs" in left
    files = [path for path in places.root.rglob("*") if not path.is_dir() or path.is_symlink()]
    assert sorted(files) == [places.units / "other.service", run_folder / "raw.tmraw"]


def test_an_account_that_does_not_exist_is_refused_with_the_line_to_type(places):
    with pytest.raises(CommandError, match="`adduser nobody-has-this`"):
        put_in_place(ServiceSettings(user="nobody-has-this"), places)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (ServiceSettings(user="two words"), "--user"),
        (ServiceSettings(user="a", runs="runs"), "--runs"),
        (ServiceSettings(user="a", usb=["0403"]), "--usb"),
        (ServiceSettings(user="a", usb=['0403:6001"']), "--usb"),
        (ServiceSettings(user="a", source=["demo"]), "--source"),
        (
            ServiceSettings(user="a", acquire=["a\nExecStart=x"]),
            "control characters",
        ),
    ],
)
def test_what_could_not_work_is_refused(settings, named):
    with pytest.raises(CommandError, match=named):
        check(settings)


# --- the command ----------------------------------------------------------------------------------


def test_print_shows_every_file_and_touches_nothing(tmp_path, capsys):
    root = tmp_path / "root"
    assert main(["service", "install", "--print", "--root", str(root), "--usb", "0403:6001"]) == 0
    told = capsys.readouterr().out
    for name in ("tomoshibi-daq.service", TARGET, "70-tomoshibi.rules", "tomoshibi.desktop"):
        assert name in told
    assert not root.exists()


def test_options_of_the_processes_are_looked_at_before_anything_is_installed(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["service", "install", "--root", str(tmp_path), "--acquire=--durration 3"])
    assert left.value.code == 2
    assert "did you mean --duration?" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("action", ["status", "remove", "roll-back", "settle"])
def test_without_a_service_each_action_says_so(action, tmp_path, capsys):
    assert main(["service", action, "--root", str(tmp_path)]) == 1
    assert "no service is installed here" in capsys.readouterr().err


def test_a_trial_is_installed_and_removed_by_the_command(tmp_path, capsys):
    from rigs.appliance.trial_service import small_wheel

    wheels, root = small_wheel(tmp_path / "w", "1.0"), tmp_path / "root"
    user = os.environ.get("USER") or run("id", "-un").stdout.strip()
    words = ["service", "install", "--root", str(root), "--user", user, "--preset", "bench2"]
    assert main([*words, "--from", str(wheels)]) == 0
    daq = root / "etc" / "systemd" / "system" / "tomoshibi-daq.service"
    assert "--preset bench2" in daq.read_text()
    assert main([*words, "--acquire=--duration 60"]) == 0  # again: other options, same version
    assert "--duration 60" in daq.read_text()
    capsys.readouterr()
    assert main(["service", "remove", "--root", str(root)]) == 0
    assert "These stay" in capsys.readouterr().out
    assert not daq.is_symlink()
