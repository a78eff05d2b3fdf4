"""``memory_index.json``: what an index is, and which files belong to it.

Indented, sorted JSON for people, without a clock, with a SHA-256 over its own content, so that any change is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from memvid.checks import ID_LIMIT, is_int
from memvid.config import EncoderConfig, Profile
from memvid.errors import IndexFormatError, IndexNotFoundError
from memvid.page import ChunkIds, describe_chunks
from memvid.remedies import IMPORT_REMEDY
from memvid.storage.files import open_regular
from memvid.storage.inner_index import BORDER, InnerManifest, find_manifest
from memvid.storage.journal import is_plain_name
from memvid.storage.lfs_pointer import LFS_REMEDY, is_lfs_pointer
from memvid.types import ChunkRanges, ModelInfo, VideoIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = [
    "MEND",
    "VERSION",
    "Manifest",
    "Segment",
    "SideFile",
    "VectorInfo",
    "dtype_of",
    "new_records_name",
    "number_of",
    "numbered_files",
    "own_name",
    "read_manifest",
    "side_file_name",
]

VERSION = 6
"""The newest version this release reads: that of an index whose vectors are codes. Others are version 5. Up to version
4 records are SQLite files, and nothing is inside a video."""

MEND = "rebuild it from the video with `memvid reindex VIDEO`"

_FORMAT = "memvid index"
_SIZE_LIMIT = 1 << 20  # a real one has about a kilobyte
_SUFFIXES = {"vectors": ".usearch", "records": ".records", "deleted": ".deleted", "metadata": ".metadata"}
_OLD_RECORDS = ".sqlite"
_OTHER_SUFFIXES = {"records": _OLD_RECORDS, "vectors": ".codes"}
_NO_SQLITE = 5  # the first version with other records
_CODES = {"small": "code4", "tiny": "code1"}  # dtypes of vectors, by profile
_ROLES = ("vectors", "records")
_DIGEST = re.compile("[0-9a-f]{64}")


Inside: TypeAlias = tuple[int, bytes]
"""Where in a video the manifest begins that is inside it, and its bytes."""


@dataclass(frozen=True, slots=True)
class SideFile:
    """A file beside the manifest, or a part of the video that both lie in.

    :ivar name: without a folder; of a part, nothing.
    :ivar bytes: its size.
    :ivar digest: in hexadecimal, as :mod:`memvid.index.digests` makes it.
    :ivar at: the byte of the video at which a part begins; ``None`` for a file.
    :ivar inside: where in that video the manifest begins, and its bytes.
    """

    name: str
    bytes: int
    digest: str
    at: int | None = None
    inside: Inside | None = field(default=None, repr=False, compare=False)

    def file_of(self, index_file: Path) -> Path:
        """The file that has it, by that of the manifest."""
        return index_file.with_name(self.name) if self.at is None else index_file


@dataclass(frozen=True, slots=True)
class VectorInfo:
    """How the vectors are kept; see :class:`~memvid.config.EncoderConfig` for the terms. The metric is cosine.

    ``count`` is that of all segments; those of chunks that were deleted are among them. ``copies`` of them are equal to
    an earlier one of their segment, and are stored once with that.
    """

    dtype: str
    dim: int
    count: int
    connectivity: int
    expansion_add: int
    expansion_search: int
    copies: int = 0

    @property
    def nodes(self) -> int:
        """Vectors that are stored."""
        return self.count - self.copies

    @property
    def profile(self) -> Profile:
        """What of speed, size and precision they are kept for (docs/profiles.md)."""
        found = (profile for profile, dtype in _CODES.items() if dtype == self.dtype)
        return next(found, "fast")  # type: ignore[arg-type]  # those are its profiles


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an index that is searched by itself: the build's, and one for what was appended later.

    :ivar count: vectors in it.
    :ivar files: its side files, ``"vectors"`` and ``"records"``.
    :ivar copies: vectors that are equal to an earlier one of them.
    :ivar is_old: whether the records are a SQLite file, as up to version 4.
    """

    count: int
    files: Mapping[str, SideFile]
    copies: int = 0
    is_old: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of an index's manifest.

    :ivar video: the video this index belongs to.
    :ivar model: the embedding model of the vectors.
    :ivar vectors: how they are kept.
    :ivar keywords: whether there is a keyword index.
    :ivar segments: chunk ids rise from each to the next; none, as long as the memory is empty.
    :ivar deleted: the list of deleted chunks, if there are any.
    :ivar missing: chunks that the video had lost when the index was made, as far as anything still said so.
    :ivar changed: metadata that was changed after its segment was written, if there is any.
    """

    video: VideoIdentity
    model: ModelInfo
    vectors: VectorInfo
    keywords: bool
    segments: tuple[Segment, ...]
    deleted: SideFile | None = None
    missing: ChunkRanges = ()
    changed: SideFile | None = None

    @property
    def options(self) -> EncoderConfig:
        """The options the index was made with."""
        vectors = self.vectors
        return EncoderConfig(
            profile=vectors.profile,
            vector_dtype=vectors.dtype if vectors.profile == "fast" else "i8",  # type: ignore[arg-type]
            connectivity=vectors.connectivity,
            expansion_add=vectors.expansion_add,
            expansion_search=vectors.expansion_search,
            keywords=self.keywords,
        )

    def difference(self, video: VideoIdentity, missing: ChunkIds | None = None) -> str:
        """Why this is not the index of a video, and what to do.

        :param video: one with another digest, or that has lost chunks.
        :param missing: chunks that it has lost, as far as that is known.
        """
        own = self.video
        if own.tag is None or own.tag != video.tag:
            return (
                f"it belongs to another video{'' if own.tag else ' or to another state of this one'} (its digest is "
                f"{own.digest[:16]}, the video's {video.digest[:16]}): give the right pair, or {MEND}"
            )
        if missing or video.frames < own.frames:
            chunks = f"; missing are {describe_chunks(missing.ranges)}" if missing else ""
            return (
                f"its video has lost frames: it had {own.frames}, and {video.frames} are left{chunks}: restore it from "
                "a copy, bring back the rest with `memvid repair VIDEO -o NEW.mp4`, or have an index of what is left "
                "with `memvid reindex VIDEO`"
            )
        if self.missing:
            return f"it was made while its video lacked {describe_chunks(self.missing)}: {MEND}"
        if video.frames == own.frames:
            return f"it belongs to another state of its video, which had as many frames: give the right pair, or {MEND}"
        return (
            f"it belongs to another state of its video (with {own.frames} frames, now there are {video.frames}): give "
            f"the right pair, or {MEND}"
        )

    def side_files(self) -> Iterator[tuple[str, SideFile]]:
        """All side files with their roles."""
        for segment in self.segments:
            yield from segment.files.items()
        if self.deleted is not None:
            yield "deleted", self.deleted
        if self.changed is not None:
            yield "metadata", self.changed

    @property
    def nbytes(self) -> int:
        """Size of the manifest and the side files."""
        return len(self.to_bytes()) + sum(file.bytes for _, file in self.side_files())

    def with_files(self, change: Callable[[str, SideFile], SideFile]) -> Manifest:
        """The same with other side files.

        :param change: gives them, by role and file.
        """

        def changed(role: str, file: SideFile | None) -> SideFile | None:
            return None if file is None else change(role, file)

        segments = tuple(
            replace(segment, files={role: change(role, file) for role, file in segment.files.items()})
            for segment in self.segments
        )
        deleted, metadata = changed("deleted", self.deleted), changed("metadata", self.changed)
        return replace(self, segments=segments, deleted=deleted, changed=metadata)

    def to_bytes(self) -> bytes:
        """The file's bytes."""
        appended = self.segments[1:]
        content: dict[str, Any] = {
            "format": _FORMAT,
            "keywords": self.keywords,
            "model": {"digest": self.model.digest, "dim": self.model.dim, "name": self.model.name},
            "vectors": {
                "connectivity": self.vectors.connectivity,
                "count": self.vectors.count,
                "dim": self.vectors.dim,
                "dtype": self.vectors.dtype,
                "expansion_add": self.vectors.expansion_add,
                "expansion_search": self.vectors.expansion_search,
                "metric": "cos",
            },
            "video": _video_to_json(self.video),
        }
        if self.segments:
            content |= _segment_to_json(self.segments[0])
        if appended:
            content["segments"] = [{"count": segment.count, **_segment_to_json(segment)} for segment in appended]
        if self.deleted is not None:
            content["deleted"] = _file_to_json(self.deleted)
        if self.missing:
            content["missing"] = [list(span) for span in self.missing]
        if self.changed is not None:
            content["metadata"] = _file_to_json(self.changed)
        content["version"] = _version(content, is_old=any(each.is_old for each in self.segments))
        content["sha256"] = _content_digest(content)
        return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def is_index_start(start: bytes) -> bool:
    """Whether a file that begins so is a manifest, be it damaged further on."""
    return start.lstrip().startswith(b"{") and f'"{_FORMAT}"'.encode() in start


