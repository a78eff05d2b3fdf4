"""Options, validated when they are made. What must agree between build and read is read from the file instead."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict, TypeVar, get_args

from memvid.checks import is_int, is_line, is_number
from memvid.errors import ConfigError, QueryError
from memvid.query import Filter, parse_filter
from memvid.types import Rerank, Where

__all__ = [
    "ChatConfig",
    "Codec",
    "EncoderConfig",
    "Mode",
    "Profile",
    "RetrieverConfig",
    "SearchDefaults",
    "SearchKeywords",
    "SearchOptions",
    "make_config",
    "possible_fps",
    "search_options",
    "with_profile",
]

Codec = Literal["png", "ffv1", "mp4v", "vp09", "h264", "vp9", "av1"]
Compression = Literal["zstd", "none"]
ErrorCorrection = Literal["L", "M", "Q", "H"]
Profile = Literal["fast", "small", "tiny"]
VectorDtype = Literal["i8", "f16", "f32"]
FollowUp = Literal["auto", "model", "terms", "none"]
Mode = Literal["hybrid", "semantic", "keyword"]

_Config = TypeVar("_Config", "ChatConfig", "EncoderConfig", "RetrieverConfig", "SearchOptions")

MIB = 1 << 20
QUESTION_BYTES = 128 * MIB
MAX_DICTIONARY_BYTES = 16 * MIB
_CRF = {"h264": 51, "vp9": 63, "av1": 63}  # the worst there is
_MAX_FPS = 240
_LONGEST_TITLE = 80


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise ConfigError(f"{name}={value!r} is not possible: expected {expected}")


def _check_int(name: str, value: object, low: int, high: int) -> None:
    _require(is_int(value, low, high), name, value, f"a whole number from {low} to {high}")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    _require(is_number(value, low, high), name, value, f"a number from {low:g} to {high:g}")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        near = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else []
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{name}={value!r} is not possible: expected one of {', '.join(map(repr, choices))}{hint}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """How a memory is built.

    :ivar chunk_size: characters a chunk of :meth:`MemvidEncoder.add_text` aims at (at least 16).
    :ivar overlap: characters of the previous chunk repeated at the start of the next, in whole sentences.
    :ivar codec: ``"png"``: 1-bit PNG frames in MP4, one pixel a module. Others are larger and slower and play
        everywhere or survive re-encoding (docs/codecs.md): ``"h264"``, ``"av1"``, ``"vp9"`` (by PyAV), ``"ffv1"``,
        ``"mp4v"``, ``"vp09"`` (by OpenCV).
    :ivar crf: quality of ``"h264"``, ``"av1"`` and ``"vp9"``, lower is better; ``None`` takes the codec's default.
    :ivar pixels_per_module: 1 to 16, not with ``"png"``; ``None`` takes 4, and 1 for ``"ffv1"``, which loses nothing.
    :ivar fps: frames a second when the video is played.
    :ivar symbol_version: QR symbol version, 1 to 40: 4 * version + 17 modules a side, one version a video.
    :ivar error_correction: QR error correction level, ``"L"`` (7 %) to ``"H"`` (30 %).
    :ivar data_mask: QR data mask, 0 to 7; ``None`` tries all eight, which takes forty times as long:
        2 ms a code of version 40.
    :ivar compression: ``"zstd"``, or ``"none"`` for bytes as they are.
    :ivar compression_level: zstd level, 1 to 22.
    :ivar dictionary: bytes of the zstd dictionary trained on the corpus; ``None`` sizes it to the corpus, 0 is without.
    :ivar chunks_per_frame: at most so many chunks a frame; ``None`` packs as many as fit. With 1 and
        ``compression="none"`` each code holds the bare UTF-8 text, for phones and paper.
    :ivar parity: parity frames for each frame, 0 (none) to 1: that share of a group's frames may be lost and is
        rebuilt. Costs its rate in bytes; needs ``pip install "memvid[parity]"``.
    :ivar title: the memory's name, for its cover and its header page.
    :ivar cover: whether the first picture is a cover that a person can read, where frames have room for one.
    :ivar profile: what the index is made for (docs/profiles.md): ``"fast"``; ``"small"``, with codes of 4 bits a
        dimension in place of vectors and about half the bytes; or ``"tiny"``, with codes of 1 bit and no graph, a tenth
        of the bytes: the best candidates of a search are embedded again, which takes an embedder that runs here.
    :ivar vector_dtype: how the index keeps vectors: ``"i8"``, ``"f16"`` or ``"f32"``; only with ``profile="fast"``.
    :ivar connectivity: HNSW neighbours a node (M); at most 127 with ``profile="small"``.
    :ivar expansion_add: HNSW candidates while building (efConstruction).
    :ivar expansion_search: HNSW candidates while searching (ef), written into the index as its default.
    :ivar keywords: also keep a contentless keyword index.
    :ivar threads: worker threads; ``None`` uses the cores this process may run on.
    """

    chunk_size: int = 500
    overlap: int = 0
    codec: Codec = "png"
    crf: int | None = None
    pixels_per_module: int | None = None
    fps: int = 30
    symbol_version: int = 40
    error_correction: ErrorCorrection = "L"
    data_mask: int | None = 0
    compression: Compression = "zstd"
    compression_level: int = 12
    dictionary: int | None = None
    chunks_per_frame: int | None = None
    parity: float = 0
    title: str | None = None
    cover: bool = True
    profile: Profile = "fast"
    vector_dtype: VectorDtype = "i8"
    connectivity: int = 16
    expansion_add: int = 128
    expansion_search: int = 96
    keywords: bool = True
    threads: int | None = None

    def __post_init__(self) -> None:
        _check_int("chunk_size", self.chunk_size, 16, MIB)
        _check_int("overlap", self.overlap, 0, MIB)
        _require(
            self.overlap * 2 <= self.chunk_size,
            "overlap",
            self.overlap,
            f"at most half of chunk_size={self.chunk_size}",
        )
        _check_choice("codec", self.codec, get_args(Codec))
        if self.crf is not None:
            _require(self.codec in _CRF, "crf", self.crf, f"none with codec={self.codec!r}")
            _check_int("crf", self.crf, 0, _CRF[self.codec])
        if self.pixels_per_module is not None:
            _require(
                self.codec != "png",
                "pixels_per_module",
                self.pixels_per_module,
                "none with codec='png'",
            )
            _check_int("pixels_per_module", self.pixels_per_module, 1, 16)
        _check_int("fps", self.fps, 1, _MAX_FPS)
        _check_int("symbol_version", self.symbol_version, 1, 40)
        _check_choice("error_correction", self.error_correction, ("L", "M", "Q", "H"))
        if self.data_mask is not None:
            _check_int("data_mask", self.data_mask, 0, 7)
        _check_choice("compression", self.compression, ("zstd", "none"))
        _check_int("compression_level", self.compression_level, 1, 22)
        if self.dictionary is not None:
            possible = is_int(self.dictionary, 1024, MAX_DICTIONARY_BYTES) or is_int(self.dictionary, 0, 0)
            _require(
                possible, "dictionary", self.dictionary, f"0, or a whole number from 1024 to {MAX_DICTIONARY_BYTES}"
            )
        if self.chunks_per_frame is not None:
            _check_int("chunks_per_frame", self.chunks_per_frame, 1, 65535)
        _check_number("parity", self.parity, 0, 1)
        _check_choice("profile", self.profile, get_args(Profile))
        _check_choice("vector_dtype", self.vector_dtype, get_args(VectorDtype))
        possible = self.profile == "fast" or self.vector_dtype == "i8"
        _require(possible, "vector_dtype", self.vector_dtype, f"none with profile={self.profile!r}, which has codes")
        _check_int("connectivity", self.connectivity, 2, 127 if self.profile == "small" else 256)
        _check_int("expansion_add", self.expansion_add, 8, 4096)
        _check_int("expansion_search", self.expansion_search, 8, 65536)
        if self.title is not None:
            possible = isinstance(self.title, str) and is_line(self.title) and bool(self.title.strip())
            _require(
                possible and len(self.title) <= _LONGEST_TITLE,
                "title",
                self.title,
                f"one line of at most {_LONGEST_TITLE} characters, none of them a control character",
            )
        _require(isinstance(self.cover, bool), "cover", self.cover, "True or False")
        _require(isinstance(self.keywords, bool), "keywords", self.keywords, "True or False")
        if self.threads is not None:
            _check_int("threads", self.threads, 1, 1024)

    @property
    def bare(self) -> bool:
        """Whether each code holds one chunk's text and nothing else."""
        return self.compression == "none" and self.chunks_per_frame == 1


