"""What is done with a stored run from the console: real commands, in processes of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from daq.cli import main
from daq.cli.commands.export import IMAGE_FORMATS, SUFFIXES, TABLES
from daq.folder.listing.manifest import verify
from daq.folder.protocols.shelf import Shelf
from daq.folder.region_file import write_regions
from gui.app.window import ConsoleWindow
from gui.stored.export_formats import EXPORTS
from gui.stored.run_desk import END_REPLAY, REPLAY, SCAN_WORDS, RunDesk
from gui.stored.run_list import COLUMNS
from gui.stored.runs_page import RunsPage
from gui.stored.sign_dialog import SignDialog
from hw.messages.endpoints import Endpoints
from hw.regions import Sphere
from recon.exchange.images.formats import WRITERS
from rigs.gui.feeder import Feeder, Script

pytestmark = [pytest.mark.gui, pytest.mark.timeout(240)]
Pump = Callable[..., None]


def choose(page: RunsPage, name: str) -> RunDesk:
    names = [page.table.item(row, 0).text() for row in range(page.table.rowCount())]
    page.table.selectRow(names.index(name))
    return page.desk


def press(desk: RunDesk, name: str, pump: Pump) -> str:
    """Press a button, wait until its work is done, and return the words."""
    desk.buttons[name].click()
    assert desk.worker.busy
    pump(lambda: not desk.worker.busy, bound_s=60)
    return str(desk.words.toolTip())


def test_every_format_that_the_commands_know_is_offered_and_no_other() -> None:
    ways = [how for how in EXPORTS.values() if "--image" not in how]
    assert [how[-1] for how in ways if how[0] == "reconstruct"] == [*WRITERS]
    assert [how[-1] for how in ways if how[0] == "export"] == [*SUFFIXES, *TABLES]
    assert [*WRITERS] == [*IMAGE_FORMATS]


def test_each_export_has_a_new_name_and_the_words_say_where(
    page: RunsPage, runs: Path, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = choose(page, "monday")
    monkeypatch.setattr(desk, "ask_which", lambda *_, **__: "events: PETSIRD")
    first = press(desk, "Export…", pump)
    second = press(desk, "Export…", pump)
    place = runs / "monday" / "export"
    assert first == f"✓ export of monday: {place / 'monday.petsird'}"
    assert second == f"✓ export of monday: {place / 'monday-2.petsird'}"
    contents = [(place / f"monday{n}.petsird").read_bytes() for n in ("", "-2")]
    assert contents[0] == contents[1] != b""
    monkeypatch.setattr(desk, "ask_which", lambda *_, **__: "")
    desk.buttons["Export…"].click()
    assert not desk.worker.busy


def test_a_runs_settings_are_saved_as_a_protocol(
    page: RunsPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    desk, asked = choose(page, "monday"), []
    monkeypatch.setattr(desk, "ask", lambda *_: "as-monday")
    monkeypatch.setattr(desk.worker, "start", lambda _, *words: asked.append(words))
    desk.buttons["Protocol…"].click()
    assert asked == [
        ("protocols", "save", "as-monday", "--from", "monday", "--runs", str(page.root))
    ]
    assert main(list(asked[0])) == 0  # the command takes these words
    assert Shelf().find("as-monday").name == "as-monday"


def test_a_report_of_a_stored_image_has_signature_corrections_and_regions(
    page: RunsPage, runs: Path, pump: Pump, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    regions = [Sphere("lesion", (20.0, 16.0, 18.0), 12.0), Sphere("far", (900.0, 0.0, 0.0), 12.0)]
    write_regions(runs / "monday", regions)
    desk = choose(page, "monday")
    monkeypatch.setattr(desk, "ask_signature", lambda *_: ("M. Tanaka", "no motion"))
    press(desk, "Sign…", pump)
    pump(lambda: page.image.path is not None, bound_s=30)
    place = tmp_path / "monday.pdf"
    monkeypatch.setattr(desk, "ask_file", lambda *_: str(place))
    assert press(desk, "Report…", pump) == f"✓ report of monday: {place}"
    assert place.read_bytes().startswith(b"%PDF-")
    assert main(["analyse", str(page.image.path), "--regions"]) == 0
    text = capsys.readouterr().out
    assert "reviewed by M. Tanaka at" in text and "no motion" in text
    assert "not corrected" in text and "scatter" in text and "lesion" in text
    assert "Not measured: region far" in text


def test_nobody_signs_without_a_name(page: RunsPage) -> None:
    dialog = SignDialog("Who?", page)
    dialog.note.setPlainText("no motion")
    assert not dialog.sign.isEnabled()
    dialog.who.setText("M. Tanaka")
    assert dialog.sign.isEnabled()


def test_a_copy_is_made_and_the_list_says_so(
    page: RunsPage, pump: Pump, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = choose(page, "tuesday")
    monkeypatch.setattr(desk, "ask_folder", lambda *_: str(tmp_path))
    assert press(desk, "Archive…", pump) == f"✓ archive of tuesday: {tmp_path / 'tuesday'}"
    assert not verify(tmp_path / "tuesday").wrong

    def copies() -> set[str]:
        column = COLUMNS.index("Copies")
        return {page.table.item(row, column).text() for row in range(page.table.rowCount())}

    pump(lambda: "1" in copies(), bound_s=30)


def test_progress_is_shown_and_a_cancelled_copy_is_none(
    page: RunsPage, runs: Path, pump: Pump, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = runs / "monday" / "long.log"
    with long.open("wb") as file:
        file.truncate(1500 * 2**20)  # takes no room itself, and seconds to copy
    desk = choose(page, "monday")
    monkeypatch.setattr(desk, "ask_folder", lambda *_: str(tmp_path))
    desk.buttons["Archive…"].click()
    pump(lambda: "archiving monday" in desk.words.toolTip(), bound_s=60)
    assert "%" in desk.words.toolTip()
    desk.buttons["Cancel"].click()
    pump(lambda: not desk.worker.busy, bound_s=60)
    long.unlink()
    assert desk.words.toolTip() == "■ archive of monday: cancelled"
    assert not (tmp_path / "monday").exists()


def test_a_replay_is_refused_while_a_scan_is_under_way(
    page: RunsPage, console: ConsoleWindow, endpoints: Endpoints, pump: Pump,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    desk = choose(page, "monday")
    monkeypatch.setattr(desk, "ask_which", lambda *_, **__: pytest.fail("asked in vain"))
    with Feeder(endpoints, Script(state="running")):
        pump(lambda: console.link.state == "connected", bound_s=30)
        pump(lambda: desk._scanning, bound_s=10)
        desk.buttons[REPLAY].click()
    assert desk.words.toolTip() == SCAN_WORDS
    assert not desk.player.busy


def test_a_speed_that_cannot_be_is_told_by_the_command(
    page: RunsPage, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = choose(page, "monday")
    monkeypatch.setattr(desk, "ask_which", lambda *_, **__: "1e9")
    desk.buttons[REPLAY].click()
    pump(lambda: not desk.player.busy, bound_s=30)
    assert desk.words.toolTip().startswith("✗ replay of monday:")
    assert desk.buttons[REPLAY].text() == REPLAY


@pytest.mark.processes
def test_a_run_is_replayed_by_a_system_of_its_own_and_ended_from_here(
    page: RunsPage, runs: Path, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = choose(page, "monday")
    monkeypatch.setattr(desk, "ask_which", lambda *_, **__: "20")
    desk.buttons[REPLAY].click()
    assert desk.player.busy and desk.buttons[REPLAY].text() == END_REPLAY
    assert desk.buttons["Keep"].isEnabled()

    def replayed() -> list[Path]:
        return [path.parent for path in runs.glob("*/summary.json")
                if json.loads(path.read_text(encoding="utf-8"))["config"]["labels"].get("replay_of")
                == "monday"]  # fmt: skip

    pump(lambda: bool(replayed()), bound_s=200)
    first, again = (json.loads((folder / "summary.json").read_text(encoding="utf-8"))
                    for folder in (runs / "monday", *replayed()))  # fmt: skip
    assert first["hash"] == again["hash"]
    process = desk.player._process
    assert process is not None
    pid = process.processId()
    desk.buttons[REPLAY].click()
    pump(lambda: not desk.player.busy, bound_s=30)
    assert desk.words.toolTip() == "■ replay of monday: ended"
    assert not Path(f"/proc/{pid}").exists()
    assert desk.buttons[REPLAY].text() == REPLAY