def side_file_name(index_file: Path, role: str, number: int = 0, *, codes: bool = False) -> str:
    """Name of a side file: the manifest's without ``.json``, with the role's suffix.

    :param number: of the append that wrote it, which ends the name; 0 for the build.
    :param codes: whether vectors are codes.
    """
    suffix = _OTHER_SUFFIXES[role] if codes and role == "vectors" else _SUFFIXES[role]
    return _stem(index_file) + suffix + (f".{number}" if number else "")


def own_name(index_file: Path, role: str, name: str) -> str:
    """What a side file is called beside a manifest that is called ``index_file``, whatever the manifest says.

    The two differ where a memory was renamed or copied. A name that memvid does not give stays as it is.
    """
    match = _side_file_pattern(role).fullmatch(name)
    return _stem(index_file) + name[match.end("stem") :] if match else name


def new_records_name(index_file: Path, name: str) -> str:
    """What the records of a segment are called when they are no SQLite file any more, which is called ``name``."""
    match = _side_file_pattern("records").fullmatch(name)
    return side_file_name(index_file, "records", number_of("records", name)) if match else name + _SUFFIXES["records"]


def number_of(role: str, name: str) -> int:
    """The number of the append that wrote a side file, going by its name; 0 for the build."""
    match = _side_file_pattern(role).fullmatch(name)
    return int(match["number"] or 0) if match else 0


