"""Array type aliases for all rooms, by element type and size; shapes are given in docstrings."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

F4 = npt.NDArray[np.float32]
F8 = npt.NDArray[np.float64]
I4 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int64]
U2 = npt.NDArray[np.uint16]
U4 = npt.NDArray[np.uint32]
U8 = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]
Records = npt.NDArray[np.void]
"""Structured arrays, such as coincidences and singles; the docstring names the dtype."""
