"""OnnxEmbedder on the small graphs of onnx_support.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.embedding import OnnxEmbedder, encode_checked, encode_query
from memvid.embedding.onnx_embedder import plan_batches
from memvid.errors import ConfigError, EmbeddingError
from tests.embedding.onnx_support import write_config, write_graph, write_model

onnx = pytest.importorskip("onnx", reason="small graphs are made with onnx: pip install onnx")

MEAN = {"pooling_mode_mean_tokens": True, "word_embedding_dimension": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "small-model")


@given(st.lists(st.integers(1, 30)), st.integers(1, 7), st.none() | st.integers(1, 60), st.booleans())
def test_plan_batches(lengths: list[int], batch_size: int, max_tokens: int | None, equal: bool) -> None:
    batches = plan_batches(lengths, batch_size, max_tokens=max_tokens, equal_lengths=equal)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    ordered = [lengths[i] for batch in batches for i in batch]
    assert ordered == sorted(lengths, reverse=True)
    if max_tokens is not None:
        assert all(len(batch) == 1 or len(batch) * lengths[batch[0]] <= max_tokens for batch in batches)
    if equal:
        assert all(len({lengths[i] for i in batch}) == 1 for batch in batches)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, [(2 + 4 + 5 + 3) / 4, 1, -(2 + 4 + 5 + 3) / 4]),
        (MEAN, [3.5, 1, -3.5]),
        ({"pooling_mode": "cls"}, [2, 1, -2]),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, [2, 1, -2]),
        ({"pooling_mode_max_tokens": True}, [5, 1, -2]),
        ({"pooling_mode_lasttoken": True}, [3, 1, -3]),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, [7, 2, -7]),
    ],
)
def test_pooling_ignores_padding(folder: Path, config: Any, expected: list[float]) -> None:
    if config is not None:
        write_config(folder, **{"1_Pooling__config": config})
    embedder = OnnxEmbedder(folder, batch_size=2)
    vectors = encode_checked(embedder, ["c c c c c c c", "a b"])  # one batch, so the second is padded
    assert vectors[1].tolist() == expected
    assert (embedder.dim, embedder.name) == (3, "small-model")


def test_normalize_module(folder: Path) -> None:
    kinds = ("Transformer", "Pooling", "Normalize")
    write_config(folder, modules=[{"type": f"sentence_transformers.models.{kind}"} for kind in kinds])
    assert np.linalg.norm(OnnxEmbedder(folder).encode(["a b"])) == pytest.approx(1)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_the_callers_order(folder: Path, threads: int, batch_size: int) -> None:
    texts = ["a " * n for n in (5, 1, 9, 3, 3, 0, 7)]
    vectors = OnnxEmbedder(folder, threads=threads, batch_size=batch_size).encode(texts)
    counts = [text.count("a") for text in texts]
    assert vectors[:, 0].tolist() == pytest.approx([(5 + 4 * n) / (n + 2) for n in counts])


def test_inputs_are_those_of_the_graph(folder: Path) -> None:
    write_graph(folder / "model.onnx", inputs=("input_ids", "token_type_ids", "attention_mask", "position_ids"))
    assert OnnxEmbedder(folder).encode(["a b"])[0, 0] == 3.5
    write_graph(folder / "model.onnx", inputs=("input_ids",))
    # Without a mask nothing may be padded: these would change each other otherwise.
    assert OnnxEmbedder(folder).encode(["a b", "a", "c c c", "b a"])[:, 0].tolist() == pytest.approx(
        [3.5, 3.0, 4.6, 3.5]
    )
    write_graph(folder / "model.onnx", inputs=("input_ids", "pixel_values"))
    with pytest.raises(ConfigError, match="pixel_values"):
        OnnxEmbedder(folder).warm()


def test_a_graph_that_pools_by_itself(folder: Path) -> None:
    write_graph(folder / "model.onnx", outputs=("last_hidden_state", "sentence_embedding"))
    assert OnnxEmbedder(folder).encode(["a b"])[0].tolist() == [14, 4, -14]


def test_tokens_win_over_berts_pooler(folder: Path) -> None:
    write_graph(folder / "model.onnx", outputs=("last_hidden_state", "pooler_output"))
    assert OnnxEmbedder(folder).encode(["a b"])[0].tolist() == [3.5, 1, -3.5]


def test_prompts(folder: Path) -> None:
    prompts = {"query": "query: ", "passage": "passage: "}
    write_config(folder, config_sentence_transformers={"prompts": prompts, "default_prompt_name": None})
    embedder = OnnxEmbedder(folder)
    plain = OnnxEmbedder(folder, query_prefix="", document_prefix="")
    assert np.array_equal(embedder.encode(["a"]), plain.encode(["passage: a"]))
    assert np.array_equal(encode_query(embedder, "a"), plain.encode(["query: a"])[0])
    assert not np.array_equal(embedder.encode(["a"]), embedder.encode_queries(["a"]))


def test_default_prompt(folder: Path) -> None:
    write_config(folder, config_sentence_transformers={"prompts": {"x": "query: "}, "default_prompt_name": "x"})
    plain = OnnxEmbedder(folder, query_prefix="", document_prefix="")
    assert np.array_equal(OnnxEmbedder(folder).encode(["a"]), plain.encode(["query: a"]))


def test_token_limit(folder: Path) -> None:
    write_config(folder, tokenizer_config={"model_max_length": 10**30}, config={"max_position_embeddings": 4})
    embedder = OnnxEmbedder(folder)
    assert embedder.max_length == 4
    assert np.array_equal(embedder.encode(["a b c c c"]), embedder.encode(["a b"]))
    write_config(folder, sentence_bert_config={"max_seq_length": 3})
    assert OnnxEmbedder(folder).max_length == 3


def test_the_graph_is_found(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    with pytest.raises(ConfigError, match=r"no model\.onnx"):
        OnnxEmbedder(folder)
    write_graph(folder / "onnx" / "model_quantized.onnx")
    assert OnnxEmbedder(folder).encode(["a b"])[0, 0] == 3.5
    write_graph(folder / "onnx" / "model.onnx", outputs=("sentence_embedding",))
    assert OnnxEmbedder(folder).encode(["a b"])[0, 0] == 14
    assert OnnxEmbedder(folder, file_name="onnx/model_quantized.onnx").encode(["a b"])[0, 0] == 3.5
    with pytest.raises(ConfigError, match="does not exist"):
        OnnxEmbedder(folder, file_name="other.onnx")


def test_digest_follows_every_file(folder: Path) -> None:
    digests = {OnnxEmbedder(folder).digest}
    write_config(folder, sentence_bert_config={"max_seq_length": 3})
    digests.add(OnnxEmbedder(folder).digest)
    (folder / "model.onnx_data").write_bytes(b"weights")
    digests.add(OnnxEmbedder(folder).digest)
    (folder / "README.md").write_text("not a part of the model")
    digests.add(OnnxEmbedder(folder).digest)
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"modules": [{"type": "sentence_transformers.models.Dense"}]}, "'Dense' module"),
        ({"1_Pooling__config": {"pooling_mode_weightedmean_tokens": True}}, "weightedmean"),
        ({"1_Pooling__config": {"pooling_mode": "attention"}}, "attention"),
        ({"1_Pooling__config": {**MEAN, "pooling_mode_cls_token": True}}, "cls"),
        ({"1_Pooling__config": {**MEAN, "include_prompt": False}}, "prompt"),
    ],
)
def test_what_cannot_run_is_refused(folder: Path, files: dict[str, Any], message: str) -> None:
    write_config(folder, **files)
    with pytest.raises(ConfigError, match=message):
        OnnxEmbedder(folder)


def test_broken_folders(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        OnnxEmbedder(tmp_path / "missing")
    (folder / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json cannot be read as JSON"):
        OnnxEmbedder(folder)
    (folder / "config.json").unlink()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"no tokenizer\.json"):
        OnnxEmbedder(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_video_bytes_is_named_and_nothing_is_printed(
    folder: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:40])
    with pytest.raises(EmbeddingError, match=f"{name} cannot be loaded"):
        OnnxEmbedder(folder).encode(["a"])
    assert capfd.readouterr() == ("", "")


def test_a_failing_run_stops_all_threads(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    embedder = OnnxEmbedder(folder, threads=2, batch_size=1)
    # The graph's table has 10 rows: a token 10 is out of its range.
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["z"] = 10
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(EmbeddingError, match=r"failed on a batch of shape \(1, 3\)"):
        embedder.encode(["a", "b", "z", "c"])
    assert embedder.encode(["a"]).shape == (1, 3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("options", [{"threads": 0}, {"threads": True}, {"batch_size": 0}, {"batch_size": 2.5}])
def test_options_are_checked(folder: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is not possible: expected a whole number from 1"):
        OnnxEmbedder(folder, **options)
