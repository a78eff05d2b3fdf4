from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.embedding import (
    CallableEmbedder,
    Embedder,
    HashingEmbedder,
    MiniLMEmbedder,
    check_vectors,
    encode_checked,
    encode_query,
    hashing,
    model_info,
    resolve_embedder,
)
from memvid.errors import ConfigError, EmbeddingError


def ones(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ones((len(texts), 3), np.float32)


@given(st.text(st.sampled_from("ab\u00e9\u0130 ,\n"), min_size=1, max_size=300))
def test_hashing_takes_long_words_and_long_texts_as_it_takes_short_ones(text: str) -> None:
    """In pieces of a text, and by NumPy where a word is long: the same sums."""
    expected = HashingEmbedder(16).encode([text])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "_LONG_WORD", 5)
        assert np.array_equal(HashingEmbedder(16).encode([text]), expected)
        patch.setattr(hashing, "_PIECE", max(map(len, text.split(" "))) + 1)
        assert np.array_equal(HashingEmbedder(16).encode([text]), expected)


class TestCheckVectors:
    def test_good_vectors_are_not_copied(self) -> None:
        vectors = np.ones((2, 3), np.float32)
        assert check_vectors(vectors, count=2, dim=3, source="x") is vectors

    @pytest.mark.parametrize(
        "vectors", [np.ones((2, 3)), np.ones((2, 3), np.float16), np.ones((3, 2), np.float32).T, [[1.0] * 3] * 2]
    )
    def test_floats_become_contiguous_float32(self, vectors: object) -> None:
        checked = check_vectors(vectors, count=2, dim=3, source="x")
        assert checked.dtype == np.float32
        assert checked.flags.c_contiguous
        assert checked.tolist() == [[1.0] * 3] * 2

    @pytest.mark.parametrize(
        ("vectors", "message"),
        [
            (np.ones((2, 4), np.float32), r"shape \(2, 4\): expected \(2, 3\)"),
            (np.ones(6, np.float32), r"shape \(6,\)"),
            ([[1.0, 2.0], [1.0]], "different lengths"),
            (np.ones((2, 3), np.int64), "type int64"),
            (np.ones((2, 3), np.complex64), "type complex64"),
            ([["a"] * 3] * 2, "type <U1"),
            (None, r"shape \(\)"),
            ([[1.0] * 3, [1.0, np.nan, 1.0]], "NaN or infinity in row 1"),
            ([[np.inf, 0.0, 0.0], [1.0] * 3], "NaN or infinity in row 0"),
            ([[1.0] * 3, [1e300, 0.0, 0.0]], "NaN or infinity in row 1"),
            ([[1.0] * 3, [0.0] * 3], "only zeros.* in row 1"),
        ],
    )
    def test_others_are_refused(self, vectors: object, message: str) -> None:
        with pytest.raises(EmbeddingError, match=f"^maker gave .*{message}"):
            check_vectors(vectors, count=2, dim=3, source="maker")

    def test_no_vectors(self) -> None:
        assert check_vectors(np.zeros((0, 3), np.float32), count=0, dim=3, source="x").shape == (0, 3)


