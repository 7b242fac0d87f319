"""What `doctor` says of fonts, serial ports and the service; each trouble with its remedy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from daq.cli.appliance.machine_checks import fonts, serial_ports, service
from daq.cli.appliance.places import Places
from daq.cli.appliance.settings import ServiceSettings, keep
from daq.cli.appliance.systemd import Systemd
from daq.cli.appliance.versions import Unconfirmed, Versions
from rigs.other_user import NOBODY, needs_another_user


def program(folder: Path, name: str, text: str) -> Path:
    """Write a program that answers as another would."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("answer", "verdict", "words"),
    [
        ('echo "Noto Sans CJK JP,源ノ角ゴシック"; echo IPAGothic', "ok", "IPAGothic, of 2"),
        ("true", "warning", "none has Japanese letters"),
    ],
)
def test_fonts_for_japanese_are_asked_for_with_the_line_to_type(
    answer, verdict, words, tmp_path, monkeypatch
):
    program(tmp_path, "fc-list", f'[ "$1" = :lang=ja ] || exit 1\n{answer}')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = fonts()
    assert found.verdict == verdict
    assert words in found.found
    assert ("apt-get install fonts-noto-cjk" in found.remedy) == (verdict != "ok")


def test_without_fc_list_nobody_knows_the_fonts(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "fontconfig" in fonts().remedy


@pytest.mark.skipif(shutil.which("fc-list") is None, reason="fc-list is missing (fontconfig)")
def test_the_real_fc_list_is_understood():
    assert fonts().verdict in ("ok", "warning")


def test_ports_that_may_be_opened_are_listed(tmp_path):
    port = tmp_path / "ttyUSB0"
    port.write_text("")
    assert serial_ports([str(port)]).found == str(port)
    assert serial_ports([]).found == "none"


@needs_another_user
def test_a_port_that_may_not_be_opened_is_told_with_the_group(tmp_path):
    """The real user of this process is another for a moment: access(2) asks for that one."""
    port = tmp_path / "ttyUSB0"
    port.write_text("")
    port.chmod(0o600)
    os.setreuid(NOBODY, 0)
    try:
        found = serial_ports([str(port)])
    finally:
        os.setreuid(0, 0)
    assert found.verdict == "warning"
    assert "dialout" in found.remedy


# --- the service ----------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(tmp_path / "root")
    keep(ServiceSettings(user="root", source=["emulate"]), found)
    return found


def answering(folder: Path, **properties: str) -> Systemd:
    """Return a systemd that says the same of every unit."""
    lines = "\n".join(f"{name}={value}" for name, value in properties.items())
    return Systemd([str(program(folder, "systemctl", f"cat <<END\n{lines}\nEND"))])


def test_no_service_is_no_trouble(tmp_path):
    assert service(Places(tmp_path), Systemd(["/nonexistent"])).verdict == "ok"


@pytest.mark.parametrize(
    ("properties", "verdict", "words"),
    [
        ({"ActiveState": "active", "NRestarts": "0"}, "ok", "daq active, imager active, source"),
        ({"ActiveState": "active", "NRestarts": "2"}, "warning", "started again 2 times"),
        ({"ActiveState": "failed"}, "trouble", "daq failed"),
        ({}, "trouble", "daq unknown"),
    ],
)
def test_the_service_is_judged_by_what_systemd_says(properties, verdict, words, places, tmp_path):
    found = service(places, answering(tmp_path, **properties))
    assert (found.verdict, bool(found.remedy)) == (verdict, verdict != "ok")
    assert words in found.found


def test_a_change_that_was_cut_off_is_trouble(places, tmp_path):
    versions = Versions(places.versions)
    versions.folder.mkdir(parents=True)
    versions.note(Unconfirmed("2.0", "1.0"))
    found = service(places, answering(tmp_path, ActiveState="active"))
    assert found.verdict == "trouble"
    assert "service settle" in found.remedy


def test_a_systemd_that_cannot_be_asked_is_told(places, tmp_path):
    found = service(places, Systemd([str(tmp_path / "nothing")]))
    assert "no systemd" in found.found
    refusing = program(tmp_path, "refusing", "echo 'access denied' >&2; exit 1")
    assert "access denied" in service(places, Systemd([str(refusing)])).found
