"""From one vector a token to one vector a text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memvid.embedding.model_folder import Pooling
from memvid.embedding.protocol import Vectors

__all__ = ["normalize_rows", "pool"]


def pool(tokens: Vectors, lengths: npt.NDArray[np.int64], mode: Pooling) -> Vectors:
    """Pool float32[batch, sequence, dim] over the first ``lengths`` (int64[batch], at least 1) tokens of each text.

    The modes are those of sentence-transformers.
    """
    if mode == "cls":
        return np.ascontiguousarray(tokens[:, 0])
    if mode == "lasttoken":
        return np.ascontiguousarray(tokens[np.arange(len(tokens)), lengths - 1])
    mask = np.arange(tokens.shape[1]) < lengths[:, None]
    if mode == "max":
        return np.asarray(np.where(mask[:, :, None], tokens, -np.inf).max(axis=1), np.float32)
    total = np.einsum("bsd,bs->bd", tokens, mask.astype(np.float32))
    divisor = lengths if mode == "mean" else np.sqrt(lengths)
    return np.asarray(total / divisor[:, None], np.float32)


def normalize_rows(vectors: Vectors) -> Vectors:
    """Each row brought to length 1; a row of zeros stays as it is."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms == 0, 1, norms), np.float32)
