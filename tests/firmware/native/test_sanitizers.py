"""Nothing that can be sent makes the firmware misbehave: fuzzing, sanitizers, static analysis."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from hw.machines.build import SOURCES, build
from hw.machines.native import Native
from hw.machines.toolchain import missing
from rigs.firmware.native_line import Line

pytestmark = pytest.mark.firmware

LIVES = 600
"""Boards that are mistreated in each run; `make fuzz SECONDS=3600 SEED=…` for long."""


@pytest.fixture(scope="session")
def fuzzer():
    if missing("native"):
        pytest.skip(missing("native"))
    return build("fuzzer")


@pytest.mark.parametrize("seed", [1, 100_000])
def test_no_sequence_of_commands_hits_and_weather_breaks_what_must_hold(fuzzer, seed):
    done = subprocess.run(
        [fuzzer.path, str(seed), str(LIVES)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.startswith(f"{LIVES} lives"), done.stdout


def test_a_life_is_repeated_by_its_own_seed(fuzzer):
    def packets_and_replies(seed: int, lives: int) -> np.ndarray:
        argv = [fuzzer.path, str(seed), str(lives)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
        return np.array(re.findall(r"\d+", done.stdout), int)

    one_by_one = [packets_and_replies(seed, 1) for seed in (7, 8, 9)]
    assert sum(one_by_one).tolist() == packets_and_replies(7, 3).tolist()


def test_the_sanitized_module_answers_resets_and_ends_without_a_finding(tmp_path):
    if missing("native"):
        pytest.skip(missing("native"))
    with (
        Native(folder=tmp_path, image=build("native-asan")) as machine,
        Line(machine.serial_url) as line,
    ):
        line.bias_on()
        assert line.command("run", run_tag=5, periods=0, first_sequence=0)[0] == 0
        assert line.command("stop")[0] == 0
        machine.reset()
        line.notice("hello")
        machine.window.world["freeze"] = 1
        assert line.notice("hello")["resets"] == 3
        machine.stop()
        assert "Sanitizer" not in machine.log_tail(100), machine.log_tail(100)
        assert "runtime error" not in machine.log_tail(100), machine.log_tail(100)


def cppcheck(*argv: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("cppcheck") is None:
        pytest.skip(
            "cppcheck is not here; install: apt-get install --no-install-recommends cppcheck"
        )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", "-s", "-C", str(SOURCES), "cppcheck", *argv],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=environment,
    )


def test_cppcheck_finds_nothing():
    done = cppcheck()
    assert done.returncode == 0, done.stderr


def test_cppcheck_would_find_something(tmp_path):
    (tmp_path / "wrong.c").write_text("int f(void) { int a[4] = {0}; return a[4]; }\n")
    done = cppcheck(f"CHECKED={tmp_path / 'wrong.c'}")
    assert done.returncode != 0
    assert "arrayIndexOutOfBounds" in done.stderr
