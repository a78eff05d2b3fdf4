"""What becomes of an index when its memory grows: which segments stay, and which are merged into the new one.

Each append writes a segment of its own, so it costs what is added. Segments that are no larger than the new one are
merged into it: their number stays below the logarithm of the memory's size, and a chunk that is appended is added again
that many times at most. It is the way of a binary counter, and of log-structured merge trees.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memvid.errors import MemvidError
from memvid.index.digests import remember_verified
from memvid.index.manifest import Manifest, Segment, number_of, numbered_files, own_name, read_manifest
from memvid.index.open_file import OpenFile
from memvid.storage.files import open_regular

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["UpdatePlan", "next_number", "plan_update", "tidy"]

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


def tidy(index_file: Path, manifest: Manifest) -> list[Path]:
    """What there is to do after a commit: remember that the parts inside a video were checked, which changed its time.

    :returns: side files that the manifest does not name (any more): a merge, a build or an interruption left them.
    """
    with suppress(MemvidError, OSError):
        _remember_parts(index_file)
    used = {file.name for _, file in manifest.side_files()}
    return [index_file.with_name(name) for name in sorted(numbered_files(index_file)) if name not in used]


def remove_index(index_file: Path, manifest: Manifest) -> None:
    """Remove an index, but for files that it shares with another one, going by their names; the manifest first."""
    own = [
        file.file_of(index_file)
        for role, file in manifest.side_files()
        if file.name == own_name(index_file, role, file.name)
    ]
    for path in (index_file, *own):
        with suppress(OSError):  # what stays is not looked at any more
            path.unlink(missing_ok=True)


def _remember_parts(index_file: Path) -> None:
    parts = [file for _, file in read_manifest(index_file).side_files() if file.at is not None]
    if parts:
        with open_regular(index_file) as video:
            for part in parts:
                file = OpenFile(index_file, video, offset=part.at, nbytes=part.bytes, manifest=part.inside)
                remember_verified(file, part.digest)
