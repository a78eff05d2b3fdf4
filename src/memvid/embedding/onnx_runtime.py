"""A loaded model: one tokenizer, one onnxruntime session, and the run of one batch of ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memvid._onnxruntime import import_onnxruntime
from memvid.dependencies import import_dependency
from memvid.embedding.model_folder import ModelFolder
from memvid.embedding.pooling import normalize_rows, pool
from memvid.embedding.protocol import Vectors
from memvid.embedding.providers import open_session
from memvid.errors import ConfigError, EmbeddingError
from memvid.workers import Worker

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

__all__ = ["LoadedModel", "load_session", "load_tokenizer"]

_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_CHARACTERS_A_TOKEN = 64  # of a long text so many are enough, unless nearly all of it is blanks, or one word
_MOST_CHARACTERS = 1 << 20
_FATAL = 4  # everything below is also raised as an exception; stderr belongs to the application


def load_session(folder: ModelFolder, providers: tuple[str, ...] | None) -> InferenceSession:
    """The graph of a folder, on some of onnxruntime's execution providers; ``None`` chooses.

    :raises EmbeddingError: it cannot be loaded.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    # One thread a run, as many runs at once as there are threads: no pool that spins or that a fork would lose, and
    # better balanced than one run on several cores. onnxruntime's sessions may be run from many threads.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL

    def make(names: tuple[str, ...]) -> InferenceSession:
        try:
            # Its own fallback prints to standard output and does not tell the caller.
            return ort.InferenceSession(str(folder.model_file), options, providers=list(names), enable_fallback=False)
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's errors share no base but this one
            raise EmbeddingError(f"{folder.model_file} cannot be loaded: {error}") from error

    return open_session(make, providers, ort.get_available_providers())


def load_tokenizer(folder: ModelFolder) -> Tokenizer:
    """The tokenizer of a folder, which cuts texts to the model's length.

    :raises EmbeddingError: it cannot be loaded.
    """
    tokenizers = import_dependency("tokenizers", "tokenizers is needed to run an ONNX model: pip install tokenizers")
    try:
        tokenizer: Tokenizer = tokenizers.Tokenizer.from_file(str(folder.tokenizer_file))
    except MemoryError:
        raise
    except Exception as error:  # tokenizers raises bare Exception
        raise EmbeddingError(f"{folder.tokenizer_file} cannot be loaded: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=folder.max_length)
    return tokenizer


class LoadedModel:
    """The model of a folder in memory; safe to use from several threads.

    :param providers: onnxruntime execution providers to run on, all of them; ``None`` chooses.
    :ivar provider: the one it runs on; what that cannot do runs on the CPU.
    :ivar dim: length of its vectors, or ``None`` if the graph leaves it open.
    :ivar needs_equal_lengths: the graph takes no mask, so the texts of a batch must have equally many tokens.
    """

    def __init__(self, folder: ModelFolder, providers: tuple[str, ...] | None) -> None:
        self._folder = folder
        # Session and tokenizer take about equally long to load and both let go of the GIL.
        failures: list[BaseException] = []

        def load() -> None:
            try:
                self._session = load_session(folder, providers)
            except BaseException as error:  # handed to the thread that waits
                failures.append(error)

        worker = Worker(load, name="memvid-load-model")
        try:
            worker.start()
            self._tokenizer = load_tokenizer(folder)
        finally:
            worker.finish()
        if failures:
            raise failures[0]
        self.provider: str = self._session.get_providers()[0]
        self._inputs = self._check_inputs()
        self._output, self._pooled, self.dim = self._choose_output()
        self.needs_equal_lengths = "attention_mask" not in self._inputs

    def _check_inputs(self) -> dict[str, Any]:
        inputs = {}
        for node in self._session.get_inputs():
            if node.name not in _INPUTS:
                raise ConfigError(
                    f"{self._folder.model_file} wants an input {node.name!r}: known are {', '.join(_INPUTS)}; "
                    "export the model for feature extraction"
                )
            inputs[node.name] = np.int32 if node.type == "tensor(int32)" else np.int64
        return inputs

    def _choose_output(self) -> tuple[str, bool, int | None]:
        outputs = self._session.get_outputs()
        pooled = [node for node in outputs if node.name == "sentence_embedding" or len(node.shape or ()) == 2]
        tokens = [node for node in outputs if len(node.shape or ()) == 3]
        # Without the sentence's own output, tokens win over a second output such as BERT's pooler.
        sentence = [node for node in pooled if node.name == "sentence_embedding"]
        chosen = next(iter(sentence + tokens + pooled), None)
        if chosen is None:
            names = ", ".join(node.name for node in outputs)
            raise ConfigError(f"{self._folder.model_file} has outputs {names}: expected token or sentence embeddings")
        last = chosen.shape[-1] if chosen.shape else None
        return chosen.name, chosen in pooled, last if isinstance(last, int) else None

    def tokenize(self, text: str) -> list[int]:
        """Ids of one text, special tokens included, cut to the model's limit."""
        try:
            ids = self._tokenize(text)
        except (TypeError, UnicodeError) as error:  # a lone surrogate has no UTF-8
            raise EmbeddingError(f"text {text[:40]!r} cannot be tokenized: {error}") from error
        return ids or [self._folder.pad_id]

    def _tokenize(self, text: str) -> list[int]:
        """The ids of as much of a text as the model takes: a tokenizer needs a hundred bytes for each character."""
        # One by one: encode_batch starts threads of its own, which a later fork would warn about.
        for characters in (_CHARACTERS_A_TOKEN * self._folder.max_length, _MOST_CHARACTERS):
            if len(text) > characters:
                part = text[: text.rfind(" ", 0, characters) + 1 or characters]
                encoding = self._tokenizer.encode(part)
                if encoding.overflowing or characters == _MOST_CHARACTERS:
                    return list(encoding.ids)
        return list(self._tokenizer.encode(text).ids)

    def run(self, batch: Sequence[list[int]]) -> Vectors:
        """Vectors of a batch of ids: float32[len(batch), dim]."""
        lengths = np.array([len(ids) for ids in batch], np.int64)
        shape = (len(batch), int(lengths.max()))
        mask = np.arange(shape[1]) < lengths[:, None]
        ids = np.full(shape, self._folder.pad_id, np.int64)
        ids[mask] = np.concatenate([np.asarray(row, np.int64) for row in batch])
        values = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros(shape, np.int64),
            "position_ids": np.broadcast_to(np.arange(shape[1]), shape),
        }
        feeds = {name: np.ascontiguousarray(values[name], dtype) for name, dtype in self._inputs.items()}
        try:
            output = self._session.run([self._output], feeds)[0]
        except MemoryError:
            raise
        except Exception as error:  # as above
            raise EmbeddingError(f"{self._folder.model_file} failed on a batch of shape {shape}: {error}") from error
        vectors = np.asarray(output, np.float32)
        if self._pooled:
            return vectors
        vectors = pool(vectors, lengths, self._folder.pooling)
        return normalize_rows(vectors) if self._folder.normalize else vectors
