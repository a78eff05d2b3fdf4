"""Texts out of files: what there is to read (:func:`find_files`), then reading it (:func:`read_documents`)."""

from __future__ import annotations

from memvid.documents.files import FilePlan, Skipped, Source, find_files
from memvid.documents.readers import Document, read_documents

__all__ = ["Document", "FilePlan", "Skipped", "Source", "find_files", "read_documents"]