def _side_file_pattern(role: str) -> re.Pattern[str]:
    # A name may have a newline in it, which a dot alone does not stand for.
    suffixes = [each[role] for each in (_SUFFIXES, _OTHER_SUFFIXES) if role in each]
    suffix = "|".join(map(re.escape, suffixes))
    return re.compile(rf"(?s:(?P<stem>.+))(?:{suffix})(?:\.(?P<number>[1-9][0-9]{{0,17}}))?")


def numbered_files(index_file: Path) -> dict[str, int]:
    """Names of the files beside an index that are called like its side files, staged or not, and their numbers."""
    suffixes = "|".join(map(re.escape, [*_SUFFIXES.values(), *_OTHER_SUFFIXES.values()]))
    pattern = re.compile(rf"{re.escape(_stem(index_file))}(?:{suffixes})(?:\.([1-9][0-9]{{0,17}}))?(?:\.new)?")
    names = (entry.name for entry in os.scandir(index_file.parent))
    return {name: int(match[1] or 0) for name in names if (match := pattern.fullmatch(name))}


def _stem(index_file: Path) -> str:
    name = index_file.name
    return name[:-5] if name.lower().endswith(".json") and len(name) > 5 else name


def _video_to_json(video: VideoIdentity) -> dict[str, Any]:
    known = {"bytes": video.bytes, "digest": video.digest, "frames": video.frames}
    return known if video.tag is None else {**known, "tag": f"{video.tag:08x}"}


