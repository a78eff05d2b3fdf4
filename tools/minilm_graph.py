"""The MiniLM graph, built with ``onnx.helper`` straight from the weights: in fp32, and in dynamic int8.

Two graphs, because they serve different masters:

* :func:`fp32_model` is what onnxruntime's own optimiser makes of an export (EmbedLayerNormalization, Attention,
  SkipLayerNormalization, BiasGelu; padded batches with a mask): the yardstick of the benchmarks.
* :func:`int8_model` is the one that ships. Its choices, each measured with onnxruntime 1.32 (``docs/embeddings.md``):

  - No mask: it takes texts of equal length only, so nothing is padded and attention takes the kernel without a mask.
  - Weights are int8 with one scale per output channel, **within -64..64**. Kernels without VNNI add two products of an
    8-bit activation and a weight in 16 bits: 2 * 255 * 64 = 32640 still fits, 2 * 255 * 127 does not. So the integer
    arithmetic is exact on every processor, and a memory built on one machine answers alike on another.
  - Layer normalisation from plain operators: mean and variance as products with a constant vector run in the matrix
    kernel, twice as fast as the fused operator's scalar loop.
  - The three projections of attention share one quantised input.
  - The last product of each layer takes its rows one by one: GELU's loudest outputs belong to a few tokens, and under
    one scale for the whole text they take the precision of all others. Each row is divided by its maximum and
    multiplied back afterwards, which takes a third off the distance to fp32 for 4 % more time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Weights = Mapping[str, Array]

CONTRIB = "com.microsoft"
OPSET = 18
IR_VERSION = 8
EPSILON = 1e-12
WEIGHT_LIMIT = 64
TABLE_LIMIT = 127


@dataclass
class Graph:
    """Collects nodes and constants; values are known by name."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def constant(self, name: str, value: Array) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        return self.add_many(op, 1, *inputs, domain=domain, **attributes)[0]

    def add_many(self, op: str, outputs: int, *inputs: str, domain: str = "", **attributes: Any) -> list[str]:
        name = f"{op}_{len(self.nodes)}"
        names = [f"{name}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=name, domain=domain, **attributes))
        return names

    def model(self, inputs: Sequence[str], output: str, dim: int) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [output], ["sentence_embedding"], name="output"))
        graph = helper.make_graph(
            self.nodes,
            "minilm",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs],
            [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", dim])],
            list(self.constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def layers(weights: Weights) -> int:
    """How many encoder layers the weights hold."""
    return 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer."))


def position_table(weights: Weights, max_length: int) -> Array:
    """Position embeddings with token type 0 added: every text is of that type."""
    positions = weights["embeddings.position_embeddings.weight"][:max_length]
    table: Array = positions + weights["embeddings.token_type_embeddings.weight"][0]
    return table


def _linear(weights: Weights, name: str) -> tuple[Array, Array]:
    return weights[name + ".weight"].T, weights[name + ".bias"]


def _norm(weights: Weights, name: str) -> tuple[Array, Array]:
    return weights[name + ".weight"], weights[name + ".bias"]


def _pool(g: Graph, tokens: str, mask: str | None) -> str:
    """Mean over the tokens, then length 1. The mean's divisor cancels, so the sum will do."""
    axis = g.constant("axis1", np.array([1], np.int64))
    if mask is None:
        total = g.add("ReduceSum", tokens, axis, keepdims=0)
    else:
        row = g.add("Unsqueeze", g.add("Cast", mask, to=TensorProto.FLOAT), axis)
        total = g.add("Squeeze", g.add("MatMul", row, tokens), axis)
    return g.add("Div", total, g.add("ReduceL2", total, axis, keepdims=1))


def fp32_model(weights: Weights, *, heads: int, max_length: int) -> onnx.ModelProto:
    """Fused fp32 graph: ``input_ids``, ``attention_mask`` (int64[batch, sequence]) to float32[batch, dim], length 1."""
    g = Graph()
    lengths = g.add(
        "ReduceSum",
        g.add("Cast", "attention_mask", to=TensorProto.INT32),
        g.constant("axis1", np.array([1], np.int64)),
        keepdims=0,
    )

    def constants(prefix: str, values: Sequence[Array]) -> list[str]:
        return [g.constant(f"{prefix}.{i}", value) for i, value in enumerate(values)]

    x = g.add_many(
        "EmbedLayerNormalization",
        2,
        g.add("Cast", "input_ids", to=TensorProto.INT32),
        "",
        g.constant("words", weights["embeddings.word_embeddings.weight"]),
        g.constant("positions", position_table(weights, max_length)),
        "",
        *constants("embeddings.norm", _norm(weights, "embeddings.LayerNorm")),
        domain=CONTRIB,
        epsilon=EPSILON,
    )[0]

    def add_and_norm(y: str, skip: str, norm: str, bias: Array) -> str:
        values = (*_norm(weights, norm), bias)
        return g.add("SkipLayerNormalization", y, skip, *constants(norm, values), domain=CONTRIB, epsilon=EPSILON)

    for i in range(layers(weights)):
        p = f"encoder.layer.{i}"
        qkv = [_linear(weights, f"{p}.attention.self.{part}") for part in ("query", "key", "value")]
        joined = [np.concatenate([w for w, _ in qkv], axis=1), np.concatenate([b for _, b in qkv])]
        y = g.add("Attention", x, *constants(f"{p}.qkv", joined), lengths, domain=CONTRIB, num_heads=heads)
        w, b = _linear(weights, f"{p}.attention.output.dense")
        x = add_and_norm(g.add("MatMul", y, g.constant(f"{p}.o", w)), x, f"{p}.attention.output.LayerNorm", b)
        w, b = _linear(weights, f"{p}.intermediate.dense")
        up = g.add("MatMul", x, g.constant(f"{p}.up", w))
        y = g.add("BiasGelu", up, g.constant(f"{p}.up.bias", b), domain=CONTRIB)
        w, b = _linear(weights, f"{p}.output.dense")
        x = add_and_norm(g.add("MatMul", y, g.constant(f"{p}.down", w)), x, f"{p}.output.LayerNorm", b)
    dim = len(weights["embeddings.LayerNorm.weight"])
    return g.model(["input_ids", "attention_mask"], _pool(g, x, "attention_mask"), dim)


def quantize(matrix: Array, axis: int, limit: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Symmetric int8: one scale for each index left when ``axis`` is reduced."""
    scale = np.abs(matrix).max(axis=axis, keepdims=True).astype(np.float32) / np.float32(limit)
    scale[scale == 0] = 1
    quantized = np.clip(np.rint(matrix / scale), -limit, limit).astype(np.int8)
    return quantized, scale.squeeze(axis)


class _Int8Builder:
    def __init__(self, weights: Weights, heads: int, max_length: int) -> None:
        self.g, self.w, self.heads, self.max_length = Graph(), weights, heads, max_length
        self.dim = len(weights["embeddings.LayerNorm.weight"])

    def matmuls(self, x: str, names: Sequence[str], linears: Sequence[tuple[Array, Array]]) -> list[str]:
        """``x @ w + b`` for each, over one dynamically quantised ``x``."""
        g = self.g
        quantized, scale, zero = g.add_many("DynamicQuantizeLinear", 3, x)
        results = []
        for name, (w, b) in zip(names, linears, strict=True):
            q, s = quantize(w, 0, WEIGHT_LIMIT)
            values = [g.constant(name + ".int8", q), g.constant(name + ".scale", s)]
            offset, bias = g.constant(name + ".zero", np.zeros_like(q[0])), g.constant(name + ".bias", b)
            operands = (quantized, values[0], scale, values[1], zero, offset, bias)
            results.append(g.add("MatMulIntegerToFloat", *operands, domain=CONTRIB))
        return results

    def normed(self, x: str, skip: str, norm: str) -> str:
        """Layer normalisation of ``x + skip``."""
        g = self.g
        total = g.add("Add", x, skip)
        column = g.constant("mean", np.full((self.dim, 1), 1 / self.dim, np.float32))
        centred = g.add("Sub", total, g.add("MatMul", total, column))
        variance = g.add("MatMul", g.add("Mul", centred, centred), column)
        variance = g.add("Add", variance, g.constant("epsilon", np.array(EPSILON, np.float32)))
        unit = g.add("Mul", centred, g.add("Reciprocal", g.add("Sqrt", variance)))
        gain, bias = _norm(self.w, norm)
        return g.add("Add", g.add("Mul", unit, g.constant(norm + ".gain", gain)), g.constant(norm + ".bias", bias))

    def embed(self) -> str:
        g = self.g
        table, scale = quantize(self.w["embeddings.word_embeddings.weight"], 1, TABLE_LIMIT)
        rows = g.add("Gather", g.constant("words.int8", table), "input_ids")
        scales = g.add("Gather", g.constant("words.scale", scale[:, None]), "input_ids")
        words = g.add("Mul", g.add("Cast", rows, to=TensorProto.FLOAT), scales)
        length = g.add("Shape", "input_ids", start=1, end=2)
        start = g.constant("start", np.array([0], np.int64))
        positions = g.constant("positions", position_table(self.w, self.max_length))
        return self.normed(words, g.add("Slice", positions, start, length), "embeddings.LayerNorm")

    def attention(self, x: str, p: str) -> str:
        linears = [_linear(self.w, f"{p}.self.{part}") for part in ("query", "key", "value")]
        q, k, v = self.matmuls(x, [f"{p}.{part}" for part in "qkv"], linears)
        y = self.g.add("MultiHeadAttention", q, k, v, domain=CONTRIB, num_heads=self.heads)
        (y,) = self.matmuls(y, [f"{p}.o"], [_linear(self.w, f"{p}.output.dense")])
        return self.normed(y, x, f"{p}.output.LayerNorm")

    def feed_forward(self, x: str, p: str) -> str:
        g = self.g
        (y,) = self.matmuls(x, [f"{p}.up"], [_linear(self.w, f"{p}.intermediate.dense")])
        y = g.add("Gelu", y, domain=CONTRIB)
        # GELU goes down to -0.17: a row that never rises above 0.17 is divided by that, so all stays within -1..1.
        peak = g.add("ReduceMax", y, g.constant("last", np.array([-1], np.int64)), keepdims=1)
        peak = g.add("Max", peak, g.constant("gelu", np.array(0.17, np.float32)))
        w, b = _linear(self.w, f"{p}.output.dense")
        (y,) = self.matmuls(g.add("Mul", y, g.add("Reciprocal", peak)), [f"{p}.down"], [(w, np.zeros_like(b))])
        y = g.add("Add", g.add("Mul", y, peak), g.constant(f"{p}.output.bias", b))
        return self.normed(y, x, f"{p}.output.LayerNorm")

    def build(self) -> onnx.ModelProto:
        x = self.embed()
        for layer in range(layers(self.w)):
            p = f"encoder.layer.{layer}"
            x = self.feed_forward(self.attention(x, f"{p}.attention"), p)
        return self.g.model(["input_ids"], _pool(self.g, x, None), self.dim)


def int8_model(weights: Weights, *, heads: int, max_length: int) -> onnx.ModelProto:
    """The shipped graph: ``input_ids`` (int64[batch, sequence], no padding) to float32[batch, dim], length 1."""
    return _Int8Builder(weights, heads, max_length).build()
