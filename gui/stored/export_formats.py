"""The formats to which the console can export a stored run, and the commands that do it."""

from __future__ import annotations

from gui.kit.words import mark

EXPORTS: dict[str, tuple[str, ...]] = {
    mark("image: NIfTI"): ("reconstruct", "--format", "nifti"),
    mark("image: DICOM"): ("reconstruct", "--format", "dicom"),
    mark("image: Interfile (STIR)"): ("reconstruct", "--format", "interfile"),
    mark("image: BIDS-PET dataset"): ("reconstruct", "--format", "bids"),
    mark("image: HDF5"): ("reconstruct", "--format", "hdf5"),
    mark("live image: DICOM"): ("export", "--image", "live", "--format", "dicom"),
    mark("events: PETSIRD"): ("export", "--format", "petsird"),
    mark("events: CASToR"): ("export", "--format", "castor"),
    mark("events: SAFIR (STIR)"): ("export", "--format", "safir"),
    mark("events: Parquet"): ("export", "--format", "parquet"),
    mark("events: HDF5"): ("export", "--format", "hdf5"),
    mark("events: ROOT"): ("export", "--format", "root"),
}
"""Words to the command and its options. The live image is given out as it is stored; the others are
made anew from the run, by the defaults of `tomoshibi reconstruct`."""
