"""Which of a run's images comes first: the delivered one, and not what was written beside it."""

from __future__ import annotations

import os
from pathlib import Path

from daq.folder.listing.run_images import images_of


def test_the_newest_first_and_an_unfiltered_one_after_its_own(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for at_s, name in enumerate(("live", "live_unfiltered", "bsrem", "other_unfiltered")):
        path = tmp_path / "images" / f"{name}.nii.gz"
        path.write_bytes(b"")
        os.utime(path, (at_s, at_s))
    names = [path.name.removesuffix(".nii.gz") for path in images_of(tmp_path)]
    assert names == ["other_unfiltered", "bsrem", "live", "live_unfiltered"]
