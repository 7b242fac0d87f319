"""The demo end to end: four real processes, from the decay to the picture and back to the bits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from rigs.demo_process import demo, result_of

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One finished demo of 4 s: its result."""
    runs = tmp_path_factory.mktemp("runs")
    return result_of(demo(runs, "--duration", "4", "--seed", "5", "--name", "one"))


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "daq.cli", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False)


def test_the_summary_keeps_the_contract(finished):
    frames, singles, images = finished["frames"], finished["singles"], finished["images"]
    assert {"sent", "received", "lost", "corrupt", "late"} <= frames.keys()
    assert frames["sent"] == frames["received"] + frames["lost"] == 2 * 763
    assert singles["emitted"] == singles["received"] + singles["lost"]
    places = ("accepted", "out_of_window", "late", "invalid")
    assert singles["received"] == sum(singles[place] for place in places) > 0
    assert finished["prompts"] > 1000
    assert {"mean", "peak"} <= finished["rates"].keys()
    assert images["count"] > 0
    assert 0 < images["latency_ms"]["p50"] <= images["latency_ms"]["p99"]
    assert 0 < images["fraction_used"] <= 1
    assert finished["conserved"] is True
    assert finished["condition"] == "good"
    assert finished["versions"]["tomoshibi"]


def test_the_run_folder_explains_itself(finished):
    folder = Path(finished["run"])
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["prompts"] == finished["prompts"]
    config = json.loads((folder / "run.json").read_text(encoding="utf-8"))["config"]
    assert config["labels"]["seed"] == 5
    assert "bench2" in (folder / "scanner.toml").read_text(encoding="utf-8")
    assert (folder / "journal.jsonl").stat().st_size > 0
    assert (folder / "console.png").read_bytes().startswith(b"\x89PNG")
    assert {path.stem for path in (folder / "logs").iterdir()} >= {"daq", "imager", "source"}


def test_the_final_image_has_its_hottest_voxel_at_the_point_source(finished):
    image = nib.load(finished["images"]["final"]).get_fdata()
    assert np.isfinite(image).all()
    centre = (np.array(image.shape) - 1) / 2
    hottest = np.array(np.unravel_index(image.argmax(), image.shape))
    assert np.abs(hottest - centre)[1:].max() <= 1.5  # across the two blocks: voxels of 1 mm


def test_the_image_of_the_shipped_scanner_is_in_becquerels(finished):
    image = Path(finished["images"]["final"])
    about = json.loads(image.with_name("live.json").read_text(encoding="utf-8"))
    assert about["unit"] == "Bq/mL"


def test_live_equals_replay_to_the_bit(finished):
    done = cli("replay", finished["run"], "--verify", "--json")
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0
    assert verdict["identical"] is True
    assert verdict["live_hash"] == verdict["replay_hash"] == finished["hash"]


def test_a_changed_bit_in_the_list_mode_log_is_found(finished, tmp_path):
    copy = shutil.copytree(finished["run"], tmp_path / "copy")
    log = copy / "listmode.tmlm"
    damaged = bytearray(log.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    log.write_bytes(damaged)
    done = cli("replay", str(copy), "--verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["identical"] is False


@pytest.mark.evidence
def test_the_same_seed_gives_the_same_coincidences_again(finished, tmp_path):
    again = result_of(demo(tmp_path, "--duration", "4", "--seed", "5", "--fast"))
    assert again["hash"] == finished["hash"]


def test_a_replay_through_the_live_chain_gives_the_same_coincidences(finished, tmp_path):
    runs = ["--runs", str(tmp_path)]
    done = cli("replay", finished["run"], "--headless", "--fast", "--json", *runs)
    assert done.returncode == 0, done.stderr
    replayed = json.loads(done.stdout.splitlines()[-1])
    assert replayed["hash"] == finished["hash"]
    assert replayed["conserved"] is True


def test_sorting_again_with_a_wider_window_yields_more_prompts(finished):
    narrow = cli("sort", finished["run"], "--window-ns", "0.2", "--json")
    wide = cli("sort", finished["run"], "--window-ns", "6", "--energy-keV", "0:2000", "--json")
    counts = [json.loads(done.stdout.splitlines()[-1])["prompts"] for done in (narrow, wide)]
    assert 0 < counts[0] < finished["prompts"] < counts[1]


def test_reconstruct_writes_a_nifti_with_its_corrections(finished, tmp_path):
    target = tmp_path / "point.nii.gz"
    made_with = ("--iterations", "2", "--output", str(target), "--json")
    done = cli("reconstruct", finished["run"], *made_with)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout.splitlines()[-1])
    image = nib.load(target).get_fdata()
    assert image.max() > 0
    assert made["corrections"]["attenuation"] is True
    assert made["corrections"]["normalisation"] is True  # by the factory calibration


def test_the_catalogue_lists_the_run(finished):
    runs = Path(finished["run"]).parent
    rows = json.loads(cli("runs", "--runs", str(runs), "--json").stdout.splitlines()[-1])["runs"]
    assert [row["name"] for row in rows] == ["one"]
    assert rows[0]["prompts"] == finished["prompts"]
