"""The kernels' random numbers: xoroshiro128++ in a two-word array, one stream per time slice.

A stream is seeded from (seed, slice) only, so slices may be computed in any order and by any
number of threads with the same result. D. Blackman, S. Vigna, "Scrambled linear pseudorandom
number generators", ACM TOMS 47 (2021) 36; seeding by SplitMix64, as the authors advise. Normals
and exponentials by ziggurat: G. Marsaglia, W. W. Tsang, J. Stat. Softw. 5 (2000) 8, with separate
bits for layer and place (J. A. Doornik, "An improved ziggurat method", 2005).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hw.jit import bare_kernel

State = npt.NDArray[np.uint64]
_TO_UNIT = 2.0**-53
_TO_UNIT_32 = 2.0**-32
_TO_UNIT_24 = 2.0**-24
_LOW_32 = np.uint64(0xFFFFFFFF)
_LAYER_BITS = np.uint64(0xFF)
_ONE = np.uint64(1)  # indices stay unsigned: numba tests others for being negative

_LAYERS = 256
_NORMAL_TAIL, _NORMAL_AREA = 3.6541528853610088, 0.00492867323399  # Marsaglia & Tsang, table 1
_DECAY_TAIL, _DECAY_AREA = 7.69711747013104972, 0.0039496598225815571993


def _normal_edges() -> npt.NDArray[np.float64]:
    edges = [_NORMAL_AREA / math.exp(-0.5 * _NORMAL_TAIL**2), _NORMAL_TAIL]
    while len(edges) < _LAYERS:
        edges.append(
            math.sqrt(-2 * math.log(_NORMAL_AREA / edges[-1] + math.exp(-0.5 * edges[-1] ** 2)))
        )
    return np.array([*edges, 0.0])


def _decay_edges() -> npt.NDArray[np.float64]:
    edges = [_DECAY_AREA / math.exp(-_DECAY_TAIL), _DECAY_TAIL]
    while len(edges) < _LAYERS:
        edges.append(-math.log(_DECAY_AREA / edges[-1] + math.exp(-edges[-1])))
    return np.array([*edges, 0.0])


_NORMAL_EDGE = _normal_edges()
_DECAY_EDGE = _decay_edges()


@bare_kernel
def split_mix(value: np.uint64) -> np.uint64:
    """Return the SplitMix64 hash of a 64-bit value."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@bare_kernel
def seed_stream(state: State, seed: np.uint64, stream: np.uint64) -> None:
    """Set the state (2,) u8 for one stream of one seed."""
    state[0] = split_mix(split_mix(seed) ^ stream)
    state[1] = split_mix(state[0] ^ np.uint64(0xD1B54A32D192ED03))


@bare_kernel
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


@bare_kernel
def uniform(state: State) -> float:
    """Return a uniform number in [0, 1), of 53 bits."""
    return np.float64(np.int64(next_word(state) >> np.uint64(11))) * _TO_UNIT


@bare_kernel
def exponential(state: State) -> float:
    """Return an exponentially distributed number of mean 1."""
    beyond = 0.0
    while True:
        word = next_word(state)
        layer = word & _LAYER_BITS
        part = np.float64(np.int64(word >> np.uint64(11))) * _TO_UNIT
        value = part * _DECAY_EDGE[layer]
        if value < _DECAY_EDGE[layer + _ONE]:
            return beyond + value
        if layer == 0:
            beyond += _DECAY_TAIL  # the tail of an exponential is the exponential, moved
            continue
        outer = math.exp(value - _DECAY_EDGE[layer])
        inner = math.exp(value - _DECAY_EDGE[layer + _ONE])
        if outer + uniform(state) * (inner - outer) < 1.0:
            return beyond + value


@bare_kernel
def exponential_and_uniform(state: State) -> tuple[float, float]:
    """Return an exponential number of mean 1 and a 24-bit number in [0, 1), from one word.

    They use different bits: 8 for the layer, 24 for the uniform number, 32 for the place in the
    layer.
    """
    beyond = 0.0
    while True:
        word = next_word(state)
        layer = word & _LAYER_BITS
        value = np.float64(np.int64(word >> np.uint64(32))) * _TO_UNIT_32 * _DECAY_EDGE[layer]
        if value < _DECAY_EDGE[layer + _ONE]:
            other = np.float64(np.int64((word & _LOW_32) >> np.uint64(8))) * _TO_UNIT_24
            return beyond + value, other
        if layer == 0:
            beyond += _DECAY_TAIL
            continue
        outer = math.exp(value - _DECAY_EDGE[layer])
        inner = math.exp(value - _DECAY_EDGE[layer + _ONE])
        if outer + uniform(state) * (inner - outer) < 1.0:
            return beyond + value, uniform(state)


@bare_kernel
def normal(state: State) -> float:
    """Return a standard normal number."""
    while True:
        word = next_word(state)
        layer = word & _LAYER_BITS
        part = np.float64(np.int64(word) >> np.int64(11)) * (2.0 * _TO_UNIT)
        value = part * _NORMAL_EDGE[layer]
        if abs(value) < _NORMAL_EDGE[layer + _ONE]:
            return value
        if layer == 0:
            return math.copysign(_normal_tail(state), part)
        square = value * value
        outer = math.exp(0.5 * (square - _NORMAL_EDGE[layer] ** 2))
        inner = math.exp(0.5 * (square - _NORMAL_EDGE[layer + _ONE] ** 2))
        if outer + uniform(state) * (inner - outer) < 1.0:
            return value


@bare_kernel
def _normal_tail(state: State) -> float:
    while True:
        x = exponential(state) / _NORMAL_TAIL
        if 2.0 * exponential(state) > x * x:
            return _NORMAL_TAIL + x


@bare_kernel
def in_disc(state: State) -> tuple[float, float, float]:
    """Return (x, y, x² + y²), uniform in the unit disc except its centre."""
    while True:
        word = next_word(state)
        x = np.float64(np.int64(word & _LOW_32)) * (2.0 * _TO_UNIT_32) - 1.0
        y = np.float64(np.int64(word >> np.uint64(32))) * (2.0 * _TO_UNIT_32) - 1.0
        square = x * x + y * y
        if 0.0 < square < 1.0:
            return x, y, square
