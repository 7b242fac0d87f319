"""Reconstruction's own flavour of kernel: compiled without numba's reference counting.

A ray passes a dozen arrays through three small functions. Inlined, each call counted references
with locked instructions (100 ns a ray); not inlined, it moved ninety words over the stack. Such
kernels cannot allocate: they work on arrays they are given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hw.jit import numba  # from there, so that the cache folder is named before numba reads it

bare_kernel: Callable[..., Any] = numba.njit(
    nogil=True, cache=True, _nrt=False, forceinline=True, error_model="numpy"
)
"""Like ``hw.jit.kernel``, but must not allocate; always inlined where another kernel calls it.

Division by zero gives infinity, as in numpy, instead of a test at each division.
"""
