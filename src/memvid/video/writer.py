"""Payloads into a video file, one frame each."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from memvid import _core
from memvid.config import EncoderConfig
from memvid.errors import OutputError
from memvid.interrupts import uninterrupted
from memvid.page import is_page, page_checksum, parse_header, seal
from memvid.page.parity import PARITY_OVERHEAD
from memvid.pickling import NotPicklable
from memvid.storage.disk import native_output_errors, output_errors
from memvid.types import StrPath
from memvid.video.codecs import PictureWriter
from memvid.video.cover import centred, cover_picture
from memvid.video.parity import ParityEncoder
from memvid.video.table import BARE, COVER, PageTable, PageTableBuilder

_PARITY_PAGES = 128  # handed to the native writer at once

__all__ = ["VideoAppender", "VideoWriter", "frame_capacity"]


def _symbol_options(config: EncoderConfig, *, utf8: bool = False) -> _core.SymbolOptions:
    return _core.SymbolOptions(
        version=config.symbol_version, level=config.error_correction, data_mask=config.data_mask, utf8=utf8
    )


def frame_capacity(config: EncoderConfig, *, bare: bool = False) -> int:
    """Bytes of payload one frame holds: of a page, or (``bare``) of UTF-8 text without one.

    With parity it is less: what protects a payload must fit one frame, too.
    """
    capacity = _core.symbol_capacity(_symbol_options(config, utf8=bare))
    if not config.parity:
        return capacity
    return min(capacity, _core.symbol_capacity(_symbol_options(config)) - PARITY_OVERHEAD)


class _TableWriter(NotPicklable):
    """Keeps the page table of what is written, and makes its parity.

    :param parity: parity frames for each frame, 0 for none.
    """

    _elsewhere = "it writes a file of its process"

    def __init__(self, path: StrPath, table: PageTableBuilder, *, tag: int, parity: float = 0) -> None:
        self._path = Path(path)
        self._tag = tag
        self._table = table
        self._next_bare = 0
        self._parity = ParityEncoder(parity, len(table)) if parity else None
        self._native: _core.FrameWriter | PictureWriter

    def write(self, payloads: Sequence[bytes]) -> None:
        """Draw and append a frame for each payload, in parallel, off the GIL.

        :raises OutputError: the disk is full, ...
        :raises ChunkTooLargeError: a payload does not fit into the symbol.
        """
        self._write(payloads)
        if self._parity is not None:
            self._parity.add(payloads)

    def _write(self, payloads: Sequence[bytes]) -> None:
        with native_output_errors(self._path):
            self._native.write(list(payloads))
        for payload in payloads:
            if is_page(payload):
                header = parse_header(payload, frame_index=len(self._table))
                self._table.add(header.kind, header.count, header.first_chunk, header.checksum)
            else:
                self._table.add(BARE, 1, self._next_bare, page_checksum(payload))
                self._next_bare += 1

    @property
    def next_bare(self) -> int:
        """Id of the chunk that the next bare text is."""
        return self._next_bare

    def skip_to(self, chunk_id: int) -> None:
        """Leave ids out: the next bare text is the chunk of this id."""
        self._next_bare = chunk_id

    @property
    def frames(self) -> int:
        """Frames there are so far, those of the old video among them."""
        return len(self._table)

    def finish(self) -> PageTable:
        """Write the parity and the movie header with the page table, wait for the device, return the table.

        :raises OutputError: the disk is full, ...
        """
        if not len(self._table):
            raise OutputError(f"{self._path}: a video without a frame cannot be finished")
        if self._parity is not None:
            pages = self._parity.finish()
            while part := list(islice(pages, _PARITY_PAGES)):
                first = len(self._table)
                self._write([seal(page, tag=self._tag, page_number=first + at) for at, page in enumerate(part)])
        table = self._table.build(self._tag)
        with native_output_errors(self._path):
            self._native.finish(table.to_bytes())
        return table


class VideoWriter(_TableWriter):
    """Writes one video, frame after frame; its page table grows along.

    :param path: the file to write: it is not there yet, or empty. Nothing that is there is written over; a caller that
        is to replace a file writes another one, and renames it.
    :raises OutputError: the file cannot be made, or there is one.
    """

    def __init__(self, path: StrPath, config: EncoderConfig, *, tag: int) -> None:
        super().__init__(path, PageTableBuilder(), tag=tag, parity=config.parity)
        self._version = config.symbol_version
        with output_errors(self._path):
            _refuse_content(self._path)
        with native_output_errors(self._path):
            self._native = self._open_native(config)

    def abandon(self) -> None:
        """Remove what is beside the file, which is the caller's to remove."""
        if isinstance(self._native, PictureWriter):
            self._native.abandon()

    def write_cover(self, payload: bytes) -> None:
        """Draw and append the cover, before all other frames.

        :param payload: what its code holds: :func:`~memvid.video.cover.cover_text` in UTF-8.
        :raises OutputError: the disk is full, ...
        :raises ChunkTooLargeError: it does not fit into a symbol.
        """
        picture = cover_picture(payload, self._version)
        with native_output_errors(self._path):
            if picture is None:
                self._native.write([payload])
            elif isinstance(self._native, PictureWriter):
                self._native.write_cover(picture)
            else:
                self._native.write_cover(centred(picture, self._native.width, self._native.height))
        self._table.add(COVER, 0, 0, page_checksum(payload))
        if self._parity is not None:
            self._parity.add([payload])

    def _open_native(self, config: EncoderConfig) -> _core.FrameWriter | PictureWriter:
        if config.codec == "png":
            return _core.FrameWriter(
                os.fspath(self._path), _symbol_options(config), fps=config.fps, threads=config.threads or 0
            )
        return PictureWriter(
            self._path,
            codec=config.codec,
            version=config.symbol_version,
            pages=_symbol_options(config),
            texts=_symbol_options(config, utf8=True),
            fps=config.fps,
            crf=config.crf,
            pixels_per_module=config.pixels_per_module,
        )


def _refuse_content(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if status.st_size or not stat.S_ISREG(status.st_mode):
        raise OutputError(errno.EEXIST, "is there already, and is not written over: choose another name", str(path))


class VideoAppender(_TableWriter):
    """Writes frames behind those of a video in memvid's own format. None of it counts before it is committed.

    What counts is not changed, and readers do not see the rest: :meth:`finish` puts it on the disk complete, and
    ``_core.commit_append(path, mark)`` makes it count. What an append left that never counted is cut off first. The
    caller holds the memory's lock.

    :param path: the video.
    :param config: must be that of the frames there are.
    :param table: their page table.
    :raises UnsupportedVideoError: the video cannot be appended to.
    :raises OutputError: the file cannot be written.
    """

    def __init__(self, path: StrPath, config: EncoderConfig, *, table: PageTable) -> None:
        super().__init__(path, PageTableBuilder(table), tag=table.tag, parity=config.parity)
        self._next_bare = table.next_chunk
        with native_output_errors(self._path):
            self._appending = _core.FrameWriter.append_to(
                os.fspath(self._path), _symbol_options(config), threads=config.threads or 0
            )
        self._native = self._appending

    @property
    def path(self) -> Path:
        """The file that is written."""
        return self._path

    @property
    def mark(self) -> int:
        """The byte of the file at which the append begins."""
        return self._appending.mark

    @property
    def movie(self) -> int:
        """The byte of the movie header that :meth:`finish` wrote."""
        return self._appending.movie

    @uninterrupted
    def abandon(self) -> None:
        """Cut the file off where the append began, unless that fails: then the next append does it."""
        with suppress(OutputError):
            self._appending.abandon()
