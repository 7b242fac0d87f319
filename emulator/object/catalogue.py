"""Phantoms: activity and attenuation on a voxel grid, built from formulas, without downloads.

A phantom's activity is a relative weight per voxel; the run's activity in Bq scales the whole.
Phantoms are deterministic. Impossible ones are refused: activity outside the bore, negative or
non-finite values, a grid larger than the kernels can address.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from emulator.object.phantom import Image, Phantom, PhantomError, Triple, check_phantom
from hw.messages.phantom_name import split_name
from hw.scanner.description import Scanner


def phantom_names() -> list[str]:
    """Return the names that :func:`make_phantom` knows."""
    return sorted(_builders())


def make_phantom(name: str, scanner: Scanner) -> Phantom:
    """Return the phantom of a name or file (``.toml``, ``.npz``), checked against the scanner.

    Some names take numbers, such as ``nema-line:sleeves=3,y_mm=100``.

    Raises
    ------
    PhantomError
        for an unknown name, a file that does not describe a phantom, or a phantom that does not fit
        the scanner.
    """
    from emulator.object.phantom_file import SUFFIXES, load_phantom

    if name.endswith(SUFFIXES):
        return check_phantom(load_phantom(name), scanner)
    builders, (base, numbers) = _builders(), split_name(name)
    if base not in builders:
        raise PhantomError(
            f"unknown phantom {base!r}; there are {', '.join(phantom_names())}, and files "
            "(.toml or .npz, docs/emulator/phantoms.md)"
        )
    build = builders[base]
    return check_phantom(build(scanner, **_taken(base, build, numbers)), scanner)


def _taken(base: str, build: Callable[..., Phantom], numbers: dict[str, float]) -> dict[str, float]:
    """Return the numbers as the builder takes them: whole where its default is whole."""
    takes = {
        name: one.default
        for name, one in inspect.signature(build).parameters.items()
        if isinstance(one.default, int | float)
    }
    for name, value in numbers.items():
        if name not in takes:
            known = f"it takes {', '.join(takes)}" if takes else "it takes none"
            raise PhantomError(f"phantom {base}: there is no {name}; {known}")
        if isinstance(takes[name], int) and value != round(value):
            raise PhantomError(f"phantom {base}: {name} = {value:g} must be a whole number")
    return {name: type(takes[name])(value) for name, value in numbers.items()}


def _builders() -> dict[str, Callable[..., Phantom]]:
    from emulator.object.brain import brain
    from emulator.object.camera_phantoms import heart, sphere, spheres
    from emulator.object.nema import (
        nema_line,
        nema_mouse_scatter,
        nema_rat_scatter,
        nema_scatter,
    )
    from emulator.object.nema_quality import nema_mouse_quality, nema_point, nema_quality
    from emulator.object.shapes import cylinder, hot_rod, line, point

    return {
        "brain": brain,
        "cylinder": cylinder,
        "heart": heart,
        "hot-rod": hot_rod,
        "line": line,
        "nema-line": nema_line,
        "nema-mouse-quality": nema_mouse_quality,
        "nema-mouse-scatter": nema_mouse_scatter,
        "nema-point": nema_point,
        "nema-quality": nema_quality,
        "nema-rat-scatter": nema_rat_scatter,
        "nema-scatter": nema_scatter,
        "point": point,
        "sphere": sphere,
        "spheres": spheres,
    }


def mu_map_on_grid(phantom: Phantom, shape: tuple[int, int, int], voxel_mm: Triple) -> Image:
    """Return the phantom's µ (1/mm) on an image grid centred in the scanner, linearly interpolated.

    Parameters
    ----------
    shape, voxel_mm : the image grid; voxel (0, 0, 0) is centred at ``-(shape - 1)/2 · voxel_mm``

    Returns
    -------
    (x, y, z) f4; 0 outside the phantom's grid
    """
    image = np.asarray(phantom.mu_per_mm, dtype=np.float32)
    for axis in range(3):
        centres = (np.arange(shape[axis]) - (shape[axis] - 1) / 2) * voxel_mm[axis]
        position = (centres - phantom.origin_mm[axis]) / phantom.voxel_mm[axis]
        image = _interpolate_axis(image, np.asarray(position), axis)
    return np.ascontiguousarray(image)


def _interpolate_axis(image: Image, position: npt.NDArray[np.float64], axis: int) -> Image:
    padded = np.pad(np.moveaxis(image, axis, 0), [(1, 1), (0, 0), (0, 0)])
    position = np.clip(position + 1.0, 0.0, len(padded) - 1.0)
    low = np.minimum(np.floor(position).astype(np.int64), len(padded) - 2)
    part = (position - low).astype(np.float32)[:, None, None]
    blended = padded[low] * (1 - part) + padded[low + 1] * part
    return np.asarray(np.moveaxis(blended, 0, axis), dtype=np.float32)
