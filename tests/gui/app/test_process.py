"""The console as a process of its own: pictures, signals, the report, an end when told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from pyqtgraph.Qt import QtGui

from daq.cli import main
from gui.app.screenshots import ScreenshotError, take
from gui.app.window import PAGES, ConsoleWindow
from hw.messages.endpoints import Endpoints
from rigs.gui.feeder import Feeder, Script

pytestmark = [pytest.mark.gui, pytest.mark.processes]
ROOT = Path(__file__).parents[3]
SMALL = np.ones((12, 12, 8), dtype=np.float32)

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(endpoints: Endpoints) -> Iterator[Start]:
    """Start consoles; whatever still lives at the end is killed."""
    children: list[subprocess.Popen[str]] = []

    def start_console(*options: str) -> subprocess.Popen[str]:
        where = ["--endpoint", endpoints.base, "--json", "--offscreen"]
        child = subprocess.Popen(
            [sys.executable, "-m", "daq.cli", "console", *where, *options],
            cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        children.append(child)
        return child

    yield start_console
    for child in children:
        if child.poll() is None:
            child.kill()
        child.communicate(timeout=10)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def colours(path: Path) -> tuple[int, tuple[int, int]]:
    """Return the number of distinct colours of a picture, and its size."""
    picture = QtGui.QImage(str(path)).convertToFormat(QtGui.QImage.Format.Format_RGB32)
    pixels = np.frombuffer(picture.constBits(), dtype=np.uint32)
    return np.unique(pixels).size, (picture.width(), picture.height())


@pytest.mark.skipif(find_spec("PyQt6") is None, reason="PyQt6 is not installed (requirements/test)")
def test_it_speaks_qt_through_pyqtgraph_alone_so_another_binding_does(
    endpoints: Endpoints, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYQTGRAPH_QT_LIB", "PyQt6")
    shots = [word for page in PAGES for word in ("--shot", f"1@{page}={tmp_path / page}.png")]
    with Feeder(endpoints, Script(image=SMALL)):
        child = start(*shots)
        for page in PAGES:
            wait_for(tmp_path / f"{page}.png")
        child.terminate()
        out, errors = child.communicate(timeout=20)
    assert child.returncode == 0, errors
    assert json.loads(out.splitlines()[-1])["telemetries"] > 0
    assert "Traceback" not in errors
    assert all(colours(tmp_path / f"{page}.png")[0] > 40 for page in PAGES)


def test_it_leaves_by_itself_with_a_picture_of_the_closed_run(
    endpoints: Endpoints, start: Start, tmp_path: Path
) -> None:
    with Feeder(endpoints, Script(image=SMALL)) as feeder:
        child = start(
            "--screenshots", str(tmp_path), "--exit-when-closed",
            "--shot", f"first-image={tmp_path / 'first.png'}",
        )  # fmt: skip
        wait_for(tmp_path / "first.png")
        feeder.script.final = True
        feeder.script.state = "closed"
        out, errors = child.communicate(timeout=20)
    report = json.loads(out.splitlines()[-1])
    assert child.returncode == 0, errors
    assert errors == ""
    assert report["screenshots"] == [str(tmp_path / "first.png"), str(tmp_path / "console.png")]
    assert report["frames"] > 2
    assert {"mean_Hz", "p95_frame_ms", "cpu_fraction", "images"} <= set(report)
    number, size = colours(tmp_path / "console.png")
    assert size == (1280, 800)
    assert number > 50, "the picture is blank"
    assert not list(tmp_path.glob("*.part"))


def test_it_leaves_too_where_the_daq_left_before_a_final_image_came(
    endpoints: Endpoints, start: Start, tmp_path: Path
) -> None:
    with Feeder(endpoints, Script(image=SMALL)) as feeder:
        child = start(
            "--screenshots", str(tmp_path), "--exit-when-closed",
            "--shot", f"running={tmp_path / 'running.png'}",
            "--shot", f"closed={tmp_path / 'closed.png'}",
        )  # fmt: skip
        wait_for(tmp_path / "running.png")
        feeder.script.state = "closed"
        wait_for(tmp_path / "closed.png")
        feeder.script.silent = True
        _, errors = child.communicate(timeout=20)
    assert child.returncode == 0, errors
    assert (tmp_path / "console.png").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(
    endpoints: Endpoints, start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    with Feeder(endpoints, Script(image=SMALL)):
        child = start("--screenshots", str(tmp_path), "--shot", f"running={tmp_path / 'r.png'}")
        wait_for(tmp_path / "r.png")
        child.send_signal(number)
        out, errors = child.communicate(timeout=10)
    assert child.returncode == 0, errors
    assert json.loads(out)["frames"] > 0
    assert (tmp_path / "console.png").exists()


def test_killed_and_reopened_it_shows_the_run_again(
    endpoints: Endpoints, start: Start, tmp_path: Path
) -> None:
    with Feeder(endpoints, Script(image=SMALL)) as feeder:
        first = start("--shot", f"running={tmp_path / 'first.png'}")
        wait_for(tmp_path / "first.png")
        first.kill()
        first.wait(timeout=10)
        start("--shot", f"first-image={tmp_path / 'second.png'}")
        wait_for(tmp_path / "second.png")
        assert feeder.commands == []


def test_without_a_display_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gui.app import console

    monkeypatch.setattr(console.QtWidgets.QApplication, "instance", lambda: None)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["console", "--endpoint", "ipc:///tmp/nowhere"]) == 1
    assert "no display" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--endpoint", "tcp://10.0.0.1:7000"], "not this machine"),
        (["--size", "large"], "write WIDTHxHEIGHT"),
        (["--shot", "someday=x.png"], "seconds or one of first-image"),
    ],
)
def test_a_wrong_option_is_explained(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["console", "--offscreen", *options]) == 1
    assert words in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_told(console: ConsoleWindow, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ScreenshotError, match="file"):
        take(console, tmp_path / "file" / "console.png")


def test_everything_is_larger_with_a_scale(tmp_path: Path) -> None:
    sizes = []
    for scale in ("1", "1.5"):
        path = tmp_path / f"{scale}.png"
        where = ["--endpoint", f"ipc://{tmp_path}/ipc", "--offscreen", "--size", "1100x760"]
        shot = ["--shot", f"0.5={path}", "--scale", scale]
        child = subprocess.Popen([sys.executable, "-m", "daq.cli", "console", *where, *shot])
        wait_for(path)
        child.terminate()
        child.wait(20)
        sizes.append(QtGui.QImage(str(path)).size())
    assert sizes[1].width() == pytest.approx(1.5 * sizes[0].width(), abs=2)


@pytest.mark.parametrize("scale", ["0.1", "9", "nan"])
def test_a_scale_that_nobody_can_read_is_refused(tmp_path: Path, scale: str) -> None:
    argv = ["console", "--offscreen", "--scale", scale, "--endpoint", f"ipc://{tmp_path}/ipc"]
    child = subprocess.run(
        [sys.executable, "-m", "daq.cli", *argv], capture_output=True, text=True, timeout=60
    )
    assert child.returncode == 2 or child.returncode == 1
    assert "must lie in 0.75 … 3" in child.stderr
