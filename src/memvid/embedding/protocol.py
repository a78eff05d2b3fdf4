"""What an embedder is, and the checks that every vector passes before it reaches an index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from memvid.errors import ConfigError, EmbeddingError, MemvidError
from memvid.types import ModelInfo

__all__ = [
    "Embedder",
    "EmbedderLike",
    "Vectors",
    "check_profile",
    "check_texts",
    "check_vectors",
    "encode_checked",
    "encode_queries",
    "encode_query",
    "model_info",
]

Vectors: TypeAlias = npt.NDArray[np.float32]


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors whose cosine says how near their meanings are.

    More members are used where they exist: ``encode_queries(texts)``, for models that want queries told apart from
    passages; ``digest`` (hexadecimal SHA-256 of the model's files, or ``None``), which an index remembers so that
    another model of the same name is noticed; ``provider``, what it runs on, which the result of a build names;
    ``is_local``, false where texts are sent elsewhere to be embedded, which an index of the profile "tiny" refuses.

    A vector should depend on its text alone, not on the texts it is embedded with: then a build that resumes from a
    checkpoint gives the bytes of one that was never interrupted, even if chunks changed in between. Where it does
    depend on the batch by a little (padding, quantised activations), it gives them as long as no chunk changed.

    Encoders and retrievers may call an embedder from several threads at once.
    """

    @property
    def name(self) -> str:
        """Names the model; an index opens only with an embedder of the name it was built with."""
        ...

    @property
    def dim(self) -> int:
        """Length of its vectors."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed ``texts``: float32[n, dim], in their order."""
        ...


EmbedderLike: TypeAlias = Embedder | Callable[[list[str]], Any]
"""What may be passed as ``embedder=``: an embedder, or a function from texts to vectors."""


def check_texts(texts: Sequence[str]) -> None:
    """Raise :class:`EmbeddingError` unless ``texts`` is a sequence of strings."""
    if isinstance(texts, (str, bytes)):
        raise EmbeddingError(f"texts is a single {type(texts).__name__}: give a list of strings")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise EmbeddingError(f"text {i} is a {type(text).__name__}, which cannot be embedded: give strings")


def check_vectors(vectors: object, *, count: int, dim: int, source: str) -> Vectors:
    """Return ``vectors`` as float32[count, dim], C-contiguous; no copy if they are that already.

    Floats of another width are converted. A row of zeros is refused: it has no direction, so no cosine.

    :param source: who made them, for the message.
    :raises EmbeddingError: for another shape, numbers that are not floats, NaN, infinity, or a row of zeros.
    """
    try:
        array = np.asarray(vectors)
    except ValueError as error:  # rows of different lengths
        raise EmbeddingError(f"{source} gave rows of different lengths: expected ({count}, {dim})") from error
    if array.shape != (count, dim):
        raise EmbeddingError(f"{source} gave an array of shape {array.shape}: expected ({count}, {dim})")
    if array.dtype.kind != "f":
        raise EmbeddingError(f"{source} gave numbers of type {array.dtype}: expected float32")
    if array.dtype == np.float32:
        result = np.ascontiguousarray(array)
    else:
        with np.errstate(over="ignore"):
            result = np.ascontiguousarray(array, dtype=np.float32)
    # NaN and infinity survive a sum of squares, so one number a row tells all three failures apart from a good row.
    squares = np.einsum("ij,ij->i", result, result, dtype=np.float64)
    good = np.isfinite(squares) & (squares > 0)
    if not good.all():
        row = int(np.argmin(good))
        what = "only zeros, which have no direction" if squares[row] == 0 else "NaN or infinity"
        raise EmbeddingError(f"{source} gave {what} in row {row} of {count}: every vector must be finite and not zero")
    return result


def _run(embedder: Embedder, encode: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> Vectors:
    check_texts(texts)
    name = f"embedder {embedder.name!r}"
    try:
        vectors = encode(texts)
    except (MemvidError, MemoryError):
        raise
    except Exception as error:
        raise EmbeddingError(f"{name} failed on {len(texts)} texts: {type(error).__name__}: {error}") from error
    return check_vectors(vectors, count=len(texts), dim=embedder.dim, source=name)


def encode_checked(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Embed ``texts`` and check the result: float32[n, dim], C-contiguous, finite, no zero rows. Not normalised.

    :raises EmbeddingError: if a text is no string, the embedder fails, or its vectors do not pass
        :func:`check_vectors`.
    """
    return _run(embedder, embedder.encode, texts)


def encode_queries(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Embed queries: float32[n, dim], by ``encode_queries`` if the embedder has it, else by ``encode``.

    :raises EmbeddingError: as :func:`encode_checked`.
    """
    encode = getattr(embedder, "encode_queries", None)
    return _run(embedder, encode if callable(encode) else embedder.encode, texts)


def encode_query(embedder: Embedder, text: str) -> Vectors:
    """Embed one query: float32[dim]; see :func:`encode_queries`."""
    row: Vectors = encode_queries(embedder, [text])[0]
    return row


def check_profile(embedder: Embedder, profile: str) -> None:
    """Check that an embedder can do what a profile of the index asks of it.

    :raises ConfigError: it is to embed passages at each question, and runs on another machine.
    """
    if profile == "tiny" and not getattr(embedder, "is_local", True):
        raise ConfigError(
            f"profile='tiny' is not possible with embedder {embedder.name!r}, which runs elsewhere: at each question "
            "50 passages are embedded again, and their texts would be sent away each time: give an embedder that runs "
            "here, or take profile='small'"
        )


def model_info(embedder: Embedder) -> ModelInfo:
    """What an index remembers of the embedder that made it."""
    return ModelInfo(embedder.name, embedder.dim, getattr(embedder, "digest", None))
