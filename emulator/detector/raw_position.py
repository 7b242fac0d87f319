"""Raw positions: what an Anger-type read-out makes of a place, and which crystal it belongs to.

Light sharing among sensors shows the middle of a block stretched and its edges compressed towards
the middle. Along each axis, with x from −1 to 1 across the block,

    raw = ½ + RAW_REACH · tanh(κx) / tanh(κ),        κ = ``raw_compression`` (κ → 0: raw ∝ x)

as a share of the picture, blurred by a Gaussian of ``raw_blur_fwhm_mm`` (the picture being as wide
as the block). The curve has the usual shape of a flood map; the numbers are assumed. In a pixelated
block light comes out at the crystal's end, wherever in it the photon was absorbed, so each crystal
is one spot; in a monolithic block x is the place itself.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hw.jit import bare_kernel
from hw.scanner.description import RAW_POSITION_BINS, Scanner

RAW_REACH = 0.45
"""Half of the picture's share that the block fills: room for the blur at its borders."""

_STRAIGHT = 1e-6


@bare_kernel
def raw_share(x: float, compression: float) -> float:
    """Return where a place x in [−1, 1] is seen, as a share of the picture from 0 to 1."""
    if compression < _STRAIGHT:
        return 0.5 + RAW_REACH * x
    return 0.5 + RAW_REACH * math.tanh(compression * x) / math.tanh(compression)


@bare_kernel
def raw_bin(share: float) -> int:
    """Return the bin of a share of the picture; anything outside goes to the border bin."""
    return min(max(math.floor(share * RAW_POSITION_BINS), 0), RAW_POSITION_BINS - 1)


def ideal_crystal_map(scanner: Scanner) -> npt.NDArray[np.uint16]:
    """Return a module's crystal by raw position index u + 64·v, without blur.

    Returns
    -------
    (4096,) u2. In a pixelated block a bin belongs to the nearest spot, in a monolithic one to the
    crystal of the place seen at the bin's middle; bins beyond the block belong to the edge.
    """
    module = scanner.module
    iu = _crystal_by_bin(scanner, module.n_u)
    iv = _crystal_by_bin(scanner, module.n_v)
    return (iu[None, :] + module.n_u * iv[:, None]).reshape(-1).astype(np.uint16)


def _crystal_by_bin(scanner: Scanner, n: int) -> npt.NDArray[np.int64]:
    compression = scanner.response.raw_compression
    middle = (np.arange(RAW_POSITION_BINS) + 0.5) / RAW_POSITION_BINS
    edges = 2.0 * np.arange(n + 1) / n - 1.0
    if scanner.module.monolithic:
        borders = np.array([raw_share(x, compression) for x in edges[1:-1]])
    else:
        spots = np.array([raw_share(x, compression) for x in (edges[1:] + edges[:-1]) / 2])
        borders = (spots[1:] + spots[:-1]) / 2
    return np.searchsorted(borders, middle, side="right")


def raw_address(scanner: Scanner, crystal: int) -> int:
    """Return the raw position index at which a module's crystal is seen without blur."""
    module, compression = scanner.module, scanner.response.raw_compression
    iv, iu = divmod(crystal, module.n_u)
    u = raw_bin(raw_share(2.0 * (iu + 0.5) / module.n_u - 1.0, compression))
    v = raw_bin(raw_share(2.0 * (iv + 0.5) / module.n_v - 1.0, compression))
    return int(u + RAW_POSITION_BINS * v)
