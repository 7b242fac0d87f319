"""Ctrl-C while a command is still loading: one word, status 130, no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from daq.cli import main

PRESSED = """
import os, signal, sys

class Pressed:  # an import hook: Ctrl-C comes when the module is about to be loaded
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Pressed())
from daq.cli import main
sys.exit(main(["bench", "projector", "--quick"]))
"""


@pytest.mark.processes
@pytest.mark.parametrize("module", ["argparse", "numpy.linalg"])
def test_ctrl_c_while_modules_are_loaded_ends_the_command_in_one_word(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRESSED.format(module=module)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 130 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "interrupted"


def test_ctrl_c_is_handled_as_before_after_a_command() -> None:
    before = signal.getsignal(signal.SIGINT)
    main([])
    assert signal.getsignal(signal.SIGINT) is before


LOST = """
import os, signal, sys, time
import daq.cli

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)  # the handler runs here, and what it raises goes nowhere

def drop(arguments):
    dropped = Dropped()
    del dropped
    time.sleep(30)

daq.cli._run = drop
sys.exit(daq.cli.main([]))
"""


@pytest.mark.processes
def test_ctrl_c_that_comes_in_a_destructor_is_not_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOST], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
