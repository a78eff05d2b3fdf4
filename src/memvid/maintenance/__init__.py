"""Care for memories that exist: check them, mend them, make their index anew."""

from __future__ import annotations

from memvid.maintenance.findings import Finding
from memvid.maintenance.reindex import ReindexResult, reindex
from memvid.maintenance.verify import VerifyReport, verify

__all__ = ["Finding", "ReindexResult", "VerifyReport", "reindex", "verify"]
