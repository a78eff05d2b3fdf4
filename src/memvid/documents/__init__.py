"""Texts out of files: what there is to read (:func:`find_files`), then reading it (:func:`read_documents`)."""

from __future__ import annotations

from memvid.documents.document import Document
from memvid.documents.files import FilePlan, Skipped, Source, find_files
from memvid.documents.json_documents import read_jsonl, read_values
from memvid.documents.readers import read_documents

__all__ = ["Document", "FilePlan", "Skipped", "Source", "find_files", "read_documents", "read_jsonl", "read_values"]
