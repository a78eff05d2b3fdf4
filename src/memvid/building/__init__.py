"""From chunks to a video and its index: what builds, appends and whatever else makes an index have in common.

Chunks are collected in a spool on disk; then pages and frames are written from it while another thread feeds the index,
all is read back, and both files are committed in one step.
"""

from __future__ import annotations

__all__ = ()
