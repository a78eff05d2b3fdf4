"""Where the checkout is that the tests lie in: its documents, examples and tools."""

from __future__ import annotations

from pathlib import Path

__all__ = ["ROOT"]

ROOT = Path(__file__).parents[1]
