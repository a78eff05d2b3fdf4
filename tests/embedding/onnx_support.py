"""Small ONNX models: token t has the embedding [t, 1, -t], plus what the graph is told to add."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["VOCABULARY", "write_config", "write_graph", "write_model", "write_tokenizer"]

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "query", "passage", ":"]


def write_model(folder: Path) -> Path:
    """A folder that an OnnxEmbedder takes; returns it."""
    folder.mkdir()
    write_tokenizer(folder)
    write_graph(folder / "model.onnx")
    return folder


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def write_graph(
    file: Path,
    *,
    inputs: Sequence[str] = ("input_ids", "attention_mask"),
    outputs: Sequence[str] = ("last_hidden_state",),
) -> None:
    """Tokens [t, 1, -t] under ``last_hidden_state``; the sum of all, padding included, under any other name."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    table = np.array([[t, 1, -t] for t in range(len(VOCABULARY))], np.float32)
    constants = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "axis")]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    shapes: dict[str, list[str | int]] = {"last_hidden_state": ["batch", "sequence", 3]}
    for output in outputs:
        if output not in shapes:
            nodes.append(helper.make_node("ReduceSum", ["last_hidden_state", "axis"], [output], keepdims=0))
            shapes[output] = ["batch", 3]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs],
        constants,
    )
    file.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(file))


def write_config(folder: Path, **files: Any) -> None:
    for name, value in files.items():
        path = folder / (name.replace("__", "/") + ".json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value))
