"""``memory_index.json``: what an index is, and which files belong to it.

Indented, sorted JSON for people, without a clock, with a SHA-256 over its own content, so that any change is noticed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memvid._files import is_plain_name
from memvid.errors import IndexFormatError, IndexNotFoundError
from memvid.types import ModelInfo, VideoIdentity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["MEND", "VERSION", "Manifest", "SideFile", "VectorInfo", "read_manifest", "side_file_name"]

VERSION = 1
MEND = "rebuild it from the video with `memvid reindex VIDEO`"

_FORMAT = "memvid index"
_SIZE_LIMIT = 1 << 20  # a real one has about a kilobyte
_SUFFIXES = {"vectors": ".usearch", "records": ".sqlite"}


@dataclass(frozen=True, slots=True)
class SideFile:
    """A file beside the manifest: its name without a folder, size and SHA-256 in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class VectorInfo:
    """How the vectors are kept; see :class:`~memvid.config.EncoderConfig` for the terms. The metric is cosine."""

    dtype: str
    dim: int
    count: int
    connectivity: int
    expansion_add: int
    expansion_search: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of an index's manifest.

    :ivar video: the video this index belongs to.
    :ivar model: the embedding model of the vectors.
    :ivar vectors: how they are kept.
    :ivar keywords: whether there is a keyword index.
    :ivar files: the side files, ``"vectors"`` and ``"records"``.
    """

    video: VideoIdentity
    model: ModelInfo
    vectors: VectorInfo
    keywords: bool
    files: Mapping[str, SideFile]

    def to_bytes(self) -> bytes:
        """The file's bytes."""
        content: dict[str, Any] = {
            "files": {
                role: {"bytes": file.bytes, "name": file.name, "sha256": file.sha256}
                for role, file in self.files.items()
            },
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
            "version": VERSION,
            "video": {"bytes": self.video.bytes, "digest": self.video.digest, "frames": self.video.frames},
        }
        content["sha256"] = _content_digest(content)
        return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def side_file_name(index_file: Path, role: str) -> str:
    """Name of a side file: the manifest's without ``.json``, with the role's suffix."""
    name = index_file.name
    return (name[:-5] if name.lower().endswith(".json") and len(name) > 5 else name) + _SUFFIXES[role]


def read_manifest(index_file: Path) -> Manifest:
    """Read and check a manifest.

    :raises IndexNotFoundError: there is no such file.
    :raises IndexFormatError: it is not a manifest, a newer one, cut off or changed.
    """
    try:
        with index_file.open("rb") as file:
            data = file.read(_SIZE_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise IndexNotFoundError(f"there is no index {str(index_file)!r}: build one, or {MEND}") from None
    except OSError as error:
        raise IndexFormatError(f"index {str(index_file)!r} cannot be read: {error.strerror}") from error
    content = _load(data, index_file)
    try:
        return _parse(content)
    except (KeyError, TypeError, ValueError) as error:
        raise IndexFormatError(f"index {str(index_file)!r} is incomplete or wrong ({error}): {MEND}") from error


def _load(data: bytes, index_file: Path) -> dict[str, Any]:
    where = f"index {str(index_file)!r}"
    try:
        content = json.loads(data) if len(data) <= _SIZE_LIMIT else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise IndexFormatError(f"{where} is not a memvid index, or is cut off ({len(data)} bytes): {MEND}")
    version = content.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise IndexFormatError(f"{where} has version {version!r}, this release reads {VERSION}: upgrade, or {MEND}")
    expected, found = content.pop("sha256", None), _content_digest(content)
    if expected != found:
        raise IndexFormatError(f"{where} was changed: SHA-256 expected {expected}, found {found}: {MEND}")
    return content


def _parse(content: dict[str, Any]) -> Manifest:
    video, model, vectors = content["video"], content["model"], content["vectors"]
    dtype = _one_of("dtype", vectors["dtype"], ("i8", "f16", "f32"))
    _one_of("metric", vectors["metric"], ("cos",))
    digest = model["digest"]
    return Manifest(
        video=VideoIdentity(_text(video["digest"]), _number(video["frames"]), _number(video["bytes"])),
        model=ModelInfo(_text(model["name"]), _number(model["dim"], 1), None if digest is None else _text(digest)),
        vectors=VectorInfo(
            dtype=dtype,
            dim=_number(vectors["dim"], 1, 1 << 16),
            count=_number(vectors["count"], 1),
            connectivity=_number(vectors["connectivity"], 2, 256),
            expansion_add=_number(vectors["expansion_add"], 1, 1 << 20),
            expansion_search=_number(vectors["expansion_search"], 1, 1 << 20),
        ),
        keywords=content["keywords"] is True,
        files={role: _side_file(content["files"][role]) for role in _SUFFIXES},
    )


def _side_file(entry: dict[str, Any]) -> SideFile:
    name = entry["name"]
    if not is_plain_name(name):
        raise ValueError(f"side file {name!r} is not a plain name")
    return SideFile(name, _number(entry["bytes"], 1), _text(entry["sha256"]))


def _content_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value


def _number(value: object, low: int = 0, high: int = 1 << 62) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{value!r} is not a whole number from {low} to {high}")
    return value


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{name} {value!r} is not one of {choices}")
    return str(value)
