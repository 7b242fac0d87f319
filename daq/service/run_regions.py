"""Regions that a client draws are kept with the run, where the imager reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from daq.errors import RunError, StorageError
from daq.folder.region_file import write_regions
from hw.errors import FileWriteError
from hw.regions import RegionError, regions_from_json

MOST_REGIONS = 64


def keep_regions(folder: Path, args: dict[str, Any]) -> list[str]:
    """Keep regions, given as in ``regions.json``, in place of those of the run; return their names.

    Raises
    ------
    RunError, StorageError
        if they are no regions, or too many; if they cannot be written. What was there stays.
    """
    try:
        regions = regions_from_json(msgspec.json.encode(args))
        if len(regions) > MOST_REGIONS:
            raise RegionError(f"{len(regions)} regions: at most {MOST_REGIONS} are kept")
        write_regions(folder, regions)
    except RegionError as error:
        raise RunError(f"regions: {error}") from error
    except (FileWriteError, OSError) as error:
        raise StorageError(f"the regions cannot be kept: {error}") from error
    return [one.name for one in regions]
