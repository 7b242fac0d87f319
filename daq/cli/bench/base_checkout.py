"""The build to compare with: a commit of this repository, checked out temporarily."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from daq.cli.bench.build_worker import CannotCompare
from daq.cli.common import CommandError

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("hw", "emulator", "coincidence", "daq", "recon", "gui")
SLOWER = re.compile(r"^Slower:[ \t]*([^:\n]+?)[ \t]*:[ \t]*(\S.*)$", re.MULTILINE)


def commit_of(base: str) -> str:
    """Return the full name of a commit of this repository; raises CannotCompare without it."""
    if not (ROOT / ".git").exists():
        raise CannotCompare(
            f"{ROOT} is not a git checkout: comparing needs a clone of the repository"
        )
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
    if found.returncode == 0:
        return found.stdout.strip()
    if "dubious ownership" in found.stderr:
        raise CannotCompare(found.stderr.strip())
    shallow = _git("rev-parse", "--is-shallow-repository").stdout.strip() == "true"
    remedy = (
        "which is shallow: `git fetch --unshallow`, or fetch-depth: 0 where CI checks it out"
        if shallow
        else "perhaps `git fetch --all` brings it"
    )
    raise CannotCompare(f"{base} cannot be compared with: it is not in this clone, {remedy}")


def uncommitted() -> list[str]:
    """Return the files of the rooms that differ from HEAD."""
    told = _checked("status", "--porcelain", "--", *ROOMS)
    return [line[3:] for line in told.splitlines()]


def named_slower(base: str) -> dict[str, str]:
    """Return the reasons that commits since ``base`` give for slower figures (``Slower: …``)."""
    found = SLOWER.findall(_checked("log", "--reverse", "--format=%B", f"{base}..HEAD"))
    return {" ".join(re.split(r"[\s_-]+", figure.lower())): why.strip() for figure, why in found}


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Yield a temporary folder with the commit in ``checkout`` and its cache in ``cache``; it is
    removed however this ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="tomoshibi-compare-")).resolve()
    try:
        _checked("worktree", "add", "--detach", "--quiet", str(folder / "checkout"), commit)
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder / "checkout"))
        shutil.rmtree(folder, ignore_errors=True)


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise CannotCompare("comparing needs git: apt-get install git") from None


def _checked(*arguments: str) -> str:
    done = _git(*arguments)
    if done.returncode:
        raise CommandError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout
