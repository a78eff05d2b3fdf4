"""The proof that nothing of some texts is left in the files of a memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from memvid.errors import FrameError
from memvid.index import Manifest
from memvid.index.record_file import OWN_WORDS
from memvid.index.vectors import CODES_MAGIC
from memvid.maintenance.rewrite.text_traces import BLOCK, Fragments
from memvid.page import PageDecompressor, PageKind, encode_header_body, join_run, open_body
from memvid.storage.disk import output_errors
from memvid.storage.files import open_regular
from memvid.video import BARE, COVER, PageStore, VideoReader

__all__ = ["Erasure"]

_STRETCH = 1 << 22  # bytes looked through at once


class Erasure:
    """Looks for every block of the texts that are removed, unless a text that is kept has it too.

    :param removed: texts and metadata.
    :param kept: likewise.
    :ivar blocks: blocks that are looked for.
    """

    def __init__(self, removed: Iterable[bytes], kept: Iterable[bytes]) -> None:
        self._fragments = Fragments.of(removed)
        for data in _joined(kept):
            self._fragments.allow(data)
        self.blocks = len(self._fragments.blocks)

    @property
    def scanned(self) -> int:
        """Bytes that were looked through."""
        return self._fragments.scanned

    def is_in(self, text: bytes) -> bool:
        """Whether something of the removed texts is in a text."""
        return bool(self._fragments.find(text))

    def prove(self, video_file: Path, index_files: Sequence[Path], manifest: Manifest) -> None:
        """Look through the files of a memory: as they are, and all that is compressed or drawn in the video.

        :param index_files: of the index, unless they are inside the video.
        :param manifest: of the index.
        :raises FrameError: something of the removed texts is there.
        :raises OutputError: a file cannot be read back.
        """
        video = VideoReader(video_file)
        try:
            # What memvid itself writes into every memory: should a removed text quote it, it is no trace of that text.
            store = PageStore(video, cache_bytes=0)
            for own in (
                encode_header_body(store.header),
                manifest.to_bytes(),
                *map(str.encode, (*OWN_WORDS, CODES_MAGIC)),
            ):
                self._fragments.allow(own)
            for data in _joined(_contents(video, store)):
                self._look(data, video_file)
        finally:
            video.close()
        for path in (video_file, *index_files):
            with output_errors(path), open_regular(path) as file:  # what cannot be read back proves nothing
                tail = b""
                while data := file.read(_STRETCH):
                    self._look(tail + data, path)
                    tail = data[-BLOCK + 1 :]

    def _look(self, data: bytes, path: Path) -> None:
        found = self._fragments.find(data)
        if found:
            raise FrameError(
                f"{path.name} would still hold {len(found)} pieces of what was to be erased, such as {min(found)!r}: "
                "nothing was changed; please report it"
            )


def _contents(video: VideoReader, store: PageStore) -> Iterator[bytes]:
    """Every payload, and every body behind compression."""
    decompressor = PageDecompressor(store.dictionary)
    table = video.table
    run: list[bytes] = []
    first = 0
    for frame, payload in video.read_all():
        yield payload
        if table.kinds[frame] != PageKind.CONTINUATION:
            run, first = [], frame
        run.append(payload)
        if table.kinds[first] not in (BARE, COVER) and len(run) == len(table.run_of(first)):
            header, stored = join_run(run, first_frame=first, tag=table.tag)
            yield open_body(stored, header.flags, decompressor, frame_index=first)


def _joined(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Many small pieces as few large ones, with zeros in between so that none runs into the next."""
    batch: list[bytes] = []
    size = 0
    for part in parts:
        batch.append(part)
        size += len(part)
        if size >= _STRETCH:
            yield bytes(BLOCK).join(batch)
            batch, size = [], 0
    yield bytes(BLOCK).join(batch)
