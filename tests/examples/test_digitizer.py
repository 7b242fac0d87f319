"""The reference sources and docs/connect_your_digitizer.md: from a CSV to a picture, in Python and
in C, against a real daq; and what check-source says of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from daq.cli import main
from daq.folder.run_config import default_settings
from daq.service.source_check.listener import Bounds, listen
from hw.bounded_files import read_object
from hw.messages.endpoints import Endpoints
from hw.scanner.preset_file import load_scanner
from rigs.acquisition_process import Acquisition, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

DOCS = Path(__file__).parents[2] / "docs"
PYTHON, C = "digitizer.py", "digitizer.c"
PAIRS = 8000
END_S = 30.0


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of a point in the middle of bench2: back to back, so crystal (u, v) faces (u, 7 − v);
    0.2 s, that is 39 periods."""
    rng = np.random.default_rng(2)
    time_ps = np.sort(rng.integers(0, 200_000_000_000, PAIRS))
    u, v = rng.integers(0, 8, PAIRS), rng.integers(0, 8, PAIRS)
    rows = [
        f"{t + late},{channel},511.0"
        for t, a, b in zip(time_ps, u + 8 * v, 64 + u + 8 * (7 - v), strict=True)
        for late, channel in ((0, a), (40, b))
    ]
    path = tmp_path_factory.mktemp("csv") / "events.csv"
    path.write_text("time_ps,channel,energy_keV\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def daq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acquisition]:
    one = Acquisition(tmp_path_factory.mktemp("q"), "--calibration", "none")
    yield one
    one.end()


def command(language: str, events: Path, base: str, folder: Path) -> list[str]:
    """Return the command of a source; builds it if it is to be built."""
    source = DOCS / "examples" / language
    if language == PYTHON:
        return [sys.executable, str(source), str(events), "--endpoint", base]
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: apt-get install gcc")
    found = "#include <zmq.h>\nint main(void){return 0;}\n"
    asked = subprocess.run(["cc", "-E", "-x", "c", "-"], input=found, capture_output=True,
                           text=True, check=False)  # fmt: skip
    if asked.returncode:
        pytest.skip("zmq.h is missing: apt-get install libzmq3-dev")
    built = str(folder / "digitizer")
    subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-o", built, str(source), "-lzmq", "-lm"],
                   check=True, timeout=END_S)  # fmt: skip
    return [built, base, "bench2", "2", "64"]


def started(argv: list[str], events: Path) -> subprocess.Popen[bytes]:
    with events.open("rb") as rows:
        return subprocess.Popen(argv, stdin=rows, stdout=subprocess.DEVNULL, env=os.environ)


def taken(daq: Acquisition, language: str, events: Path, folder: Path) -> Path:
    """Return the closed run of a source."""
    argv = command(language, events, daq.endpoints.base, folder)
    wait_until(lambda: not daq.control.call("status")["sources"], "the source before to be gone")
    if daq.state() == "closed":
        daq.control.call("reset")
    source = started(argv, events)
    try:
        wait_until(lambda: bool(daq.control.call("status")["sources"]), "Hello")
        run = Path(daq.control.call("arm", name=language.replace(".", "-"))["run"])
        daq.control.call("start")
        daq.wait_for_state("closed")
        assert source.wait(END_S) == 0
    finally:
        source.kill()
    return run


def good_run_of(daq: Acquisition, language: str, events: Path, folder: Path) -> Path:
    """Return a source's run, in which every row of the CSV is an event."""
    run = taken(daq, language, events, folder)
    summary = read_object(run / "summary.json")
    assert (summary["condition"], summary["conserved"]) == ("good", True)
    assert summary["singles"]["accepted"] == 2 * PAIRS
    assert summary["prompts"] >= PAIRS - summary["multiples"]
    assert summary["frames"]["received"] == 2 * 39
    return run


def test_from_a_csv_to_a_picture_by_the_pages_commands(
    daq: Acquisition, events: Path, tmp_path: Path
) -> None:
    run = good_run_of(daq, PYTHON, events, tmp_path)
    assert main(["reconstruct", str(run), "--output", str(tmp_path / "i.nii.gz")]) == 0
    image = nib.load(tmp_path / "i.nii.gz")
    values = image.get_fdata()
    hottest = image.affine @ [*np.unravel_index(np.argmax(values), values.shape), 1]
    assert np.abs(hottest[:3]).max() < 6.0  # mm from the middle


@pytest.mark.parametrize("language", [PYTHON, C])
def test_check_source_finds_nothing_wrong_with_them(
    language: str, events: Path, tmp_path: Path
) -> None:
    scanner, endpoints = load_scanner("bench2"), Endpoints(f"ipc://{tmp_path}/ipc")
    source = started(command(language, events, endpoints.base, tmp_path), events)
    said: list[str] = []
    bell = threading.Timer(END_S, source.kill)
    bell.start()
    try:
        check, refusals = listen(
            endpoints, scanner, default_settings(scanner), Bounds(END_S, 1.0), say=said.append
        )
        assert source.wait(END_S) == 0
    finally:
        bell.cancel()
        source.kill()
    assert (check.findings(), refusals) == ([], [])
    assert said[0] == "Hello: kind digitizer, scanner bench2, 2 modules"
    assert check.summary()["singles"] == 2 * PAIRS


def test_every_row_becomes_an_event_in_c(daq: Acquisition, events: Path, tmp_path: Path) -> None:
    good_run_of(daq, C, events, tmp_path)


def test_the_page_names_these_sources_and_they_are_short() -> None:
    page = (DOCS / "connect_your_digitizer.md").read_text(encoding="utf-8")
    commands = page.split("```console\n")[1].split("```")[0].splitlines()
    assert [line.split()[:2] for line in commands] == [
        ["tomoshibi", "acquire"], ["python", f"docs/examples/{PYTHON}"],
        ["tomoshibi", "reconstruct"],
    ]  # fmt: skip
    for name, most in ((PYTHON, 200), (C, 150)):
        assert f"(examples/{name})" in page
        assert len((DOCS / "examples" / name).read_text(encoding="utf-8").splitlines()) <= most
    source = (DOCS / "examples" / PYTHON).read_text(encoding="utf-8")
    assert not re.search(r"^(from|import) (hw|daq|recon|emulator|coincidence)\b", source, re.M)
