"""Text into a video of QR codes and an index: the public encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from memvid.building.build import About, Builder
from memvid.building.chunk_collector import ChunkCollector, EncoderStats
from memvid.building.outputs import check_outputs, check_video_output, new_folders
from memvid.checks import check_date, check_words
from memvid.config import EncoderConfig, make_config
from memvid.embedding import EmbedderLike, check_profile, resolve_embedder
from memvid.interrupts import interruptible
from memvid.types import BuildResult, DateLike, ProgressCallback, StrPath

if TYPE_CHECKING:
    from memvid.appender import MemvidAppender

__all__ = ["EncoderStats", "MemvidEncoder"]


class MemvidEncoder(ChunkCollector):
    """Collects chunks, then builds a video and an index of them.

    ``add_chunks``, ``add_text``, ``add_jsonl``, ``clear``, ``stats`` and ``close`` are in
    :mod:`memvid.building.chunk_collector`, which :class:`MemvidAppender` shares.

    Chunks wait on disk, in the system's temporary folder, so memory does not grow with their number. Not safe to share
    between threads.

    :param config: an :class:`EncoderConfig`, a dict of its options, or ``None`` for the defaults.
    :param embedder: what makes embeddings: an :class:`Embedder`, a function from texts to vectors, or ``None`` for the
        MiniLM model that comes with memvid.
    :param options: single options of :class:`EncoderConfig`, on top of ``config``.
    :raises ConfigError: an option is unknown or out of range, or ``embedder`` is nothing that embeds, or runs elsewhere
        and ``profile="tiny"`` needs one that runs here.
    :raises EmbeddingError: ``embedder`` is a function and does not give one vector for one text.

    >>> with MemvidEncoder() as encoder:  # doctest: +SKIP
    ...     encoder.add_chunks(["one chunk", "another"])
    ...     encoder.build_video("memory.mp4")
    """

    def __init__(
        self,
        config: EncoderConfig | Mapping[str, Any] | None = None,
        *,
        embedder: EmbedderLike | None = None,
        **options: Any,
    ) -> None:
        chosen = make_config(EncoderConfig, config, options, beside=("embedder",))
        resolved = resolve_embedder(embedder)
        check_profile(resolved, chosen.profile)
        super().__init__(chosen, resolved)

    @staticmethod
    def open(
        video_file: StrPath,
        index_file: StrPath | None = None,
        *,
        embedder: EmbedderLike | None = None,
        config: EncoderConfig | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> MemvidAppender:
        """An encoder that adds to a memory that exists, and deletes from it.

        :param video_file: the video, in memvid's own format (``codec="png"``).
        :param index_file: the index's manifest; ``None`` takes the one inside the video, or ``<stem>_index.json``
            beside it.
        :param embedder: what made the embeddings; ``None`` takes the model that the index names, if it needs nothing
            but memvid.
        :param config: ``chunk_size``, ``overlap`` and ``threads`` count; all else is the memory's own.
        :param options: the same, one by one.
        :raises VideoNotFoundError: there is no such video; likewise :class:`IndexNotFoundError`.
        :raises UnsupportedVideoError: the video is in another codec.
        :raises IndexMismatchError: the index belongs to another video.
        :raises ModelMismatchError: the index was made with another embedder. Where the model is not at hand and none is
            given, it is raised when the first embedding is to be made.
        :raises ConfigError: an option cannot be chosen any more.

        >>> with MemvidEncoder.open("memory.mp4") as memory:  # doctest: +SKIP
        ...     memory.add_chunks(["one more"])
        ...     memory.append()
        """
        from memvid.appender import MemvidAppender

        return MemvidAppender(video_file, index_file, embedder=embedder, config=config, **options)

    @interruptible
    def build_video(
        self,
        output_file: StrPath,
        index_file: StrPath | Literal[False] | None = None,
        *,
        progress: ProgressCallback | None = None,
        checkpoint: StrPath | None = None,
        date: DateLike | None = None,
        message: str | None = None,
    ) -> BuildResult:
        """Write a memory: one file, the video with its index inside; or the two apart.

        Either all of it appears, complete and read back, or nothing does. Without a chunk it is an empty memory, to be
        added to with :meth:`open`.

        Files of these names are replaced at the end, in one step. The encoder keeps its chunks: building again gives
        the same bytes. Names, folders and options are checked before anything else is done; a folder is made where only
        the last one of a path is missing.

        :param output_file: the video: ``.mp4``, ``.m4v`` or ``.mov``, for other codecs also ``.mkv``, ``.webm`` or
            ``.avi``; or a name without a suffix.
        :param index_file: ``None`` puts the index inside the video, or, with a codec that has no room for it, beside
            the video as ``<stem>_index.json``. A path puts it there: its manifest, ``.json`` or a name without a
            suffix, and its other files beside that. ``False`` makes the video alone, without embedding anything: it
            opens when :func:`memvid.maintenance.reindex` has made an index.
        :param progress: called from this thread with a :class:`Progress`, a few times a second.
        :param checkpoint: a file that keeps the embeddings this build makes (never text), batch by batch, until the
            build has succeeded; then it is removed. If it is there already, from a build that was cut off, each text
            that is in it is not embedded again, whatever else changed. A killed process loses a batch, 128 texts; a
            machine that loses its power 10 seconds more. With the same chunks the result has the bytes of a build that
            was never interrupted, provided that the same batch of texts always gets the same vectors; if chunks
            changed, provided that a text's vector does not depend on the texts embedded with it (true of
            :class:`MiniLMEmbedder`, not of every function). 4 bytes a dimension and 24 a chunk on the disk.
        :param date: when this is done, a date or a string in ISO 8601, for the memory's log: the clock is not asked.
        :param message: what is to be said of it in the log.
        :raises ModelMismatchError: ``checkpoint`` has embeddings of another model.
        :raises ChunkTooLargeError: a bare chunk does not fit its code.
        :raises EmbeddingError: the embedder failed, or disagrees with embeddings that were given.
        :raises OutputError: a name is that of something else, a folder is missing or read-only, the disk is full, ...
        :raises ConfigError: the container that the video's name asks for does not take the codec, this machine cannot
            write it, or a page does not fit ``symbol_version``.
        :raises DependencyError: the codec or the parity needs a package that is not installed.
        """
        spool = self._open_spool()
        self._asked = len(spool)
        about = About(check_date(date), check_words("message", message))
        kept = None if checkpoint is None else Path(checkpoint)
        if index_file is False:
            video = check_video_output(output_file, codec=self.config.codec)
            with new_folders(video):
                return Builder(spool, self.config, self._embedder, video, None, progress, about=about).run()
        video, index = check_outputs(output_file, index_file, codec=self.config.codec)
        with new_folders(video, index):
            return Builder(spool, self.config, self._embedder, video, index, progress, kept, about=about).run()

    def __repr__(self) -> str:
        return "MemvidEncoder(closed)" if self._spool is None else f"MemvidEncoder({len(self._spool)} chunks)"
