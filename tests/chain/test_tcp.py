"""A whole run over TCP: every process enters with a key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from daq.cli import main
from rigs.acquisition_process import free_tcp

pytestmark = pytest.mark.processes


def start(*words: str, keys: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "daq.cli", *words], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"TOMOSHIBI_KEYS": str(keys)},
    )  # fmt: skip


def test_a_source_on_another_machine_enters_with_its_key_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there, key = tmp_path / "here", tmp_path / "there", str(tmp_path / "far.key")
    monkeypatch.setenv("TOMOSHIBI_KEYS", str(here))
    assert main(["keys", "make", "far", "--role", "service", "--output", key]) == 0
    base = free_tcp().base
    port = base.rpartition(":")[2]
    daq = start(
        "acquire", "--auto", "--preset", "bench2", "--duration", "0.3", "--runs",
        str(tmp_path / "runs"), "--endpoint", f"tcp://0.0.0.0:{port}", "--json", keys=here,
    )  # fmt: skip
    emulate = ("emulate", "--preset", "bench2", "--phantom", "point", "--activity-MBq", "0.3",
               "--fast", "--endpoint", base)  # fmt: skip
    stranger = start(*emulate, keys=tmp_path / "strangers")
    source = start(*emulate, "--keys", key, keys=there)
    try:
        out, err = daq.communicate(timeout=90)
        assert daq.returncode == 0, err
        summary = json.loads(out.splitlines()[-1])
        assert summary["condition"] == "good"
        assert summary["conserved"]
        assert summary["singles"]["received"] > 0
        assert source.wait(30) == 0
        assert stranger.poll() is None  # waits for a daq that lets it in
    finally:
        for process in (stranger, source, daq):
            process.kill()
            process.communicate()
