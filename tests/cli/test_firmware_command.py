"""`tomoshibi firmware` and `tomoshibi link`: what a person types, and what comes back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from daq.cli import main
from daq.cli.bench.notes import goals
from daq.cli.bench.speed_report import write_report
from daq.cli.firmware.shell import Shell, record_words
from daq.link.serial.line_errors import CommandRefused
from hw.generate.dictionary import dictionary
from hw.machines.toolchain import missing
from hw.wire.control import STRUCTS
from rigs.firmware.native_modules import foreign_build


def native(test: Callable[..., Any]) -> Any:
    """Mark a test that runs a native module."""
    reason = missing("native")
    return pytest.mark.firmware(pytest.mark.skipif(bool(reason), reason=reason)(test))


def qemu(test: Callable[..., Any]) -> Any:
    """Mark a test that builds the ARM image."""
    reason = missing("qemu")
    return pytest.mark.qemu(pytest.mark.skipif(bool(reason), reason=reason)(test))


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    """The port of a native module."""
    from hw.machines.native import Native

    with Native(folder=tmp_path_factory.mktemp("module")) as machine:
        yield machine.serial_url


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["link"], "give the modules' ports"),
        (["link", "--machines", "native", "--port", "0=/dev/null"], "give the modules' ports"),
        (["link", "--preset", "bench2", "--port", "2=/dev/null"], "no module 2: bench2 has 0 to 1"),
        (["link", "--preset", "bench2", *["--port", "1=/dev/null"] * 2], "module 1 is given twice"),
        (
            ["link", "--preset", "bench2", "--port", "0=/x", "--firmware-data", "ethernet"],
            "over the serial line",
        ),
        (["firmware", "info", "--port", "/dev/nothing"], "/dev/nothing"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(words, complaint, capsys):
    assert main(words) == 1
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("port", ["3", "x=/dev/null", "3="])
def test_a_port_is_a_module_and_a_url(port, capsys):
    with pytest.raises(SystemExit):
        main(["link", "--port", port])
    assert "give MODULE=URL, such as 3=/dev/ttyUSB0" in capsys.readouterr().err


def test_without_the_tools_the_line_that_installs_them_is_told(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("hw.machines.toolchain.shutil.which", lambda program: None)
    assert main(["firmware", "run", "--machines", "qemu"]) == 1
    assert "apt-get install" in capsys.readouterr().err
    arguments = ["demo", "--headless", "--firmware", "native", "--runs", str(tmp_path)]
    monkeypatch.setattr("daq.cli.commands.demo.warm_up", pytest.fail)  # minutes, for nothing
    assert main(arguments) == 1
    assert "apt-get install" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# --- one module -----------------------------------------------------------------------------------


@native
def test_info_tells_identity_state_and_registers(url, capsys):
    assert main(["firmware", "info", "--port", url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["identity"]["board"] == "posix"
    assert told["telemetry"]["state"] == "idle"
    assert told["registers"]["bias_max_mV"] == 60_000
    assert told["dictionary"]["commands"] > 20
    assert main(["firmware", "info", "--port", url]) == 0
    assert "60000 mV" in capsys.readouterr().out


@native
def test_the_shell_does_the_lines_it_is_given_until_one_fails(url, capsys):
    lines = ["write energy_threshold 777", "read energy_threshold", "bias 99999999", "telemetry"]
    commands = [word for line in lines for word in ("--command", line)]
    assert main(["firmware", "shell", "--port", url, *commands]) == 1
    out, err = capsys.readouterr()
    assert out.count("energy_threshold = 777 0.1 keV") == 2
    assert "bias 99999999" in err
    assert "counter" not in out


@native
def test_the_shell_reads_a_script(url):
    argv = [sys.executable, "-m", "daq.cli", "firmware", "shell", "--port", url]
    script = "# a comment\nread supply_min_mV\nfaults\nhelp bias\n"
    done = subprocess.run(argv, input=script, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "supply_min_mV = 4500 mV" in done.stdout
    assert "no fault in the log" in done.stdout
    assert "bias TARGET_MV" in done.stdout


@native
def test_trace_shows_commands_replies_and_notices(url, capsys):
    assert main(["firmware", "trace", "--port", url, "--seconds", "0.8"]) == 0
    out = capsys.readouterr().out
    assert "-> command hello" in out
    assert "<- reply hello" in out
    assert "<- notice telemetry" in out


@native
def test_ports_finds_the_module_behind_a_url(url, capsys):
    assert main(["firmware", "ports", url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["ports"]
    (found,) = [row for row in told if row["url"] == url]
    assert found["identity"]["board"] == "posix"


@native
def test_build_and_flash_put_a_confirmed_image_into_a_slot(url, tmp_path, capsys):
    arguments = ["firmware", "build", "--target", "native", "--output", str(tmp_path), "--json"]
    assert main(arguments) == 0
    built = json.loads(capsys.readouterr().out.splitlines()[-1])["native"]
    assert Path(built["image"]).stat().st_size == built["image_bytes"]
    assert main(["firmware", "flash", built["image"], "--port", url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["slot"], told["confirmed"], told["build"]) == ("a", 1, built["build"])
    damaged = tmp_path / "damaged.tmim"
    damaged.write_bytes(Path(built["image"]).read_bytes()[:-100])
    assert main(["firmware", "flash", str(damaged), "--port", url]) == 1
    assert "truncated" in capsys.readouterr().err


@pytest.fixture
def foreign(tmp_path) -> tuple[str, Path]:
    """Firmware of another schema: its build id and the file of its image."""
    build, image = foreign_build()
    path = tmp_path / "foreign.tmim"
    path.write_bytes(image)
    return f"{build.build_id:08x}", path


def told_by(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@native
def test_another_schema_needs_to_be_asked_for_and_goes_again(tmp_path, foreign, capsys):
    from hw.machines.native import Native

    build, image = foreign
    with Native(folder=tmp_path / "module") as machine:
        flash = ["firmware", "flash", str(image), "--port", machine.serial_url]
        assert main(flash) == 1
        assert "--any-schema" in capsys.readouterr().err
        assert main([*flash, "--any-schema"]) == 0
        assert "confirmed because it names its image's build id" in capsys.readouterr().out
        port = ["--port", machine.serial_url]
        assert main(["firmware", "info", *port, "--json"]) == 0
        told = told_by(capsys)
        assert (told["foreign"], told["identity"]["build"]) == (True, build)
        assert told["dictionary"]["commands"] > 20
        assert not {"telemetry", "registers"} & set(told)
        assert main(["firmware", "info", *port]) == 0
        assert "`firmware flash` can update it" in capsys.readouterr().out
        assert main(["firmware", "trace", *port, "--seconds", "0.1"]) == 1
        assert "Flash the firmware of this release" in capsys.readouterr().err
        ours = tmp_path / "ours.tmim"
        ours.write_bytes(machine.image.slot_image)
        assert main(["firmware", "flash", str(ours), *port, "--json"]) == 0
        told = told_by(capsys)
        assert (told["before"], told["slot"], told["confirmed"]) == (build, "b", 1)
        assert not told["foreign"]
        assert main(["firmware", "info", *port, "--json"]) == 0
        assert not told_by(capsys)["foreign"]


@native
def test_another_schema_may_be_left_unconfirmed_and_the_shell_confirms_it(
    tmp_path, foreign, capsys
):
    from hw.machines.native import Native

    with Native(folder=tmp_path / "module") as machine:
        port = ["--port", machine.serial_url]
        flash = ["firmware", "flash", str(foreign[1]), "--any-schema", "--unconfirmed", *port]
        assert main(flash) == 0
        assert "the program of its release should try it before" in capsys.readouterr().out
        assert main(["firmware", "shell", *port, "--command", "bias 50000"]) == 1
        assert "bias may mean something else to it" in capsys.readouterr().err
        lines = ["--command", "update_confirm", "--command", "hello"]
        assert main(["firmware", "shell", *port, *lines]) == 0
        assert "confirmed = 1" in capsys.readouterr().out


@qemu
def test_build_tells_the_arm_images_sizes(capsys):
    assert main(["firmware", "build", "--target", "mps2", "--json"]) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])["mps2"]
    assert 0 < made["code_bytes"] < 2**19
    assert 0 < made["stack_bound_bytes"] < made["stack_bytes"]


@native
@pytest.mark.processes
def test_run_tells_the_ports_of_its_modules_and_ends_with_ctrl_c(tmp_path):
    argv = [sys.executable, "-m", "daq.cli", "firmware", "run", "--modules", "2"]
    argv += ["--folder", str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ring:
        assert ring.stdout is not None
        lines = [ring.stdout.readline().split() for _ in range(2)]
        assert [line[:3] for line in lines] == [["module", str(m), "native"] for m in range(2)]
        assert main(["firmware", "shell", "--port", lines[1][3], "--command", "hello"]) == 0
        ring.send_signal(signal.SIGINT)
        assert ring.wait(5) == 0
    assert not Path(lines[0][3]).exists()
    assert (tmp_path / "module-001.window").exists()


# --- the shell without a module -------------------------------------------------------------------


class ScriptedSession:
    """Answers with what it was told; knows the dictionary of this program."""

    def __init__(self) -> None:
        self.dictionary = SimpleNamespace(content=dictionary())
        self.asked: list[tuple[str, dict[str, int]]] = []

    def command(self, name: str, tail: bytes = b"", **fields: int) -> Any:
        self.asked.append((name, fields))
        if name == "abort":
            raise CommandRefused("module 0", name, 3, 1, "not allowed in the present state")
        record = np.zeros((), STRUCTS["report"] if name == "report" else [])
        return type("R", (), {"fields": record[()], "detail": 0})

    def read(self, name: str) -> int:
        return 5


@pytest.fixture
def scripted() -> tuple[Shell, ScriptedSession, list[str]]:
    session, said = ScriptedSession(), []
    shell = Shell(session, say=said.append, complain=said.append)  # type: ignore[arg-type]
    return shell, session, said


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("run 7 100 0", {"run_tag": 7, "periods": 100, "first_sequence": 0}),
        ("run run_tag=0x10 periods=1 first_sequence=2", {"run_tag": 16, "periods": 1,
                                                         "first_sequence": 2}),
        ("  report   # how is it?", {}),
    ],
)  # fmt: skip
def test_a_lines_values_are_in_order_or_by_name(scripted, line, fields):
    shell, session, _ = scripted
    assert shell.do(line)
    assert session.asked == [(line.split()[0], fields)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("frobnicate", "help lists those that there are"),
        ("run 1 2 3 4", "takes run_tag, periods, first_sequence"),
        ("bias lots", "target_mV is 'lots'; give a whole number"),
        ("write energy_threshold", "give a register and a value"),
        ("help nothing", "no such command or register"),
        ("abort", "not allowed in the present state"),
        ("bias 'un", "No closing quotation"),
        ("update_data 0", "help lists those that there are"),
    ],
)
def test_a_line_that_cannot_be_done_says_why(scripted, line, words):
    shell, _, said = scripted
    assert not shell.do(line)
    assert words in said[-1]


def test_help_has_every_command_and_register_with_its_bounds(scripted):
    shell, _, said = scripted
    assert shell.do("help")
    text = "\n".join(said)
    assert "clear_fault" in text
    assert "0 to 16383 0.1 keV, default 500" in text
    assert shell.do("")
    assert {"help", "bias", "energy_threshold"} <= set(shell.names())


def test_values_of_a_newer_firmware_are_shown_as_numbers():
    record = np.zeros((), STRUCTS["identity"])
    record["board"], record["slot"], record["build"] = 99, 1, 0xABC
    words = record_words(record[()])
    assert (words["board"], words["slot"], words["build"]) == (99, "a", "00000abc")


# --- the benchmark's report -----------------------------------------------------------------------

FIGURES = {"native": {"events_per_s_serial": 4e6}, "qemu": {"events_per_s_ring": 1.8e6}}


def test_the_firmwares_figures_stand_beside_what_the_prototype_reached():
    lines = goals(FIGURES)
    assert "| native, serial | 3,500,000 | 4,000,000 | reached |" in lines
    assert "| qemu, ring | 3,600,000 | 1,800,000 | 50% of it |" in lines


def test_one_suite_replaces_its_own_section_and_leaves_the_others(tmp_path):
    path = tmp_path / "performance.md"
    path.write_text("# Performance\n\nabout\n\n## sort\n\nold sort\n\n## firmware\n\nold\n")
    for _ in range(2):
        write_report(path, {"firmware": FIGURES}, [], whole=False)
    text = path.read_text()
    assert text.startswith("# Performance\n\nabout\n")
    assert "old sort" in text
    assert "\nold\n" not in text
    assert text.count("## firmware") == 1
    assert "1,800,000" in text
