"""What errors advise where a file is damaged, or is another program's."""

from __future__ import annotations

__all__ = ["IMPORT_REMEDY", "REMEDY", "other_memory"]

REMEDY = "restore the video from a copy; `memvid repair` brings back the rest"

IMPORT_REMEDY = "if memvid 0.1.3 wrote it, `memvid import` makes a memory of it"


def other_memory(name: str, frames: int, fate: str = "which is not read") -> str:
    """That frames of a video are of another memory than the one that is read, and how to get at that.

    :param name: the first digits of its id.
    """
    count = "1 frame is" if frames == 1 else f"{frames} frames are"
    return (
        f"{count} of another memory ({name}), {fate}: `memvid repair VIDEO --memory {name} -o NEW.mp4` makes a memory "
        "of what is there of it"
    )
