"""Chunks out of a memory, by id or by metadata."""

from __future__ import annotations

from collections.abc import Iterable

from memvid.appender import MemvidAppender
from memvid.errors import ChunkNotFoundError
from memvid.interrupts import interruptible
from memvid.types import AppendResult, DateLike, ProgressCallback, StrPath, Where

__all__ = ["delete"]


@interruptible
def delete(
    video: StrPath,
    index: StrPath | None = None,
    *,
    chunk_ids: Iterable[int] = (),
    where: Where | None = None,
    date: DateLike | None = None,
    message: str | None = None,
    progress: ProgressCallback | None = None,
) -> AppendResult:
    """Delete chunks at once: searches skip them, reading them raises. Their text stays in the file until compaction.

    A deletion is a page behind the others; what is there is not written again. The same in steps, and together with
    additions, by :meth:`MemvidEncoder.open`.

    :param video: the video, in memvid's own format.
    :param index: the index's manifest; ``None`` takes the one inside the video, or ``<stem>_index.json`` beside it.
    :param chunk_ids: the chunks.
    :param where: all chunks whose metadata passes this filter (docs/filters.md).
    :param date: as for :meth:`MemvidAppender.append`; likewise ``message``.
    :param progress: called from this thread with a :class:`Progress`.
    :raises ChunkNotFoundError: there is no chunk of that id, or none with this metadata, or it was deleted before.
    :raises QueryError: ``where`` is no filter.
    :raises EmptyMemoryError: nothing was asked for.
    :raises VideoError: the video cannot be read, or not be appended to.
    :raises IndexFileError: the index is missing, damaged, or belongs to another video.
    :raises OutputError: someone else is writing this memory, the disk is full, ...
    """
    with MemvidAppender(video, index) as memory:
        memory.delete(chunk_ids)
        if where is not None and not memory.delete_where(where):
            reason = memory.why_none(where) or "`memvid scan` shows all metadata"
            raise ChunkNotFoundError(f"no chunk of {video} has this metadata: nothing was deleted; {reason}")
        return memory.append(progress=progress, date=date, message=message)
