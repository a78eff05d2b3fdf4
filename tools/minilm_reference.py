"""BERT with mean pooling in plain numpy, float64: slow, short, and sharing nothing with the graphs it checks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _layer_norm(x: Vector, gain: Vector, bias: Vector) -> Vector:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12) * gain + bias


def sentence_embedding(weights: Mapping[str, npt.NDArray[Any]], ids: Sequence[int], *, heads: int) -> Vector:
    """The embedding of one text, float64[dim] of length 1, from its token ids."""
    w = {name: np.asarray(value, np.float64) for name, value in weights.items() if name != "embeddings.position_ids"}

    def linear(x: Vector, name: str) -> Vector:
        return np.asarray(x @ w[name + ".weight"].T + w[name + ".bias"])

    def norm(x: Vector, name: str) -> Vector:
        return _layer_norm(x, w[name + ".weight"], w[name + ".bias"])

    x = w["embeddings.word_embeddings.weight"][list(ids)]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)] + w["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    for layer in range(1 + max(int(name.split(".")[2]) for name in w if name.startswith("encoder.layer."))):
        p = f"encoder.layer.{layer}"
        q, k, v = (linear(x, f"{p}.attention.self.{part}") for part in ("query", "key", "value"))
        attended = []
        for head in np.split(np.arange(x.shape[1]), heads):
            scores = q[:, head] @ k[:, head].T / math.sqrt(len(head))
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            attended.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, head])
        y = linear(np.concatenate(attended, axis=1), f"{p}.attention.output.dense")
        x = norm(x + y, f"{p}.attention.output.LayerNorm")
        y = linear(x, f"{p}.intermediate.dense")
        y = linear(y * 0.5 * (1 + _erf(y / math.sqrt(2))), f"{p}.output.dense")
        x = norm(x + y, f"{p}.output.LayerNorm")
    pooled = x.mean(axis=0)
    return np.asarray(pooled / np.linalg.norm(pooled))
