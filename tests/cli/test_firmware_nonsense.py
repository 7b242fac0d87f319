"""`tomoshibi firmware` and `tomoshibi link`: what cannot be is refused early, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from daq.cli import main
from daq.cli.firmware.one_module import shell
from daq.cli.firmware.shell import Shell
from daq.link.modules.own_machines import MachineRing
from daq.link.serial.update import MOST_BYTES
from hw.generate.dictionary import dictionary
from hw.machines.machine import MachineError
from hw.machines.toolchain import missing
from hw.wire.control import STRUCTS


def native(test: Callable[..., Any]) -> Any:
    """Mark a test that runs a native module."""
    reason = missing("native")
    return pytest.mark.firmware(pytest.mark.skipif(bool(reason), reason=reason)(test))


# --- before anything is opened or started ---------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--port", "0=/dev/a", "--port", "1=/dev/a"], "/dev/a is given for two modules"),
        (["--machines", "native", "--trigger-keV", "99999"], "energy_threshold is 999990"),
        (["--machines", "native", "--queue-words", "65537"], "queue_words is 65537 words, allowed"),
        (["--machines", "native", "--endpoint", "nonsense"], "endpoint 'nonsense'"),
    ],
)
def test_the_link_process_refuses_before_it_starts_a_machine(
    options, complaint, capsys, monkeypatch
):
    monkeypatch.setattr("daq.cli.commands.link._start_machines", pytest.fail)
    assert main(["link", "--preset", "bench2", *options]) == 1
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("baud", ["0", "-5", "9599", "4000001", "99999999999999", "fast"])
def test_a_speed_that_no_line_has_is_refused_with_those_that_it_may_be(baud, capsys):
    with pytest.raises(SystemExit):
        main(["firmware", "info", "--port", "/dev/null", "--baud", baud])
    assert "is not a speed from 9600 to 4000000 baud" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["build", "--output"], ["run", "--folder"]])
def test_a_file_where_a_folder_should_be_is_told_before_anything_is_built(
    command, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("hw.machines.build.build", pytest.fail)
    monkeypatch.setattr("daq.cli.commands.firmware.check_machines", lambda arm, modules: None)
    (tmp_path / "file").touch()
    assert main(["firmware", *command, str(tmp_path / "file")]) == 1
    assert "no folder, and none can be made there" in capsys.readouterr().err


def test_what_can_be_no_image_is_refused_before_the_port_is_opened(tmp_path, capsys):
    large = tmp_path / "large.tmim"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    for path, complaint in (
        (tmp_path, "a folder or device"),
        (Path("/dev/zero"), "a folder or device"),
        (tmp_path / "nothing", "there is no such file"),
        (large, f"an image has {MOST_BYTES} at most"),
    ):
        assert main(["firmware", "flash", str(path), "--port", "/dev/nothing"]) == 1
        assert complaint in capsys.readouterr().err


def test_a_disk_without_room_for_the_windows_is_refused(tmp_path, monkeypatch):
    usage = SimpleNamespace(free=20 << 20)
    monkeypatch.setattr("daq.link.modules.own_machines.shutil.disk_usage", lambda folder: usage)
    ring = MachineRing(tmp_path, modules=2, arm=0, data_path="ring", say=pytest.fail)
    with pytest.raises(MachineError, match=r"20 MiB free, the windows of 2 modules take 32 MiB"):
        ring.__enter__()


# --- the shell ------------------------------------------------------------------------------------


class Session:
    """Knows the dictionary of this program, and notes what it is asked."""

    def __init__(self) -> None:
        self.dictionary = SimpleNamespace(content=dictionary())
        self.asked: list[tuple[Any, ...]] = []
        self.connected, self.bias_asked_mV = True, None

    def command(self, name: str, tail: bytes = b"", **fields: int) -> Any:
        self.asked.append((name, fields))
        return SimpleNamespace(fields=np.zeros((), [])[()], detail=0)

    def write(self, name: str, value: int) -> int:
        self.asked.append(("write", name, value))
        return value

    def set_baud(self, baud: int) -> None:
        self.asked.append(("set_baud", baud))

    def reset(self) -> None:
        self.asked.append(("restarted",))

    def read(self, name: str) -> int:
        return 3000

    def ask_telemetry(self) -> Any:
        return np.full((), 1, STRUCTS["telemetry"])[()]


@pytest.fixture
def shelled() -> tuple[Shell, Session, list[str]]:
    session, said = Session(), []
    return Shell(session, say=said.append, complain=said.append), session, said  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("bias", "bias: takes target_mV"),
        ("bias target_mV=5 target_mV=6", "takes target_mV"),
        ("bias volts=5", "takes target_mV"),
        ("bias 5 6", "takes target_mV"),
        ("run 7", "takes run_tag, periods, first_sequence"),
        ("run 7 run_tag=8 0", "takes run_tag, periods, first_sequence"),
        ("hello 3", "takes nothing"),
        ("reset now", "takes nothing"),
        ("baud", "give a speed, such as: baud 921600"),
        ("write energy_threshold -5", "energy_threshold is -5, allowed is 0 to 16383"),
    ],
)
def test_a_line_with_wrong_values_says_what_it_takes_and_nothing_is_sent(shelled, line, complaint):
    shell, session, said = shelled
    assert not shell.do(line)
    assert complaint in said[-1]
    assert session.asked == []


def test_speed_and_reset_are_the_links_as_well_as_the_modules(shelled):
    shell, session, said = shelled
    assert shell.do_all(["baud 921600", "reset"]) == 0
    assert session.asked == [("set_baud", 921_600), ("restarted",)]
    assert said == ["done", "done"]


def test_exit_ends_a_script_and_every_word_of_help_is_explained(shelled):
    shell, session, said = shelled
    assert shell.do_all(["exit", "nonsense"]) == 0
    assert shell.do_all(["help help", "help faults", "help baud", "help exit", "quit", "x"]) == 0
    assert [words.split(":")[0].split()[0] for words in said] == ["help", "faults", "baud", "exit"]
    assert session.asked == []


@pytest.mark.parametrize(("asked_mV", "told"), [(56_000, "after 3 s"), (0, ""), (None, "")])
def test_a_bias_that_is_left_on_is_told(monkeypatch, capsys, asked_mV, told):
    session = Session()
    session.bias_asked_mV, session.foreign = asked_mV, False  # type: ignore[assignment,attr-defined]
    opened = type("O", (), {"__enter__": lambda s: session, "__exit__": lambda s, *e: None})
    monkeypatch.setattr("daq.cli.firmware.one_module._open", lambda *a, **k: opened())
    assert shell(SimpleNamespace(lines=["hello"])) == 0  # type: ignore[arg-type]
    assert ("the bias is left on" in (words := capsys.readouterr().err)) == bool(told)
    assert told in words


def test_a_closed_stdin_is_told_with_the_other_way(monkeypatch, capsys):
    session = Session()
    session.foreign = False  # type: ignore[attr-defined]
    opened = type("O", (), {"__enter__": lambda s: session, "__exit__": lambda s, *e: None})
    monkeypatch.setattr("daq.cli.firmware.one_module._open", lambda *a, **k: opened())
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["firmware", "shell", "--port", "x"]) == 1
    assert "stdin is closed; give --command LINE" in capsys.readouterr().err


# --- with modules ---------------------------------------------------------------------------------


@native
def test_an_update_that_a_killed_host_left_behind_is_given_up(tmp_path, capsys):
    from daq.link.serial.session import ModuleSession
    from daq.link.serial.update import read_image
    from hw.machines.native import Native

    with Native(folder=tmp_path) as machine:
        image = tmp_path / "image.tmim"
        image.write_bytes(machine.image.slot_image)
        header, _ = read_image(image)
        with ModuleSession.open(machine.serial_url) as session:
            session.command("update_begin", **{n: int(header[n]) for n in header.dtype.names or ()})
        assert main(["firmware", "flash", str(image), "--port", machine.serial_url]) == 0
    assert "slot a" in capsys.readouterr().out


@native
@pytest.mark.processes
def test_a_terminated_link_leaves_no_folder_however_early(tmp_path):
    argv = [sys.executable, "-m", "daq.cli", "link", "--preset", "bench2", "--machines", "native"]
    argv += ["--endpoint", f"ipc://{tmp_path}/ep"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env=environment) as link:
        assert link.stderr is not None
        assert "building the native image" in link.stderr.readline()
        link.send_signal(signal.SIGTERM)
        assert link.wait(10) in (0, 128 + signal.SIGINT)
    assert list(tmp_path.glob("tomoshibi-modules-*")) == []


@native
def test_a_machine_that_ended_by_itself_is_named_in_place_of_its_port(tmp_path):
    from daq.link.serial.line_errors import PortError

    with MachineRing(tmp_path, modules=1, arm=0, data_path="ring", say=lambda words: None) as ring:
        (port,) = ring.ports()
        assert port.address == ring.machines[0].serial_url
        ring.machines[0].stop()
        assert port.address == ""
        with pytest.raises(PortError, match=r"machine of module 0 ended by itself: see .*000\.log"):
            port.url()  # type: ignore[operator]
