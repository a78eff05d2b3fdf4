"""What the format says of a page beyond its own bytes: where its kind stands, what it leaves 0, how large it may be."""

from __future__ import annotations

from memvid.errors import ChunkTooLargeError, FrameError
from memvid.maintenance.verify.front_check import FrontCheck
from memvid.page import HEADER_BYTES, PageHeader, PageKind, Record, RecordPage, check_record, is_page, page_checksum
from memvid.page.parity import PARITY_OVERHEAD
from memvid.video import BARE, COVER, PageTable, frame_capacity

__all__ = ["PageRules"]

_OF_CHUNKS = (PageKind.DATA, PageKind.ATTRIBUTES)
_PLAIN = {PageKind.PARITY: 7, PageKind.COMMIT: 3}  # flags that they have not: no run, not compressed


class PageRules:
    """Checks pages of one video, in their order.

    What breaks a rule may well be read. But each reader takes it in its own way, and what is written anew may lose it.

    :param front: what is known of the memory as a whole.
    """

    def __init__(self, table: PageTable, front: FrontCheck) -> None:
        config = front.config
        self._next_chunk = front.next_chunk
        self._header = front.header
        self._start = int(table.has_cover)  # the header page is the first page, behind a cover
        commits = table.frames_of_kind(PageKind.COMMIT).tolist()
        spare = [frame for frame in table.copies_of(PageKind.HEADER) if frame < min(commits, default=len(table))]
        self._heads = {self._start, *spare}
        self._behind_heads = {table.run_of(frame).stop for frame in self._heads}
        self._copied: dict[int, list[bytes]] = {}  # bodies of header page and dictionary
        self._bare = None if config is None else config.bare
        self._described = 0  # id behind the last one that a page of metadata has told of
        self._most: int | None = None  # bytes of a page, of a page of parity, of a bare text
        self._most_parity: int | None = None
        self._most_text: int | None = None
        if config is not None:
            self._most = frame_capacity(config)
            self._most_parity = self._most + (PARITY_OVERHEAD if config.parity else 0)
            self._most_text = frame_capacity(config, bare=True)

    def check(self, header: PageHeader, frame: int) -> None:
        """Check a page that begins in a frame: the first of a run, or one that is whole.

        :raises FrameError: it breaks a rule.
        """
        kind = header.kind
        if kind == PageKind.CONTINUATION:
            raise _error("it continues no page", frame)
        if kind not in _OF_CHUNKS and (header.count or header.first_chunk):
            raise _error(f"a {kind.name} page names {header.count} chunks from {header.first_chunk} on", frame)
        if header.flags & _PLAIN.get(kind, 0):
            raise _error(f"a {kind.name} page has the flags {header.flags:#x}", frame)
        if (kind == PageKind.HEADER) != (frame in self._heads):
            raise _error(f"a {kind.name} page", frame)
        if kind == PageKind.HEADER and not frame and self._header is not None and self._header.cover is not None:
            raise _error("a header page that tells of a cover, without one", frame)
        if kind == PageKind.DICTIONARY and frame not in self._behind_heads:
            raise _error("the dictionary is not behind the header page", frame)
        if self._bare is not None and kind in _OF_CHUNKS and self._bare == (kind == PageKind.DATA):
            raise _error(f"a {kind.name} page in a memory that is {'bare' if self._bare else 'not bare'}", frame)

    def check_run(self, kind: int, payloads: list[bytes], frame: int) -> None:
        """Check that payloads could be written into frames again, and protected, and that something can be so long.

        :param kind: of the first; :data:`~memvid.video.BARE` for a bare text.
        :param frame: that of the first.
        :raises FrameError: they could not.
        """
        if kind in (PageKind.HEADER, PageKind.DICTIONARY):
            bodies = [payload[HEADER_BYTES:] for payload in payloads]
            if self._copied.setdefault(kind, bodies) != bodies:
                raise _error(f"another {PageKind(kind).name} page than the first one", frame)
        if kind == BARE and self._bare is False:
            raise _error("a bare text in a memory that is not bare", frame)
        if kind in (BARE, COVER, PageKind.PARITY) and len(payloads) > 1:
            raise _error("it continues no page", frame + 1)
        most = self._most_text if kind == BARE else self._most_parity if kind == PageKind.PARITY else self._most
        for at, payload in enumerate(payloads, frame):
            if most is not None and len(payload) > most:
                raise _error(f"{len(payload)} bytes, and as the header page says frames are made they hold {most}", at)

    def check_cover(self, payload: bytes, frame: int) -> None:
        """Check that a cover is the one that the header page tells of.

        :raises FrameError: it is not.
        """
        if frame or is_page(payload):
            raise _error("a cover", frame)
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            raise _error(f"a cover that is no text ({error})", frame) from error
        if self._header is not None and self._header.cover != page_checksum(payload):
            raise _error("a cover that the header page does not know", frame)

    def check_chunks(self, page: RecordPage, first_chunk: int, frame: int) -> None:
        """Check that every chunk of a page could be packed again.

        :raises FrameError: one could not.
        """
        try:
            for slot in range(len(page)):
                check_record(Record(page.text_bytes(slot), page.metadata_bytes(slot)), first_chunk + slot)
        except ChunkTooLargeError as error:
            raise _error(str(error), frame) from error

    def check_attributes(self, header: PageHeader, page: RecordPage, frame: int) -> None:
        """Check that metadata of bare texts is told in the order of ids, once, of none to come, and without texts.

        :raises FrameError: it is not.
        """
        if header.first_chunk < self._described:
            raise _error(f"metadata of chunk {header.first_chunk} behind that of {self._described - 1}", frame)
        self._described = header.first_chunk + len(page)
        if self._described > self._next_chunk:
            raise _error(f"metadata of chunk {self._described - 1}, and the next one is {self._next_chunk}", frame)
        if any(page.text_bytes(slot) for slot in range(len(page))):
            raise _error("a page of metadata has texts", frame)


def _error(what: str, frame: int) -> FrameError:
    return FrameError(
        f"frame {frame}: {what}, which no memory has; the video was made by a newer release, or by somebody else",
        frame_index=frame,
    )
