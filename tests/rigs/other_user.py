"""Another user of this machine, for tests of what one user may do to another's processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534

needs_another_user = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None,
    reason="acting as another user needs root and setpriv",
)


def as_nobody(
    script: str, *arguments: str, input: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a shell script as ``nobody``; its arguments are $1, $2 …"""
    change = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return subprocess.run(
        [*change, "sh", "-c", script, "sh", *arguments],
        input=input, capture_output=True, timeout=20, cwd="/", check=False,
    )  # fmt: skip


@contextmanager
def everybodys_folder() -> Iterator[Path]:
    """Make a folder like /tmp: everybody writes there, nobody removes what another made."""
    with tempfile.TemporaryDirectory(prefix="everybodys-") as name:
        folder = Path(name)
        folder.chmod(0o1777)
        yield folder
