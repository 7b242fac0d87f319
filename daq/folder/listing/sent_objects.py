"""How far objects of runs are on their way to a hospital's archive: ``RUNS/hospital``, read only.

:mod:`recon.hospital.outbox` writes it: ``UID@PEER.json`` for each object. Whoever lists runs
needs no more than the state, and nothing of DICOM.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hw.bounded_files import FileRefused, read_object

FOLDER = "hospital"
MOST_FILES = 100_000
STATES = ("waiting", "stored", "done")
_NAME = re.compile(r"[0-9.]{1,64}@([a-z0-9_-]{1,32})\.json")


def sent_objects(runs: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return by run and peer how many objects are waiting, stored (not committed to) and done, how
    many that are not done have failed, and why the last did.

    What cannot be read is left out: the process that sends tells of it.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for number, path in enumerate(sorted((runs / FOLDER).glob("*@*.json"))):
        name = _NAME.fullmatch(path.name)
        if name is None or number >= MOST_FILES:
            continue
        try:
            told = read_object(path)
        except (FileRefused, OSError):
            continue
        state, run = told.get("state"), told.get("run")
        if state not in STATES or not isinstance(run, str) or not run:
            continue
        of_peer = found.setdefault(run, {}).setdefault(name[1], {})
        of_peer[state] = of_peer.get(state, 0) + 1
        why = told.get("why")
        if state != "done" and isinstance(why, str) and why:
            of_peer["failed"] = of_peer.get("failed", 0) + 1
            of_peer["why"] = why[:500]
    return found
