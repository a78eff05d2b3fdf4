"""Care for memories that exist: check them, mend them, make their index anew."""

from __future__ import annotations

from memvid.maintenance.export import ExportResult, export
from memvid.maintenance.findings import Finding
from memvid.maintenance.reindex import ReindexResult, reindex
from memvid.maintenance.repair import RepairResult, repair
from memvid.maintenance.survive import RungResult, SurviveReport, survive
from memvid.maintenance.verify import VerifyReport, verify

__all__ = [
    "ExportResult",
    "Finding",
    "ReindexResult",
    "RepairResult",
    "RungResult",
    "SurviveReport",
    "VerifyReport",
    "export",
    "reindex",
    "repair",
    "survive",
    "verify",
]
