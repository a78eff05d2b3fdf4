"""What the arrays are that an index hands about."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["BitArray", "FloatArray", "IntArray"]

BitArray: TypeAlias = npt.NDArray[np.uint64]
"""Rows as bits: row ``r`` is bit ``r % 64`` of word ``r // 64``."""

IntArray: TypeAlias = npt.NDArray[np.int64]
"""Ids or rows: int64[n]."""

FloatArray: TypeAlias = npt.NDArray[np.float32]
"""Vectors, a row each, or scores: float32[n, dim] or float32[n]."""
