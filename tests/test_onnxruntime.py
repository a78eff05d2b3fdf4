"""What importing onnxruntime does to a process, each in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(script: str, home: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.model
def test_embedding_writes_nothing_into_the_users_folders(tmp_path: Path) -> None:
    run("from memvid import MiniLMEmbedder; MiniLMEmbedder().encode(['a text'])", tmp_path)
    assert not list(tmp_path.iterdir())


def test_telemetry_is_off_unless_asked_for(tmp_path: Path) -> None:
    script = "import os; from memvid._onnxruntime import import_onnxruntime as load; load(); "
    assert run(script + "print(os.environ['ORT_DISABLE_TELEMETRY'])", tmp_path) == "1\n"
    asked = "import os; os.environ['ORT_DISABLE_TELEMETRY'] = 'no'; " + script
    assert run(asked + "print(os.environ['ORT_DISABLE_TELEMETRY'])", tmp_path) == "no\n"
