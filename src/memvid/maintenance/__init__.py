"""Care for memories that exist: check them, mend them, make their index anew."""

from __future__ import annotations

from memvid.maintenance.reindex import ReindexResult, reindex

__all__ = ["ReindexResult", "reindex"]
