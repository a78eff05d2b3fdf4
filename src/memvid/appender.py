"""Adding to a memory that exists, and deleting from it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from memvid.building.append import Appender, frame_config
from memvid.building.chunk_collector import ChunkCollector
from memvid.building.deletions import Deletions
from memvid.building.metadata_changes import MetadataChanges
from memvid.checks import check_chunk_ids, check_date, check_words
from memvid.config import EncoderConfig, make_config
from memvid.embedding import AbsentEmbedder, Embedder, EmbedderLike, embedder_of, model_info, resolve_embedder
from memvid.errors import (
    ChunkNotFoundError,
    ConfigError,
    EmptyMemoryError,
    MetadataError,
    ModelMismatchError,
    UnsupportedVideoError,
)
from memvid.index import IndexManager
from memvid.index.location import find_index
from memvid.interrupts import interruptible
from memvid.page import ChunkIds, Record, check_record, decode_metadata, encode_metadata
from memvid.query import parse_filter, value_of
from memvid.storage.commit import open_settled, recover, refuse_links
from memvid.types import AppendResult, DateLike, JsonObject, ModelInfo, ProgressCallback, StrPath, Where
from memvid.video import PageStore, VideoReader

__all__ = ["MemvidAppender"]


_SETTINGS = ("chunk_size", "overlap", "threads")  # all others are the memory's own


class MemvidAppender(ChunkCollector):
    """Adds to a memory that exists, and deletes from it: what :meth:`MemvidEncoder.open` gives.

    Additions and deletions are collected until :meth:`append` makes all of them, or none. Until then nothing of the
    memory is locked or changed; others may append to it meanwhile. Not safe to share between threads.

    ``add_chunks``, ``add_text``, ``add_jsonl``, ``stats`` and ``close`` are in :mod:`memvid.building.chunk_collector`,
    which :class:`MemvidEncoder` shares.

    >>> with MemvidEncoder.open("memory.mp4") as memory:  # doctest: +SKIP
    ...     memory.add_chunks(["one more"])
    ...     memory.delete([17])
    ...     memory.append()
    """

    _store_by = "append()"

    def __init__(
        self,
        video_file: StrPath,
        index_file: StrPath | None = None,
        *,
        embedder: EmbedderLike | None = None,
        config: EncoderConfig | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Use :meth:`MemvidEncoder.open` instead."""
        self._video_file = Path(video_file)
        self._index_file = find_index(self._video_file, index_file)
        self._places = (self._video_file.absolute(), self._index_file.absolute())
        refuse_links(self._video_file, self._index_file)
        made_with, chosen, self._known = open_settled(self._index_file, self._video_file, lambda: self._look(embedder))
        super().__init__(make_config(EncoderConfig, made_with, _settings(config, options)), chosen)
        self._deletions = Deletions()
        self._changes = MetadataChanges()

    def set_metadata(self, chunk_id: int, metadata: JsonObject | None) -> None:
        """Have a chunk of the memory get other metadata by :meth:`append`, in place of all that it has.

        Its text is neither stored nor embedded again. What it had stays in the file until it is compacted.

        :param metadata: a JSON object; ``None`` and ``{}`` leave the chunk without any.
        :raises ChunkNotFoundError: there is no chunk of that id, or it was deleted.
        :raises MetadataError: it is no JSON object.
        :raises ChunkTooLargeError: it has more than 64 MiB.
        """
        self._open_spool()
        (number,) = self._check_there([chunk_id], "changed").tolist()
        data = encode_metadata(metadata)
        check_record(Record(b"", data), number)
        self._changes.whole[number] = data

    def change_fields(
        self,
        values: JsonObject | None = None,
        *,
        remove: Iterable[str] = (),
        chunk_ids: Iterable[int] = (),
        where: Where | None = None,
    ) -> None:
        """Have chunks of the memory get fields of metadata, or lose some, by :meth:`append`; their other fields stay.

        What they have, and which chunks ``where`` means, is looked at by :meth:`append`: what others changed meanwhile
        stays, too. Chunks whose metadata would stay as it is are left alone.

        :param values: what fields get.
        :param remove: fields that go.
        :param chunk_ids: the chunks.
        :param where: all chunks whose metadata passes this filter (docs/filters.md).
        :raises ConfigError: there is nothing to change, or no chunk was asked for.
        :raises ChunkNotFoundError: there is no chunk of that id, or it was deleted.
        :raises MetadataError: ``values`` are no JSON object.
        :raises QueryError: ``where`` is no filter.
        """
        self._open_spool()
        gone = list(remove)
        if not values and not gone:
            raise ConfigError("nothing to change: give values= or remove=")
        ids = ChunkIds.of(self._check_there(chunk_ids, "changed"))
        if not ids and where is None:
            raise ConfigError("no chunk to change: give chunk_ids= or where=")
        given = decode_metadata(encode_metadata(values))
        self._changes.add_fields(given, gone, ids, None if where is None else parse_filter(where))

    def delete(self, chunk_ids: Iterable[int]) -> int:
        """Have chunks deleted by :meth:`append`.

        Searches then skip them, and reading them raises :class:`ChunkDeletedError`; their text stays in the file until
        it is compacted, or erased (:func:`memvid.maintenance.erase`).

        :returns: the number of chunks, each counted once.
        :raises ChunkNotFoundError: there is no chunk of that id, or it was deleted before.
        """
        self._open_spool()
        wanted = self._check_there(chunk_ids, "deleted")
        self._deletions.ids |= ChunkIds.of(wanted)
        return len(wanted)

    def delete_where(self, where: Where) -> int:
        """Have all chunks of the memory deleted whose metadata passes a filter (docs/filters.md).

        Which chunks those are is decided by :meth:`append`; chunks added here are not among them.

        :returns: how many there are at the moment; of a field that no chunk has, none.
        :raises QueryError: the filter is not one.
        """
        self._open_spool()
        parsed = parse_filter(where)
        with self._index() as index:
            count = len(index.ids_where(parsed))
        self._deletions.filters.append(parsed)
        return count

    def near_misses(self, where: Where) -> dict[str, list[str]]:
        """For each metadata field of a filter that no chunk of the memory has, up to three similar ones there are.

        :raises QueryError: the filter is not one.
        """
        with self._index() as index:
            return index.near_misses(where)

    def why_none(self, where: Where) -> str:
        """Why a filter passes no chunk: which fields or values no chunk has, in words; ``""`` where that is not it."""
        with self._index() as index:
            return index.why_none(where)

    def upsert(
        self,
        chunks: Iterable[str],
        *,
        key: str,
        metadatas: Iterable[JsonObject],
        embeddings: ArrayLike | None = None,
    ) -> int:
        """Add chunks in place of all that have the same value at ``key`` itself in their metadata, not in a list there.

        A document that was split into several chunks is replaced by all chunks of it in one call: chunks of one call do
        not take each other's place. New chunks get new ids.

        :param key: a field that each of ``metadatas`` has, with a string, number, boolean or ``None``.
        :returns: the number of chunks added.
        :raises MetadataError: a chunk lacks the field, or has a list or an object there. Else as :meth:`add_chunks`.
        """
        given = list(metadatas)
        values = [_key_value(metadata, key, number) for number, metadata in enumerate(given)]
        before = len(self._open_spool())
        count = self.add_chunks(chunks, metadatas=given, embeddings=embeddings)
        if count:
            self._deletions.add_upsert(key, values, before)
        return count

    def replace(
        self,
        chunk_ids: Iterable[int],
        chunks: Iterable[str],
        *,
        metadatas: Iterable[JsonObject | None] | None = None,
        embeddings: ArrayLike | None = None,
    ) -> int:
        """Delete some chunks and add others in their place, which get new ids; the numbers may differ.

        :returns: the number of chunks added.
        :raises ChunkNotFoundError: as :meth:`delete`. Otherwise as :meth:`add_chunks`.
        """
        before = self._deletions.ids
        self.delete(chunk_ids)
        try:
            return self.add_chunks(chunks, metadatas=metadatas, embeddings=embeddings)
        except BaseException:
            self._deletions.ids = before
            raise

    @interruptible
    def append(
        self,
        *,
        progress: ProgressCallback | None = None,
        checkpoint: StrPath | None = None,
        date: DateLike | None = None,
        message: str | None = None,
    ) -> AppendResult:
        """Make all additions, deletions and changes of metadata at once.

        On return they are on the disk; when it raises, none was made.

        The new frames are written behind the old ones and read back, the index gets one more segment: what is there is
        not embedded, packed or written again. Readers that are open keep seeing the memory as it was. Afterwards this
        encoder is empty, and may collect more.

        Costs what is added, and now and then the merging of small segments of the index: over many appends, a chunk is
        added to the index once for each time they double what was appended.

        :param progress: called from this thread with a :class:`Progress`, a few times a second.
        :param checkpoint: keeps embeddings until the append has succeeded, as in :meth:`MemvidEncoder.build_video`.
        :param date: when this is done, a date or a string in ISO 8601, for the memory's log: the clock is not asked.
        :param message: what is to be said of it in the log.
        :raises ConfigError: ``date`` is none, or ``message`` is no text or a long one.
        :raises EmptyMemoryError: there is nothing to do.
        :raises OutputError: someone else is writing this memory, the disk is full, ...
        :raises VideoError: the video cannot be read, or not be appended to.
        :raises IndexFileError: the index is missing, damaged, or belongs to another video.
        :raises ModelMismatchError: the index was made with another embedder.
        :raises ChunkNotFoundError: a chunk whose metadata was to be changed is not there any more, or there is none of
            that filter.
        :raises MetadataError: the metadata of a chunk cannot be used, and fields of it were to be changed.
        """
        spool = self._open_spool()
        self._asked = len(spool)
        if not len(spool) and not self._deletions and not self._changes:
            raise EmptyMemoryError(
                "there is nothing to append: add chunks with add_chunks() or add_text(), delete some, or change the "
                "metadata of some, first"
            )
        video_file, index_file = self._files()
        result = Appender(
            spool,
            self._deletions,
            self._changes,
            self._embedder,
            video_file,
            index_file,
            threads=self.config.threads,
            progress=progress,
            checkpoint=None if checkpoint is None else Path(checkpoint),
            date=check_date(date),
            message=check_words("message", message),
        ).run()
        self.clear()
        self._known = None  # not read here: nothing may fail any more, since the append has been made
        return result

    def clear(self) -> None:
        """Forget all additions, deletions and changes that were not made yet."""
        super().clear()
        self._deletions = Deletions()
        self._changes = MetadataChanges()

    def _check_there(self, chunk_ids: Iterable[int], what: str) -> NDArray[np.int64]:
        """``int64[n]``, ascending: the ids, each once.

        :raises ChunkNotFoundError: there is no such chunk.
        """
        wanted = np.unique(np.array(check_chunk_ids(chunk_ids), np.int64))
        missing = wanted[~self._chunk_ids().contains(wanted)]
        if len(missing):
            self._known = None  # others may have added it since
            missing = wanted[~self._chunk_ids().contains(wanted)]
        if len(missing):
            raise ChunkNotFoundError(
                f"there is no chunk {int(missing[0])} in {self._video_file}, or it was deleted already: "
                f"{len(missing)} of {len(wanted)} ids cannot be {what}"
            )
        return wanted

    def _chunk_ids(self) -> ChunkIds:
        """Ids of the memory's chunks when they were last looked at."""
        if self._known is None:
            with self._index() as index:
                self._known = index.chunk_ids
        return self._known

    def _look(self, embedder: EmbedderLike | None) -> tuple[EncoderConfig, Embedder, ChunkIds | None]:
        """What the memory was made with, the embedder for what is added to it, and the ids of its chunks."""
        recover(self._index_file, video_file=self._video_file)
        video = VideoReader(self._video_file)
        try:
            if video.codec != "png":
                raise UnsupportedVideoError(
                    f"{self._video_file} is encoded as {video.codec}, and only memvid's own format can grow: "
                    f"`memvid export {self._video_file} --codec png -o NEW.mp4`, then open that"
                )
            if not video.in_place:
                raise UnsupportedVideoError(
                    f"frames of {self._video_file} were lost or moved, and only parity tells where its pages are: "
                    f"`memvid repair {self._video_file} -o NEW.mp4`, then open that"
                )
            made_with = frame_config(PageStore(video, cache_bytes=0).header, fps=video.fps)
            with IndexManager.open(self._index_file, video=video.identity, video_file=self._video_file) as index:
                if embedder is None:
                    chosen = _embedder_of(index.model)
                else:
                    chosen = resolve_embedder(embedder)
                    index.check_model(model_info(chosen))
                return made_with, chosen, index.chunk_ids
        finally:
            video.close()

    def _index(self) -> IndexManager:
        """The memory's index as it is now."""
        video_file, index_file = self._files()
        index = open_settled(index_file, video_file, lambda: IndexManager.open(index_file, video_file=video_file))
        index.read_metadata_by(self._metadata_of)
        return index

    def _metadata_of(self, ids: NDArray[np.int64]) -> list[JsonObject]:
        """The metadata of chunks, out of the video as it is now."""
        video = VideoReader(self._files()[0])
        try:
            return PageStore(video, cache_bytes=0).metadata_of(ids)
        finally:
            video.close()

    def _files(self) -> tuple[Path, Path]:
        """Video and index: those that were opened, also where the working directory is another one by now."""
        moved = (self._video_file.absolute(), self._index_file.absolute()) != self._places
        return self._places if moved else (self._video_file, self._index_file)

    def __repr__(self) -> str:
        if self._spool is None:
            return f"MemvidAppender({str(self._video_file)!r}, closed)"
        return f"MemvidAppender({str(self._video_file)!r}, {len(self._spool)} chunks to add)"


