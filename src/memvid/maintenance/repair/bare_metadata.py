"""Pages with the metadata of bare texts, which also say which chunks these are: of just the texts that are left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from memvid.maintenance.repair.page_runs import ChunkRun, Group
from memvid.page import ChunkIds, PageDecompressor, PageKind, Record, open_run, parse_header
from memvid.video import BARE
from memvid.video.bare_texts import TextZone

__all__ = ["fit_metadata_pages", "metadata_of_texts", "texts_without_metadata"]


def metadata_of_texts(groups: Iterable[Group]) -> dict[int, bytes]:
    """The stored metadata of the bare texts that are there, by chunk."""
    found: dict[int, bytes] = {}
    groups = list(groups)
    texts = ChunkIds.of(group.first_chunk for group in groups if group.kind == BARE)
    for group in groups:
        if group.kind != PageKind.ATTRIBUTES:
            continue
        if group.changed is not None:
            runs = [(run.first_chunk, [record.metadata for record in run.records]) for run in group.changed]
        else:
            header, page = open_run(group.payloads, PageDecompressor(), first_frame=group.frame)
            runs = [(header.first_chunk, [page.metadata_bytes(slot) for slot in range(len(page))])]
        for first, metadatas in runs:
            known = ChunkIds.of(range(first, first + len(metadatas))) & texts
            found.update((chunk, metadatas[chunk - first]) for chunk in known.numbers().tolist())
    return found


def fit_metadata_pages(groups: list[Group], *, counted: bool) -> list[Group]:
    """All groups, with pages of metadata packed anew where those that are left do not fit the texts before them.

    Without a page table texts count on from those before, unless pages of metadata behind them tell otherwise, which
    then must be of just the texts there are: see "Bare memories" in docs/format.md.

    :param counted: whether the texts of the build count up from 0, as the header page states no next id.
    """
    metadata = metadata_of_texts(groups)
    fitted: list[Group] = []
    next_chunk = 0
    for stretch in _stretches(groups):
        texts = [group.first_chunk for group in stretch if group.kind == BARE]
        pages = [group for group in stretch if group.kind == PageKind.ATTRIBUTES]
        if _fits(texts, pages, next_chunk if counted else None):
            fitted += stretch
        else:
            kinds = [group.kind for group in stretch]
            behind = len(kinds) - kinds[::-1].index(BARE) if texts else 0
            fitted += [group for group in stretch[:behind] if group.kind != PageKind.ATTRIBUTES]
            fitted += _pages_of(texts, metadata, stretch[0].frame)
            fitted += [group for group in stretch[behind:] if group.kind != PageKind.ATTRIBUTES]
        next_chunk = max([next_chunk, *(chunk + 1 for chunk in texts[-1:])])
        counted = counted or bool(texts)
    return fitted


def texts_without_metadata(groups: list[Group], pages: Collection[int], zones: Sequence[TextZone]) -> ChunkIds:
    """The texts that a page of metadata may have told of which is lost: behind them, a frame is missing.

    :param groups: in the order of their frames.
    :param pages: the numbers of all pages that are there.
    :param zones: frames that hold texts.
    """
    found = []
    stretches = [*_stretches(groups)]
    ends = [*(stretch[0].frame for stretch in stretches[1:]), max([0, *pages])]
    for stretch, end in zip(stretches, ends, strict=True):
        texts = [group for group in stretch if group.kind == BARE and group.frame < end]
        if not texts:
            continue
        behind = texts[-1].frame + 1
        behind = max([behind, *(zone.start + zone.count for zone in zones if zone.start < behind)])
        if any(frame not in pages for frame in range(behind, end)):
            described = (ids for group in stretch if group.kind == PageKind.ATTRIBUTES for ids in _described_by(group))
            ids = ChunkIds.of(group.first_chunk for group in texts)
            found.append(ids - ChunkIds.union(map(ChunkIds.of, described)))
    return ChunkIds.union(found)


def _stretches(groups: list[Group]) -> Iterator[list[Group]]:
    """Texts with the pages of metadata behind them, and whatever else is there: all groups, in order."""
    stretch: list[Group] = []
    described = False
    for group in groups:
        if stretch and (group.kind == PageKind.COMMIT or (described and group.kind == BARE)):
            yield stretch
            stretch, described = [], False
        stretch.append(group)
        described = described or group.kind == PageKind.ATTRIBUTES
    if stretch:
        yield stretch


def _fits(texts: list[int], pages: list[Group], next_chunk: int | None) -> bool:
    """Whether a reader without a page table would number the texts so.

    :param next_chunk: the id that texts count on from; ``None`` if only pages of metadata tell.
    """
    described = [ids for page in pages for ids in _described_by(page)]
    plain = len(texts) - sum(map(len, described))
    return (
        (plain == 0 if next_chunk is None else plain >= 0)
        and texts[:plain] == [*range(next_chunk or 0, (next_chunk or 0) + plain)]
        and texts[plain:] == [chunk for ids in described for chunk in ids]
    )


def _described_by(page: Group) -> list[range]:
    if page.changed is not None:
        return [range(run.first_chunk, run.stop) for run in page.changed]
    header = parse_header(page.payloads[0], frame_index=page.frame)
    return [range(header.first_chunk, header.first_chunk + header.count)]


def _pages_of(texts: list[int], metadata: dict[int, bytes], frame: int) -> list[Group]:
    """A group that tells of all of these texts, if there are any."""
    if not texts:
        return []
    runs = tuple(
        ChunkRun(first, [Record(b"", metadata.get(chunk, b"")) for chunk in range(first, last + 1)])
        for first, last in ChunkIds.of(texts).ranges
    )
    return [Group(frame, PageKind.ATTRIBUTES, runs[0].first_chunk, 0, [], runs)]
