"""What the commands share: results as text or JSON, run folders, one-line errors."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daq.errors import DaqError
from hw.errors import TomoshibiError
from hw.messages.endpoints import default_base

MOST_THREADS = 64
MOST_SHOWN = 100
"""Characters of a name that is wrong."""


class CommandError(DaqError):
    """A command that cannot do what was asked; the message says what to do next."""


def default_runs() -> Path:
    """Return the folder of the runs: ``TOMOSHIBI_RUNS`` or ./runs."""
    return Path(os.environ.get("TOMOSHIBI_RUNS", "runs"))


def add_threads_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``, by default as many as there are cores."""
    parser.add_argument("--threads", type=whole, default=len(os.sched_getaffinity(0)), metavar="N",
                        help="1: one stage after another; more: a thread for each; the "
                        "result is the same bit for bit (default: %(default)s)")  # fmt: skip


def add_runs_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--runs``."""
    parser.add_argument(
        "--runs",
        type=Path,
        default=default_runs(),
        metavar="FOLDER",
        help="where the runs are kept (default: $TOMOSHIBI_RUNS or ./runs)",
    )


def add_endpoint_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--endpoint``."""
    parser.add_argument(
        "--endpoint",
        default=default_base(),
        metavar="ADDRESS",
        help="address where the processes meet: ipc:///folder or tcp://127.0.0.1:PORT "
        "(default: $TOMOSHIBI_ENDPOINT or %(default)s)",
    )
    add_keys_option(parser)


def add_keys_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--keys``."""
    parser.add_argument(
        "--keys",
        type=_key_file,
        metavar="FILE",
        help="key to enter a system over TCP (default: $TOMOSHIBI_KEY_FILE or, on this machine, "
        "your own)",
    )


def _key_file(text: str) -> Path:
    """Take a key for all connections of this process and of those it starts, for argparse."""
    from hw.messages.keys import KeyFileError, read_key_file

    try:
        read_key_file(Path(text))
    except KeyFileError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    os.environ["TOMOSHIBI_KEY_FILE"] = str(Path(text).absolute())
    return Path(text)


def add_preset_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add ``--preset``."""
    from hw.scanner.preset_file import scanner_names

    parser.add_argument(
        "--preset",
        default="caremibrain",
        metavar="SCANNER",
        help=f"scanner preset ({', '.join(scanner_names())}), or the path of a TOML file "
        "(default: %(default)s)",
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line on stdout"
    )


def positive(text: str) -> float:
    """Parse a number above 0, for argparse."""
    value = float(text)
    if not value > 0 or value == float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def whole(text: str) -> int:
    """Parse a whole number above 0, for argparse."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def thread_count(text: str) -> int:
    """Parse a number of threads, each with images of its own, for argparse."""
    value = whole(text)
    if value > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"{text} threads: at most {MOST_THREADS}")
    return value


def make_folder(path: Path) -> Path:
    """Make a folder if there is none yet; CommandError if it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"{path}: no folder, and none can be made there ({error.strerror}); give another"
        ) from error
    return path


@contextlib.contextmanager
def cleaning_up() -> Iterator[None]:
    """While active, SIGTERM acts like Ctrl-C, so that nothing is left behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """While active, hold Ctrl-C and SIGTERM back until the end.

    For imports: libraries try imports within ``except``, and an interrupt there would be lost.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def tell(words: str) -> None:
    """Print a message for the person at the terminal (on stderr; stdout is for results)."""
    print(f"{words}\n", end="", file=sys.stderr, flush=True)  # whole, also where threads speak


def finish(options: argparse.Namespace, result: dict[str, Any], text: str) -> None:
    """Print the result as text, or with ``--json`` as one object on stdout's last line."""
    if options.json:
        print(json.dumps(result, ensure_ascii=False, default=_plain), flush=True)
    else:
        print(text, flush=True)


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def find_run(text: str, runs: Path) -> Path:
    """Return the folder of a run given as a path, as a name below ``runs``, or as "last"."""
    if text == "last":
        from daq.folder.listing.catalogue import Catalogue

        rows = Catalogue(runs).rows()
        if not rows:
            raise CommandError(f"there are no runs in {runs}: `tomoshibi demo` makes one")
        return runs / rows[0].name
    try:
        for folder in (Path(text), runs / text):
            if (folder / "run.json").is_file():
                return folder
    except OSError as error:  # such as a name longer than any file's
        raise CommandError(
            f"{text[:MOST_SHOWN]} is not a run: {error.strerror}. `tomoshibi runs` lists them"
        ) from error
    raise CommandError(
        f"{text} is not a run: there is no run.json in it, nor in {runs / text}. "
        '`tomoshibi runs` lists them; "last" is the newest'
    )


def report_error(error: Exception) -> int:
    """Print an error in one line (with ``TOMOSHIBI_DEBUG`` set, its traceback); return 1."""
    if os.environ.get("TOMOSHIBI_DEBUG"):
        traceback.print_exception(error)
    known = isinstance(error, TomoshibiError | ValueError | OSError)
    kind = "" if known and str(error) else f"{type(error).__name__}: "
    tell(f"tomoshibi: {kind}{error}")
    if not known:
        tell("(TOMOSHIBI_DEBUG=1 shows where)")
    return 1
