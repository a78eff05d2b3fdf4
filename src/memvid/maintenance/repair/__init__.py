"""A sound memory out of a damaged one: what is salvaged, how it is put in order, and the video that is made of it."""

from __future__ import annotations

from memvid.maintenance.repair.repair import RepairResult, repair

__all__ = ["RepairResult", "repair"]
