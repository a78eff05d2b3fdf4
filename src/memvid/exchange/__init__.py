"""Memories for others: the same pages in another codec, and what is left when others have encoded the video again."""

from __future__ import annotations

from memvid.exchange.export import ExportResult, export
from memvid.exchange.survive import RungResult, SurviveReport, survive

__all__ = ["ExportResult", "RungResult", "SurviveReport", "export", "survive"]
