"""Making a version of the program: from a checkout, or from a folder of wheels, without a network.

What is installed is decided by what is given: of a checkout the commit (or tag) and its lock, whose
hashes the start script checks; of a folder of wheels the one of the program and what it requires. A
version is built where it will stay, for an environment cannot be moved, and belongs to root; the
service's user can read it and change nothing.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from daq.cli.appliance.places import NAME, Places
from daq.cli.appliance.settings import ServiceSettings
from daq.cli.appliance.versions import Versions
from daq.cli.common import CommandError
from hw.bounded_files import read_toml, toml_in

Say = Callable[[str], None]
BUILD_S, STEP_S = 3600.0, 900.0
LAST_LINES = 12
FOR_ALL = stat.S_IWGRP | stat.S_IWOTH
"""A umask: what is made can be read by all, and written to by its owner."""

NOT_COPIED = (".git", ".tomoshibi", ".venv", "runs", "__pycache__", "dist", "build")
LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
"""Of the environment of who builds: a version finds its own packages."""


@dataclass(frozen=True)
class Given:
    """What a version is to be made of.

    folder : a checkout, or wheels; ref : of a checkout, the tag or commit, "" for the one there
    wheels : a folder with the wheels of a checkout's lock, in place of the package index
    """

    folder: Path
    ref: str = ""
    wheels: Path | None = None

    @property
    def is_checkout(self) -> bool:
        """Whether it is a checkout, with the start script."""
        return (self.folder / NAME).is_file() and (self.folder / "pyproject.toml").is_file()


def build(
    given: Given, versions: Versions, settings: ServiceSettings, places: Places, *, say: Say
) -> str:
    """Make a version, with its units; return its name. One that is there and whole is kept.

    Parameters
    ----------
    given : the checkout or the wheels
    versions : those on this machine
    settings : of the service, written into the units
    places : where the parts of an installation lie
    say : is called with what is being done

    Raises
    ------
    CommandError
        with the last words of the step that failed; what was half made is made anew next time
    """
    _check(given)
    if not places.is_trial:
        check_python(own_python())
    name = _name(given)
    if not versions.is_whole(name):
        folder = versions.place(name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o755)
        folder.chmod(0o755)
        say(f"building {name} in {folder}")
        with _readable_by_all():
            make = _from_checkout if given.is_checkout else _from_wheels
            program = make(given, folder)
            versions.program(name).symlink_to(os.path.relpath(program, folder))
            _compile(folder)
    write_units_of(name, versions, settings, places)
    versions.finish(name)
    return name


def write_units_of(
    name: str, versions: Versions, settings: ServiceSettings, places: Places
) -> None:
    """Let a version write its own units: it knows what its processes need."""
    argv = [str(versions.program(name)), "service", "write-units"]
    argv += ["--root", str(places.root), "--output", str(versions.place(name) / "units")]
    text = msgspec.json.encode(settings).decode()
    with _readable_by_all():
        run_step(argv, within_s=STEP_S, what="the version's units", stdin=text)


def _check(given: Given) -> None:
    if not given.folder.is_dir():
        raise CommandError(f"--from {given.folder}: there is no such folder")
    if given.wheels is not None and not given.wheels.is_dir():
        raise CommandError(f"--wheels {given.wheels}: there is no such folder")
    if not given.is_checkout and not _wheel_of(given.folder):
        raise CommandError(
            f"--from {given.folder}: neither a checkout of {NAME} (with the script {NAME} and "
            f"pyproject.toml) nor a folder with {NAME}-VERSION-….whl"
        )


def own_python() -> Path:
    """Return the interpreter that this environment is based on; versions are built on it."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def check_python(python: Path) -> None:
    """Raise CommandError for an interpreter in somebody's home: services cannot go there."""
    if python.is_relative_to("/home") or python.is_relative_to("/root"):
        raise CommandError(
            f"this Python, {python}, lies in somebody's home, which the service does not see: "
            "remove .tomoshibi, and start with `/usr/bin/python3 ./tomoshibi service install …`"
        )


def _wheel_of(folder: Path) -> Path | None:
    """Return the program's wheel in a folder, which must be the only one."""
    found = sorted(folder.glob(f"{NAME}-*.whl"))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise CommandError(f"{folder} has more than one version ({names}): leave one there")
    return found[0] if found else None


# --- names: the same content has the same one ---------------------------------------------------


def _name(given: Given) -> str:
    """Return the version's name: the program's version, and the commit or a hash of the files."""
    if not given.is_checkout:
        wheels = sorted(given.folder.glob("*.whl"))
        wheel = next(path for path in wheels if path.name.startswith(f"{NAME}-"))
        return f"{wheel.name.split('-')[1]}-{_digest(wheels, given.folder)}"
    if _is_repository(given):
        commit = f"{given.ref or 'HEAD'}^{{commit}}"
        about = toml_in(_git(given, "show", f"{given.ref or 'HEAD'}:pyproject.toml").decode())
        short = _git(given, "rev-parse", "--verify", "--short=12", commit).decode().strip()
        return f"{_version_in(about, given)}-{short}"
    version = _version_in(read_toml(given.folder / "pyproject.toml"), given)
    return f"{version}-{_digest(sorted(_files(given.folder)), given.folder)}"


