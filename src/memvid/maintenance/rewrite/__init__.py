"""Changes of a memory as a whole: chunks deleted, left out of a new file and proven gone; the index from the video."""

from __future__ import annotations

from memvid.maintenance.rewrite.compact import CompactResult, compact
from memvid.maintenance.rewrite.delete import delete
from memvid.maintenance.rewrite.erase import EraseResult, erase
from memvid.maintenance.rewrite.packing import PackResult, pack, unpack
from memvid.maintenance.rewrite.reindex import ReindexResult, reindex
from memvid.maintenance.rewrite.tag import tag

__all__ = [
    "CompactResult",
    "EraseResult",
    "PackResult",
    "ReindexResult",
    "compact",
    "delete",
    "erase",
    "pack",
    "reindex",
    "tag",
    "unpack",
]
