"""What errors advise where a file is damaged, or is another program's."""

from __future__ import annotations

__all__ = ["IMPORT_REMEDY", "REMEDY"]

REMEDY = "restore the video from a copy; `memvid repair` brings back the rest"

IMPORT_REMEDY = "if memvid 0.1.3 wrote it, `memvid import` makes a memory of it"