def _video(entry: dict[str, Any]) -> VideoIdentity:
    tag = _number(int(_text(entry["tag"]), 16), 0, 0xFFFF_FFFF) if "tag" in entry else None
    return VideoIdentity(_text(entry["digest"]), _number(entry["frames"]), _number(entry["bytes"]), tag)


def _span(entry: Any) -> tuple[int, int]:
    first, last = entry
    return _number(first), _number(last, _number(first))


def _file_to_json(file: SideFile) -> dict[str, Any]:
    if file.at is not None:
        return {"at": file.at, "bytes": file.bytes, "root": file.digest}
    return {"bytes": file.bytes, "name": file.name, "sha256": file.digest}


def _segment_to_json(segment: Segment) -> dict[str, Any]:
    files = {"files": {role: _file_to_json(file) for role, file in segment.files.items()}}
    return {**files, "copies": segment.copies} if segment.copies else files


def read_manifest(index_file: Path) -> Manifest:
    """Read and check a manifest.

    :raises IndexNotFoundError: there is no such file.
    :raises IndexFormatError: it is not a manifest, a newer one, cut off or changed.
    """
    data, inside = _read(index_file)
    try:
        manifest = _parse(_load(data, index_file))
        for _, file in manifest.side_files():
            if (file.at is None) != (inside is None):
                raise ValueError("it names files of its own inside a video, or parts of a video beside one")
        return manifest.with_files(lambda _, file: replace(file, inside=inside))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise IndexFormatError(f"index {str(index_file)!r} is incomplete or wrong ({error}): {MEND}") from error


def _read(index_file: Path) -> tuple[bytes, InnerManifest | None]:
    """A manifest's bytes, and where they are if that is inside a video."""
    try:
        with open_regular(index_file) as file:
            data = file.read(8)
            if data[4:] == b"ftyp" and (inside := find_manifest(file, limit=_SIZE_LIMIT + 1)) is not None:
                return inside.data, inside
            return data + file.read(_SIZE_LIMIT + 1 - len(data)), None
    except (FileNotFoundError, NotADirectoryError):
        raise IndexNotFoundError(
            f"there is no index {str(index_file)!r}: name it where it is, copy it along with its video, or {MEND}"
        ) from None
    except OSError as error:
        remedy = "change who may read it" if isinstance(error, PermissionError) else MEND
        raise IndexFormatError(f"index {str(index_file)!r} cannot be read ({error.strerror}): {remedy}") from error


def _load(data: bytes, index_file: Path) -> dict[str, Any]:
    where = f"index {str(index_file)!r}"
    if data[4:8] == b"ftyp":
        raise IndexFormatError(
            f"{where} is a video: name the video first, then its index; there is none in this one, or {MEND}"
        )
    if is_lfs_pointer(data):
        raise IndexFormatError(f"{where} {LFS_REMEDY}")
    try:
        content = json.loads(data) if len(data) <= _SIZE_LIMIT else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        if isinstance(content, dict) and isinstance(content.get("metadata"), list):
            raise IndexFormatError(f"{where} is not one of this release: {IMPORT_REMEDY}")
        raise IndexFormatError(f"{where} is not a memvid index, or is cut off ({len(data)} bytes): {MEND}")
    version = content.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise IndexFormatError(f"{where} has version {version!r}, this release reads {VERSION}: upgrade, or {MEND}")
    if version != _version(content, is_old=version < _NO_SQLITE):
        raise IndexFormatError(f"{where} has version {version} and not what belongs to it: {MEND}")
    expected, found = content.pop("sha256", None), _content_digest(content)
    if expected != found:
        raise IndexFormatError(f"{where} was changed: SHA-256 expected {expected}, found {found}: {MEND}")
    return content


