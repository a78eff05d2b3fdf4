"""Care for memories that exist: delete and compact, check, mend, index anew, write other codecs, import old ones."""

from __future__ import annotations

from memvid.maintenance.compact import CompactResult, EraseResult, compact, erase
from memvid.maintenance.delete import delete
from memvid.maintenance.export import ExportResult, export
from memvid.maintenance.findings import Finding
from memvid.maintenance.legacy import ImportResult, import_memory
from memvid.maintenance.reindex import ReindexResult, reindex
from memvid.maintenance.repair import RepairResult, repair
from memvid.maintenance.survive import RungResult, SurviveReport, survive
from memvid.maintenance.verify import VerifyReport, verify

__all__ = [
    "CompactResult",
    "EraseResult",
    "ExportResult",
    "Finding",
    "ImportResult",
    "ReindexResult",
    "RepairResult",
    "RungResult",
    "SurviveReport",
    "VerifyReport",
    "compact",
    "delete",
    "erase",
    "export",
    "import_memory",
    "reindex",
    "repair",
    "survive",
    "verify",
]
