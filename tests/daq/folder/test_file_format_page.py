"""docs/file-format.md says what the files are: its tables are compared with the code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coincidence.events import ANGLE, COINCIDENCE, SINGLE, TRIPLE
from daq.folder import listmode_log as listmode
from daq.folder.listmode_log import ListmodeReader
from daq.folder.run_config import RunConfig
from daq.service.run import Run
from hw.wire.block_layout import BLOCK_HEADER, BlockKind
from hw.wire.truth_layout import FRAME, LABEL
from rigs.frames_factory import sent_run

PAGE = (Path(__file__).parents[3] / "docs" / "file-format.md").read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path, make_config: Callable[..., RunConfig]) -> Run:
    run = Run(make_config(name="x"), tmp_path)
    run.process(sent_run(n_modules=2, crystals_per_module=64).frames)
    run.finish()
    run.write_summary()
    return run


def written(dtype: np.dtype) -> str:
    """A type as the page writes it."""
    times = f" × {dtype.shape[0]}" if dtype.shape else ""
    return dtype.base.str.lstrip("<|") + times


def test_the_tables_offsets_and_types_are_those_of_the_records() -> None:
    rows = re.findall(r"^\| (\d+) \| ([iuf]\d(?: × \d)?) \|", PAGE, flags=re.MULTILINE)
    real = [
        (str(dtype.fields[name][1]), written(dtype.fields[name][0]))
        for dtype in (BLOCK_HEADER, COINCIDENCE, TRIPLE, SINGLE, ANGLE, FRAME, LABEL)
        for name in dtype.names
    ]
    assert rows == real


def test_the_kinds_of_blocks_are_named_with_their_numbers() -> None:
    assert all(f"{kind.value} {kind.name.lower()}" in PAGE for kind in BlockKind)


def test_every_key_of_the_summary_is_explained(run: Run) -> None:
    summary = run.summary()
    keys = {*summary, *summary["frames"], *summary["singles"], *summary["images"]}
    section = PAGE[PAGE.index("## summary.json") :]
    assert {key for key in keys if f"`{key}`" not in section} == set()


def test_the_pages_own_reader_reads_the_prompts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert code is not None
    monkeypatch.chdir(run.folder)
    found: dict[str, np.ndarray] = {}
    exec(code[1], found)
    theirs = ListmodeReader(run.folder / listmode.FILE_NAME).read_all(BlockKind.PROMPTS)
    assert found["prompts"].tobytes() == theirs.tobytes()
    assert len(theirs) > 100
