"""Opening a file with PyAV, whichever release there is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from memvid.interrupts import called_by_c
from memvid.types import StrPath
from memvid.video.codecs.profiles import load_pyav
from memvid.video.video_bytes import VideoBytes

__all__ = ["av_name", "open_container"]

# What FFmpeg may take a file for. Some of its other formats are lists of further files, which it would open.
_FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,ivf,nut,mxf,h264,hevc,obu,m4v,gif,apng,yuv4mpegpipe"


def av_name(path: StrPath) -> str:
    """What FFmpeg is to be given: of a relative name, it would take ``pipe:0`` or ``concat:a`` for something else."""
    return os.path.abspath(path)  # noqa: PTH100  # Path.absolute() leaves dots in it


def open_container(path: str | Path, *, hidden: bool = False) -> Any:
    """A file to be read, whatever its name, and whatever encoding its titles are in.

    FFmpeg gets its bytes from :class:`VideoBytes`: it would give up a whole file for one sector that cannot be read.

    Releases of PyAV before 19 refuse titles that are not UTF-8 unless they are told what to do with them; later ones
    cannot be told.

    :param hidden: also pictures that an edit list of an MP4 hides: a program that cuts without encoding leaves them in.
    :raises VideoError: the file cannot be opened at all.
    """
    av = load_pyav("opening this video")
    options: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    container_options = {"format_whitelist": _FORMATS} | ({"ignore_editlist": "1"} if hidden else {})
    return av.open(_Stream(Path(path)), container_options=container_options, **options)


class _Stream:
    """A file that can be read in spite of bad sectors, as PyAV wants one. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._bytes = VideoBytes(path)
        self._at = 0
        self.name = os.fspath(path)  # in errors, and its end tells containers apart that begin alike

    @called_by_c
    def read(self, size: int) -> bytes:
        """The next bytes."""
        data = self._bytes.read(self._at, size)
        self._at += len(data)
        return data

    @called_by_c
    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._bytes)}[whence]
        self._at = base + offset
        return self._at

    @called_by_c
    def tell(self) -> int:
        """The place it is at."""
        return self._at
