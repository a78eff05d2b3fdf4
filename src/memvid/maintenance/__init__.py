"""Care for memories that exist: check, repair, delete, tag and compact, index again, pack, import old ones."""

from __future__ import annotations

from memvid.maintenance.legacy import ImportResult, import_memory
from memvid.maintenance.repair import RepairResult, repair
from memvid.maintenance.rewrite import (
    CompactResult,
    EraseResult,
    PackResult,
    ReindexResult,
    compact,
    delete,
    erase,
    pack,
    reindex,
    tag,
    unpack,
)
from memvid.maintenance.verify import Finding, GroupMargin, VerifyReport, verify

__all__ = [
    "CompactResult",
    "EraseResult",
    "Finding",
    "GroupMargin",
    "ImportResult",
    "PackResult",
    "ReindexResult",
    "RepairResult",
    "VerifyReport",
    "compact",
    "delete",
    "erase",
    "import_memory",
    "pack",
    "reindex",
    "repair",
    "tag",
    "unpack",
    "verify",
]
