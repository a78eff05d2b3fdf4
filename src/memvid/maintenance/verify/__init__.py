"""Whether a memory is sound: one check for each of its parts, and what they find."""

from __future__ import annotations

from memvid.maintenance.verify.findings import Finding
from memvid.maintenance.verify.verify import VerifyReport, verify
from memvid.video.parity_reader import GroupMargin

__all__ = ["Finding", "GroupMargin", "VerifyReport", "verify"]
