"""How large the pictures of a video in another codec may be, how many, and how long they are looked at in vain."""

from __future__ import annotations

import os
import shlex

from memvid import _core
from memvid.errors import ResourceLimitError, VideoFormatError

__all__ = ["BATCH_PIXELS", "MOST_PIXELS", "check_pixels", "check_size", "detection_budget", "fits"]

BATCH_PIXELS = 32 << 20
"""Of the pictures that are in memory at a time."""

MOST_PIXELS = 4096 * 2304  # the largest symbol at 16 pixels a module, and 4K; of H.264, a decoder keeps 16 pictures
_LONGEST = 4096  # pixels a side
# Of all pictures: 1,000 of 1080p, and one more for each 2 kB. A page that is shown for long takes as much a frame even
# if nothing moves; what takes less is there to keep a decoder busy.
_ALL_PIXELS, _PIXELS_A_BYTE = 2_000_000_000, 1000
# Work of the detector in vain: half a second's, and as much for each MB. A film of 1080p has 50 kB a frame.
_VAIN_WORK, _VAIN_WORK_A_BYTE = 50_000_000, 50


def detection_budget(path: str) -> _core.DetectionBudget:
    """What the detector may do in vain with all pictures of a video."""
    return _core.DetectionBudget(_VAIN_WORK + _VAIN_WORK_A_BYTE * os.stat(path).st_size)  # noqa: PTH116


def check_pixels(path: str, pixels: int) -> None:
    """Refuse what keeps a decoder busy for longer than a file of its size should."""
    size = os.stat(path).st_size  # noqa: PTH116
    limit = _ALL_PIXELS + _PIXELS_A_BYTE * size
    if pixels > limit:
        raise ResourceLimitError(
            f"{path} has {size} bytes and more than {limit:,} pixels in its pictures, far more than codes need: "
            "if you trust it, leave out pictures that repeat, with "
            f"`ffmpeg -i {shlex.quote(path)} -vf mpdecimate NEW.mp4`, or scale it down"
        )


def check_size(path: str, width: int, height: int) -> None:
    """Refuse a video of pictures that do not fit."""
    if not fits(width, height):
        raise VideoFormatError(
            f"{path} has pictures of {width} x {height} pixels, the limit is {MOST_PIXELS:,}, {_LONGEST} a side: "
            "scale them down"
        )


def fits(width: int, height: int) -> bool:
    """Whether a picture may have so many pixels."""
    return max(width, height) <= _LONGEST and width * height <= MOST_PIXELS