def _embedder_of(model: ModelInfo) -> Embedder:
    """The embedder of an index's model; one that only says what is missing, if it is not at hand."""
    try:
        return embedder_of(model)
    except ModelMismatchError:  # deletions need none, and neither do chunks that come with their embeddings
        return AbsentEmbedder(model)


def _settings(config: EncoderConfig | Mapping[str, Any] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a memory leaves open.

    :raises ConfigError: an option is unknown, or is the memory's own.
    """
    if isinstance(config, EncoderConfig):
        config = {name: getattr(config, name) for name in _SETTINGS}
    given = {**(config or {}), **options}
    make_config(EncoderConfig, None, given)
    for name, value in given.items():
        if name not in _SETTINGS:
            raise ConfigError(
                f"{name}={value!r}: a memory keeps what it was built with; only {', '.join(_SETTINGS)} can be chosen"
            )
    return given


def _key_value(metadata: object, key: str, number: int) -> Any:
    if not isinstance(metadata, Mapping) or key not in metadata:
        near = difflib.get_close_matches(key, metadata, n=1) if isinstance(metadata, Mapping) else []
        remedy = f"did you mean {near[0]!r}?" if near else "give each one"
        raise MetadataError(f"metadata {number} has no {key!r}, by which chunks are to be replaced: {remedy}")
    value = metadata[key]
    if value_of(value) is None:
        raise MetadataError(f"metadata {number} has {key}={value!r:.80}: expected a string, number, boolean or None")
    return value
