"""Cross-encoders exported to ONNX: models that read a query and a passage together and say how well they fit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvid.embedding.model_folder import read_model_folder
from memvid.embedding.onnx_runtime import load_session, load_tokenizer
from memvid.errors import ConfigError, EmbeddingError
from memvid.types import StrPath

__all__ = ["CrossEncoder", "shared_cross_encoder"]

_BATCH_TOKENS = 2048  # padding included
_CHARACTERS_A_TOKEN = 64  # of a long text so many are enough
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class CrossEncoder:
    """The model of a folder with ``model.onnx`` (or ``onnx/model.onnx``) and ``tokenizer.json``. Safe between threads.

    :param folder: where it is.
    :raises ConfigError: a file is missing, or the graph is not that of a cross-encoder.
    :raises EmbeddingError: a file cannot be loaded.
    """

    def __init__(self, folder: StrPath) -> None:
        self._folder = read_model_folder(folder)
        self._tokenizer = load_tokenizer(self._folder)
        self._session = load_session(self._folder, None)
        self._inputs = {}
        for node in self._session.get_inputs():
            if node.name not in _INPUTS:
                raise ConfigError(
                    f"{self._folder.model_file} wants an input {node.name!r}: known are {', '.join(_INPUTS)}"
                )
            self._inputs[node.name] = np.int32 if node.type == "tensor(int32)" else np.int64
        self._output = self._session.get_outputs()[0].name

    def __call__(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Scores float32[n] of texts, higher is better: a logit, or of two classes the second less the first.

        :raises EmbeddingError: the model fails, or gives something else.
        """
        limit = _CHARACTERS_A_TOKEN * self._folder.max_length
        encodings = [self._tokenizer.encode(query[:limit], text[:limit]) for text in texts]
        scores = np.empty(len(texts), np.float32)
        order = sorted(range(len(texts)), key=lambda place: len(encodings[place].ids))
        while order:
            longest = len(encodings[order[-1]].ids)  # the longest first, so that the rest needs little padding
            batch = order[-max(1, _BATCH_TOKENS // max(longest, 1)) :]
            del order[-len(batch) :]
            scores[batch] = self._run([(encodings[place].ids, encodings[place].type_ids) for place in batch], longest)
        return scores

    def _run(self, batch: Sequence[tuple[list[int], list[int]]], longest: int) -> NDArray[np.float32]:
        values = {name: np.zeros((len(batch), longest), np.int64) for name in _INPUTS}
        values["input_ids"][:] = self._folder.pad_id
        for row, (ids, types) in enumerate(batch):
            values["input_ids"][row, : len(ids)] = ids
            values["token_type_ids"][row, : len(ids)] = types
            values["attention_mask"][row, : len(ids)] = 1
        feeds = {name: values[name].astype(dtype) for name, dtype in self._inputs.items()}
        try:
            logits = np.asarray(self._session.run([self._output], feeds)[0], np.float32)
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's errors share no base but this one
            raise EmbeddingError(f"{self._folder.model_file} failed on {len(batch)} pairs: {error}") from error
        if logits.shape in ((len(batch),), (len(batch), 1)):
            return logits.reshape(len(batch))
        if logits.shape == (len(batch), 2):
            return np.asarray(logits[:, 1] - logits[:, 0])
        raise EmbeddingError(
            f"{self._folder.model_file} gave an array of shape {logits.shape} for {len(batch)} pairs: expected a score "
            "for each, or two classes"
        )


@cache
def _loaded(folder: Path) -> CrossEncoder:
    return CrossEncoder(folder)


def shared_cross_encoder(folder: StrPath) -> CrossEncoder:
    """The cross-encoder of a folder, loaded once in a process.

    :raises ConfigError: as :class:`CrossEncoder`; likewise :class:`EmbeddingError`.
    """
    return _loaded(Path(folder).absolute())
