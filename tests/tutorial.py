"""Run a tutorial as its reader would: every `sh` and `python` block, in order, in an empty folder.

A `text` block behind one of them shows what it prints. Numbers may differ from machine to machine,
words may not; `…` stands for any words in a line, or alone for any lines. Pictures of a page lie in
a folder of its name beside it, and are files that its commands make.

    python tests/tutorial.py docs/tutorials/PAGE.md           run, compare
    python tests/tutorial.py --write docs/tutorials/PAGE.md   put in what it printed and drew
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
READERS_FOLDER = "~/tutorial"
"""What pages call the folder that they work in."""

BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```\n(?:\s*^```text\n(.*?)^```\n)?", re.M | re.S)
PICTURE = re.compile(r"!\[[^\]]*\]\(([^):]+)\)")
NUMBER = re.compile(r"-?\b[0-9a-f]{16,}\b|[-+−]?\d+(?:[.,:]\d+)*(?:e[-+]?\d+)?")
LEFT_OUT = "…"
STEP_S = 240.0
COLOURS = 256


class TutorialError(Exception):
    """A page that does not do what it says: the block, what it printed and what it shows."""


def masked(line: str) -> str:
    """Return a line's words: numbers as #, space of any width as one."""
    return " ".join(NUMBER.sub("#", line).split())


def is_alike(shown: str, printed: str) -> bool:
    """Return whether a printed line is the one shown, but for numbers and what is left out."""
    parts = (re.escape(part) for part in masked(shown).split(LEFT_OUT))
    return re.fullmatch(".*".join(parts), masked(printed)) is not None


def as_shown(shown: str, printed: str) -> list[str]:
    """Return the printed lines in place of those shown; raise where one of them is not there.

    Lines with something left out stay as they are shown.
    """
    lines, at, free, found = printed.splitlines(), 0, False, []
    for line in shown.splitlines():
        if line.strip() == LEFT_OUT:
            free = True
            found.append(line)
            continue
        places = range(at, len(lines) if free else min(at + 1, len(lines)))
        place = next((i for i in places if is_alike(line, lines[i])), None)
        if place is None:
            raise TutorialError(f"shown, but not printed there: {line!r}")
        found.append(line if LEFT_OUT in line else lines[place].rstrip())
        at, free = place + 1, False
    if at < len(lines) and not free:
        raise TutorialError(f"printed, but not shown: {lines[at]!r}")
    return found


@dataclass
class Session:
    """One reader at work: a folder, the names that Python knows, processes still running."""

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    groups: list[int] = field(default_factory=list)

    def run(self, language: str, code: str) -> str:
        """Run one block; return what it printed, the reader's folder under its own name."""
        printed = self._python(code) if language == "python" else self._shell(code)
        return printed.replace(str(self.folder), READERS_FOLDER)

    def _python(self, code: str) -> str:
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(code, "<tutorial>", "exec"), self.names)
        except Exception as error:
            raise TutorialError(f"{out.getvalue()}{traceback.format_exc()}") from error
        return out.getvalue()

    def _shell(self, code: str) -> str:
        """Run commands; a file takes the output, which processes left running may hold open."""
        with tempfile.TemporaryFile() as out:
            bash = ["bash", "-euo", "pipefail", "-c", code]
            shell = subprocess.Popen(
                bash, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
            self.groups.append(shell.pid)
            try:
                status: int | str = shell.wait(STEP_S)
            except subprocess.TimeoutExpired:
                status = f"none within {STEP_S:g} s"
            out.seek(0)
            printed = out.read().decode()
        if status != 0:
            raise TutorialError(f"{printed}\nexit status {status}")
        return printed

    def close(self) -> None:
        """End what the page left running."""
        for group in self.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)


@contextlib.contextmanager
def session() -> Iterator[Session]:
    """Begin in an empty folder, with `tomoshibi` on the path and an address of its own."""
    here, environment = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="tomoshibi-tutorial-") as name:
        folder = Path(name) / "work"
        (bin_folder := Path(name) / "bin").mkdir()
        folder.mkdir()
        command = bin_folder / "tomoshibi"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m daq.cli "$@"\n')
        command.chmod(0o755)
        os.environ["PATH"] = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
        os.environ["PYTHONPATH"] = str(ROOT)
        os.environ["TOMOSHIBI_ENDPOINT"] = f"ipc://{name}/endpoint"
        os.environ["MPLBACKEND"] = "agg"
        os.environ.pop("TOMOSHIBI_RUNS", None)
        os.chdir(folder)
        reader = Session(folder)
        try:
            yield reader
        finally:
            reader.close()
            os.chdir(here)
            os.environ.clear()
            os.environ.update(environment)


def _renewed(shown: str, printed: str) -> list[str]:
    try:
        return as_shown(shown, printed) if shown.strip() else printed.splitlines()
    except TutorialError as error:
        print(f"{error}; the whole output is put in", file=sys.stderr)
        return printed.splitlines()


def run_page(page: Path, reader: Session, *, write: bool = False) -> str:
    """Run a page's blocks; return its text with what they printed now.

    write : take the whole output where the page shows none of it, or other words

    Raises
    ------
    TutorialError
        where a block fails or prints other words than the page shows.
    """
    text, parts, at = page.read_text(encoding="utf-8"), [], 0
    for block in BLOCK.finditer(text):
        language, code, shown = block.groups()
        line = text.count("\n", 0, block.start()) + 1
        printed = ""
        try:
            printed = reader.run(language, code)
            if shown is None:
                continue
            lines = _renewed(shown, printed) if write else as_shown(shown, printed)
        except TutorialError as error:
            what = f"{page.name}:{line}\n{code}\n{error}\nprinted in all:\n{printed}"
            raise TutorialError(what) from error
        parts += [text[at : block.start(3)], "".join(f"{one}\n" for one in lines)]
        at = block.end(3)
    return "".join([*parts, text[at:]])


def pictures(page: Path, folder: Path) -> dict[Path, Path]:
    """Return what a page shows, each with the file in `folder` that its commands made of it."""
    made = {}
    for target in PICTURE.findall(page.read_text(encoding="utf-8")):
        shown = page.parent / target
        if shown.parent.name == page.stem:
            found = sorted(folder.rglob(shown.name))
            if not found:
                raise TutorialError(f"{page.name} shows {target}, which its commands do not make")
            made[shown] = found[0]
    return made


def keep_small(source: Path, target: Path) -> None:
    """Copy a picture with few colours, so that it stays small."""
    from PIL import Image

    target.parent.mkdir(exist_ok=True)
    image = Image.open(source).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> int:
    """Run one page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--write", action="store_true", help="put in what was printed and drawn")
    options = parser.parse_args()
    page = options.page.resolve()
    with session() as reader:
        try:
            text = run_page(page, reader, write=options.write)
            made = pictures(page, reader.folder)
        except TutorialError as error:
            print(error, file=sys.stderr)
            return 1
        if options.write:
            page.write_text(text, encoding="utf-8")
            for shown, source in made.items():
                keep_small(source, shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
