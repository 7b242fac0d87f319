"""Seconds from a bare Debian to the first live image, for two commits in turn (docs/install.md).

    sudo python3 benchmarks/first_picture.py [BASE] [--turns 2] [--suite trixie] [--only-setup]

Needs root, ``debootstrap`` and 6 GB in the temporary folder, and no environment of this checkout.
A bare Debian (minbase and python3) is made once and copied for each turn; in the copy, which has no
caches, a clone of the commit runs ``./tomoshibi --apt demo``. Certificates and pip's configuration
are the host's. Prints one JSON object: by commit and turn, the second at which each start-up line
appeared. Compare the two commits only with each other: machines and links differ more than commits
do.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = "demo --headless --duration 20 --seed 7"
UNIT = "Bq/mL"
TOLD = re.compile(r"tomoshibi: (\w[\w ]*: [\d.]+ s|set up in .*)|first image .*|real .*")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SECURITY = "deb http://deb.debian.org/debian-security {0}-security main\n"


def run(*words: str | Path) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def make_bare(folder: Path, suite: str) -> Path:
    """Return a bare Debian with this host's name resolution, certificates and package sources."""
    bare = folder / "bare"
    run("debootstrap", "--variant=minbase", "--include=python3,ca-certificates", suite, bare)
    with (bare / "etc/apt/sources.list").open("a") as sources:  # its python3 is older: as on a disk
        sources.write(SECURITY.format(suite))
    for file in (Path("/etc/resolv.conf"), Path("/etc/pip.conf"), CERTIFICATES):
        if file.is_file():
            shutil.copyfile(file, bare / file.relative_to("/"))
    return bare


@contextmanager
def mounted(tree: Path) -> Iterator[None]:
    """Mount the kernel's folders in the tree while this lasts."""
    names = ("proc", "sys", "dev")
    for name in names:
        run("mount", "--bind", Path("/") / name, tree / name)
    try:
        yield
    finally:
        for name in names:
            run("umount", "--lazy", tree / name)


def turn(bare: Path, commit: str, *, only_setup: bool) -> dict[str, float]:
    """Return the second at which each line of a first start appeared, in a fresh copy."""
    tree = bare.with_name("turn")
    run("cp", "--archive", bare, tree)
    run("git", "clone", "--quiet", "--no-hardlinks", ROOT, tree / "root/tomoshibi")
    run("git", "-C", tree / "root/tomoshibi", "checkout", "--quiet", "--detach", commit)
    words = "setup run" if only_setup else DEMO
    command = ["chroot", tree, "sh", "-c", f"cd /root/tomoshibi && ./tomoshibi --apt {words} 2>&1"]
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    env = {**kept, "HOME": "/root", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    told, begin = {}, time.monotonic()
    try:
        with (
            mounted(tree),
            subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as p,
        ):
            for line in p.stdout or ():
                if found := TOLD.search(line):
                    told[found.group(0)] = round(time.monotonic() - begin, 1)
        told["end"] = round(time.monotonic() - begin, 1)
        unit = "" if only_setup else unit_of_the_image(tree / "root/tomoshibi/runs")
    finally:
        run("rm", "--recursive", "--force", "--one-file-system", tree)
    if p.returncode:
        raise SystemExit(f"{commit}: the start ended with status {p.returncode} after {told}")
    if commit == "HEAD" and unit not in ("", UNIT):
        raise SystemExit(f"{commit}: the image is in {unit}, not in {UNIT}")
    return told


def unit_of_the_image(runs: Path) -> str:
    """Return the unit that the live image of the only run states."""
    (about,) = runs.glob("*/live.json")
    return str(json.loads(about.read_text(encoding="utf-8"))["unit"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("base", nargs="?", help="the commit to compare with (default: none)")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--suite", default="bookworm", help="Debian's release")
    parser.add_argument("--only-setup", action="store_true", help="packages and environment alone")
    options = parser.parse_args()
    commits = [commit for commit in (options.base, "HEAD") if commit]
    found: dict[str, list[dict[str, float]]] = {commit: [] for commit in commits}
    with tempfile.TemporaryDirectory() as folder:
        bare = make_bare(Path(folder), options.suite)
        for number in range(options.turns):
            for commit in commits if number % 2 == 0 else commits[::-1]:
                found[commit].append(turn(bare, commit, only_setup=options.only_setup))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
