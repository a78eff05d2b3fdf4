"""Every error memvid raises on purpose.

Each one inherits :class:`MemvidError` and the builtin a caller would expect, so both ``except MemvidError`` and
``except ValueError`` work::

    MemvidError
    ├── ConfigError (ValueError)            an option is unknown or out of range
    ├── ChunkError (ValueError)             a chunk cannot be stored
    │   ├── ChunkTypeError (TypeError)      ... because it is not a string
    │   └── ChunkTooLargeError              ... because it does not fit where it must
    ├── MetadataError (ValueError)          metadata is not a JSON object
    ├── DocumentError (ValueError)          a file cannot be read as text
    │   └── DocumentNotFoundError (FileNotFoundError)
    ├── EmptyMemoryError (ValueError)       there is nothing to store, or to bring back
    ├── EmbeddingError (ValueError)         vectors of a wrong shape or dtype, or not finite
    ├── ModelMismatchError (ValueError)     another embedding model than that of the index or the checkpoint
    ├── QueryError (ValueError)             an empty query, a top_k below 1
    │   └── QuestionTooLargeError           a question that alone exceeds the model's window
    ├── RerankError (ValueError)            a reranker failed, or gave no score for each text
    ├── SessionError (ValueError)           a chat session that is unknown, or still answering
    ├── HistoryError (ValueError)           a file is not an exported conversation
    ├── LLMError (RuntimeError)             a language model gave no answer
    │   ├── LLMAuthenticationError (PermissionError)
    │   ├── LLMRateLimitError               too many requests, or nothing left to spend
    │   ├── LLMTimeoutError (TimeoutError)
    │   ├── LLMConnectionError (ConnectionError)
    │   ├── LLMRequestError (ValueError)    the provider refuses the request: no such model, a bad option
    │   │   └── ContextWindowError          ... because it is larger than the model's window
    │   └── LLMResponseError                the answer is empty or not in the protocol
    ├── ChunkNotFoundError (KeyError)       no chunk has that id
    │   └── ChunkDeletedError               ... any more
    ├── ClosedError (ValueError)            used after close()
    ├── NotPicklableError (TypeError)       an object that is one process's alone was to be pickled or copied
    ├── ResourceLimitError (RuntimeError)   more memory or work than an option allows
    ├── DependencyError (ImportError)       a package is missing, or does not load
    ├── OutputError (OSError)               a file cannot be written
    ├── VideoError (OSError)                a video cannot be read
    │   ├── VideoNotFoundError (FileNotFoundError)
    │   ├── VideoFormatError                not a memvid video, or cut off, or damaged
    │   ├── UnsupportedVideoError           a newer format, a flag this release does not know
    │   └── FrameError                      one frame could not be read and verified
    └── IndexFileError (OSError)            an index cannot be read
        ├── IndexNotFoundError (FileNotFoundError)
        ├── IndexFormatError                cut off, damaged, not an index
        └── IndexMismatchError              a sound index of another video

A message has the value, the limit and the remedy.
"""

from __future__ import annotations

__all__ = [
    "ChunkDeletedError",
    "ChunkError",
    "ChunkNotFoundError",
    "ChunkTooLargeError",
    "ChunkTypeError",
    "ClosedError",
    "ConfigError",
    "ContextWindowError",
    "DependencyError",
    "DocumentError",
    "DocumentNotFoundError",
    "EmbeddingError",
    "EmptyMemoryError",
    "FrameError",
    "HistoryError",
    "IndexFileError",
    "IndexFormatError",
    "IndexMismatchError",
    "IndexNotFoundError",
    "LLMAuthenticationError",
    "LLMConnectionError",
    "LLMError",
    "LLMRateLimitError",
    "LLMRequestError",
    "LLMResponseError",
    "LLMTimeoutError",
    "MemvidError",
    "MetadataError",
    "ModelMismatchError",
    "NotPicklableError",
    "OutputError",
    "QueryError",
    "QuestionTooLargeError",
    "RerankError",
    "ResourceLimitError",
    "SessionError",
    "UnsupportedVideoError",
    "VideoError",
    "VideoFormatError",
    "VideoNotFoundError",
]


class MemvidError(Exception):
    """Base of every error of this library."""


class ConfigError(MemvidError, ValueError):
    """An option is unknown or out of range."""


class ChunkError(MemvidError, ValueError):
    """A chunk cannot be stored as it is."""


class ChunkTypeError(ChunkError, TypeError):
    """A chunk is not a string."""


class ChunkTooLargeError(ChunkError):
    """A chunk does not fit where it has to."""


