"""Cross-encoders: a small graph that adds up the numbers of the tokens of a query and a passage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memvid.embedding.cross_encoder import CrossEncoder, shared_cross_encoder
from memvid.errors import ConfigError, EmbeddingError
from tests.embedding.onnx_support import VOCABULARY, write_tokenizer
from tests.memory_support import build, open_memory

pytest.importorskip("onnx")


def write_cross_encoder(
    folder: Path, *, classes: int = 1, inputs: tuple[str, ...] = ("input_ids", "attention_mask")
) -> Path:
    """The score is the sum of the masked token ids, as one logit, or as the second of several classes."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    folder.mkdir()
    write_tokenizer(folder)
    weights = np.zeros((1, classes), np.float32)
    weights[0, -1] = 1
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["masked"]),
        helper.make_node("Cast", ["masked"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["numbers", "axis"], ["sum"], keepdims=1),
        helper.make_node("MatMul", ["sum", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "cross",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(np.array([1]), "axis"), numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, str(folder / "model.onnx"))
    return folder


def expected(text: str) -> int:
    return 2 + 3 + 3 + sum(VOCABULARY.index(word) for word in text.split())  # [CLS] query [SEP] text [SEP]


@pytest.mark.parametrize("classes", [1, 2])
def test_scores_are_in_the_order_of_the_texts(tmp_path: Path, classes: int) -> None:
    encode = CrossEncoder(write_cross_encoder(tmp_path / "model", classes=classes))
    texts = ["a", "c c c c", "b a", "query", ""] * 30
    scores = encode("", texts)
    single = [float(encode("", [text])[0]) for text in texts]
    assert scores.tolist() == single
    assert np.argmax(scores) == 1
    assert encode("", []).tolist() == []


def test_a_long_text_is_cut(tmp_path: Path) -> None:
    encode = CrossEncoder(write_cross_encoder(tmp_path / "model"))
    long, longer = encode("a", ["b " * 2000, "b " * 200_000])
    assert long == longer


def test_folders_that_hold_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        CrossEncoder(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="wants an input 'pixels'"):
        CrossEncoder(write_cross_encoder(tmp_path / "other", inputs=("input_ids", "attention_mask", "pixels")))
    with pytest.raises(EmbeddingError, match="expected a score for each"):
        CrossEncoder(write_cross_encoder(tmp_path / "three", classes=3))("a", ["b"])


def test_it_is_loaded_once(tmp_path: Path) -> None:
    folder = write_cross_encoder(tmp_path / "model")
    assert shared_cross_encoder(folder) is shared_cross_encoder(str(folder))


def test_a_search_goes_by_it(tmp_path: Path) -> None:
    folder = write_cross_encoder(tmp_path / "model")
    texts = ["a b", "a c c", "a b c c", "a"]
    with open_memory(build(tmp_path, texts)) as memory:
        assert memory.search("a", 4, rerank=folder) == ["a b c c", "a c c", "a b", "a"]
        assert memory.search("a", 2, rerank=str(folder), mode="keyword") == ["a b c c", "a c c"]
        assert memory.stats.rank_seconds > 0
