"""Bring a new image format: one function, and one line in the table of writers.

From then on ``image.save`` knows it; put the function into ``recon/exchange/images/`` and the line
into ``formats.py``, and ``tomoshibi reconstruct --format`` does too.

    python 11_bring_an_image_format.py [RUN]
"""

import json
import sys
from pathlib import Path

import numpy as np

from recon import open_run, reconstruct
from recon.exchange.images.formats import WRITERS, MadeImage, stem_of


def write_npz(made: MadeImage, path: Path) -> Path:
    """Write voxels, their size and the metadata as one numpy archive; return its path."""
    file = path.with_name(f"{stem_of(path)}.npz")
    np.savez_compressed(
        file,
        image=made.image,
        voxel_mm=np.array(made.grid.voxel_mm),
        origin_mm=made.grid.origin_mm,
        start_s=[frame.start_s for frame in made.frames],
        metadata=json.dumps(made.metadata, default=str),
    )
    return file


WRITERS["npz"] = write_npz

run = open_run(sys.argv[1] if len(sys.argv) > 1 else "runs/last")
image = reconstruct(run, iterations=1, scatter="none")
(written,) = image.save("example.nii.gz", formats="npz")
read = np.load(written)
same = np.array_equal(read["image"], image.image)
print(f"written {written}: {read['image'].shape}, voxels of {read['voxel_mm']} mm, same {same}")
