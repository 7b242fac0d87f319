"""A run of an earlier release still opens, sorts to the same bits and gives an image."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daq.errors import LogError
from daq.folder.identity.identity_file import read_identity
from daq.folder.listmode_log import ListmodeReader
from daq.folder.raw_log import RawLogReader
from daq.folder.run_config import FORMAT_VERSION
from daq.folder.run_folder import own_calibration, run_config
from daq.replay.sort_again import verify
from hw.wire.block_layout import BLOCK_HEADER, BLOCK_HEADER_BYTES, BlockKind, block_header
from recon import open_run, reconstruct

KEPT = Path(__file__).parents[1] / "data" / "release-0.1"


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in KEPT.iterdir()) < 300_000


def test_it_opens() -> None:
    config = run_config(KEPT)
    assert config.scanner().name == "bench2"
    assert own_calibration(KEPT) is not None
    assert read_identity(KEPT) is None
    summary = json.loads((KEPT / "summary.json").read_text())
    prompts = ListmodeReader(KEPT / "listmode.tmlm").read_all(BlockKind.PROMPTS)
    assert len(prompts) == summary["prompts"] > 100
    assert sum(len(frames) for frames in RawLogReader(KEPT / "raw.tmraw")) > 100


def test_it_sorts_to_the_same_bits() -> None:
    found = verify(KEPT)
    assert found.identical
    assert found.complete
    assert found.live_hash == json.loads((KEPT / "summary.json").read_text())["hash"]


def test_it_gives_an_image(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(KEPT, run)
    made = reconstruct(open_run(run), algorithm="osem", iterations=2)
    assert made.image.shape[:3] == tuple(made.grid.shape)
    assert np.isfinite(made.image).all()
    assert made.image.max() > 10 * made.image.mean() > 0  # a point


def later_json(path: Path) -> None:
    content = json.loads(path.read_text())
    content["versions"]["format"] = str(FORMAT_VERSION + 1)
    path.write_text(json.dumps(content))


def later_log(path: Path) -> None:
    data = path.read_bytes()
    length = int(np.frombuffer(data[:BLOCK_HEADER_BYTES], BLOCK_HEADER)["length"][0])
    head = json.loads(data[BLOCK_HEADER_BYTES : BLOCK_HEADER_BYTES + length])
    head["versions"]["format"] = str(FORMAT_VERSION + 1)
    text = json.dumps(head).encode()
    rest = data[BLOCK_HEADER_BYTES + length :]
    path.write_bytes(block_header(BlockKind.HEAD, text, sequence=0, items=1) + text + rest)


@pytest.mark.parametrize(
    ("name", "make_later", "read"),
    [
        ("run.json", later_json, lambda folder: run_config(folder)),
        ("raw.tmraw", later_log, lambda folder: RawLogReader(folder / "raw.tmraw")),
        ("listmode.tmlm", later_log, lambda folder: ListmodeReader(folder / "listmode.tmlm")),
    ],
)
def test_a_file_of_a_later_format_is_refused_by_its_version(
    tmp_path: Path,
    name: str,
    make_later: Callable[[Path], None],
    read: Callable[[Path], object],
) -> None:
    run = tmp_path / "run"
    shutil.copytree(KEPT, run)
    make_later(run / name)
    words = f"format version {FORMAT_VERSION + 1}, this program reads versions up to"
    with pytest.raises(LogError, match=words):
        read(run)
