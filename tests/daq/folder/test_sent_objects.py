"""What of each run went to an archive, as the list of runs tells it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daq.cli import main
from daq.folder.listing.sent_objects import sent_objects


def put(runs: Path, name: str, text: str) -> None:
    (runs / "hospital").mkdir(exist_ok=True)
    (runs / "hospital" / name).write_text(text)


def test_states_are_counted_by_run_and_peer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, "1.2.1@pacs.json", '{"run": "monday", "state": "done"}')
    put(tmp_path, "1.2.2@pacs.json", '{"run": "monday", "state": "stored", "why": ""}')
    put(tmp_path, "1.2.3@pacs.json", '{"run": "monday", "state": "waiting", "why": "refused"}')
    put(tmp_path, "1.2.3@web.json", '{"run": "monday", "state": "waiting"}')
    put(tmp_path, "1.2.4@pacs.json", '{"run": "tuesday", "state": "done", "why": "old"}')
    want = {
        "monday": {
            "pacs": {"done": 1, "stored": 1, "waiting": 1, "failed": 1, "why": "refused"},
            "web": {"waiting": 1},
        },
        "tuesday": {"pacs": {"done": 1}},
    }
    assert sent_objects(tmp_path) == want
    assert main(["runs", "--runs", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sent"] == want


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("1.2@pacs.json", "{torn"),
        ("1.2@pacs.json", '{"run": 7, "state": "done"}'),
        ("1.2@pacs.json", '{"run": "r", "state": "gone"}'),
        ("1.2@pacs.json", '{"run": "", "state": "done"}'),
        ("../x@pacs.json", "{}"),
        ("1.2@PACS .json", '{"run": "r", "state": "done"}'),
    ],
)
def test_what_is_no_state_is_left_out(name: str, text: str, tmp_path: Path) -> None:
    put(tmp_path, name, text)
    assert sent_objects(tmp_path) == {}


def test_a_folder_without_an_outbox_has_nothing(tmp_path: Path) -> None:
    assert sent_objects(tmp_path) == {}