def _version_in(about: Mapping[str, Any], given: Given) -> str:
    try:
        return str(about["project"]["version"])
    except (KeyError, TypeError) as error:
        raise CommandError(f"{given.folder}/pyproject.toml names no version of {NAME}") from error


def _digest(files: Sequence[Path], folder: Path) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder)}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_COPIED]
        paths = (Path(root) / name for name in names)
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


# --- from a checkout ----------------------------------------------------------------------------


def _from_checkout(given: Given, folder: Path) -> Path:
    """Copy what is committed, and let its own start script set it up; return the command."""
    source = folder / "source"
    if _is_repository(given):
        _extract(given, source)
    else:
        shutil.copytree(given.folder, source, ignore=shutil.ignore_patterns(*NOT_COPIED))
    environ = {}
    if given.wheels is not None:
        environ = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(given.wheels.resolve())}
    run_step([str(own_python()), str(source / NAME), "setup", "run"], within_s=BUILD_S,
             what="the set-up",
             environ=environ)  # fmt: skip
    program = source / ".tomoshibi" / "venv" / "bin" / NAME
    if not program.is_file():
        raise CommandError(f"the set-up of {source} left no {program}")
    return program


def _is_repository(given: Given) -> bool:
    """Whether it is a git repository; an unpacked release has no .git."""
    if (given.folder / ".git").exists() and shutil.which("git"):
        return True
    if given.ref:
        words = "is no checkout of git's, or git is missing"
        raise CommandError(f"--ref {given.ref}: {given.folder} {words}")
    return False


def _git(given: Given, *words: str) -> bytes:
    # root asks in a checkout of somebody else, whose program it is about to install anyway
    argv = ["git", "-c", "safe.directory=*", "-C", str(given.folder), *words]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=STEP_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"git {words[0]}: no end within {STEP_S:g} s") from error
    if done.returncode:
        raise CommandError(f"{given.folder}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _extract(given: Given, source: Path) -> None:
    """Write the commit's files. Tar refuses what would lie outside; Python 3.11.2, that
    of Debian 12, would not."""
    source.mkdir(parents=True, exist_ok=True)
    packed = source.with_suffix(".tar")
    _git(given, "archive", "--format=tar", f"--output={packed}", given.ref or "HEAD")
    unpack = ["tar", "--extract", "--no-same-owner", f"--file={packed}", f"--directory={source}"]
    run_step(unpack, within_s=STEP_S, what="what is committed")
    packed.unlink()


# --- from wheels --------------------------------------------------------------------------------


def _from_wheels(given: Given, folder: Path) -> Path:
    """Install the program's wheel and what it requires from one folder; return the command."""
    venv = folder / "venv"
    run_step([sys.executable, "-m", "venv", "--without-pip", str(venv)], within_s=STEP_S,
             what="the environment")  # fmt: skip
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "--no-input"]
    pip += ["--disable-pip-version-check", "install", "--no-index", "--only-binary", ":all:"]
    pip += ["--no-compile", "--find-links", str(given.folder.resolve()), NAME]
    run_step(pip, within_s=BUILD_S, what="the wheels")
    return venv / "bin" / NAME


# --- steps --------------------------------------------------------------------------------------


def _compile(folder: Path) -> None:
    """Compile bytecode now: the service cannot write it, and would compile at every start."""
    argv = [sys.executable, "-m", "compileall", "-q", "-j", "0", str(folder)]
    subprocess.run(argv, capture_output=True, timeout=STEP_S, check=False)  # others' odd files


def run_step(
    argv: Sequence[str],
    *,
    within_s: float,
    what: str,
    stdin: str = "",
    environ: Mapping[str, str] | None = None,
    user: int | None = None,
) -> str:
    """Run a program to its end and return what it printed, as root or as another user.

    Parameters
    ----------
    argv : the program and its arguments
    within_s : how long it may take
    what : the step, as errors call it
    stdin : text that it reads
    environ : variables beside this process's own, less ``LEFT_OUT``
    user : number of the user to run as; None for the present one

    Raises
    ------
    CommandError
        with its last words, where it fails or takes too long
    """
    clean = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    group = None if user is None else pwd.getpwuid(user).pw_gid
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=within_s, check=False,
            env={**clean, **(environ or {})}, user=user, group=group, cwd="/",
            extra_groups=None if user is None else [],
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{what}: no end within {within_s:g} s ({' '.join(argv)})") from error
    except OSError as error:
        raise CommandError(f"{what}: {argv[0]} does not start: {error.strerror}") from error
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-LAST_LINES:])
        raise CommandError(f"{what} failed (status {done.returncode}):\n{last}")
    return done.stdout


@contextmanager
def _readable_by_all() -> Iterator[None]:
    """While active, new files can be read by the service's user, whatever the umask."""
    before = os.umask(FOR_ALL)
    try:
        yield
    finally:
        os.umask(before)