class TestEncodeChecked:
    def test_an_embedder_that_fails_is_named(self) -> None:
        def fail(texts: list[str]) -> None:
            raise RuntimeError("out of order")

        with pytest.raises(EmbeddingError, match=r"'mine' failed on 2 texts: RuntimeError: out of order") as caught:
            encode_checked(CallableEmbedder(fail, name="mine", dim=3), ["a", "b"])
        assert isinstance(caught.value.__cause__, RuntimeError)

    @pytest.mark.parametrize(("texts", "message"), [("abc", "single str"), (["a", 1], "text 1 is a int")])
    def test_texts_must_be_strings(self, texts: Any, message: str) -> None:
        with pytest.raises(EmbeddingError, match=message):
            encode_checked(HashingEmbedder(), texts)

    def test_a_query_uses_its_own_method(self) -> None:
        class Asymmetric(HashingEmbedder):
            def encode_queries(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
                return self.encode([f"query: {text}" for text in texts])

        embedder = Asymmetric(64)
        assert np.array_equal(encode_query(embedder, "a"), embedder.encode(["query: a"])[0])
        assert encode_query(HashingEmbedder(64), "a").shape == (64,)

    def test_model_info(self) -> None:
        assert model_info(HashingEmbedder(64)).digest is None
        assert (model_info(HashingEmbedder(64)).name, model_info(HashingEmbedder(64)).dim) == ("hashing-64", 64)


class TestResolve:
    def test_none_is_one_shared_model(self) -> None:
        start = threading.Barrier(4)

        def resolve() -> Embedder:
            start.wait()
            return resolve_embedder(None)

        with ThreadPoolExecutor(4) as pool:
            found = {id(future.result()) for future in [pool.submit(resolve) for _ in range(4)]}
        assert len(found) == 1
        assert isinstance(resolve_embedder(None), MiniLMEmbedder)

    def test_an_embedder_is_itself(self) -> None:
        embedder = HashingEmbedder()
        assert resolve_embedder(embedder) is embedder

    def test_a_function_is_named_and_measured(self) -> None:
        embedder = resolve_embedder(ones)
        assert embedder.name.endswith("test_embedding.ones")
        assert embedder.dim == 3
        assert encode_checked(embedder, ["a", "b"]).shape == (2, 3)

    def test_a_function_of_another_shape(self) -> None:
        with pytest.raises(EmbeddingError, match=r"shape \(3,\) for one text"):
            resolve_embedder(lambda texts: [1.0, 2.0, 3.0])

    @pytest.mark.parametrize("thing", ["all-MiniLM-L6-v2", 7, MiniLMEmbedder])
    def test_anything_else_is_refused(self, thing: Any) -> None:
        with pytest.raises(ConfigError, match="embedder is"):
            resolve_embedder(thing)


class TestCallable:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"function": 3}, "function is a int"),
            ({"name": ""}, "name=''"),
            ({"dim": 0}, "dim=0"),
            ({"dim": True}, "dim=True"),
        ],
    )
    def test_arguments_are_checked(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            CallableEmbedder(**{"function": ones, "name": "ones", "dim": 3, **arguments})

    def test_its_vectors_are_checked(self) -> None:
        with pytest.raises(EmbeddingError, match="'ones' gave an array of shape"):
            CallableEmbedder(ones, name="ones", dim=4).encode(["a"])


class TestHashing:
    @given(st.lists(st.text(st.characters(exclude_categories=()), max_size=40), max_size=5))
    def test_any_text_gives_a_sound_vector(self, texts: list[str]) -> None:
        embedder = HashingEmbedder(32)
        vectors = encode_checked(embedder, texts)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
        for text, vector in zip(texts, vectors, strict=True):
            assert np.array_equal(embedder.encode([text])[0], vector)

    def test_shared_words_are_near(self) -> None:
        a, b, c = HashingEmbedder().encode(["The login page failed.", "login failures", "Bread rises overnight."])
        assert a @ b > 0.3 > a @ c

    def test_the_same_on_every_machine(self) -> None:
        (vector,) = HashingEmbedder(8).encode(["a memory"])
        expected = [-0.522233, 0.0, 0.0, 0.301511, 0.301511, 0.603023, -0.301511, 0.301511]
        assert vector.tolist() == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize("dim", [0, 7, 65537, 64.0, True])
    def test_dim_is_checked(self, dim: Any) -> None:
        with pytest.raises(ConfigError, match="8 to 65536"):
            HashingEmbedder(dim)


def test_the_runtimes_are_not_imported_before_they_are_needed() -> None:
    code = (
        "import sys, memvid.embedding as e; e.resolve_embedder(None).dim; e.HashingEmbedder().encode(['a']); "
        "print([m for m in ('onnxruntime', 'tokenizers', 'openai', 'cv2', 'usearch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
