"""The same memory in another codec: pages as they are, drawn anew."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from memvid.building.outputs import check_video_output, new_folders
from memvid.config import Codec, EncoderConfig, possible_fps
from memvid.errors import FrameError, OutputError
from memvid.interrupts import interruptible
from memvid.page import HeaderInfo
from memvid.storage.access import access_of_copy, settle
from memvid.storage.disk import discard, output_errors, staged_name, sync_folder
from memvid.storage.files import create_private
from memvid.storage.locks import FileLocks
from memvid.types import Progress, ProgressCallback, StrPath
from memvid.video import BARE, COVER, PageStore, VideoReader, VideoWriter

__all__ = ["ExportResult", "export"]


_BATCH = 128  # frames written at once


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written.

    :ivar video_file: the new video.
    :ivar codec: what its frames are encoded with.
    :ivar frames: frames in it, as many as in the old one.
    :ivar width: pixels a row.
    :ivar height: rows.
    :ivar text_bytes: UTF-8 bytes of all texts.
    :ivar source_bytes: size of the old video.
    :ivar video_bytes: size of the new one.
    :ivar seconds: wall time.
    """

    video_file: Path
    codec: str
    frames: int
    width: int
    height: int
    text_bytes: int
    source_bytes: int
    video_bytes: int
    seconds: float


@interruptible
def export(
    video: StrPath,
    output: StrPath,
    *,
    codec: Codec = "h264",
    crf: int | None = None,
    pixels_per_module: int | None = None,
    threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> ExportResult:
    """Write a memory's video in another codec. It stays the same memory: the same pages, and the old index opens it.

    Every frame is read back from the finished file, with error correction, and compared before the file takes its name.
    An existing file is replaced.

    :param video: a video of any codec.
    :param output: the new video; its name asks for the container: ``.mp4``, ``.mkv``, ``.webm``, ``.mov``, ``.avi``.
        Its folder is made where only the last one of the path is missing.
    :param codec: as in :class:`EncoderConfig`; ``"png"`` makes our own format of an exported video again.
    :param crf: quality, lower is better; ``None`` takes the codec's own.
    :param pixels_per_module: ``None`` takes 4, and 1 for ``"ffv1"``.
    :param threads: worker threads; ``None`` uses the cores this process may run on.
    :param progress: called from this thread with the stages ``"write"`` and ``"verify"``, in frames.
    :raises ConfigError: an option is out of range, or this machine cannot write the codec.
    :raises DependencyError: the codec needs PyAV, which is not installed.
    :raises FrameError: a frame of the old video cannot be read, or of the new one: then nothing was written.
    :raises OutputError: ``output`` is ``video`` or no video's name, its folder is missing, someone else writes it, ...
    """
    begin = time.perf_counter()
    final = check_video_output(output, codec=codec, inputs=[video])
    with _opened(Path(video), threads) as (source, header), new_folders(final):
        config = EncoderConfig(
            codec=codec,
            crf=crf,
            pixels_per_module=pixels_per_module,
            symbol_version=header.symbol_version,
            error_correction=header.error_correction,  # type: ignore[arg-type]  # checked when it was read
            fps=possible_fps(source.fps),
            threads=threads,
        )
        with output_errors(final), FileLocks([final], building=True):
            size = _write_whole(source, final, config, progress)
        return ExportResult(
            video_file=final,
            codec=codec,
            frames=source.frame_count,
            width=size[0],
            height=size[1],
            text_bytes=header.text_bytes,
            source_bytes=source.identity.bytes,
            video_bytes=final.stat().st_size,
            seconds=time.perf_counter() - begin,
        )


def _write_whole(
    source: VideoReader, final: Path, config: EncoderConfig, progress: ProgressCallback | None
) -> tuple[int, int]:
    """Write the new video, read it back, and give it its name; returns width and height of its frames."""
    staged = staged_name(final)
    os.close(create_private(staged))
    try:
        digest = _write(source, staged, config, progress)
        size = _read_back(source, staged, digest, config, progress)
        settle(staged, access_of_copy(final, [], made_from=[Path(source.path)]))
        staged.replace(final)
    except BaseException:
        discard(staged)
        raise
    try:
        sync_folder(final.parent)
    except OSError as error:
        raise OutputError(
            error.errno, f"{error.strerror}; the new video is complete, but a power cut may undo it", str(final)
        ) from error
    return size


@contextmanager
def _opened(path: Path, threads: int | None) -> Iterator[tuple[VideoReader, HeaderInfo]]:
    video = VideoReader(path, threads=threads)
    try:
        yield video, PageStore(video, cache_bytes=0).header
    finally:
        video.close()


def _write(source: VideoReader, staged: Path, config: EncoderConfig, progress: ProgressCallback | None) -> bytes:
    """Write all payloads; returns the SHA-256 over them."""
    writer = VideoWriter(staged, config, tag=source.table.tag)
    try:
        return _copy_frames(source, writer, progress)
    except BaseException:
        writer.abandon()
        raise


def _copy_frames(source: VideoReader, writer: VideoWriter, progress: ProgressCallback | None) -> bytes:
    digest = hashlib.sha256()
    table = source.table
    payloads = source.read_all()
    while batch := list(islice(payloads, _BATCH)):
        start = 0
        for at, (frame, payload) in enumerate(batch):
            digest.update(payload)
            if table.kinds[frame] == COVER:
                writer.write_cover(payload)
                start = at + 1
            elif table.kinds[frame] == BARE:  # a bare text does not say its chunk's id
                writer.write([earlier for _, earlier in batch[start:at]])
                writer.skip_to(int(table.first_chunks[frame]))
                start = at
        writer.write([rest for _, rest in batch[start:]])
        if progress is not None:
            progress(Progress("write", writer.frames, source.frame_count))
    writer.finish()
    return digest.digest()


def _read_back(
    source: VideoReader, staged: Path, written: bytes, config: EncoderConfig, progress: ProgressCallback | None
) -> tuple[int, int]:
    """Compare the new video with the old one; returns width and height of its frames."""
    video = VideoReader(staged, threads=config.threads)
    try:
        digest = hashlib.sha256()
        for frame, payload in video.read_all(corrected=True):
            digest.update(payload)
            if progress is not None and (frame % _BATCH == 0 or frame + 1 == video.frame_count):
                progress(Progress("verify", frame + 1, video.frame_count))
        if digest.digest() != written or video.identity.digest != source.identity.digest:
            raise FrameError(
                f"the new video does not hold what the old one does, at codec={config.codec!r}, crf={config.crf}: "
                "nothing was written; choose a better quality"
            )
        return video.width, video.height
    finally:
        video.close()
