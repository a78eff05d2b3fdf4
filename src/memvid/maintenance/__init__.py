"""Care for memories that exist: check, repair, delete, tag and compact, index again, import old ones."""

from __future__ import annotations

from memvid.maintenance.legacy import ImportResult, import_memory
from memvid.maintenance.repair import RepairResult, repair
from memvid.maintenance.rewrite import CompactResult, EraseResult, ReindexResult, compact, delete, erase, reindex, tag
from memvid.maintenance.verify import Finding, GroupMargin, VerifyReport, verify

__all__ = [
    "CompactResult",
    "EraseResult",
    "Finding",
    "GroupMargin",
    "ImportResult",
    "ReindexResult",
    "RepairResult",
    "VerifyReport",
    "compact",
    "delete",
    "erase",
    "import_memory",
    "reindex",
    "repair",
    "tag",
    "verify",
]
