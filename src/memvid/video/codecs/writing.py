"""Payloads into the frames of a video in another codec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvid import _core
from memvid.page import is_page
from memvid.storage.disk import output_errors, sync_file
from memvid.video.codecs.page_table_box import append_page_table
from memvid.video.codecs.profiles import check_codec, container_format
from memvid.video.codecs.sinks import AvSink, OpenCvSink, PictureSink
from memvid.video.cover import centred

__all__ = ["PictureWriter", "draw_symbol", "picture_side"]

_QUIET = 4  # modules
_BLOCK = 16  # pixels: a macroblock
_SUFFIXES = {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv", "webm": ".webm", "avi": ".avi"}


def picture_side(version: int, pixels_per_module: int) -> int:
    """Width and height of a picture: symbol and quiet zone, up to whole macroblocks of 16 pixels."""
    drawn = (4 * version + 17 + 2 * _QUIET) * pixels_per_module
    return -(-drawn // _BLOCK) * _BLOCK


def draw_symbol(payload: bytes, options: _core.SymbolOptions, pixels_per_module: int, side: int) -> NDArray[np.uint8]:
    """The picture of one payload, ``uint8[side, side]``: the symbol behind four modules of quiet zone, rest white."""
    modules = _core.create_symbol(payload, options)
    symbol = modules.repeat(pixels_per_module, axis=0).repeat(pixels_per_module, axis=1)
    picture = np.full((side, side), 255, np.uint8)
    start, end = _QUIET * pixels_per_module, _QUIET * pixels_per_module + len(symbol)
    picture[start:end, start:end] = symbol
    return picture


class PictureWriter:
    """What :class:`memvid._core.FrameWriter` is for our own videos: takes payloads, ends with a page table.

    :param codec: a name of :data:`PROFILES`.
    :param pages: how pages are drawn; ``texts``, how bare texts are.
    :param crf: quality, lower is better; ``None`` takes the codec's own.
    :param pixels_per_module: ``None`` takes the codec's own.
    :raises ConfigError: this machine cannot write the codec, or there is no such quality.
    :raises DependencyError: the codec needs PyAV.
    :raises OutputError: the file cannot be made.
    """

    def __init__(
        self,
        path: Path,
        *,
        codec: str,
        version: int,
        pages: _core.SymbolOptions,
        texts: _core.SymbolOptions,
        fps: int,
        crf: int | None = None,
        pixels_per_module: int | None = None,
    ) -> None:
        profile = check_codec(codec)
        self._path = path
        self._pages, self._texts = pages, texts
        self._container = container_format(path, codec)
        self._scale = profile.pixels_per_module if pixels_per_module is None else pixels_per_module
        self._side = picture_side(version, self._scale)
        self._sink: PictureSink
        if profile.pyav:
            options = dict(profile.options)
            quality = profile.crf if crf is None else crf
            if quality is not None:
                options["crf"] = str(quality)
            self._sink = AvSink(
                path,
                container=self._container,
                encoder=profile.encoder,
                width=self._side,
                height=self._side,
                fps=fps,
                options=options,
            )
        else:
            suffix = _SUFFIXES[self._container]
            self._sink = OpenCvSink(path, suffix=suffix, profile=profile, width=self._side, height=self._side, fps=fps)

    def write(self, payloads: Sequence[bytes]) -> None:
        """Draw and encode a frame for each payload."""
        for payload in payloads:
            options = self._pages if is_page(payload) else self._texts
            self._sink.append(draw_symbol(payload, options, self._scale, self._side))

    def write_cover(self, modules: NDArray[np.uint8]) -> None:
        """Encode a picture of a pixel a module as the first frame, which is shown for a second where that can be."""
        pixels = modules.repeat(self._scale, axis=0).repeat(self._scale, axis=1)
        self._sink.append(centred(pixels, self._side, self._side), held=True)

    def abandon(self) -> None:
        """Remove what is beside the file."""
        self._sink.abandon()

    def finish(self, page_table: bytes) -> None:
        """Complete the file, with the page table where its container has a place for it, and wait for the device."""
        self._sink.finish()
        with output_errors(self._path):
            if self._container in {"mp4", "mov"}:
                append_page_table(self._path, page_table)
            sync_file(self._path)
