"""Any function as an embedder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

from memvid.checks import is_int
from memvid.embedding.protocol import Vectors, check_texts, check_vectors
from memvid.errors import ConfigError
from memvid.pickling import check_picklable

__all__ = ["CallableEmbedder"]


class CallableEmbedder:
    """A function from texts to vectors, as an :class:`~memvid.embedding.Embedder`.

    :param function: takes a list of strings, returns numbers of shape [n, dim]: an array, or nested lists of floats.
    :param name: names the model in an index; change it when the function's vectors change.
    :param dim: length of the vectors.
    :param is_local: whether it embeds on this machine, as an index of the profile "tiny" needs (docs/profiles.md).
    :raises ConfigError: if an argument is of the wrong kind.
    """

    def __init__(self, function: Callable[[list[str]], Any], *, name: str, dim: int, is_local: bool = True) -> None:
        if not callable(function):
            raise ConfigError(f"function is a {type(function).__name__}: expected a function of a list of strings")
        if not isinstance(name, str) or not name:
            raise ConfigError(f"name={name!r} is not possible: expected a string that names the model")
        if not is_int(dim, 1):
            raise ConfigError(f"dim={dim!r} is not possible: expected a whole number from 1")
        self._function = function
        self.name = name
        self.dim = dim
        self.is_local = is_local

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Call the function once with all ``texts``: float32[n, dim].

        :raises EmbeddingError: if the result has another shape or is not finite.
        """
        check_texts(texts)
        vectors = self._function(list(texts))
        return check_vectors(vectors, count=len(texts), dim=self.dim, source=f"embedder {self.name!r}")

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        check_picklable(
            self._function,
            f"embedder {self.name!r} cannot be pickled, because its function cannot: give one that a module defines, "
            "or make the embedder in each process",
        )
        return super().__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return f"CallableEmbedder(name={self.name!r}, dim={self.dim})"
