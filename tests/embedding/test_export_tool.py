"""The tool that makes the shipped model, on a small random BERT: its graphs against plain numpy."""

from __future__ import annotations

import json
import struct
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.repository import ROOT

pytest.importorskip("onnx", reason="the export tool needs onnx: pip install onnx")
TOOLS = ROOT / "tools"
sys.path.insert(0, str(TOOLS))
try:
    export_minilm = import_module("export_minilm")
    minilm_graph = import_module("minilm_graph")
    sentence_embedding = import_module("minilm_reference").sentence_embedding
finally:
    sys.path.remove(str(TOOLS))

HIDDEN, HEADS, VOCABULARY, LIMIT = 32, 4, 50, 16
Weights = dict[str, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def weights() -> Weights:
    rng = np.random.default_rng(7)

    def normal(*shape: int) -> npt.NDArray[np.float32]:
        return (rng.standard_normal(shape) * 0.3).astype(np.float32)

    w: Weights = {
        f"embeddings.{name}_embeddings.weight": normal(rows, HIDDEN)
        for name, rows in (("word", VOCABULARY), ("position", 20), ("token_type", 2))
    }
    for layer in range(2):
        p = f"encoder.layer.{layer}"
        for name, out, into in (
            ("attention.self.query", HIDDEN, HIDDEN),
            ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", 4 * HIDDEN, HIDDEN),
            ("output.dense", HIDDEN, 4 * HIDDEN),
        ):
            w[f"{p}.{name}.weight"], w[f"{p}.{name}.bias"] = normal(out, into), normal(out)
    for name in (
        "embeddings",
        *(f"encoder.layer.{i}.{part}" for i in range(2) for part in ("attention.output", "output")),
    ):
        w[f"{name}.LayerNorm.weight"], w[f"{name}.LayerNorm.bias"] = 1 + normal(HIDDEN), normal(HIDDEN)
    return w


def run(model: Any, **feeds: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, feeds)[0])


TEXTS = [[2, 7, 9, 11, 3], [2, 3], [2, *range(5, 19), 3]]


def test_fp32_graph_computes_bert_on_a_padded_batch(weights: Weights) -> None:
    ids, mask = np.zeros((2, 3, LIMIT), np.int64)
    for i, text in enumerate(TEXTS):
        ids[i, : len(text)], mask[i, : len(text)] = text, 1
    found = run(minilm_graph.fp32_model(weights, heads=HEADS, max_length=LIMIT), input_ids=ids, attention_mask=mask)
    expected = [sentence_embedding(weights, text, heads=HEADS) for text in TEXTS]
    assert np.abs(found - expected).max() < 1e-5


def test_int8_graph_is_close(weights: Weights) -> None:
    model = minilm_graph.int8_model(weights, heads=HEADS, max_length=LIMIT)
    for text in TEXTS:
        (found,) = run(model, input_ids=np.array([text]))
        assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
        assert found @ sentence_embedding(weights, text, heads=HEADS) > 0.99


def test_weights_never_saturate_16_bits(weights: Weights) -> None:
    from onnx import numpy_helper

    model = minilm_graph.int8_model(weights, heads=HEADS, max_length=LIMIT)
    arrays = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer if c.name.endswith(".int8")}
    linear = [a for name, a in arrays.items() if name != "words.int8"]
    assert len(linear) == 12
    largest = max(int(np.abs(a.astype(int)).max()) for a in linear)
    assert 2 * 255 * largest <= 32767
    assert largest == 64


def test_the_same_bytes_twice(weights: Weights) -> None:
    first, second = (
        minilm_graph.int8_model(weights, heads=HEADS, max_length=LIMIT).SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert first == second


def test_quantize() -> None:
    q, scale = minilm_graph.quantize(np.array([[1.0, 0.0], [-2.0, 0.0]], np.float32), 0, 64)
    assert q.tolist() == [[32, 0], [-64, 0]]
    assert scale.tolist() == [2 / 64, 1]


def test_safetensors_are_read(tmp_path: Path) -> None:
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "a": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]},
            "b": {"dtype": "I64", "shape": [1], "data_offsets": [8, 16]},
        }
    ).encode()
    data = struct.pack("<Q", len(header)) + header + np.array([1, 2], "<f4").tobytes() + np.array([3], "<i8").tobytes()
    tensors = export_minilm.parse_safetensors(data)
    assert tensors["a"].tolist() == [[1], [2]]
    assert tensors["b"].tolist() == [3]


def test_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(SystemExit, match="not the pinned weights"):
        export_minilm.load_verified(export_minilm.open_weights(tmp_path))
