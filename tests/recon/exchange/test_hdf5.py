"""An image as HDF5 is what was written, and where it lies."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from recon.core.frame_times import FrameTime
from recon.core.grid import ImageGrid
from recon.exchange.errors import ExchangeError
from recon.exchange.images.formats import MadeImage, write_images

GRID = ImageGrid((5, 4, 3), (4.0, 3.0, 2.0), (1.0, 0.0, -7.0))
FRAMES = [FrameTime(0.0, 10.0), FrameTime(10.0, 30.0)]
IMAGE = np.random.default_rng(2).random((5, 4, 3, 2)).astype(np.float32)


def test_voxels_places_times_and_metadata_are_there(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is missing: ./tomoshibi setup lab")
    made = MadeImage(IMAGE, GRID, FRAMES, {"unit": "Bq/mL", "prompts": 7})
    (path,) = write_images(made, tmp_path / "a.nii.gz", ["hdf5"])
    assert path == tmp_path / "a.h5"
    with h5py.File(path) as file:
        image = file["image"]
        assert np.array_equal(image[:], IMAGE) and image.attrs["unit"] == "Bq/mL"
        for axis, places in enumerate(GRID.axes_mm()):
            steps = np.arange(GRID.shape[axis]) * image.attrs["voxel_mm"][axis]
            found = image.attrs["origin_mm"][axis] + steps
            assert np.allclose(found, np.asarray(places).reshape(-1))
        assert file["start_s"][:].tolist() == [0.0, 10.0]
        assert file["duration_s"][:].tolist() == [10.0, 30.0]
        assert json.loads(file.attrs["metadata"])["prompts"] == 7


def test_without_h5py_it_is_said_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    made = MadeImage(IMAGE, GRID, FRAMES, {})
    with pytest.raises(ExchangeError, match="h5py is missing"):
        write_images(made, tmp_path / "a.nii.gz", ["hdf5"])
    assert list(tmp_path.iterdir()) == []
