"""Side files of an index that was renamed or copied, so that its manifest says other names than they have by now.

Beside the manifest ``b.json`` of a memory that was called ``a``, the file that it calls ``a.sqlite`` is looked for as
``b.sqlite`` first, then as ``a.sqlite``, which may be the file of the memory that was copied. Only what has the digest
is taken. Whatever writes the index next gives it files and names of its own (:class:`~memvid.index.IndexBuilder`): the
other memory's are read, never changed or removed.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from memvid.errors import IndexFileError
from memvid.index.manifest import Manifest, SideFile, own_name
from memvid.index.side_files import check_side_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["find_side_files"]


def find_side_files(index_file: Path, manifest: Manifest) -> Manifest:
    """The manifest with the names that its side files have now. One that is missing has the name it should have."""
    return manifest.with_files(lambda role, file: _find(index_file, role, file))


def _find(index_file: Path, role: str, file: SideFile) -> SideFile:
    if file.at is not None:
        return file
    own = replace(file, name=own_name(index_file, role, file.name))
    if own.name == file.name:
        return file
    there = [each for each in (own, file) if os.path.lexists(each.file_of(index_file))]
    if len(there) < 2:
        return there[0] if there else own
    return next((each for each in there if _is_sound(index_file, each)), own)


def _is_sound(index_file: Path, file: SideFile) -> bool:
    try:
        check_side_file(index_file, file)
    except IndexFileError:
        return False
    return True