def _parse(content: dict[str, Any]) -> Manifest:
    model, vectors = content["model"], content["vectors"]
    dtype = _one_of("dtype", vectors["dtype"], ("i8", "f16", "f32", *_CODES.values()))
    _one_of("metric", vectors["metric"], ("cos",))
    digest = model["digest"]
    count = _number(vectors["count"])
    is_old = content["version"] < _NO_SQLITE
    appended = [_segment(entry, entry["count"], is_old) for entry in content.get("segments", [])]
    first = count - sum(segment.count for segment in appended)
    if "files" not in content and first:
        raise ValueError(f"{first} vectors are in no segment")
    segments = (*([_segment(content, first, is_old)] if "files" in content else []), *appended)
    return Manifest(
        video=_video(content["video"]),
        model=ModelInfo(_text(model["name"]), _number(model["dim"], 1), None if digest is None else _text(digest)),
        vectors=VectorInfo(
            dtype=dtype,
            dim=_number(vectors["dim"], 1, 1 << 16),
            count=count,
            connectivity=_number(vectors["connectivity"], 2, 256),
            expansion_add=_number(vectors["expansion_add"], 1, 1 << 20),
            expansion_search=_number(vectors["expansion_search"], 1, 1 << 20),
            copies=sum(segment.copies for segment in segments),
        ),
        keywords=content["keywords"] is True,
        segments=segments,
        deleted=_side_file(content["deleted"]) if "deleted" in content else None,
        missing=tuple(_span(span) for span in content.get("missing", [])),
        changed=_side_file(content["metadata"]) if "metadata" in content else None,
    )


def dtype_of(config: EncoderConfig) -> str:
    """How an index with these options keeps vectors."""
    return _CODES.get(config.profile, config.vector_dtype)


def _version(content: Mapping[str, Any], *, is_old: bool) -> int:
    """The oldest version that has all that is in a manifest.

    :param is_old: whether records are SQLite files.
    """
    if not is_old:
        vectors = content.get("vectors")
        return VERSION if isinstance(vectors, dict) and vectors.get("dtype") in _CODES.values() else _NO_SQLITE
    if any("copies" in segment for segment in (content, *content.get("segments", []))):
        return 4
    if "files" not in content or "metadata" in content:
        return 3
    return 2 if "segments" in content or "deleted" in content else 1


def _segment(entry: dict[str, Any], count: object, is_old: bool) -> Segment:
    """One segment, of an entry that has its files."""
    number = _number(count, 1)
    files = {role: _side_file(entry["files"][role]) for role in _ROLES}
    return Segment(number, files, _number(entry["copies"], 1, number - 1) if "copies" in entry else 0, is_old)


def _side_file(entry: dict[str, Any]) -> SideFile:
    nbytes = _number(entry["bytes"], 1)
    if "at" in entry:
        at = _number(entry["at"])
        if nbytes > BORDER and at % BORDER:
            raise ValueError(f"a part of {nbytes} bytes begins at byte {at}, not on a border")
        return SideFile("", nbytes, _digest(entry["root"]), at)
    name = entry["name"]
    if not is_plain_name(name):
        raise ValueError(f"side file {name!r} is not a plain name")
    return SideFile(name, nbytes, _digest(entry["sha256"]))


def _content_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value


def _digest(value: object) -> str:
    text = _text(value)
    if _DIGEST.fullmatch(text) is None:
        raise ValueError(f"{value!r:.80} is no digest")
    return text


def _number(value: object, low: int = 0, high: int = ID_LIMIT) -> int:
    if not is_int(value, low, high):
        raise ValueError(f"{value!r} is not a whole number from {low} to {high}")
    return value


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{name} {value!r} is not one of {choices}")
    return str(value)
