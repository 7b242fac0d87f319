"""The emulator's own flavour of kernel: compiled without numba's reference counting.

The Monte Carlo calls small functions with structs of arrays hundreds of times per decay; counting
references on each call made it 3.5 times slower, and four times slower to compile. Such kernels
cannot allocate: they work on arrays they are given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hw.jit import numba  # from there, so that the cache folder is named before numba reads it

bare_kernel: Callable[..., Any] = numba.njit(
    nogil=True, cache=True, _nrt=False, forceinline=True, error_model="numpy"
)
"""Like ``hw.jit.kernel``, but must not allocate (``numpy.empty``, slices of unlike arrays, ...).

Always inlined: a struct of arrays is passed to a function in a hundred words. Division by zero
gives infinity, as in numpy, instead of a test and an exception at each division.
"""