def with_profile(config: EncoderConfig, profile: Profile) -> EncoderConfig:
    """The same options with another profile, and the vectors that this takes."""
    dtype = config.vector_dtype if profile == config.profile else "i8"
    return replace(config, profile=profile, vector_dtype=dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchDefaults:
    """How answers are found and ordered, unless a search says otherwise (docs/search.md).

    :ivar mode: what goes into the order: ``"semantic"``, the meaning; ``"keyword"``, the words; ``"hybrid"``, both.
    :ivar min_score: leave out answers whose cosine is below; ``None`` leaves out none.
    :ivar diversity: 0 takes the most relevant, 1 those that are least like each other (1 - lambda of MMR).
    :ivar rerank: what orders the best candidates again: a function from a query and texts to a score for each; the
        folder of a cross-encoder exported to ONNX; ``"pieces"``, the best piece of each of the ten best; or ``None``.
    :ivar distinct: chunks of one text take one place; the others are its ``duplicates``.
    """

    mode: Mode = "hybrid"
    min_score: float | None = None
    diversity: float = 0
    rerank: Rerank | None = None
    distinct: bool = True

    def __post_init__(self) -> None:
        _check_choice("mode", self.mode, get_args(Mode))
        if self.min_score is not None:
            _require(self.mode != "keyword", "min_score", self.min_score, "none with mode='keyword': it is a cosine")
            _check_number("min_score", self.min_score, -1, 1)
        _check_number("diversity", self.diversity, 0, 1)
        self._check_rerank()
        _require(isinstance(self.distinct, bool), "distinct", self.distinct, "True or False")

    def _check_rerank(self) -> None:
        if self.rerank is None or callable(self.rerank):
            return
        if self.rerank == "pieces":
            _require(self.mode != "keyword", "rerank", self.rerank, "none with mode='keyword': it compares meanings")
        elif not isinstance(self.rerank, (str, os.PathLike)) or not os.path.isdir(self.rerank):  # noqa: PTH112
            near = difflib.get_close_matches(str(self.rerank), ["pieces"], n=1)
            hint = "did you mean 'pieces'?" if near else "expected 'pieces', a model's folder, or a function"
            raise ConfigError(f"rerank={self.rerank!r} is not possible: {hint}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions(SearchDefaults):
    """What a search may say.

    :ivar where: only chunks whose metadata passes this filter (docs/filters.md); parsed when the options are made.
    :ivar explain: say of each answer why it is where it is.
    """

    where: Where | Filter | None = None
    explain: bool = False

    def __post_init__(self) -> None:
        SearchDefaults.__post_init__(self)
        if self.where is not None:
            object.__setattr__(self, "where", parse_filter(self.where))
        _require(isinstance(self.explain, bool), "explain", self.explain, "True or False")


class SearchKeywords(TypedDict, total=False):
    """The same as keyword arguments, for type checkers."""

    mode: Mode
    where: Where | Filter | None
    min_score: float | None
    diversity: float
    rerank: Rerank | None
    distinct: bool
    explain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieverConfig(SearchDefaults):
    """How a memory is read: how answers are found, and what reading costs and may cost.

    :ivar question_bytes: memory that the answer to one call takes at most, its texts and its metadata each; the pages
        that have to be unpacked for it may take eight times as much, a few at a time. Answers that several
        threads read at once take no more together: large ones wait for each other. Few kilobytes of a file can hold
        gigabytes of text.
    :ivar page_cache_bytes: decoded pages kept in memory, least recently used dropped first; 0 keeps none.
    :ivar query_cache_size: query embeddings kept; 0 keeps none.
    :ivar expansion_search: HNSW candidates (ef); ``None`` takes the index's own.
    :ivar threads: worker threads for a batch of frames or of queries; ``None`` uses the cores this process may run on.
    """

    question_bytes: int = QUESTION_BYTES
    page_cache_bytes: int = 64 * MIB
    query_cache_size: int = 1024
    expansion_search: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        SearchDefaults.__post_init__(self)
        _check_int("question_bytes", self.question_bytes, 1, 1 << 50)
        _check_int("page_cache_bytes", self.page_cache_bytes, 0, 1 << 50)
        _check_int("query_cache_size", self.query_cache_size, 0, 1 << 30)
        if self.expansion_search is not None:
            _check_int("expansion_search", self.expansion_search, 8, 65536)
        if self.threads is not None:
            _check_int("threads", self.threads, 1, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatConfig:
    """How a conversation chooses what it sends to the model.

    :ivar context_window: tokens that a request and its answer have together; ``None`` takes the backend's own.
    :ivar answer_tokens: tokens kept for the answer, reasoning included; ``None`` takes a quarter of the window, at most
        4096.
    :ivar context_tokens: tokens that passages have at most.
    :ivar top_k: candidates that are searched for, copies of one text counted once.
    :ivar mode: how they are searched for; ``None`` leaves that to the retriever, which goes by meaning and by words.
    :ivar rerank: what orders them again; ``None`` leaves that to the retriever.
    :ivar max_passages: chunks chosen from them, before neighbours are joined.
    :ivar min_score: candidates whose cosine and whose relevance are below this are left out.
    :ivar diversity: 0 takes the nearest candidates, 1 those that repeat each other least (1 - lambda of MMR).
    :ivar neighbours: for so many of the best chunks, those beside them are added where they continue.
    :ivar follow_up: how a later question is made self-contained for the search: ``"model"`` asks the model, ``"terms"``
        adds words of the question before, ``"none"`` leaves it; ``"auto"`` is the model, terms where there is none.
    :ivar summarise: old turns that no longer fit are summarised by the model; else they are left out.
    :ivar turn_bytes: memory that what is found for one question takes at most, and what lies beside that: the
        ``question_bytes`` of a retriever that the chat opens itself.
    :ivar answer_seconds: how long the model is waited for, from a question to the end of its answer: all requests that
        the question needs, and all tries.
    :ivar answer_bytes: bytes of the largest reply that is taken from a server, unpacked.
    :ivar answer_pace: UTF-8 bytes that a streamed answer brings at least for each second that its parts take; pauses
        and thoughts count in its favour (docs/chat.md). 0 asks for none.
    """

    context_window: int | None = None
    answer_tokens: int | None = None
    context_tokens: int = 4096
    top_k: int = 24
    mode: Mode | None = None
    rerank: Rerank | None = None
    max_passages: int = 8
    min_score: float = 0.1
    diversity: float = 0.3
    neighbours: int = 3
    follow_up: FollowUp = "auto"
    summarise: bool = True
    turn_bytes: int = QUESTION_BYTES
    answer_seconds: float = 600
    answer_bytes: int = 16 * MIB
    answer_pace: float = 3

    def __post_init__(self) -> None:
        if self.context_window is not None:
            _check_int("context_window", self.context_window, 64, 1 << 30)
        if self.answer_tokens is not None:
            _check_int("answer_tokens", self.answer_tokens, 1, 1 << 30)
        if self.context_window is not None and self.answer_tokens is not None:
            _require(
                self.answer_tokens < self.context_window,
                "answer_tokens",
                self.answer_tokens,
                f"less than context_window={self.context_window}",
            )
        _check_int("context_tokens", self.context_tokens, 0, 1 << 30)
        _check_int("top_k", self.top_k, 1, 1000)
        SearchDefaults(mode=self.mode or "hybrid", rerank=self.rerank)
        _check_int("max_passages", self.max_passages, 1, 999)
        _check_number("min_score", self.min_score, -1, 1)
        _check_number("diversity", self.diversity, 0, 1)
        _check_int("neighbours", self.neighbours, 0, 1000)
        _check_choice("follow_up", self.follow_up, get_args(FollowUp))
        _require(isinstance(self.summarise, bool), "summarise", self.summarise, "True or False")
        _check_int("turn_bytes", self.turn_bytes, 1, 1 << 50)
        _check_number("answer_seconds", self.answer_seconds, 0.1, 1e6)
        _check_int("answer_bytes", self.answer_bytes, 64 * 1024, 1 << 40)
        _check_number("answer_pace", self.answer_pace, 0, 1e6)


def possible_fps(fps: float) -> int:
    """The frames a second nearest to those of some video that a video of ours can have: others make them faster."""
    return min(max(round(fps), 1), _MAX_FPS)


def search_options(defaults: SearchDefaults, given: Mapping[str, Any]) -> SearchOptions:
    """The options of one search: those that were given, and the defaults of the retriever.

    :raises QueryError: one is unknown (the nearest known one is named), or cannot be.
    """
    values = {field.name: getattr(defaults, field.name) for field in fields(SearchDefaults)}
    if given.get("mode") == "keyword" and "min_score" not in given:
        values["min_score"] = None  # the default is for searches that make cosines
    try:
        return make_config(SearchOptions, values, dict(given), beside=("top_k",))
    except ConfigError as error:
        raise QueryError(str(error)) from None


def make_config(
    cls: type[_Config], config: object, overrides: dict[str, Any], *, beside: Collection[str] = ()
) -> _Config:
    """Make options of ``cls`` from an instance, a mapping or ``None``, with ``overrides`` on top.

    :param beside: what else the caller takes, and the user may have meant.
    :raises ConfigError: for another type, an unknown name (the nearest known one is named) or a bad value.
    """
    known: list[str] = [field.name for field in fields(cls)]
    if config is None:
        base, values = None, dict(overrides)
    elif isinstance(config, cls):
        base, values = config, dict(overrides)
    elif isinstance(config, Mapping):
        base, values = None, {**config, **overrides}
    else:
        raise ConfigError(f"config is a {type(config).__name__}: expected {cls.__name__}, a dict or None")
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), [*known, *beside], n=1)
            hint = f"did you mean {near[0]!r}?" if near else "options are " + ", ".join([*known, *beside])
            raise ConfigError(f"unknown option {name!r}: {hint}")
    return replace(base, **values) if base is not None else cls(**values)
