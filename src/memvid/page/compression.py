"""Page bodies to zstd frames and back, from any thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import zstandard

from memvid.errors import FrameError, VideoFormatError
from memvid.remedies import REMEDY

if TYPE_CHECKING:
    from memvid.allowance import Allowance

__all__ = ["MAX_BODY_BYTES", "PageCompressor", "PageDecompressor", "stated_size"]

MAX_BODY_BYTES = 64 << 20
"""Most bytes of a logical body after decompression: what a crafted frame may make a reader allocate."""

# From level 10 a page that overflows a little is tried again at a stronger level, which is 2 to 4 % smaller and three
# to five times as slow. zstd has other tables of parameters for dictionaries above 256 KiB: there 15 gains nothing
# over 12, and 16 costs what 15 does below.
_SQUEEZE_FROM = 10
_SQUEEZE_LEVEL, _SQUEEZE_LEVEL_LARGE = 15, 16
_LARGE_DICTIONARY = 256 << 10
# Level 22 takes 800 MB of memory, and a minute, for a body of 64 MiB.
_HUGE_BODY, _HUGE_LEVEL = 16 << 20, 12


class PageCompressor:
    """Compresses bodies with one level and dictionary. Safe to share: each thread has a zstd context of its own.

    The bytes depend on level, dictionary and body alone, not on the thread or on what was compressed before.

    :param level: zstd level, 1 to 22.
    :param dictionary: the memory's dictionary in zstd's format, if it has one.
    """

    def __init__(self, level: int, dictionary: bytes | None = None) -> None:
        self.level = level
        self.has_dictionary = dictionary is not None
        large = dictionary is not None and len(dictionary) > _LARGE_DICTIONARY
        stronger = _SQUEEZE_LEVEL_LARGE if large else _SQUEEZE_LEVEL
        self.can_squeeze = _SQUEEZE_FROM <= level < stronger
        self._normal = _Contexts(level, dictionary)
        self._strong = _Contexts(stronger, dictionary) if self.can_squeeze else self._normal
        self._huge = self._normal if level <= _HUGE_LEVEL else _Contexts(_HUGE_LEVEL, dictionary)

    def compress(self, body: bytes) -> bytes:
        """``body`` as one zstd frame that states its size, without checksum and dictionary id."""
        return (self._huge if len(body) > _HUGE_BODY else self._normal).get().compress(body)

    def squeeze(self, body: bytes) -> bytes:
        """Like :meth:`compress` at a stronger level, if :attr:`can_squeeze`; for the few bytes that decide a page."""
        return (self._huge if len(body) > _HUGE_BODY else self._strong).get().compress(body)


class _Contexts:
    """A zstd context for each thread, all on one digested dictionary.

    A dictionary of 1 MiB takes 0.04 s to digest at level 12 and 0.2 at 16, so it is done when it is first needed: what
    appends a chunk, or deletes one, may never need it.
    """

    def __init__(self, level: int, dictionary: bytes | None) -> None:
        self._level = level
        self._local = threading.local()
        self._bytes = dictionary
        self._lock = threading.Lock()
        self._digested: zstandard.ZstdCompressionDict | None = None

    def get(self) -> zstandard.ZstdCompressor:
        context: zstandard.ZstdCompressor | None = getattr(self._local, "context", None)
        if context is None:
            context = self._local.context = zstandard.ZstdCompressor(
                level=self._level,
                dict_data=self._digest(),
                write_checksum=False,
                write_content_size=True,
                write_dict_id=False,
            )
        return context

    def _digest(self) -> zstandard.ZstdCompressionDict | None:
        """The dictionary for this level: made once, read-only from then on, so threads may share it."""
        with self._lock:
            if self._digested is None and self._bytes is not None:
                digested = zstandard.ZstdCompressionDict(self._bytes, dict_type=zstandard.DICT_TYPE_FULLDICT)
                digested.precompute_compress(level=self._level)
                self._digested = digested
            return self._digested


def stated_size(stored: bytes) -> int:
    """The size that a zstd frame states, by its first bytes; 0 where it states none, so that it cannot be read."""
    try:
        return max(int(zstandard.frame_content_size(stored)), 0)
    except zstandard.ZstdError:
        return 0


class PageDecompressor:
    """Reads what :class:`PageCompressor` wrote. Safe to share: each thread has a zstd context of its own.

    :param dictionary: the memory's dictionary, if it has one.
    :raises VideoFormatError: it is not a zstd dictionary.
    """

    def __init__(self, dictionary: bytes | None = None) -> None:
        self.has_dictionary = dictionary is not None
        self._local = threading.local()
        self._dictionary: zstandard.ZstdCompressionDict | None = None
        if dictionary is not None:
            try:
                self._dictionary = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_FULLDICT)
                self._get(with_dictionary=True)
            except zstandard.ZstdError as error:
                raise VideoFormatError(
                    f"the memory's dictionary ({len(dictionary)} bytes) is not a zstd dictionary: {error}; {REMEDY}"
                ) from error

    def decompress(
        self,
        stored: bytes,
        *,
        use_dictionary: bool,
        frame_index: int = -1,
        limit: int = MAX_BODY_BYTES,
        allowance: Allowance | None = None,
    ) -> bytes:
        """The body in ``stored``, which must be exactly one zstd frame that states its size.

        :param limit: bytes it may have.
        :param allowance: bytes that it and others may have together.
        :raises FrameError: it has more, it is no such frame, or it needs a dictionary the memory does not have.
        :raises ResourceLimitError: the allowance is spent.
        """
        if use_dictionary and not self.has_dictionary:
            raise self._error("its zstd dictionary is missing from the video", frame_index)
        try:
            size = zstandard.frame_content_size(stored)
            if size < 0:
                raise self._error("its zstd frame does not state its size", frame_index)
            if size > limit:
                raise self._error(f"its zstd frame claims {size} bytes, the limit is {limit}", frame_index)
            if allowance is not None:
                allowance.spend(size)
            body: bytes = self._get(use_dictionary).decompress(stored, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise self._error(f"its zstd frame cannot be read: {error}", frame_index) from error
        if len(body) != size:
            raise self._error(f"its zstd frame claims {size} bytes and holds {len(body)}", frame_index)
        return body

    def _get(self, with_dictionary: bool) -> zstandard.ZstdDecompressor:
        name = "keyed" if with_dictionary else "plain"
        context: zstandard.ZstdDecompressor | None = getattr(self._local, name, None)
        if context is None:
            context = zstandard.ZstdDecompressor(dict_data=self._dictionary if with_dictionary else None)
            setattr(self._local, name, context)
        return context

    @staticmethod
    def _error(what: str, frame_index: int) -> FrameError:
        return FrameError(f"frame {frame_index}: {what}; the page is damaged: {REMEDY}", frame_index=frame_index)
