"""`tomoshibi export` and `tomoshibi import`, on a run of made coincidences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daq.cli import main
from daq.folder.listmode_log import ListmodeReader
from daq.folder.run_config import RunConfig, default_settings
from daq.importers.coincidence_run import write_coincidence_run
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from hw.wire.block_layout import BlockKind
from oracles.safir_reader import read_safir
from rigs.exchange_data import made_records

BENCH = load_scanner("bench2")
PROMPTS = made_records(BENCH, 400, 0.5)
DELAYEDS = made_records(BENCH, 60, 0.5, seed=8, delayed=True)
for made in (PROMPTS, DELAYEDS):  # between the two modules, as the scanner would pair them
    made["crystal_a"] %= 64
    made["crystal_b"] = made["crystal_b"] % 64 + 64


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with one run."""
    config = RunConfig(
        scanner_toml=scanner_to_toml_text("bench2"),
        settings=default_settings(BENCH),
        name="made",
        labels={"nuclide": "F-18"},
    )
    write_coincidence_run(config, tmp_path / "runs", [(False, PROMPTS), (True, DELAYEDS)])
    return tmp_path / "runs"


def told(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main([*map(str, words), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


def test_petsird_goes_out_and_comes_back(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = told(capsys, "export", "made", "--format", "petsird", "--runs", runs)
    assert (out["prompts"], out["delayeds"]) == (400, 60)
    path = Path(out["files"][0])
    assert path == runs / "made" / "export" / "made.petsird" and path.stat().st_size == out["bytes"]
    back = told(capsys, "import", "petsird", path, "--name", "again", "--runs", runs)
    assert (back["prompts"], back["delayeds"]) == (400, 60)
    log = ListmodeReader(runs / "again" / "listmode.tmlm")
    again = log.read_all(BlockKind.PROMPTS)
    for field in ("crystal_a", "crystal_b", "doi_a", "doi_b"):
        assert np.array_equal(again[field], PROMPTS[field])
    # and once more: what PETSIRD does not keep is not lost twice
    out = told(capsys, "export", "again", "--format", "petsird", "--runs", runs)
    third = told(capsys, "import", "petsird", out["files"][0], "--name", "third", "--runs", runs)
    assert third["hash"] == back["hash"]
    assert third["config"]["labels"]["nuclide"] == "F-18"


def test_castor_and_safir_go_out(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    castor = told(capsys, "export", "made", "--format", "castor", "--runs", runs,
                  "--output", tmp_path / "a.Cdh", "--corrections", "randoms")  # fmt: skip
    assert castor["corrections"] == ["randoms"]
    kind = np.dtype(
        [("ms", "<u4"), ("randoms", "<f4"), ("norm", "<f4"), ("tof", "<f4"), ("ids", "<u4", (2,))]
    )
    events = np.fromfile(tmp_path / "a.Cdf", kind)
    assert len(events) == 400 and (events["randoms"] > 0).all()
    # all lines together hold the delayeds: 60 in half a second (each line's rate is its own)
    assert events["randoms"].mean() * 64 * 64 == pytest.approx(60 / 0.5, rel=0.5)
    safir = told(capsys, "export", "made", "--format", "safir", "--runs", runs, "--no-delayeds",
                 "--output", tmp_path / "a.clm.safir")  # fmt: skip
    assert safir["delayeds"] == 0 and len(read_safir(tmp_path / "a.clm.safir").time_ms) == 400


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--format", "castor", "--corrections", "luck"], "choose from attenuation"),
        (["--format", "castor", "--corrections", "attenuation"], "has no µ map"),
        (["--format", "castor", "--corrections", "normalisation"], "no calibration set"),
        (["--format", "safir", "--corrections", "randoms"], "castor has"),
    ],
)
def test_what_cannot_be_exported_is_said(
    runs: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    assert main(["export", "made", "--runs", str(runs), *words]) == 1
    assert complaint in capsys.readouterr().err
    assert not list(runs.glob("made/export/*"))


def test_import_that_fails_leaves_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = PROMPTS.copy()
    bad["crystal_b"][-1] = 9999
    config = RunConfig(
        scanner_toml=scanner_to_toml_text("bench2"), settings=default_settings(BENCH), name="bad"
    )
    with pytest.raises(Exception, match="crystal 9999 of 128"):
        write_coincidence_run(config, tmp_path / "runs", [(False, bad)])
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize(
    "command", [["export"], ["import"], ["import", "petsird"], ["import", "mmr"]]
)
def test_help_teaches_with_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert left.value.code == 0 and "examples:" in capsys.readouterr().out
