"""Deletions and changed metadata that commits, page table or index tell of, and whose pages are lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from memvid.maintenance.repair.page_runs import Group, Sorted
from memvid.maintenance.repair.salvaged_video import changed_metadata
from memvid.maintenance.rewrite.kept_vectors import IndexVectors
from memvid.maintenance.verify.findings import Findings
from memvid.page import (
    ChunkIds,
    PageKind,
    decode_changed_metadata,
    decode_commit,
    decode_tombstones,
    describe_chunks,
    describe_numbers,
    open_blob,
)
from memvid.types import CommitInfo

__all__ = ["note_lost_changes"]

_Commits: TypeAlias = Sequence[tuple[CommitInfo, list[Group]]]

_FIRST = 2  # number of the first commit that has a page: the build has none


def note_lost_changes(ordered: Sorted, index: IndexVectors | None, path: object, findings: Findings) -> None:
    """Name what was deleted or changed and no page tells any more.

    :param index: the old one, if it is sound and of this very state.
    """
    known = ChunkIds.of([]) if index is None else index.deleted
    present = ordered.chunks - ordered.deleted
    if again := present & known:
        which = describe_chunks(again.ranges)
        findings.error("page", f"the list of what was deleted is lost: deleted by the index are {which}", path)
    commits = _by_commit(ordered.groups)
    _note_deletions(ordered, commits, known, path, findings, sure=index is not None)
    _note_metadata(ordered, commits, index, path, findings)
    if lost := _lost_commits(ordered, commits):
        which = describe_numbers(lost.ranges)
        findings.error(
            "page",
            f"what commit {which} changed is lost, but for pages that are there: chunks that were deleted may be there "
            "again, and chunks may have metadata that they had before",
            path,
        )


def _note_deletions(
    ordered: Sorted, commits: _Commits, known: ChunkIds, path: object, findings: Findings, *, sure: bool
) -> None:
    told = [_ids_of(groups, PageKind.TOMBSTONES) for _, groups in commits]
    before = ordered.deleted - ChunkIds.union(told)  # by no commit: another release deleted them
    deleted = ChunkIds.union([*told, known - before])
    lost = sum(info.deleted for info, _ in commits) - len(deleted)
    if lost <= 0 and (sure or PageKind.TOMBSTONES not in ordered.lost_kinds):
        return
    what = f"{lost} deletions is lost: those chunks" if lost > 1 else "a deletion is lost: that chunk"
    findings.error("page", f"the page that tells of {what} may be there again", path)


def _note_metadata(
    ordered: Sorted, commits: _Commits, index: IndexVectors | None, path: object, findings: Findings
) -> None:
    before = "is lost: chunks have what they had before"
    if index is not None:
        there = changed_metadata(ordered)
        changed = ChunkIds.of(chunk for chunk, data in index.changed.items() if there.get(chunk) != data)
        if lost := changed & (ordered.chunks - ordered.deleted - index.deleted):
            which = describe_chunks(lost.ranges)
            findings.error("page", f"metadata that was changed {before}; by the index these are {which}", path)
            return
    said = False
    for info, groups in commits:
        if any(group.changed is not None for group in groups):
            continue  # what cannot be used of it has been named
        if len(_ids_of(groups, PageKind.METADATA)) < info.changed:
            findings.error("page", f"metadata that commit {info.number} changed {before}", path)
            said = True
    if not said and PageKind.METADATA in ordered.lost_kinds:
        findings.error("page", f"metadata that was changed {before}", path)


def _lost_commits(ordered: Sorted, commits: _Commits) -> ChunkIds:
    """Numbers of commits whose pages are lost: by those that are left, and by chunks that none of them has added."""
    if PageKind.COMMIT in ordered.lost_kinds:
        return ChunkIds.of([])  # the page table says what else is lost
    numbers = ChunkIds.of(sorted(info.number for info, _ in commits))
    behind = max([_FIRST, *numbers.ends.tolist()[-1:]])
    header = ordered.header
    stop = None
    if commits:
        stop = commits[-1][0].chunk_ids.start + commits[-1][0].added
    elif header is not None and not ordered.grows:
        stop = header.chunks if header.next_chunk is None else header.next_chunk
    stops = (group.first_chunk + group.count for group in ordered.groups if group.kind == PageKind.DATA)
    more = stop is not None and max(stops, default=0) > stop
    return ChunkIds.of(range(_FIRST, behind + more)) - numbers


def _by_commit(groups: Sequence[Group]) -> _Commits:
    """Each commit with what is behind its page."""
    commits: list[tuple[CommitInfo, list[Group]]] = []
    for group in groups:
        if group.kind == PageKind.COMMIT:
            body = open_blob(PageKind.COMMIT, group.payloads, first_frame=group.frame)
            commits.append((decode_commit(body, frame_index=group.frame), []))
        elif commits:
            commits[-1][1].append(group)
    return commits


def _ids_of(groups: Sequence[Group], kind: PageKind) -> ChunkIds:
    """The chunks that pages of tombstones, or of changed metadata, are about."""
    found = []
    for group in groups:
        if group.kind == kind:
            body = open_blob(kind, group.payloads, first_frame=group.frame)
            if kind == PageKind.TOMBSTONES:
                found.append(decode_tombstones(body, frame_index=group.frame))
            else:
                found.append(decode_changed_metadata(body, frame_index=group.frame).chunks)
    return ChunkIds.union(found)
