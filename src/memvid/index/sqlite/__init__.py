"""Reads the records of indexes up to version 4, which are SQLite files, and writes them as those of today are.

Nothing else of memvid knows SQLite. Whatever changes a memory converts its index, without embedding anything.
"""

from memvid.index.sqlite.conversion import convert
from memvid.index.sqlite.records import SqliteRecords
from memvid.index.sqlite.words import SqliteWords

__all__ = ["SqliteRecords", "SqliteWords", "convert"]
