"""An image as HDF5: dataset ``image`` [x, y, z] or [x, y, z, frame], float32, with what it is.

Attributes of the dataset: ``voxel_mm`` and ``origin_mm`` (the centre of voxel 0, 0, 0 in the
scanner's frame), ``unit``, ``axes`` in words; of the file: ``metadata``, all of it as JSON.
``start_s`` and ``duration_s`` are datasets, one value a frame.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hw.whole_file import whole_file
from recon.core.frame_times import FrameTime
from recon.core.grid import Image, ImageGrid
from recon.exchange.tables.table_files import package

AXES = "x, y, z of the scanner, right-handed, z along its axis; then frames"


def write_hdf5(
    path: Path,
    image: Image,
    grid: ImageGrid,
    frames: Sequence[FrameTime],
    metadata: Mapping[str, Any],
) -> Path:
    """Write an image; return the file.

    Parameters
    ----------
    path : of the file
    image : [x, y, z], or [x, y, z, frame]
    grid : its voxels
    frames : one per volume
    metadata : of the reconstruction

    Raises
    ------
    ExchangeError, FileWriteError
        if h5py is missing, or the disk refuses; nothing is left then.
    """
    h5py = package("h5py")
    with whole_file(path) as part, h5py.File(part.name, "w", locking=False) as file:
        file.attrs["metadata"] = json.dumps(dict(metadata), sort_keys=True, default=str)
        made = file.create_dataset("image", data=image.astype("f4"), shuffle=True,
                                   compression="gzip", compression_opts=1)  # fmt: skip
        made.attrs["voxel_mm"] = np.array(grid.voxel_mm, "f8")
        made.attrs["origin_mm"] = np.array(grid.origin_mm, "f8")
        made.attrs["unit"] = str(metadata.get("unit") or "")
        made.attrs["axes"] = AXES
        file["start_s"] = np.array([one.start_s for one in frames], "f8")
        file["duration_s"] = np.array([one.duration_s for one in frames], "f8")
    return path
