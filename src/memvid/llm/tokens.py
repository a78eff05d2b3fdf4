"""How many tokens a text is, for a model whose tokenizer may not be at hand."""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from memvid.checks import is_int
from memvid.dependencies import import_dependency
from memvid.errors import ConfigError
from memvid.storage.files import open_regular
from memvid.types import StrPath

__all__ = ["BytesCounter", "SafeCounter", "TokenCounter", "TokenCounterLike", "TokenizerCounter", "resolve_counter"]

_SHIPPED = Path(__file__).resolve().parent.parent / "models" / "all-MiniLM-L6-v2" / "tokenizer.json"


@runtime_checkable
class TokenCounter(Protocol):
    """Counts tokens. May be called from several threads at once."""

    @property
    def name(self) -> str:
        """Names the way of counting."""
        ...

    def count(self, text: str) -> int:
        """Tokens of ``text``, without those that mark the ends of a message."""
        ...


TokenCounterLike: TypeAlias = TokenCounter | Callable[[str], int] | StrPath
"""What may be passed as ``token_counter=``: a counter, a function, ``"bytes"``, ``"safe"``, or the path of a
``tokenizer.json``."""


class BytesCounter:
    """Counts UTF-8 bytes: never fewer than the tokens of any tokenizer whose every token stands for a byte or more.

    That is so for the byte-level and byte-fallback tokenizers of GPT, Llama, Qwen, Mistral, Gemma and SmolLM, and for
    whatever text. English has four times as many bytes as tokens, so little of a small window is used.
    """

    name = "bytes"

    def count(self, text: str) -> int:
        """UTF-8 bytes of ``text``."""
        return len(text.encode("utf-8", "surrogatepass"))


class TokenizerCounter:
    """Counts with a tokenizer: exact if it is the model's own.

    :param tokenizer: the path of a ``tokenizer.json``, or an object whose ``encode(text)`` gives a list of tokens or
        something with ``ids`` (``tokenizers.Tokenizer``, a tiktoken encoding).
    :raises ConfigError: there is no such file, or it is not a tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.name = str(tokenizer) if isinstance(tokenizer, (str, os.PathLike)) else type(tokenizer).__name__
        self._encode = _open_tokenizer(tokenizer) if isinstance(tokenizer, (str, os.PathLike)) else tokenizer.encode

    def count(self, text: str) -> int:
        """Tokens of ``text``."""
        tokens = self._encode(text)
        return len(getattr(tokens, "ids", tokens))


class SafeCounter:
    """A bound in practice for models whose tokenizer is not at hand, on the safe side: the default.

    Lower-case and capitalised English words are counted by the WordPiece tokenizer that comes with memvid, and a sixth
    more; other words at three tokens for four letters; digits, punctuation marks, line ends and most blanks at one
    each; other characters by their bytes. What it was measured against is in docs/chat.md. It is no proof: where the
    window must never be exceeded, take ``"bytes"`` or the model's own ``tokenizer.json``.
    """

    name = "safe"
    _words = re.compile(r"[A-Za-z]+")
    _joined = re.compile(r"(?<! ) (?=[A-Za-z])")  # the space in front of a word is part of its token
    _ordinary = re.compile(r"[A-Z]?[a-z]{1,99}")

    def count(self, text: str) -> int:
        """At least about as many tokens as any usual tokenizer makes of ``text``."""
        ordinary: list[str] = []
        other = 0
        for word in self._words.findall(text):
            if self._ordinary.fullmatch(word):
                ordinary.append(word)
            else:
                other += math.ceil(len(word) * 0.75)
        rest = self._words.sub("", text)
        joined = len(self._joined.findall(text))
        marks = len(rest.encode("utf-8", "surrogatepass")) - joined
        return math.ceil(_count_words(" ".join(ordinary)) * 7 / 6) + other + marks


class _FunctionCounter:
    def __init__(self, function: Callable[[str], int]) -> None:
        self._function = function
        self.name = getattr(function, "__qualname__", type(function).__qualname__)

    def count(self, text: str) -> int:
        count = self._function(text)
        if not is_int(count, 0):
            raise ConfigError(f"token_counter {self.name} gave {count!r}: expected a whole number of tokens")
        return count


def resolve_counter(counter: TokenCounterLike | None) -> TokenCounter:
    """The counter that is meant; ``None`` is :class:`SafeCounter`.

    :raises ConfigError: for anything that is none.
    """
    if counter is None or counter == "safe":
        return SafeCounter()
    if counter == "bytes":
        return BytesCounter()
    if isinstance(counter, (str, os.PathLike)):
        return TokenizerCounter(counter)
    if isinstance(counter, type):
        raise ConfigError(f"token_counter is the class {counter.__name__}: give an instance, {counter.__name__}(...)")
    # In this order: lists and strings have a `count`, but are no function and have no name.
    if isinstance(counter, TokenCounter) and callable(counter.count):
        return counter
    if callable(getattr(counter, "encode", None)):
        return TokenizerCounter(counter)
    if callable(counter):
        return _FunctionCounter(counter)
    raise ConfigError(
        f"token_counter is a {type(counter).__name__}: expected 'safe', 'bytes', the path of a tokenizer.json, or a "
        "function from a text to its tokens"
    )


_lock = threading.Lock()


@cache
def _shipped_tokenizer() -> Callable[[str], Any]:
    return _open_tokenizer(_SHIPPED)


def _count_words(text: str) -> int:
    if not text:
        return 0
    with _lock:  # functools.cache alone may run the function twice
        encode = _shipped_tokenizer()
    return len(encode(text).ids)


def _open_tokenizer(path: StrPath) -> Callable[[str], Any]:
    tokenizers = import_dependency("tokenizers", "tokenizers is needed to count tokens: pip install tokenizers")
    try:
        with open_regular(path) as file:
            tokenizer = tokenizers.Tokenizer.from_str(file.read().decode("utf-8"))
    except MemoryError:
        raise
    except Exception as error:  # tokenizers raises a bare Exception
        raise ConfigError(f"token_counter={str(path)!r} cannot be read as a tokenizer.json: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: tokenizer.encode(text, add_special_tokens=False)
