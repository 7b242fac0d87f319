"""Golden outputs: what two small fixed runs become, the same after every change of the code.

    python tests/golden_outputs.py             # says what differs from the kept ones
    python tests/golden_outputs.py --write     # keeps what comes out now

Two runs: the folder kept of the first release, and one emulated here with a fixed seed. Kept are
the hashes of the frames and of the sorted coincidences, to the bit, and the image of a plain OSEM
in coarse blocks, within ``IMAGE_TOLERANCE`` of its greatest block: mathematical functions and the
order of a sum differ from processor to processor. docs/contributing.md says when it is right to
renew them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS.parent), str(TESTS)]  # as pytest sets it

from coincidence.events import COINCIDENCE  # noqa: E402
from daq.folder.raw_log import RawLogReader  # noqa: E402
from daq.replay.sort_again import resort  # noqa: E402
from emulator.config import EmulatorConfig  # noqa: E402
from emulator.engines.emulation import frames_of_run  # noqa: E402
from emulator.engines.prepare import prepare  # noqa: E402
from recon import open_run, reconstruct  # noqa: E402
from rigs.calibration_runs import emulate  # noqa: E402

KEPT_RELEASE = TESTS / "data" / "release-0.1"
KEPT = TESTS / "data" / "golden_outputs.json"
EMULATED = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=1e6, seed=7)
PERIODS = 60
IMAGE_TOLERANCE = 1e-4
BLOCKS = 4
"""Blocks of the image along each axis."""

Golden = dict[str, Any]


def outputs(folder: Path) -> dict[str, Golden]:
    """Return what both runs become; ``folder`` is for scratch."""
    kept = folder / "kept"
    shutil.copytree(KEPT_RELEASE, kept)
    made = emulate(folder, EMULATED, periods=PERIODS).folder
    return {
        "release-0.1": {"frames": _hash(RawLogReader(kept / "raw.tmraw")), **_of_run(kept)},
        f"bench2, point, seed {EMULATED.seed}": {"frames": _emulated_frames(), **_of_run(made)},
    }


def differences(found: dict[str, Golden], kept: dict[str, Golden]) -> list[str]:
    """Return what differs, in words; nothing where all is as it was kept."""
    said = [f"{name}: not in both lists" for name in found.keys() ^ kept.keys()]
    for name in found.keys() & kept.keys():
        now, before = found[name], kept[name]
        said += [
            f"{name}: {what} is {now[what]}, kept is {before[what]}"
            for what in ("frames", "coincidences", "prompts", "image_shape")
            if now[what] != before[what]
        ]
        if now["image_shape"] == before["image_shape"]:
            a, b = np.array(now["image"]), np.array(before["image"])
            off = float(np.abs(a - b).max() / np.abs(b).max())
            if not off <= IMAGE_TOLERANCE:
                said.append(f"{name}: the image differs by {off:.1e}, at most {IMAGE_TOLERANCE:g}")
    return said


def _of_run(folder: Path) -> Golden:
    """Return hashes and image of a run's folder, its raw log sorted anew."""
    log = folder.with_name(f"{folder.name}-again.tmlm")
    sorted_again = resort(folder, output=log)
    made = reconstruct(
        open_run(folder), algorithm="osem", iterations=2, subsets=2, scatter="none",
        attenuation="none", noise_parts=0,
    )  # fmt: skip
    return {
        "coincidences": sorted_again.hash,
        "prompts": int(sorted_again.counts.prompts),
        "record_bytes": COINCIDENCE.itemsize,
        "image_shape": list(made.image.shape),
        "image": [float(f"{value:.7g}") for value in _coarse(made.image)],
    }


def _coarse(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the sums of an image's blocks, flat."""
    sums = image.astype(np.float64)
    for axis, length in enumerate(image.shape):
        begins = np.linspace(0, length, min(BLOCKS, length), endpoint=False).astype(int)
        sums = np.add.reduceat(sums, begins, axis=axis)
    return np.asarray(sums.reshape(-1))


def _emulated_frames() -> str:
    """Return the hash of the frames; a run's own have the tag of that run in them."""
    return _hash(frames_of_run(prepare(EMULATED), EMULATED, periods=PERIODS, run_tag=1))


def _hash(batches: Any) -> str:
    made = hashlib.sha256()
    for frames in batches:
        for frame in frames:
            made.update(frame)
    return made.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="keep what comes out now")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = outputs(Path(folder))
    if options.write:
        KEPT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return 0
    said = differences(found, json.loads(KEPT.read_text(encoding="utf-8")))
    print("\n".join(said) or "as kept")
    return 1 if said else 0


if __name__ == "__main__":
    raise SystemExit(main())
