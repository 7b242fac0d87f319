"""The kernels' random numbers: xoroshiro128++ in a two-word array, one stream per time slice.

A stream is seeded from (seed, slice) only, so slices may be computed in any order and by any
number of threads with the same result. D. Blackman, S. Vigna, "Scrambled linear pseudorandom
number generators", ACM TOMS 47 (2021) 36; seeding by SplitMix64, as the authors advise.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hw.jit import kernel

State = npt.NDArray[np.uint64]
_TO_UNIT = 1.0 / 9007199254740992.0  # 2**-53
_TO_UNIT_32 = 1.0 / 4294967296.0  # 2**-32
_LOW_32 = np.uint64(0xFFFFFFFF)


@kernel
def split_mix(value: np.uint64) -> np.uint64:
    """Return the SplitMix64 hash of a 64-bit value."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@kernel
def seed_stream(state: State, seed: np.uint64, stream: np.uint64) -> None:
    """Set the state (2,) u8 for one stream of one seed."""
    state[0] = split_mix(split_mix(seed) ^ stream)
    state[1] = split_mix(state[0] ^ np.uint64(0xD1B54A32D192ED03))


@kernel
def next_word(state: State) -> np.uint64:
    """Return 64 random bits."""
    s0 = state[0]
    s1 = state[1]
    total = s0 + s1
    result = ((total << np.uint64(17)) | (total >> np.uint64(47))) + s0
    s1 ^= s0
    state[0] = ((s0 << np.uint64(49)) | (s0 >> np.uint64(15))) ^ s1 ^ (s1 << np.uint64(21))
    state[1] = (s1 << np.uint64(28)) | (s1 >> np.uint64(36))
    return result


@kernel
def uniform(state: State) -> float:
    """Return a number in [0, 1) of 53 bits."""
    return np.float64(next_word(state) >> np.uint64(11)) * _TO_UNIT


@kernel
def exponential(state: State) -> float:
    """Return a number of the exponential distribution with mean 1."""
    return -math.log((np.float64(next_word(state) >> np.uint64(11)) + 1.0) * _TO_UNIT)


@kernel
def in_disc(state: State) -> tuple[float, float, float]:
    """Return (x, y, x² + y²) uniform in the unit disc, the centre excepted (Marsaglia 1972)."""
    while True:
        word = next_word(state)
        x = np.float64(word & _LOW_32) * (2.0 * _TO_UNIT_32) - 1.0
        y = np.float64(word >> np.uint64(32)) * (2.0 * _TO_UNIT_32) - 1.0
        square = x * x + y * y
        if 0.0 < square < 1.0:
            return x, y, square


@kernel
def normal_pair(state: State) -> tuple[float, float]:
    """Return two independent standard normals (Marsaglia's polar method)."""
    x, y, square = in_disc(state)
    scale = math.sqrt(-2.0 * math.log(square) / square)
    return x * scale, y * scale
