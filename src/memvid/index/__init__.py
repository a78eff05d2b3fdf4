"""The index of a memory: everything that can be rebuilt from the video, kept so that search is fast.

``memory_index.json`` is a manifest; beside it lie ``memory_index.usearch`` (vectors) and ``memory_index.records``
(frame numbers, fields, words), and the same with a number for what was appended. None of them holds a chunk's text, nor
its metadata as they were given.
"""

from __future__ import annotations

from memvid.index.builder import IndexBuilder, stage_changes
from memvid.index.manager import IndexManager
from memvid.index.manifest import Manifest, Segment, SideFile, VectorInfo

__all__ = [
    "IndexBuilder",
    "IndexManager",
    "Manifest",
    "Segment",
    "SideFile",
    "VectorInfo",
    "stage_changes",
]
