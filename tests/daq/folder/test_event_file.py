"""Files of tapped events: readable at any moment, never overwritten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coincidence.events import COINCIDENCE, SINGLE, TRIPLE
from daq.errors import StorageError
from daq.folder.event_file import check_event_file, open_event_file
from daq.folder.listmode_log import ListmodeReader
from daq.folder.singles_log import SinglesReader
from hw.wire.block_layout import BlockKind


def records(dtype: np.dtype, n: int) -> np.ndarray:
    data = np.random.default_rng(n).integers(0, 256, n * dtype.itemsize, dtype=np.uint8)
    return data.view(dtype)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("prompts", COINCIDENCE), ("singles", SINGLE), ("triples", TRIPLE)]
)
def test_a_growing_npy_can_be_loaded_after_every_batch(tmp_path: Path, kind, dtype) -> None:
    path = tmp_path / "x.npy"
    file, written = open_event_file(path, kind, "run"), []
    assert len(np.load(path)) == 0
    for n in (3, 0, 1000, 100_000):
        written.append(records(dtype, n))
        file.append(written[-1])
        loaded = np.load(path)
        assert loaded.dtype == dtype
        assert loaded.tobytes() == np.concatenate(written).tobytes()
    file.close()


@pytest.mark.parametrize(("kind", "dtype"), [("delayeds", COINCIDENCE), ("triples", TRIPLE)])
def test_a_list_mode_log_of_tapped_events_is_read_as_any_other(tmp_path: Path, kind, dtype) -> None:
    file, sent = open_event_file(tmp_path / "x.tmlm", kind, "run"), records(dtype, 20)
    file.append(sent)
    file.close()
    log = ListmodeReader(tmp_path / "x.tmlm")
    assert log.read_all(BlockKind[kind.upper()]).tobytes() == sent.tobytes()
    assert (log.closed, log.head["tapped"]) == (True, kind)


def test_singles_go_to_a_singles_log(tmp_path: Path) -> None:
    file, sent = open_event_file(tmp_path / "x.tmws", "singles", "run"), records(SINGLE, 9)
    file.append(sent)
    file.close()
    assert SinglesReader(tmp_path / "x.tmws").read_all(BlockKind.SINGLES).tobytes() == (
        sent.tobytes()
    )


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("x.tmws", "prompts", r"prompts go to a file named \.npy or \.tmlm"),
        ("x.tmlm", "singles", r"singles go to a file named \.npy or \.tmws"),
        ("x", "triples", r"\.npy or \.tmlm"),
        ("taken.npy", "prompts", "exists already"),
        ("gone/x.npy", "prompts", "there is no folder"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_anything_comes(
    tmp_path: Path, name: str, kind, words: str
) -> None:
    (tmp_path / "taken.npy").write_text("mine")
    with pytest.raises(StorageError, match=words):
        check_event_file(tmp_path / name, kind)
    assert (tmp_path / "taken.npy").read_text() == "mine"
