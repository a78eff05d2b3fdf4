"""The one place that imports onnxruntime, because the import itself does things.

From 1.29 on, its packages send usage data to their maker unless ``ORT_DISABLE_TELEMETRY`` is set before the first
import, and keep a database in the user's cache folder. A memory is a file on your own disk; nothing about it leaves the
machine. A value that is set already is left alone.
"""

from __future__ import annotations

import os
from types import ModuleType

from memvid.dependencies import import_dependency

__all__ = ["import_onnxruntime"]


def import_onnxruntime() -> ModuleType:
    """Import onnxruntime with its telemetry off.

    :raises DependencyError: it is not installed, or does not load.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    missing = "onnxruntime is needed to run an ONNX model: pip install onnxruntime"
    module: ModuleType = import_dependency("onnxruntime", missing)
    return module
