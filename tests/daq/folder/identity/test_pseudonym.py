"""Pseudonyms: what identifies goes, everything else stays to the bit, and what is left is told."""

from __future__ import annotations

import gzip
import json
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from daq.cli import main
from daq.errors import RunError
from daq.folder.identity.identity_file import IDENTITY_NAME, Identity, write_identity
from daq.folder.identity.pseudonym import PSEUDONYM_NAME, pseudonymise
from daq.folder.listmode_log import ListmodeReader
from daq.folder.raw_log import RawLogReader
from daq.folder.run_folder import run_config, write_json
from daq.replay.sort_again import verify
from hw.wire.block_layout import BLOCK_HEADER, BLOCK_HEADER_BYTES, BlockKind, block_header

KEPT = Path(__file__).parents[3] / "data" / "release-0.1"
ANNA = Identity(patient_id="4711-X", name="Müller, Anna", birth_date="1970-12-31", sex="F")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "r1"
    shutil.copytree(KEPT, folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_identity_goes_and_nothing_else_changes(run: Path, tmp_path: Path) -> None:
    before = contents(run)
    write_identity(run, ANNA)
    done = pseudonymise(run, key_file=tmp_path / "key.json")
    assert done.clean
    after = contents(run)
    pseudonym = json.loads(after.pop(PSEUDONYM_NAME))["pseudonym"]
    assert pseudonym == done.pseudonym
    assert after == before
    key = json.loads((tmp_path / "key.json").read_text())
    assert key["pseudonym"] == pseudonym
    assert key["identity"]["name"] == "Müller, Anna"
    assert stat.S_IMODE((tmp_path / "key.json").stat().st_mode) == 0o600


def with_label(run: Path, name: str) -> None:
    """Make it a run as they were armed before: with a label in its files."""
    for file in ("run.json", "summary.json"):
        content = json.loads((run / file).read_text())
        content["config"]["labels"]["patient"] = name
        write_json(run / file, content)
    for log in ("raw.tmraw", "listmode.tmlm"):
        data = (run / log).read_bytes()
        header = np.frombuffer(data[:BLOCK_HEADER_BYTES], BLOCK_HEADER)[0]
        length, items = int(header["length"]), int(header["items"])
        head = json.loads(data[BLOCK_HEADER_BYTES : BLOCK_HEADER_BYTES + length])
        head["config"]["labels"]["patient"] = name
        text = json.dumps(head, ensure_ascii=False, sort_keys=True).encode()
        rest = data[BLOCK_HEADER_BYTES + length :]
        new = block_header(BlockKind.HEAD, text, sequence=0, items=items) + text
        (run / log).write_bytes(new + rest)


def test_labels_of_older_runs_are_taken_out_of_all_four_files(run: Path, tmp_path: Path) -> None:
    before = contents(run)
    with_label(run, "Anna Müller")
    assert "Anna" in json.dumps(RawLogReader(run / "raw.tmraw").head)
    done = pseudonymise(run, key_file=tmp_path / "key.json")
    assert done.clean
    assert [words.split(":")[0] for words in done.changed[:-1]] == [
        "listmode.tmlm", "raw.tmraw", "run.json", "summary.json"
    ]  # fmt: skip
    assert json.loads((tmp_path / "key.json").read_text())["labels"] == {"patient": "Anna Müller"}
    after = contents(run)
    after.pop(PSEUDONYM_NAME)
    assert {name for name in before if before[name] != after[name]} == set()
    assert verify(run).identical
    assert "patient" not in run_config(run).labels
    assert "patient" not in ListmodeReader(run / "listmode.tmlm").head["config"]["labels"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"seen ANNA today"),
        ("notes.txt", b"born 31.12.1970"),
        ("latin.txt", "MÜLLER".encode("latin-1")),
        ("wide.txt", "Müller".encode("utf-16-le")),
        ("image.nii.gz", gzip.compress(bytes(2**20 - 3) + b"4711-x")),
        ("images/anna.png", b""),
    ],
)
def test_what_is_left_is_told_by_file_and_field_not_by_value(
    run: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    write_identity(run, ANNA)
    (run / "images").mkdir()
    (run / name).write_bytes(content)
    assert main(["pseudonymise", str(run), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["clean"]
    assert {place for place, _ in told["left"]} == {name}
    assert not any(word in json.dumps(told["left"][0][1]) for word in ("4711", "1970", "ller"))


def test_arrays_are_searched_too(run: Path) -> None:
    write_identity(run, ANNA)
    np.savez_compressed(run / "more.npz", who=np.array(["Anna Müller"]), x=np.zeros(9))
    np.savez_compressed(run / "raw.npz", who=np.frombuffer(b"Anna", np.uint8))
    (run / "torn.npz").write_bytes(b"PK")
    done = pseudonymise(run)
    assert {place for place, _ in done.left} == {"raw.npz"} or {
        place for place, _ in done.left
    } == {"raw.npz", "more.npz"}
    assert done.not_searched == ["torn.npz"]
    assert not done.clean


def test_a_key_is_kept_elsewhere_and_first(run: Path, tmp_path: Path) -> None:
    write_identity(run, ANNA)
    with pytest.raises(RunError, match="lies in the run"):
        pseudonymise(run, key_file=run / "key.json")
    (tmp_path / "key.json").touch()
    with pytest.raises(RunError, match="exists"):
        pseudonymise(run, key_file=tmp_path / "key.json")
    with pytest.raises(RunError, match="the pseudonym contains the name"):
        pseudonymise(run, pseudonym="ANNA-1")
    assert (run / IDENTITY_NAME).exists()


def test_a_link_out_of_the_run_is_not_followed(run: Path, tmp_path: Path) -> None:
    write_identity(run, ANNA)
    (tmp_path / "other.json").write_text('{"labels": {"patient": "Anna"}}')
    (run / "link.json").symlink_to(tmp_path / "other.json")
    with_label(run, "Anna Müller")
    assert pseudonymise(run).clean
    assert "patient" in (tmp_path / "other.json").read_text()


def test_without_an_identity_there_is_a_pseudonym_all_the_same(run: Path) -> None:
    done = pseudonymise(run, pseudonym="STUDY-1")
    assert done.clean
    assert done.changed == [f"{PSEUDONYM_NAME}: written"]
    with pytest.raises(RunError, match="is not a run"):
        pseudonymise(run.parent)
