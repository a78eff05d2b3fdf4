"""Reading a sentence-transformers folder: which files there are, how texts become ids, how tokens become one vector."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from memvid.errors import ConfigError
from memvid.storage.files import open_regular
from memvid.types import StrPath

__all__ = ["ModelFolder", "Pooling", "folder_digest", "read_model_folder"]

Pooling = Literal["mean", "cls", "max", "lasttoken", "mean_sqrt_len"]

_POOLING_FLAGS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
}
_CONFIGS = (
    "1_Pooling/config.json",
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
)
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")
_UNLIMITED = 1_000_000  # tokenizers without a limit write a number with thirty digits
_DEFAULT_MAX_LENGTH = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """What a model folder says about itself.

    :ivar path: the folder.
    :ivar model_file: the ONNX graph.
    :ivar tokenizer_file: ``tokenizer.json``.
    :ivar max_length: tokens a text is cut to, special tokens included.
    :ivar pad_id: token that fills a batch up.
    :ivar pooling: how token embeddings become one vector, when the graph does not do it.
    :ivar normalize: whether the vector is then brought to length 1.
    :ivar document_prefix: put before every text that is stored.
    :ivar query_prefix: put before every query.
    :ivar dim: length of the vectors, or ``None`` if only the graph knows.
    """

    path: Path
    model_file: Path
    tokenizer_file: Path
    max_length: int
    pad_id: int
    pooling: Pooling
    normalize: bool
    document_prefix: str
    query_prefix: str
    dim: int | None


def _read_json(path: Path) -> Any:
    try:
        with open_regular(path) as file:
            return json.loads(file.read().decode("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON ({error}): download the model again") from error


def _find_model(path: Path, file_name: str | None) -> Path:
    if file_name is not None:
        if not (path / file_name).is_file():
            raise ConfigError(f"{path / file_name} does not exist: file_name is relative to the model folder")
        return path / file_name
    named = [path / "model.onnx", path / "onnx" / "model.onnx"]
    candidates = [file for file in named if file.is_file()] or sorted(path.glob("onnx/model*.onnx"))
    if not candidates:
        raise ConfigError(f"{path} holds no model.onnx and no onnx/model*.onnx: give the folder of an ONNX export")
    return candidates[0]


def _modules(path: Path) -> list[str]:
    entries = _read_json(path / "modules.json") or []
    kinds = [str(entry.get("type", "")).rpartition(".")[2] for entry in entries]
    for kind in kinds:
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise ConfigError(
                f"{path / 'modules.json'} names a {kind!r} module: only Transformer, Pooling and Normalize can run "
                "outside the graph; export the model with it inside and remove it there"
            )
    return kinds


def _pooling(path: Path) -> Pooling:
    file = path / "1_Pooling" / "config.json"
    config = _read_json(file)
    if config.get("include_prompt") is False:
        raise ConfigError(f"{file} leaves the prompt out of pooling, which is not supported: use another model")
    named = config.get("pooling_mode")
    modes = [mode for mode in _POOLING_FLAGS.values() if mode == named]
    asked = [flag for flag, on in config.items() if flag.startswith("pooling_mode_") and on]
    unknown = [flag for flag in asked if flag not in _POOLING_FLAGS]
    modes += [_POOLING_FLAGS[flag] for flag in asked if flag in _POOLING_FLAGS]
    if unknown or len(modes) > 1 or (named is not None and not modes):
        found = unknown + modes or [named]
        raise ConfigError(f"{file} asks for pooling {found}: expected one of {', '.join(_POOLING_FLAGS.values())}")
    return modes[0] if modes else "mean"


def _max_length(path: Path) -> int:
    limits = [
        _read_json(path / "sentence_bert_config.json").get("max_seq_length"),
        _read_json(path / "tokenizer_config.json").get("model_max_length"),
        _read_json(path / "config.json").get("max_position_embeddings"),
    ]
    known = [int(limit) for limit in limits if limit is not None and 0 < limit < _UNLIMITED]
    return known[0] if known else _DEFAULT_MAX_LENGTH


def _prefixes(path: Path) -> tuple[str, str]:
    config = _read_json(path / "config_sentence_transformers.json")
    prompts: dict[str, str] = config.get("prompts") or {}
    default = prompts.get(config.get("default_prompt_name") or "", "")
    document = next((prompts[name] for name in _DOCUMENT_PROMPTS if name in prompts), default)
    return document, prompts.get("query", default)


def _refuse_special(folder: Path) -> None:
    """Refuse a folder with a pipe, a socket or a device in it: of the graph's data onnxruntime opens what it names.

    :raises ConfigError: there is one.
    """
    for entry in sorted(folder.iterdir()):
        if entry.exists() and not (entry.is_file() or entry.is_dir()):
            raise ConfigError(f"{entry} is a pipe, a socket or a device, not a file: download the model again")


def read_model_folder(folder: StrPath, *, file_name: str | None = None) -> ModelFolder:
    """Read the small files of a sentence-transformers folder with an ONNX export; the graph is not loaded.

    Pooling is the mean unless ``1_Pooling/config.json`` says otherwise; vectors are normalised if ``modules.json`` has
    a Normalize module; prefixes are the prompts ``query`` and ``document`` (or ``passage``, ``corpus``) of
    ``config_sentence_transformers.json``, else its default prompt.

    :param file_name: the graph within the folder; ``None`` takes ``model.onnx``, ``onnx/model.onnx``, or the first
        ``onnx/model*.onnx``.
    :raises ConfigError: if a file is missing or asks for something that is not supported.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ConfigError(f"{path} is not a folder: give the folder of a sentence-transformers ONNX export")
    tokenizer_file = path / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise ConfigError(f"{path} holds no tokenizer.json: export the model with its fast tokenizer")
    config = _read_json(path / "config.json")
    document_prefix, query_prefix = _prefixes(path)
    dim = _read_json(path / "1_Pooling" / "config.json").get("word_embedding_dimension", config.get("hidden_size"))
    model_file = _find_model(path, file_name)
    _refuse_special(model_file.parent)
    return ModelFolder(
        path=path,
        model_file=model_file,
        tokenizer_file=tokenizer_file,
        max_length=_max_length(path),
        pad_id=config.get("pad_token_id") or 0,
        pooling=_pooling(path),
        normalize="Normalize" in _modules(path),
        document_prefix=document_prefix,
        query_prefix=query_prefix,
        dim=dim,
    )


def folder_digest(folder: StrPath, *, file_name: str | None = None) -> str:
    """SHA-256, in hexadecimal, over all that decides the vectors: graph, its external data, tokenizer, configuration.

    Each file counts with its path in the folder, a NUL, its size as 8 bytes little endian, and its contents, in the
    order of the paths. Cost: one read of the model.
    """
    path = Path(folder)
    model = _find_model(path, file_name)
    files = {path / name for name in (*_CONFIGS, "tokenizer.json") if (path / name).is_file()}
    files.update(file for file in model.parent.glob(f"{model.name}*") if file.is_file())
    total = hashlib.sha256()
    for name, file in sorted((file.relative_to(path).as_posix(), file) for file in files):
        total.update(name.encode() + b"\0" + file.stat().st_size.to_bytes(8, "little"))
        with open_regular(file) as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    return total.hexdigest()
