from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import memvid
from memvid.embedding import MiniLMEmbedder, encode_checked, encode_query, model_info
from memvid.embedding.model_folder import folder_digest
from memvid.errors import EmbeddingError

pytestmark = pytest.mark.model

FOLDER = Path(memvid.__file__).parent / "models" / "all-MiniLM-L6-v2"
TEXTS = [
    "The login page rejected every password on March 2.",
    "Steam drives a turbine connected to an electrical generator.",
    "short",
    "",
    "Backups of the database run at night. " * 40,
]
# The first numbers of the published fp32 model's vector for KNOWN_TEXT, computed with numpy from its weights.
KNOWN_TEXT = "Where did the login fail?"
KNOWN = [
    0.0121,
    -0.0171,
    0.0012,
    -0.0507,
    0.0243,
    -0.0163,
    0.0208,
    -0.0219,
    -0.0204,
    0.0149,
    0.0591,
    0.0726,
    0.054,
    0.0036,
    0.0311,
    -0.0278,
]


@pytest.fixture(scope="module")
def minilm() -> MiniLMEmbedder:
    return MiniLMEmbedder(threads=2)


def test_it_knows_itself_without_loading() -> None:
    info = model_info(MiniLMEmbedder())
    assert (info.name, info.dim) == ("all-MiniLM-L6-v2-int8", 384)
    assert info.digest == folder_digest(FOLDER)


@pytest.mark.parametrize("text", ["Backups run at night, and the login failed. ", "x" * 90 + " ", "1.5 "])
def test_a_text_of_megabytes_is_read_as_far_as_the_model_goes(minilm: MiniLMEmbedder, text: str) -> None:
    """Its tokens would take a hundred times its memory, and all but the first 256 are dropped."""
    enough = encode_query(minilm, text * 600)
    assert np.array_equal(encode_query(minilm, text * 100_000), enough)


def test_licence_is_shipped() -> None:
    assert "Apache License" in (FOLDER / "LICENSE").read_text()
    assert "sentence-transformers/all-MiniLM-L6-v2" in (FOLDER / "NOTICE").read_text()


def test_vectors(minilm: MiniLMEmbedder) -> None:
    vectors = encode_checked(minilm, TEXTS)
    assert vectors.shape == (5, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert minilm.encode([]).shape == (0, 384)


def test_a_text_has_one_vector_in_any_company(minilm: MiniLMEmbedder) -> None:
    together = minilm.encode(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        assert np.array_equal(encode_query(minilm, text), vector)
    assert np.array_equal(minilm.encode(TEXTS[::-1]), together[::-1])
    assert np.array_equal(MiniLMEmbedder(threads=1).encode(TEXTS), together)


def test_meaning_is_nearer_than_words(minilm: MiniLMEmbedder) -> None:
    query = encode_query(minilm, "When did signing in break?")
    scores = minilm.encode([*TEXTS[:2], "Signing a contract takes a pen."]) @ query
    assert scores.argmax() == 0


def test_close_to_the_published_model(minilm: MiniLMEmbedder) -> None:
    expected = np.array(KNOWN, np.float32)
    found = encode_query(minilm, KNOWN_TEXT)[: len(KNOWN)]
    cosine = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
    assert cosine > 0.98


def test_text_beyond_the_limit_is_cut(minilm: MiniLMEmbedder) -> None:
    assert minilm.max_length == 256
    assert np.array_equal(encode_query(minilm, "word " * 254), encode_query(minilm, "word " * 300))


def test_a_text_without_utf8_is_named(minilm: MiniLMEmbedder) -> None:
    with pytest.raises(EmbeddingError, match="cannot be tokenized"):
        minilm.encode(["good", "bad \ud800"])


def test_shared_between_threads() -> None:
    embedder = MiniLMEmbedder(threads=2)
    expected = MiniLMEmbedder(threads=1).encode(TEXTS)
    with ThreadPoolExecutor(4) as pool:  # all of them find it not yet loaded
        for vectors in pool.map(lambda _: embedder.encode(TEXTS), range(8)):
            assert np.array_equal(vectors, expected)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_nothing_is_printed() -> None:
    done = run_python("from memvid.embedding import MiniLMEmbedder as M; M(threads=2).encode(['a', 'b', 'c'])")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_usable_after_a_fork() -> None:
    # A process of its own: forking pytest would copy its threads' locks.
    code = """
import os, warnings
from memvid.embedding import MiniLMEmbedder
embedder = MiniLMEmbedder(threads=2)
before = embedder.encode(["a", "b b", "c c c"])
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    child = os.fork()
if child == 0:
    os._exit(0 if (embedder.encode(["a", "b b", "c c c"]) == before).all() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = run_python(code)
    assert (done.stdout, done.stderr) == ("0\n", "")
