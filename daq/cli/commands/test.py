"""Run the test suite with pytest; everything after `test` is passed on to it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

EXAMPLES = """\
examples:
  tomoshibi test
  tomoshibi test -k coincidence -x
"""

ROOT = Path(__file__).resolve().parents[3]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("pytest_arguments", nargs=argparse.REMAINDER, help="options of pytest")


def run(options: argparse.Namespace) -> int:
    """Run pytest."""
    return run_tests(options.pytest_arguments)


def run_tests(arguments: list[str]) -> int:
    """Run pytest in the checkout; return its exit status."""
    if not (ROOT / "tests").is_dir():
        print(f"tomoshibi: no tests folder in {ROOT}: run it in a clone", file=sys.stderr)
        return 1
    return subprocess.call([sys.executable, "-m", "pytest", *arguments], cwd=ROOT)
