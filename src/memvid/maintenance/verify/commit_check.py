"""Whether the commits of a memory count up, and what they say is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from memvid.page import ChunkIds
from memvid.types import CommitInfo
from memvid.video import PageTable

__all__ = ["Fault", "commit_faults"]

Fault = tuple[int, bool, str]
"""The frame of a commit's page, whether it could never have been written so, and what is wrong."""


def commit_faults(
    table: PageTable,
    commits: Sequence[tuple[int, CommitInfo]],
    deleted_in: Callable[[int, int], ChunkIds],
    changed_in: Callable[[int, int], ChunkIds],
) -> Iterator[Fault]:
    """What COMMIT pages say that is not so.

    What is missing was lost; of what is there and in no commit, nobody has written that.

    :param commits: by the frames of their pages, ascending.
    :param deleted_in: the chunks that tombstones between two frames name.
    :param changed_in: the chunks whose metadata pages between two frames change.
    """
    if not commits:
        return
    number = 1
    gone = deleted_in(0, commits[0][0])
    stops = [*(frame for frame, _ in commits[1:]), len(table)]
    for (frame, info), stop in zip(commits, stops, strict=True):
        if info.number <= number:
            yield frame, True, f"commit {info.number} is behind commit {number}"
        elif info.number > number + 1:
            yield frame, False, f"commit {info.number} is behind commit {number}: those in between were lost"
        number = info.number
        ids = table.chunk_ids(start=frame, stop=stop)
        if len(ids) > info.added or (ids and int(ids.starts[0]) < info.first_chunk):
            yield frame, True, f"commit {number} added {info.added} chunks, and {len(ids)} are behind it"
        deleted = deleted_in(frame, stop)
        alive = len(table.chunk_ids(stop=stop) - (gone := gone | deleted))
        there = {
            "added": len(ids),
            "deleted": len(deleted),
            "changed the metadata of": len(changed_in(frame, stop)),
            "left": alive,
        }
        said = dict(zip(there, (info.added, info.deleted, info.changed, info.chunks), strict=True))
        wrong = [f"{verb} {count} chunks, not {there[verb]}" for verb, count in said.items() if count != there[verb]]
        if wrong and len(ids) <= info.added:
            yield (
                frame,
                False,
                f"by its page commit {number} {', and '.join(wrong)}: the others were lost",
            )
