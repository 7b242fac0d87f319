"""How fast a replay goes."""

from __future__ import annotations

import argparse
import math

LEAST, MOST = 0.1, 100.0


def add_speed_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--speed`` and ``--fast``."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--speed", type=_speed, default=1.0, metavar="X",
                       help=f"seconds of the run a second, {LEAST:g} to {MOST:g} (default: "
                       "%(default)g); what the machine cannot follow comes later")  # fmt: skip
    group.add_argument("--fast", action="store_true", help="as fast as the chain takes it")


def _speed(text: str) -> float:
    value = float(text)
    if not LEAST <= value <= MOST:
        raise argparse.ArgumentTypeError(f"{text} is not within {LEAST:g} to {MOST:g}")
    return value


def speed_of(options: argparse.Namespace) -> float:
    """Return the speed asked for, infinite for as fast as can be."""
    return math.inf if options.fast else float(options.speed)


def speed_words(options: argparse.Namespace) -> list[str]:
    """Return the options that ask for the same speed again."""
    return ["--fast"] if options.fast else ["--speed", f"{options.speed:g}"]
