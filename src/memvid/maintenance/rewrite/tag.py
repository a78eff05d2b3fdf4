"""Other metadata for chunks, by id or by the metadata that they have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from memvid.appender import MemvidAppender
from memvid.checks import check_chunk_ids
from memvid.embedding import AbsentEmbedder
from memvid.errors import ChunkNotFoundError, ConfigError, EmptyMemoryError, MetadataError
from memvid.index import IndexManager
from memvid.index.manifest import read_manifest
from memvid.interrupts import interruptible
from memvid.retriever import MemvidRetriever
from memvid.storage.commit import default_index_file
from memvid.types import AppendResult, DateLike, JsonObject, ProgressCallback, StrPath, Where

__all__ = ["tag"]

_READ = 256  # chunks at once


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
    by :meth:`MemvidEncoder.open`.

    :param video: the video, in memvid's own format.
    :param index: the index's manifest; ``None`` takes ``<stem>_index.json`` beside the video.
    :param values: what fields get.
    :param remove: fields that go.
    :param chunk_ids: the chunks.
    :param where: all chunks whose metadata has these values; a list stands for any of its values.
    :param date: as for :meth:`MemvidAppender.append`; likewise ``message``.
    :param progress: called from this thread with a :class:`Progress`.
    :raises ChunkNotFoundError: there is no chunk of that id, or none with this metadata.
    :raises ConfigError: there is nothing to change, or no chunk was asked for.
    :raises MetadataError: the metadata of a chunk cannot be used, so its other fields would be lost; or ``values`` are
        no JSON object.
    :raises EmptyMemoryError: all of these chunks have this metadata already.
    :raises QueryError: ``where`` is no filter, or names a field that no chunk has.
    :raises VideoError: the video cannot be read, or not be appended to.
    :raises IndexFileError: the index is missing, damaged, or belongs to another video.
    :raises OutputError: someone else is writing this memory, the disk is full, ...
    """
    gone = set(remove)
    wanted = set(check_chunk_ids(chunk_ids))
    if not values and not gone:
        raise ConfigError("nothing to change: give values= or remove=")
    if not wanted and where is None:
        raise ConfigError("no chunk to change: give chunk_ids= or where=")
    index_file = default_index_file(video) if index is None else index
    with MemvidAppender(video, index) as memory:
        if where is not None:
            with IndexManager.open(index_file, video_file=video) as opened:
                wanted.update(opened.ids_where(where).tolist())
        if not wanted:
            raise ChunkNotFoundError(f"no chunk of {video} has this metadata: nothing was changed")
        ids = sorted(wanted)
        count = 0
        with MemvidRetriever(video, index, embedder=AbsentEmbedder(read_manifest(Path(index_file)).model)) as reader:
            for start in range(0, len(ids), _READ):
                for chunk in reader.get_chunks_by_id(ids[start : start + _READ]):
                    if chunk.metadata_fault is not None:
                        raise MetadataError(
                            f"the metadata of chunk {chunk.chunk_id} cannot be used: {chunk.metadata_fault}; set all "
                            "of it by set_metadata()"
                        )
                    kept = {name: value for name, value in chunk.metadata.items() if name not in gone}
                    changed = {**kept, **(values or {})}
                    if changed != chunk.metadata:
                        memory.set_metadata(chunk.chunk_id, changed)
                        count += 1
        if not count:
            raise EmptyMemoryError(f"all {len(ids)} chunks have this metadata already: nothing was changed")
        return memory.append(progress=progress, date=date, message=message)