class MetadataError(MemvidError, ValueError):
    """Metadata is not a JSON object, or there is not one for each chunk."""


class DocumentError(MemvidError, ValueError):
    """A file cannot be read as text: another encoding, broken JSON, a protected PDF."""


class DocumentNotFoundError(DocumentError, FileNotFoundError):
    """There is no file or folder at that path."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class EmptyMemoryError(MemvidError, ValueError):
    """Nothing to append, no text in any file to build of, or no chunk that a repair could bring back."""


class EmbeddingError(MemvidError, ValueError):
    """Vectors of a wrong shape or dtype, with NaN or infinity, or an embedder that failed."""


class ModelMismatchError(MemvidError, ValueError):
    """The index was built, or the checkpoint begun, with another embedding model."""


class QueryError(MemvidError, ValueError):
    """A query that cannot be answered: empty text, ``top_k`` below 1, an unknown filter."""


class QuestionTooLargeError(QueryError):
    """A question that does not fit into the model's window, even without history and passages."""


class RerankError(MemvidError, ValueError):
    """What was given as ``rerank=`` failed, or gave something else than a finite score for each text."""


class SessionError(MemvidError, ValueError):
    """There is no chat session of that id, or it is still answering."""


class HistoryError(MemvidError, ValueError):
    """A file is not a conversation that memvid exported."""


class LLMError(MemvidError, RuntimeError):
    """A language model gave no answer. The provider's own error, if there is one, is the ``__cause__``.

    :ivar status: the HTTP status, or ``None`` if there was none.
    :ivar retry_after: seconds the provider asks to wait, or ``None``.
    :ivar partial: what of the answer had arrived.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None, partial: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.partial = partial


class LLMAuthenticationError(LLMError, PermissionError):
    """The provider refuses the key, or the key may not use this model."""


class LLMRateLimitError(LLMError):
    """Too many requests, or nothing left to spend."""


class LLMTimeoutError(LLMError, TimeoutError):
    """The provider was silent for longer than the timeout."""


class LLMConnectionError(LLMError, ConnectionError):
    """The provider cannot be reached, or broke off in the middle of an answer."""


class LLMRequestError(LLMError, ValueError):
    """The provider refuses the request: there is no such model, an option is wrong."""


class ContextWindowError(LLMRequestError):
    """The provider says that the request is larger than the model's window."""


class LLMResponseError(LLMError):
    """The answer is empty or not in the protocol."""


class ChunkNotFoundError(MemvidError, KeyError):
    """No chunk has that id."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # KeyError would quote the message


class ChunkDeletedError(ChunkNotFoundError):
    """The chunk of that id was deleted."""


class ClosedError(MemvidError, ValueError):
    """The object was used after ``close()``."""


class NotPicklableError(MemvidError, TypeError):
    """An object that holds open files, threads or keys was to be pickled or copied; the message says what to do."""


class ResourceLimitError(MemvidError, RuntimeError):
    """An answer or a file would take more memory or work than an option allows; the message names the option."""


class DependencyError(MemvidError, ImportError):
    """A package is needed and not installed: the message names the command that installs it. Or it does not load."""


class OutputError(MemvidError, OSError):
    """A file cannot be written: missing or read-only folder, full disk."""

    def __str__(self) -> str:
        """The file, and what to do at the end, where a command can be copied."""
        if self.filename is None or self.errno is None:
            return super().__str__()
        name = str(self.filename)
        return f"{name if name.isprintable() else repr(name)}: {self.strerror}"


class VideoError(MemvidError, OSError):
    """A video cannot be read."""


class VideoNotFoundError(VideoError, FileNotFoundError):
    """There is no video at that path."""


class VideoFormatError(VideoError):
    """The file is not a memvid video, is cut off, or is damaged."""


class UnsupportedVideoError(VideoError):
    """The video is sound but needs a newer release of memvid."""


class FrameError(VideoError):
    """One frame could not be read and verified.

    :ivar frame_index: the 0-based frame, or -1 when it is not known.
    """

    def __init__(self, message: str, *, frame_index: int = -1) -> None:
        super().__init__(message)
        self.frame_index = frame_index


class IndexFileError(MemvidError, OSError):
    """An index cannot be read."""


class IndexNotFoundError(IndexFileError, FileNotFoundError):
    """There is no index at that path."""


class IndexFormatError(IndexFileError):
    """An index file is cut off, damaged, or not an index."""


class IndexMismatchError(IndexFileError):
    """A sound index that belongs to another video."""
