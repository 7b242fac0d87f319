"""A NIfTI image of a run, with the JSON beside it, as it can be written in other formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recon.analysis.picture import Picture, read_picture
from recon.core.frame_times import FrameTime
from recon.core.grid import ImageGrid
from recon.exchange.errors import ExchangeError
from recon.exchange.images.formats import MadeImage


def stored_image(path: Path, modality: Literal["PET", "SPECT"], facts: dict[str, Any]) -> MadeImage:
    """Return the image in a file, for :func:`recon.exchange.images.formats.write_images`.

    facts : of its run, in place of what the file was given when it was made

    Raises
    ------
    ExchangeError, AnalysisError
        if the file cannot be read, is a series of frames or gates, or does not say its times.
    """
    picture = read_picture(path)
    about = {**picture.metadata, **facts}
    if not picture.metadata:
        raise ExchangeError(f"{path}: there is no JSON beside it that says what it shows")
    middle = picture.place_mm((np.array(picture.values.shape) - 1) / 2)
    x, y, z = picture.values.shape
    grid = ImageGrid((x, y, z), picture.voxel_mm, middle)
    made = MadeImage(picture.values.astype(np.float32), grid, [_time(path, about)], about, modality)
    return replace(made, parts=_parts(picture))


def _parts(picture: Picture) -> tuple[Any, ...]:
    return () if picture.parts is None else (picture.parts,)


def _time(path: Path, about: dict[str, Any]) -> FrameTime:
    """Return when the one volume was measured."""
    starts = about.pop("FrameTimesStart", [0.0])
    lasts = about.pop("FrameDuration", [about.get("duration_s")])
    factors = about.pop("DecayCorrectionFactor", [1.0])
    counts = about.pop("frame_prompts", [about.get("prompts_used")])
    if len(starts) != 1 or "gates" in about:
        raise ExchangeError(
            f"{path} is a series of frames or gates: give --format with `tomoshibi reconstruct`"
        )
    try:
        return FrameTime(
            float(starts[0]), float(lasts[0]), decay_factor=float(factors[0]), prompts=counts[0]
        )
    except (TypeError, ValueError, IndexError) as error:
        raise ExchangeError(f"{path}: its JSON does not say when it was measured") from error
