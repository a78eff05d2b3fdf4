"""Side files that become parts of a video, and parts that become side files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from memvid.index.digests import file_digest, remember_verified, tree_root
from memvid.index.manifest import Manifest, SideFile, side_file_name
from memvid.index.open_file import OpenFile
from memvid.index.side_files import check_side_file, open_side_file
from memvid.storage.commit import Commit
from memvid.storage.disk import output_errors, staged_name
from memvid.storage.files import open_regular, write_private
from memvid.storage.inner_index import Stretch, put_index
from memvid.types import VideoIdentity

__all__ = ["describe", "move_parts", "put_beside", "put_inside"]


def describe(staged: Path, name: str, *, as_part: bool = False) -> SideFile:
    """Size and digest of a side file that is complete, which are remembered as checked.

    :param as_part: it is to be a part of the video, which has another digest and is remembered when it is there.
    """
    with output_errors(staged), open_regular(staged) as opened:
        os.fsync(opened.fileno())  # before mtime is read: some file systems settle it when data reaches the disk
        file = OpenFile(staged, opened)
        if as_part:
            return SideFile(name, file.nbytes, tree_root(file))
        digest = file_digest(file)
    remember_verified(file, digest)  # a rename changes none of device, inode, size and mtime
    return SideFile(name, file.nbytes, digest)


def put_inside(video_file: Path, body: Path, manifest: Manifest) -> Manifest:
    """Put side files and manifest before the movie header that a video ends with, which does not count yet.

    :param video_file: what the video will be called, by which the side files are.
    :param body: the video.
    :param manifest: names staged files with the digests of parts, and parts that are in the video already.
    :returns: the manifest that is in the video.
    :raises OutputError: the disk is full, ...
    """
    waiting = [file for _, file in manifest.side_files() if file.at is None]
    sources = {file: Stretch(staged_name(file.file_of(video_file)), 0, file.bytes) for file in waiting}
    return _put(body, manifest, sources)


def move_parts(index_file: Path, body: Path, manifest: Manifest) -> Manifest:
    """Put all that an index consists of into another video; it is read back from there.

    :param index_file: where the manifest is, in a video or beside one.
    :param body: the other video, which ends with a movie header that does not count yet.
    :returns: the manifest that is in it.
    :raises IndexFormatError: a side file is damaged.
    :raises OutputError: the disk is full, ...
    """
    sources: dict[SideFile, Stretch] = {}

    def as_part(_: str, file: SideFile) -> SideFile:
        with open_side_file(index_file, file) as opened:
            part = file if file.at is not None else replace(file, digest=tree_root(opened))
        sources[part] = Stretch(file.file_of(index_file), file.at or 0, file.bytes)
        return part

    placed = _put(body, manifest.with_files(as_part), sources)
    for _, part in placed.side_files():
        check_side_file(body, part, always=True)
    return placed


def _put(body: Path, manifest: Manifest, sources: dict[SideFile, Stretch]) -> Manifest:
    placed = manifest

    def write(offsets: Sequence[int]) -> bytes:
        nonlocal placed
        parts = {file: replace(file, name="", at=at, inside=None) for file, at in zip(sources, offsets, strict=True)}
        placed = manifest.with_files(lambda _, file: parts.get(file, file))
        return placed.to_bytes()

    with output_errors(body):
        put_index(body, list(sources.values()), write)
    return placed


def put_beside(
    video_file: Path, index_file: Path, manifest: Manifest, video: VideoIdentity, commit: Commit
) -> Manifest:
    """Stage the parts of a video as side files of an index beside it.

    :param manifest: that of the video.
    :param video: the video that the index is to be beside.
    :param commit: of that index.
    :raises IndexFormatError: a part is damaged.
    :raises OutputError: the disk is full, ...
    """
    numbers = {file: number for number, segment in enumerate(manifest.segments) for file in segment.files.values()}

    def as_file(role: str, part: SideFile) -> SideFile:
        check_side_file(video_file, part, always=True)
        number, codes = numbers.get(part, len(manifest.segments)), manifest.vectors.profile != "fast"
        final = index_file.with_name(side_file_name(index_file, role, number, codes=codes))
        staged = commit.stage(final)
        with output_errors(final), open_side_file(video_file, part) as file:
            file.copy_to(staged)
        return describe(staged, final.name)

    beside = replace(manifest.with_files(as_file), video=video)
    staged = commit.stage(index_file)
    with output_errors(index_file):
        write_private(staged, beside.to_bytes())
    return beside
