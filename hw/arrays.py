"""Type aliases of arrays, once for all rooms: element type and bytes; shapes are in docstrings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F4 = npt.NDArray[np.float32]
