"""Other metadata for chunks, by id or by the metadata that they have."""

from __future__ import annotations

from collections.abc import Iterable

from memvid.appender import MemvidAppender
from memvid.errors import EmptyMemoryError
from memvid.interrupts import interruptible
from memvid.types import AppendResult, DateLike, JsonObject, ProgressCallback, StrPath, Where

__all__ = ["tag"]


@interruptible
def tag(
    video: StrPath,
    index: StrPath | None = None,
    *,
    values: JsonObject | None = None,
    remove: Iterable[str] = (),
    chunk_ids: Iterable[int] = (),
    where: Where | None = None,
    date: DateLike | None = None,
    message: str | None = None,
    progress: ProgressCallback | None = None,
) -> AppendResult:
    """Change fields of the metadata of chunks at once; their other fields stay, and so do their texts.

    Chunks whose metadata would stay as it is are left alone. The same with any metadata, and together with additions,
    by :meth:`MemvidEncoder.open`. What the chunks have is looked at while nobody else can change the memory: fields
    that several set at the same time are all set.

    :param video: the video, in memvid's own format.
    :param index: the index's manifest; ``None`` takes the one inside the video, or ``<stem>_index.json`` beside it.
    :param values: what fields get.
    :param remove: fields that go.
    :param chunk_ids: the chunks.
    :param where: all chunks whose metadata passes this filter (docs/filters.md).
    :param date: as for :meth:`MemvidAppender.append`; likewise ``message``.
    :param progress: called from this thread with a :class:`Progress`.
    :raises ChunkNotFoundError: there is no chunk of that id, or none with this metadata.
    :raises ConfigError: there is nothing to change, or no chunk was asked for.
    :raises MetadataError: the metadata of a chunk cannot be used, so its other fields would be lost; or ``values`` are
        no JSON object.
    :raises EmptyMemoryError: all of these chunks have this metadata already.
    :raises QueryError: ``where`` is no filter.
    :raises VideoError: the video cannot be read, or not be appended to.
    :raises IndexFileError: the index is missing, damaged, or belongs to another video.
    :raises OutputError: someone else is writing this memory, the disk is full, ...
    """
    with MemvidAppender(video, index) as memory:
        memory.change_fields(values, remove=remove, chunk_ids=chunk_ids, where=where)
        result = memory.append(progress=progress, date=date, message=message)
    if not result.changed:
        raise EmptyMemoryError(f"the chunks of {video} have this metadata already: nothing was changed")
    return result
