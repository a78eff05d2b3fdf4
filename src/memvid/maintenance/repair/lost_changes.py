"""Deletions and changed metadata that commits tell of, and whose pages are lost."""

from __future__ import annotations

from collections.abc import Sequence

from memvid.maintenance.repair.page_runs import Group, Sorted
from memvid.maintenance.verify.findings import Findings
from memvid.page import ChunkIds, PageKind, decode_changed_metadata, decode_commit, decode_tombstones, open_blob
from memvid.types import CommitInfo

__all__ = ["note_lost_changes"]


def note_lost_changes(ordered: Sorted, known: ChunkIds, path: object, findings: Findings) -> None:
    """Name what commits say they deleted or changed and no page tells any more.

    :param known: chunks that were deleted, by the old index.
    """
    commits = _by_commit(ordered.groups)
    told = [_ids_of(groups, PageKind.TOMBSTONES) for _, groups in commits]
    before = ordered.deleted - ChunkIds.union(told)  # by no commit: another release deleted them
    deleted = ChunkIds.union([*told, known - before])
    lost = sum(info.deleted for info, _ in commits) - len(deleted)
    if lost > 0:
        what = f"{lost} deletions is lost: those chunks" if lost > 1 else "a deletion is lost: that chunk"
        findings.error("page", f"the page that tells of {what} may be there again", path)
    for info, groups in commits:
        if any(group.changed is not None for group in groups):
            continue  # what cannot be used of it has been named
        if len(_ids_of(groups, PageKind.METADATA)) < info.changed:
            findings.error(
                "page",
                f"metadata that commit {info.number} changed is lost: chunks have what they had before",
                path,
            )


def _by_commit(groups: Sequence[Group]) -> list[tuple[CommitInfo, list[Group]]]:
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
