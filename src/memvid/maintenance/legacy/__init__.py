"""Memories of the earlier implementation, release 0.1.3, into memories of ours. docs/import.md has their format."""

from __future__ import annotations

from memvid.maintenance.legacy.importing import ImportResult, import_memory

__all__ = ["ImportResult", "import_memory"]
