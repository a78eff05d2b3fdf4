"""Which frames bare texts are in a video without a page table: they carry no numbers, the pages around them do."""

from __future__ import annotations

from dataclasses import dataclass, field

from memvid.errors import MemvidError
from memvid.page import HeaderInfo, PageHeader, PageKind, decode_commit, decode_header_body, open_blob
from memvid.page.reading import run_parts

__all__ = ["BareTexts", "Shown"]

_TELLING = (PageKind.HEADER, PageKind.COMMIT)  # pages that say how many texts come behind them


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that is no page.

    :ivar position: in the video.
    :ivar checksum: of its text; ``None`` if it cannot be read.
    """

    position: int
    checksum: int | None


@dataclass(slots=True)
class BareTexts:
    """Collects what is shown between pages, in order, and says which frames that is.

    As many texts as there are frames between two pages are those frames, with or without pictures that are shown
    again and again. Behind the last page the header page, or the commit, tells how many there should be.

    :ivar header: the header page, once it has been read.
    :ivar unplaced: texts that can be read, of which nothing says which frames they are.
    :ivar fault: frame, and why it is not known which texts these are, if it is not.
    """

    header: HeaderInfo | None = None
    unplaced: int = 0
    fault: tuple[int, str] | None = None
    _last: int = -1
    _behind: list[Shown] = field(default_factory=list)
    _between: list[tuple[range, list[Shown]]] = field(default_factory=list)
    _repeated: bool = False
    _run: list[bytes] = field(default_factory=list)
    _parts: int = 0
    _kind: PageKind = PageKind.HEADER
    _count: int | None = None

    def add_page(self, header: PageHeader, payload: bytes) -> None:
        """Note the next picture, a page of this memory."""
        number = header.page_number
        if number == self._last:
            self._repeated = self._repeated or not self._behind
        else:
            self._follow(header, payload)
        if self._behind:
            self._between.append((range(self._last + 1, number), self._behind))
            self._behind = []
        self._last = number

    def add(self, shown: Shown) -> None:
        """Note the next picture, which is no page of this memory."""
        self._behind.append(shown)

    def place(self) -> dict[int, Shown]:
        """The texts by frame; none of a memory that is not bare."""
        found: dict[int, Shown] = {}
        if self.header is not None and not self.header.bare:
            return found
        for frames, shown in self._between:
            if not _place(frames, shown, found):
                self.unplaced += _count_texts(shown)
                if _count_texts(_without_repeats(shown)) > len(frames):
                    self._note_fault(frames.start, shown, len(frames))
        self._place_last(found)
        return found

    def _place_last(self, found: dict[int, Shown]) -> None:
        shown = self._behind
        while shown and shown[-1].checksum is None:
            shown = shown[:-1]
        count = len(shown) if self._count is None else self._count
        sure = self._count is not None or not self._repeated or not shown
        if not sure or not _place(range(self._last + 1, self._last + 1 + count), shown, found):
            self._note_fault(self._last + 1, shown, self._count)

    def _note_fault(self, frame: int, shown: list[Shown], count: int | None) -> None:
        there = "nothing says how many there were" if count is None else f"there were {count}"
        self.fault = self.fault or (
            frame,
            f"from frame {frame} on {_count_texts(shown)} bare texts are shown, and {there}",
        )

    def _follow(self, header: PageHeader, payload: bytes) -> None:
        """Look at a page for what it says of the texts behind it."""
        number = header.page_number
        self._count = None
        try:
            if header.kind in _TELLING:
                self._run, self._kind = [payload], header.kind
                self._parts = run_parts(header, payload, frame_index=number)[1]
            elif self._run and header.kind == PageKind.CONTINUATION and number == self._last + 1:
                self._run.append(payload)
            else:
                self._run = []
            if self._run and len(self._run) == self._parts:
                self._count = self._read_run(number + 1 - self._parts)
        except MemvidError:
            self._run = []

    def _read_run(self, frame: int) -> int:
        """How many texts come behind a header page or a commit."""
        body = open_blob(self._kind, self._run, first_frame=frame)
        if self._kind == PageKind.HEADER:
            self.header = decode_header_body(body)
            ids = range(self.header.chunks)
        else:
            ids = decode_commit(body, frame_index=frame).chunk_ids
        lost = () if self.header is None else self.header.lost or ()  # before a repair wrote them anew
        return len(ids) - sum(len(range(max(ids.start, first), min(ids.stop, last + 1))) for first, last in lost)


def _place(frames: range, shown: list[Shown], found: dict[int, Shown]) -> bool:
    """Take what is shown for these frames, if it is as many."""
    for pictures in (shown, _without_repeats(shown)):
        if len(pictures) == len(frames):
            readable = ((frame, picture) for frame, picture in zip(frames, pictures, strict=True))
            found.update((frame, picture) for frame, picture in readable if picture.checksum is not None)
            return True
    return False


def _count_texts(shown: list[Shown]) -> int:
    return sum(picture.checksum is not None for picture in shown)


def _without_repeats(shown: list[Shown]) -> list[Shown]:
    return [one for at, one in enumerate(shown) if at == 0 or one.checksum != shown[at - 1].checksum]
