"""What becomes of an index when its memory grows: which segments stay, and which are merged into the new one.

Each append writes a segment of its own, so it costs what is added. Segments that are no larger than the new one are
merged into it: their number stays below the logarithm of the memory's size, and a chunk that is appended is added again
that many times at most. It is the way of a binary counter, and of log-structured merge trees.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from memvid.errors import MemvidError
from memvid.index.digests import remember_verified
from memvid.index.location import table_digest
from memvid.index.manifest import Manifest, Segment, number_of, numbered_files, own_name, read_manifest
from memvid.index.open_file import OpenFile
from memvid.storage.commit import default_index_file
from memvid.storage.disk import sync_folder
from memvid.storage.files import open_regular

__all__ = ["OuterIndex", "UpdatePlan", "find_outer", "next_number", "plan_update", "remove_index", "tidy"]

_SMALL_SEGMENT = 128  # chunks; a smaller segment at the end is always merged: it costs less than a file of its own


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """How an index takes what is added.

    :ivar kept: segments that stay, in front of the new one.
    :ivar merged: how many segments at the end go into the new one.
    """

    kept: tuple[Segment, ...]
    merged: int


def plan_update(manifest: Manifest, added: int) -> UpdatePlan:
    """The plan for ``added`` new chunks."""
    kept = list(manifest.segments)
    size = added
    while kept and kept[-1].count <= max(size, _SMALL_SEGMENT):
        size += kept.pop().count
    return UpdatePlan(tuple(kept), len(manifest.segments) - len(kept))


def next_number(index_file: Path, manifest: Manifest) -> int:
    """A number that no file of an append has, used or left behind, here or where the index was copied from."""
    named = (number_of(role, file.name) for role, file in manifest.side_files())
    return 1 + max([0, *named, *numbered_files(index_file).values()])


class OuterIndex(NamedTuple):
    """An index beside a video that has one inside, or is to have: nobody reads it then."""

    index_file: Path
    manifest: Manifest


def find_outer(index_file: Path) -> OuterIndex | None:
    """The index that lies beside a video, where a commit puts one inside it, or changes the one that is there.

    One of the frames that the video has before the commit: that which the commit replaces, or which ``pack`` had not
    removed yet when the power failed.

    :param index_file: the commit's; only a video can have an index beside it.
    """
    beside = default_index_file(index_file)
    with suppress(MemvidError, OSError):
        manifest = read_manifest(beside)
        with open_regular(index_file) as video:
            return OuterIndex(beside, manifest) if manifest.video.digest == table_digest(video) else None
    return None


def tidy(index_file: Path, manifest: Manifest | None, outer: OuterIndex | None = None) -> Iterator[Path]:
    """What there is to do after a commit: remember that the parts inside a video were checked, which changed its time.

    :param manifest: ``None``: a video without an index.
    :param outer: what :func:`find_outer` found before it.
    :returns: side files that the manifest does not name (any more): a merge, a build or an interruption left them; and
        the index that was beside the video. They are to be removed one by one.
    """
    with suppress(MemvidError, OSError):
        _remember_parts(index_file)
    used = set() if manifest is None else {file.name for _, file in manifest.side_files()}
    for name in sorted(numbered_files(index_file)):
        if name not in used:
            yield index_file.with_name(name)
    if outer is not None:
        yield from _files_of(outer)


def _files_of(outer: OuterIndex) -> Iterator[Path]:
    """The files of an index, but for those that it shares with another one, going by their names.

    The manifest comes last, when the others are gone for good: so what a power cut leaves can be told by it.
    """
    index_file, manifest = outer
    for role, file in manifest.side_files():
        if file.name == own_name(index_file, role, file.name):
            yield file.file_of(index_file)
    sync_folder(index_file.parent)
    yield index_file


def remove_index(outer: OuterIndex) -> None:
    """Remove an index that lies beside a video with another one inside."""
    with suppress(OSError):  # what stays is not looked at any more
        for path in _files_of(outer):
            path.unlink(missing_ok=True)


def _remember_parts(index_file: Path) -> None:
    parts = [file for _, file in read_manifest(index_file).side_files() if file.at is not None]
    if parts:
        with open_regular(index_file) as video:
            for part in parts:
                file = OpenFile(index_file, video, offset=part.at, nbytes=part.bytes, manifest=part.inside)
                remember_verified(file, part.digest)
