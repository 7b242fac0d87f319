"""Reconstruct: a run to a corrected image in one call, and to files.

Options are those of ``tomoshibi reconstruct``: algorithm, corrections, frames, motion. Every
correction that the run allows is applied; which were not, and why, stands in the metadata. None is
silent: ``require=("scatter",)`` makes a missing one an error.

    python 05_reconstruct.py [RUN]
"""

import sys

from recon import open_run, reconstruct

run = open_run(sys.argv[1] if len(sys.argv) > 1 else "runs/last")

said = ""


def tell(what: str, share: float) -> None:
    """Say each step once; ``progress=print`` says everything."""
    global said
    if what != said:
        print(f"  {100 * share:3.0f} % {what}")
        said = what


if run.modality == "PET":
    half = run.duration_s / 2
    frames = ((0.0, half), (half, run.duration_s))
    image = reconstruct(run, iterations=2, subsets=8, post_filter_fwhm_mm=3, progress=tell)
    halves = reconstruct(run, iterations=2, frames=frames, scatter="none")
    print(f"two frames: {halves.image.shape}, prompts {[f.prompts for f in halves.frames]}")
else:
    image = reconstruct(run, iterations=2, subsets=8, progress=tell)

print(f"{image.image.shape} {image.image.dtype} in {image.unit}, maximum {image.image.max():.4g}")
for name, about in image.metadata["corrections"].items():
    if isinstance(about, dict):
        print(f"{'✓' if about['applied'] else '✗'} {name}: {about.get('how', '')}")
for path in image.save("example.nii.gz", formats=("nifti", "interfile")):
    print(f"written {path}")
